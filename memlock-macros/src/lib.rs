//! The attributes of memlock: what stands over a function becomes a call into the runtime in front of its body.
//!
//! The files are the phases: `parse` reads, `valid` (with `key`) checks, `expand` writes, and `fallback` reports an `error`.
mod error;
mod expand;
mod fallback;
mod key;
mod parse;
#[cfg(test)]
mod tests;
mod valid;

use proc_macro2::TokenStream;
use syn::parse::Parser as _;

use crate::parse::function::Function;
use crate::valid::LockKind;

/// One holder at a time runs the function, which may be async, for a key, in all the cluster.
///
/// A function that takes a lock which its own caller holds gets `Error::Reentered`; for that see [`rlock`](macro@rlock).
///
#[doc = include_str!("../docs/attribute.md")]
#[proc_macro_attribute]
pub fn lock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_attribute(LockKind::Lock, args.into(), item.into()).into()
}

/// Like [`lock`](macro@lock), and the holder may enter again: a locked function may call another with the same `name`
/// and key, or itself.
///
/// Holder is the call tree, not the thread. An inner `rlock` costs no round trip, and an inner [`lock`](macro@lock) on
/// the same name and key is refused as it would wait for itself.
///
#[doc = include_str!("../docs/attribute.md")]
#[proc_macro_attribute]
pub fn rlock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_attribute(LockKind::Rlock, args.into(), item.into()).into()
}

/// In front of a database that detects conflicts itself: who would write on top of another is told before the expensive work,
/// and finds the lock waiting when it comes again.
///
/// The function returns a `Result` whose error is `From<memlock::Error>`. For a key
///
/// 1. a call takes the lock that an earlier conflict left reserved for it, else it tries once;
/// 2. it runs, and if its error is a conflict, the lock stays reserved for `reserve`, so that its caller's retry goes first;
/// 3. where another holds the lock, the body is *not* run: what the caller has read will be out of date. The lock is waited for
///    and reserved, and the function returns `Error::Conflict`: roll back and start again with fresh data.
///
/// The reservation belongs to the thread; of an async function, to the process. Locks that are held until a *transaction* is
/// committed, and the retry, come with `memlock::transaction()`: in its closure a `zlock` is held until the closure has
/// returned, and never waits.
///
/// What is a conflict: what `conflict = path` says, a function `fn(&E) -> bool`; else what the error's own `memlock::Conflict`
/// says; else the error, any `std::error::Error`, boxed or not, is searched through its sources (`memlock::is_conflict`).
///
/// When memcached cannot be asked the body runs without the lock, with a warning, unless `on_unavailable` says otherwise: the
/// database still detects what goes wrong. The holder may enter again, as with [`rlock`](macro@rlock).
///
/// ```no_run
/// # struct Catalog; struct Object;
/// # impl Catalog { fn path(&self) -> String { String::new() } }
/// #[memlock::zlock(catalog.path(), timeout = 30)]
/// fn catalog_object(catalog: &Catalog, object: &Object) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     // Read the catalogue, compute, write: one at a time for each catalogue.
///     Ok(())
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let (catalog, object) = (Catalog, Object);
/// memlock::transaction().attempts(3).run(|_attempt| {
///     // let tx = db.begin()?;
///     catalog_object(&catalog, &object)
///     // tx.commit()
/// })
/// # }
/// ```
///
#[doc = include_str!("../docs/attribute.md")]
#[proc_macro_attribute]
pub fn zlock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_attribute(LockKind::Zlock, args.into(), item.into()).into()
}

fn expand_attribute(kind: LockKind, args: TokenStream, item: TokenStream) -> TokenStream {
    try_expand(kind, args, item.clone()).unwrap_or_else(|error| fallback::fall_back(&error, item))
}

fn try_expand(kind: LockKind, args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function = syn::parse2::<Function>(item)?;
    let options = parse::args::parse_args.parse2(args)?;
    let locked = valid::validate(kind, options, function)?;
    Ok(expand::expand(&locked))
}
