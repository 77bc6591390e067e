//! Runs the body of an `async fn`, and of a function that returns a future.
//!
//! ```text
//! use ::memlock::__private as __memlock;
//! let __memlock_return = __memlock::Return::<R>::new();
//! let __memlock_entering = __memlock_return.__memlock_enter_async(OPTIONS, [KEYS]);
//! __memlock_entering.run(__memlock_return.__memlock_ending(), async move {
//!     if false { return __memlock_return.__memlock_value(()); }
//!     BODY
//! }).await
//! ```
//!
//! The `let` evaluates keys and options and drops their temporaries, so that none of them lives across the `.await`.
//! The body is a future of its own, which the runtime polls under the lock. The line before the body never runs. It
//! gives the compiler the type that the body returns, which it would otherwise guess from the first `return` or `?`.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;
use syn::{FnArg, Pat, Receiver, ReceiverKind, Type};

use crate::expand::pieces::{body_block, conflict_test, match_entered, return_type_span, reuses_return, site};
use crate::parse::returns::{Returns, Shape, has_inferred};
use crate::parse::syntax::{cfg_attrs, find_ident, peel_type};
use crate::valid::{LockKind, LockedFunction};

/// Writes what follows the enter statement: the call that acquires the lock and polls the body.
pub(super) fn run_body(locked: &LockedFunction) -> TokenStream {
    let body = body_future(locked);
    let ending = ending_value(locked);
    let checks_lease = locked.options.on_lost_error().is_some();
    let run = if locked.kind == LockKind::Zlock {
        let conflict = conflict_test(locked);
        quote_spanned!(site()=> run_zlock(#ending, #conflict, #body).await)
    } else if checks_lease {
        quote_spanned!(site()=> run_and_check(#ending, #body).await)
    } else {
        quote_spanned!(site()=> run(#ending, #body).await)
    };
    if locked.options.otherwise.is_none() {
        return quote_spanned!(site()=> __memlock_entering.#run);
    }
    if checks_lease {
        let run = quote_spanned!(site()=> __memlock_entering.#run);
        let returned = quote_spanned!(site()=> __memlock_returned);
        return match_entered(locked, &run, "__memlock_returned", &returned);
    }
    // Entering and running are two calls: if the call that enters took the body as an argument, `otherwise` could not
    // use what the body captures.
    let enter = quote_spanned!(site()=> __memlock_entering.enter().await);
    let run = quote_spanned!(site()=> __memlock_held.#run);
    match_entered(locked, &enter, "__memlock_held", &run)
}

/// Writes the value that decides whether the future waits for the release.
///
/// While the future waits, it keeps the value that the body returned, so it is `Send` only if that value is. For a type
/// that cannot be written this is unknown, so the future does not wait.
fn ending_value(locked: &LockedFunction) -> TokenStream {
    match &locked.returns {
        Returns::Type(ty) if !has_inferred(ty) => {
            if reuses_return(locked) {
                quote_spanned!(site()=> __memlock_return.__memlock_ending())
            } else {
                quote_spanned!(site()=> __memlock::Return::<#ty>::new().__memlock_ending())
            }
        }
        Returns::Type(_) | Returns::Opaque | Returns::Never => quote_spanned!(site()=> __memlock::DetachRelease),
    }
}

/// Writes the body as a future.
fn body_future(locked: &LockedFunction) -> TokenStream {
    let block = body_block(&locked.function.body);
    // rustc reports here that the body does not fit the return type.
    let here = site().located_at(return_type_span(locked));
    match &locked.shape {
        // The body makes a future. As a closure in the call that runs it, a `return` in it returns that future.
        Shape::BoxedFuture(ty) => quote_spanned!(here=> __memlock::returned(move || -> #ty #block)),
        Shape::ImplFuture => quote_spanned!(here=> __memlock::returned(move || #block)),
        Shape::Sync | Shape::Async if reuses_return(locked) => {
            let order = drop_order(locked);
            quote_spanned! {here=>
                async move {
                    if false {
                        return __memlock_return.__memlock_value((#(#order,)*));
                    }
                    #block
                }
            }
        }
        Shape::Sync | Shape::Async => quote_spanned!(here=> async move #block),
    }
}

/// Returns the arguments in the order in which the function would drop them, if that order can matter.
///
/// An `async move` block drops its captures in the order in which it mentions them, so they are mentioned in the
/// reverse order of the signature.
fn drop_order(locked: &LockedFunction) -> Vec<TokenStream> {
    let mut captured = Vec::new();
    for input in &locked.function.sig.inputs {
        match input {
            FnArg::Receiver(receiver) if is_trivially_dropped_receiver(receiver) => {}
            FnArg::Receiver(receiver) => {
                let this = receiver.self_token;
                captured.push((Ident::from(this), quote_spanned!(site()=> #this)));
            }
            FnArg::Typed(typed) if is_trivially_dropped(&typed.ty) => {}
            FnArg::Typed(typed) => bindings(&typed.pat, &mut |name| {
                let cfgs = cfg_attrs(&typed.attrs);
                captured.push((name.clone(), quote_spanned!(site()=> #(#cfgs)* #name)));
            }),
        }
    }
    // An argument that only this list mentions would be captured, and rustc would not report it as unused.
    captured.retain(|(name, _)| find_ident(locked.function.body.stream(), name).is_some());
    if captured.len() < 2 {
        return Vec::new();
    }
    captured.into_iter().rev().map(|(_, mention)| mention).collect()
}

/// Calls `visit` with each name that a pattern binds.
fn bindings(pat: &Pat, visit: &mut impl FnMut(&Ident)) {
    match pat {
        Pat::Ident(binding) => visit(&binding.ident),
        Pat::Paren(paren) => bindings(&paren.pat, visit),
        Pat::Reference(reference) => bindings(&reference.pat, visit),
        Pat::Slice(slice) => slice.elems.iter().for_each(|pat| bindings(pat, visit)),
        Pat::Struct(fields) => fields.fields.iter().for_each(|field| bindings(&field.pat, visit)),
        Pat::Tuple(tuple) => tuple.elems.iter().for_each(|pat| bindings(pat, visit)),
        Pat::TupleStruct(tuple) => tuple.elems.iter().for_each(|pat| bindings(pat, visit)),
        _ => {}
    }
}

fn is_trivially_dropped_receiver(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Reference(..) => true,
        ReceiverKind::Typed(_, ty) => is_trivially_dropped(ty),
        _ => false,
    }
}

/// Returns whether a type is one that obviously does nothing when dropped.
fn is_trivially_dropped(ty: &Type) -> bool {
    match peel_type(ty) {
        Type::Reference(_) => true,
        Type::Path(path) => path.path.get_ident().is_some_and(|name| {
            let name = name.to_string();
            [
                "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64",
                "u128", "usize",
            ]
            .contains(&name.as_str())
        }),
        _ => false,
    }
}
