//! The pieces that expansions of several shapes are made of.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, ReturnType};

use crate::parse::returns::{Returns, Shape, with_units};
use crate::valid::{Kind, Locked};

/// Names of the expansion are visible to the expansion only.
pub(super) fn site() -> Span {
    Span::mixed_site()
}

/// Where the signature says what is returned: of a future, what it gives.
pub(super) fn signature_span(locked: &Locked) -> Span {
    match (&locked.function.sig.output, &locked.returns) {
        (ReturnType::Default, _) => locked.function.sig.ident.span(),
        (ReturnType::Type(..), Returns::Type(ty)) => ty.span(),
        (ReturnType::Type(_, written), Returns::Hidden | Returns::Never) => written.span(),
    }
}

/// Whether the expansion gives the return type a name of its own, `__memlock_return`: where it is used once more.
///
/// A synchronous body whose result is looked at is run by it. In an `async fn`, the line before the body says with it
/// what the body returns: which a type that cannot be written cannot say.
pub(super) fn names_return(locked: &Locked) -> bool {
    match (&locked.shape, &locked.returns) {
        (Shape::Sync, _) => looks_at_result(locked),
        (Shape::Async, Returns::Type(_)) => true,
        _ => false,
    }
}

/// Whether what the body returns decides how the lock ends.
pub(super) fn looks_at_result(locked: &Locked) -> bool {
    locked.options.on_lost_error().is_some() || locked.kind == Kind::Zlock
}

/// `value` of what `entered` holds, as `binding`, where it is `Ok`; else what the function returns instead.
pub(super) fn match_entered(locked: &Locked, entered: &TokenStream, binding: &str, value: &TokenStream) -> TokenStream {
    let binding = Ident::new(binding, site());
    let failed = failed(locked);
    quote_spanned! {site()=>
        match #entered {
            ::core::result::Result::Ok(#binding) => #value,
            #failed
        }
    }
}

/// The arm for a lock that is not to be had. It returns, instead of having the value: a lifetime that does not fit is
/// then reported on the user's line. (What never returns does not do even that: it would be called unreachable.)
fn failed(locked: &Locked) -> TokenStream {
    let otherwise = locked.options.otherwise.as_deref();
    let never_returns = matches!(locked.returns, Returns::Never) || otherwise.is_some_and(is_seen_to_panic);
    let exit = (!never_returns).then(|| quote_spanned!(site()=> return));
    match otherwise {
        None => quote_spanned! {site()=>
            ::core::result::Result::Err(__memlock_failed) => #exit __memlock_failed,
        },
        Some(closure @ Expr::Closure(_)) => {
            let here = site().located_at(closure.span());
            let value = quote_spanned!(here=> __memlock::otherwise(__memlock_error, #closure));
            quote_spanned!(site()=> ::core::result::Result::Err(__memlock_error) => #exit #value,)
        }
        Some(value) => quote_spanned!(site()=> ::core::result::Result::Err(_) => #exit #value,),
    }
}

/// `panic!(…)` and its like.
fn is_seen_to_panic(value: &Expr) -> bool {
    let Expr::Macro(call) = value else { return false };
    call.mac.path.segments.last().is_some_and(|last| {
        ["panic", "todo", "unimplemented", "unreachable"]
            .iter()
            .any(|name| last.ident == name)
    })
}

/// What tells which errors of a `zlock` are conflicts.
pub(super) fn conflict(locked: &Locked) -> TokenStream {
    let Returns::Type(ty) = &locked.returns else {
        return TokenStream::new();
    };
    // Nothing here would say what is hidden, and only the error matters.
    let ty = with_units(ty);
    if let Some(given) = locked.options.conflict.as_deref() {
        let here = site().located_at(given.span());
        let method = Ident::new("__memlock_told_by", here);
        return quote_spanned!(here=> __memlock::Conflicts::<#ty>::new().#method(#given));
    }
    // Where the error type is refused, the error points there.
    let method = Ident::new("__memlock_told", site().located_at(signature_span(locked)));
    quote_spanned!(site()=> __memlock::Conflicts::<#ty>::new().#method())
}

/// The body in braces of the expansion's: where the user's own would be called needless.
pub(super) fn relocated(body: &Group) -> TokenStream {
    let mut block = Group::new(Delimiter::Brace, body.stream());
    block.set_span(site().located_at(body.span()));
    quote!(#block)
}
