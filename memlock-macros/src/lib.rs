//! The attributes of memlock: what stands over a function becomes a call into the runtime in front of its body.
//!
//! The files are the phases: `args` (with `options`, `values` and `text`) and `function` (with `returns`) read, `valid`
//! (with `key`) checks, `expand` (with `asynchronous`) writes, `fallback` is for what is wrong.
mod args;
mod asynchronous;
mod expand;
mod fallback;
mod function;
mod key;
#[cfg(test)]
mod messages;
mod options;
mod returns;
mod text;
mod valid;
mod values;

use proc_macro2::TokenStream;
use syn::parse::Parser as _;

use crate::function::Function;
use crate::valid::Kind;

/// One holder at a time runs the function, which may be async, for a key, in all the cluster.
///
/// A function that takes a lock which its own caller holds gets `Error::Reentered`; for that see [`rlock`](macro@rlock).
///
#[doc = include_str!("../docs/options.md")]
#[proc_macro_attribute]
pub fn lock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    attribute(Kind::Lock, args.into(), item.into()).into()
}

/// Like [`lock`](macro@lock), and the holder may enter again: a locked function may call another with the same `name`
/// and key, or itself.
///
/// Holder is the call tree, not the thread. An inner `rlock` costs no round trip, and an inner [`lock`](macro@lock) on
/// the same name and key is refused as it would wait for itself.
///
#[doc = include_str!("../docs/options.md")]
#[proc_macro_attribute]
pub fn rlock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    attribute(Kind::Rlock, args.into(), item.into()).into()
}

fn attribute(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    locked(kind, args, item.clone()).unwrap_or_else(|error| fallback::refuse(&error, item))
}

fn locked(kind: Kind, args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function = syn::parse2::<Function>(item)?;
    let options = args::parse.parse2(args)?;
    let locked = valid::validate(kind, options, function)?;
    Ok(expand::expand(&locked))
}

#[cfg(test)]
mod snapshots;
