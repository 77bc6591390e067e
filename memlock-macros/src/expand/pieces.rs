//! The pieces that synchronous and asynchronous expansions share.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, ReturnType};

use crate::parse::returns::{Returns, Shape, fill_inferred};
use crate::valid::{LockKind, LockedFunction};

/// Returns the span of the expansion's own tokens, whose names only the expansion sees.
pub(super) fn site() -> Span {
    Span::mixed_site()
}

/// Returns where the signature names the type that the body returns.
pub(super) fn return_type_span(locked: &LockedFunction) -> Span {
    match (&locked.function.sig.output, &locked.returns) {
        (ReturnType::Default, _) => locked.function.sig.ident.span(),
        (ReturnType::Type(..), Returns::Type(ty)) => ty.span(),
        (ReturnType::Type(_, written), Returns::Opaque | Returns::Never) => written.span(),
    }
}

/// Returns whether the expansion needs the value of the return type twice, so that it has a name, `__memlock_return`.
pub(super) fn reuses_return(locked: &LockedFunction) -> bool {
    match (&locked.shape, &locked.returns) {
        // The second use runs the body.
        (Shape::Sync, _) => inspects_result(locked),
        // The second use tells the compiler what the body returns. An opaque type cannot be written there.
        (Shape::Async, Returns::Type(_)) => true,
        _ => false,
    }
}

/// Returns whether the runtime runs the body, so that it can inspect the result.
pub(super) fn inspects_result(locked: &LockedFunction) -> bool {
    locked.options.on_lost_error().is_some() || locked.kind == LockKind::Zlock
}

/// Writes a `match` with the value `value` where `entered` is `Ok(binding)`. Otherwise the function returns.
pub(super) fn match_entered(
    locked: &LockedFunction,
    entered: &TokenStream,
    binding: &str,
    value: &TokenStream,
) -> TokenStream {
    let binding = Ident::new(binding, site());
    let failed = failed_arm(locked);
    quote_spanned! {site()=>
        match #entered {
            ::core::result::Result::Ok(#binding) => #value,
            #failed
        }
    }
}

/// Writes the function's path, as messages name it.
pub(super) fn function_path(locked: &LockedFunction) -> TokenStream {
    let function = format!("::{}", locked.function.name());
    quote_spanned!(site()=> ::core::concat!(::core::module_path!(), #function))
}

/// Writes the arm for a lock that was not acquired.
fn failed_arm(locked: &LockedFunction) -> TokenStream {
    let otherwise = locked.options.otherwise.as_deref();
    // With `return`, rustc reports a lifetime mismatch on the user's line. In front of an expression that never returns
    // a value, the `return` would be unreachable.
    let never_returns = matches!(locked.returns, Returns::Never) || otherwise.is_some_and(is_panic_macro);
    let exit = (!never_returns).then(|| quote_spanned!(site()=> return));
    let function = function_path(locked);
    match otherwise {
        None => quote_spanned! {site()=>
            ::core::result::Result::Err(__memlock_failed) => #exit __memlock_failed,
        },
        Some(closure @ Expr::Closure(_)) => {
            let here = site().located_at(closure.span());
            let value = quote_spanned!(here=> __memlock::otherwise(#function, __memlock_error, #closure));
            quote_spanned!(site()=> ::core::result::Result::Err(__memlock_error) => #exit #value,)
        }
        Some(value) => quote_spanned! {site()=>
            ::core::result::Result::Err(__memlock_error) => {
                __memlock::replaced(#function, __memlock_error);
                #exit #value
            }
        },
    }
}

/// Returns whether the expression is a `panic!(…)` or its like.
fn is_panic_macro(value: &Expr) -> bool {
    let Expr::Macro(call) = value else { return false };
    call.mac.path.segments.last().is_some_and(|last| {
        ["panic", "todo", "unimplemented", "unreachable"]
            .iter()
            .any(|name| last.ident == name)
    })
}

/// Writes the value that tells a `zlock` which errors are conflicts.
pub(super) fn conflict_test(locked: &LockedFunction) -> TokenStream {
    let Returns::Type(ty) = &locked.returns else {
        return TokenStream::new();
    };
    // Nothing here lets the compiler infer an `impl Trait`, and only the error type matters.
    let ty = fill_inferred(ty);
    if let Some(given) = locked.options.conflict.as_deref() {
        let here = site().located_at(given.span());
        let method = Ident::new("__memlock_classify_with", here);
        return quote_spanned!(here=> __memlock::Conflicts::<#ty>::new().#method(#given));
    }
    // rustc reports here that the error type is refused.
    let method = Ident::new("__memlock_classify", site().located_at(return_type_span(locked)));
    quote_spanned!(site()=> __memlock::Conflicts::<#ty>::new().#method())
}

/// Writes the body in braces of the expansion. rustc would report the user's own braces as unnecessary.
pub(super) fn body_block(body: &Group) -> TokenStream {
    let mut block = Group::new(Delimiter::Brace, body.stream());
    block.set_span(site().located_at(body.span()));
    quote!(#block)
}
