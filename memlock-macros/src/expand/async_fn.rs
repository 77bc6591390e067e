//! The last phase, for an `async fn` and for a function that makes a future.
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
//! The `let` evaluates keys and options and drops their temporaries, so that nothing which only they need lives across
//! the `.await`. The body is a future of its own, which the runtime polls under the lock. The line before the body is
//! never run: it says what the body returns before the first `return` or `?` in it would have to be guessed from.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;
use syn::{FnArg, Pat, Receiver, ReceiverKind, Type};

use super::pieces::{conflict, match_entered, names_return, relocated, signature_span, site};
use crate::parse::returns::{Returns, Shape, is_inferred};
use crate::parse::syntax::{cfg_attrs, find_ident, peel_type};
use crate::valid::{Kind, Locked};

/// What follows the import: `enter` evaluates, `patterns` bind the arguments.
pub(super) fn run(locked: &Locked, enter: &TokenStream, patterns: &[TokenStream]) -> TokenStream {
    let run = entered(locked, &body(locked));
    let all = quote_spanned!(site()=> #enter #(#patterns)* #run);
    match &locked.shape {
        Shape::Future => quote_spanned!(site()=> async move { #all }),
        Shape::Boxed(_) => quote_spanned!(site()=> __memlock::Box::pin(async move { #all })),
        Shape::Sync | Shape::Async => all,
    }
}

/// The call that enters and runs `body`.
fn entered(locked: &Locked, body: &TokenStream) -> TokenStream {
    let ending = ending(locked);
    let checks_lease = locked.options.on_lost_error().is_some();
    let run = if locked.kind == Kind::Zlock {
        let conflict = conflict(locked);
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
    // Apart, for `otherwise` may need what the body takes.
    let enter = quote_spanned!(site()=> __memlock_entering.enter().await);
    let run = quote_spanned!(site()=> __memlock_held.#run);
    match_entered(locked, &enter, "__memlock_held", &run)
}

/// Whether the release is waited for: what the body returned is kept meanwhile, so it has to be `Send` where the future is.
/// Of a type that cannot be written it is not known.
fn ending(locked: &Locked) -> TokenStream {
    match &locked.returns {
        Returns::Type(ty) if !is_inferred(ty) => {
            if names_return(locked) {
                quote_spanned!(site()=> __memlock_return.__memlock_ending())
            } else {
                quote_spanned!(site()=> __memlock::Return::<#ty>::new().__memlock_ending())
            }
        }
        Returns::Type(_) | Returns::Hidden | Returns::Never => quote_spanned!(site()=> __memlock::Leaves),
    }
}

/// The body, as a future.
fn body(locked: &Locked) -> TokenStream {
    let block = relocated(&locked.function.body);
    // What does not fit the return type is told there.
    let here = site().located_at(signature_span(locked));
    match &locked.shape {
        // A closure that goes straight into the call which runs it: `return` in it returns what the function would.
        Shape::Boxed(ty) => quote_spanned!(here=> __memlock::returned(move || -> #ty #block)),
        Shape::Future => quote_spanned!(here=> __memlock::returned(move || #block)),
        Shape::Sync | Shape::Async if names_return(locked) => {
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

/// The arguments in the order in which the function would drop them, where that could matter.
///
/// What an `async move` block takes it drops in the order in which it is mentioned there: so they are, in the reverse
/// order of the signature. What the body does not mention stays outside. (Were it mentioned here, no lint would call it
/// unused.)
fn drop_order(locked: &Locked) -> Vec<TokenStream> {
    let mut taken = Vec::new();
    for input in &locked.function.sig.inputs {
        match input {
            FnArg::Receiver(receiver) if has_no_drop_receiver(receiver) => {}
            FnArg::Receiver(receiver) => {
                let this = receiver.self_token;
                taken.push((Ident::from(this), quote_spanned!(site()=> #this)));
            }
            FnArg::Typed(typed) if has_no_drop(&typed.ty) => {}
            FnArg::Typed(typed) => bindings(&typed.pat, &mut |name| {
                let conditions = cfg_attrs(&typed.attrs);
                taken.push((name.clone(), quote_spanned!(site()=> #(#conditions)* #name)));
            }),
        }
    }
    taken.retain(|(name, _)| find_ident(locked.function.body.stream(), name).is_some());
    if taken.len() < 2 {
        return Vec::new();
    }
    taken.into_iter().rev().map(|(_, mention)| mention).collect()
}

/// Calls `each` with what a pattern binds.
fn bindings(pat: &Pat, each: &mut impl FnMut(&Ident)) {
    match pat {
        Pat::Ident(binding) => each(&binding.ident),
        Pat::Paren(paren) => bindings(&paren.pat, each),
        Pat::Reference(reference) => bindings(&reference.pat, each),
        Pat::Slice(slice) => slice.elems.iter().for_each(|pat| bindings(pat, each)),
        Pat::Struct(fields) => fields.fields.iter().for_each(|field| bindings(&field.pat, each)),
        Pat::Tuple(tuple) => tuple.elems.iter().for_each(|pat| bindings(pat, each)),
        Pat::TupleStruct(tuple) => tuple.elems.iter().for_each(|pat| bindings(pat, each)),
        _ => {}
    }
}

fn has_no_drop_receiver(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Reference(..) => true,
        ReceiverKind::Typed(_, ty) => has_no_drop(ty),
        _ => false,
    }
}

/// Types of which it is plain to see that dropping them does nothing.
fn has_no_drop(ty: &Type) -> bool {
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
