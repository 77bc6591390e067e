//! The attributes of memlock. They put a call into the runtime in front of a function's body.
//!
//! The files are the phases: `parse` reads, `valid` (with `key`) checks, `expand` writes, and `fallback` reports an
//! `error`.
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

/// Lets one caller at a time in the whole cluster run the function for a key. The function may be async.
///
/// A caller that already holds the lock gets `Error::Reentered`. For functions that call each other see
/// [`rlock`](macro@rlock).
///
#[doc = include_str!("../docs/attribute.md")]
#[proc_macro_attribute]
pub fn lock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_attribute(LockKind::Lock, args.into(), item.into()).into()
}

/// Like [`lock`](macro@lock), but the holder may enter again: a locked function may call itself, or another function
/// with the same `name` and key.
///
/// The holder is the call tree, not the thread. Entering again costs no round trip. An inner [`lock`](macro@lock) with
/// the same name and key is refused, because it would wait for itself.
///
#[doc = include_str!("../docs/attribute.md")]
#[proc_macro_attribute]
pub fn rlock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_attribute(LockKind::Rlock, args.into(), item.into()).into()
}

/// Lets callers queue up in front of a database that detects conflicts itself. A caller that would overwrite another's
/// work learns so before its own expensive work, and has the lock when it retries.
///
/// The function returns a `Result` whose error implements `From<memlock::Error>`. For each key:
///
/// 1. A call takes the lock that is reserved for it from an earlier conflict. Otherwise it tries once to acquire the
///    lock.
/// 2. With the lock, the body runs. If its error is a conflict, the lock stays reserved for the time `reserve`, so that
///    the caller's retry goes first.
/// 3. If another caller holds the lock, the body does *not* run, because what this caller has read will be out of date.
///    The call waits for the lock, reserves it, and returns `Error::Conflict`: roll back, and start again with fresh
///    data.
///
/// The reservation belongs to the thread; for an async function, to the process. A retry on another thread does not find
/// it. With `wait = 0` the call cannot wait for a lock that is held, and returns `Error::Busy` instead of a conflict.
///
/// To hold locks until a *transaction* is committed, and to retry it, use `memlock::transaction()`: a `zlock` in its
/// closure is held until the closure returns, and never waits.
///
/// `conflict = path` names a function `fn(&E) -> bool` that tells which errors are conflicts. Without it, the error's
/// own `memlock::Conflict` decides. Without that, the error and its sources are searched with `memlock::is_conflict`;
/// the error may be any `std::error::Error`, boxed or not.
///
/// If memcached is unreachable, the body runs without the lock, with a warning, unless `on_unavailable` says otherwise:
/// the database still detects conflicts. The holder may enter again, as with [`rlock`](macro@rlock).
///
/// ```no_run
/// # struct Catalog; struct Object;
/// # impl Catalog { fn path(&self) -> String { String::new() } }
/// #[memlock::zlock(catalog.path(), timeout = 30)]
/// fn catalog_object(catalog: &Catalog, object: &Object) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     // Read the catalog, compute, write: one caller at a time for each catalog.
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
