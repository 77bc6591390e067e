//! The statement before the body, which evaluates keys and options and asks for the lock.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};

use crate::expand::arguments::passes_underscore_name;
use crate::expand::keys::key_exprs;
use crate::expand::pieces::{function_path, inspects_result, return_type_span, reuses_return, site};
use crate::parse::returns::{Returns, Shape, fill_inferred};
use crate::parse::values::{DurationValue, Name, OnUnavailable, Renew, Wait};
use crate::valid::{LockKind, LockedFunction, Requirement};

/// Writes `let __memlock_entered = …;`, which takes the lock; in an async function `let __memlock_entering = …;`, which
/// makes the future that does.
pub(super) fn enter_statement(locked: &LockedFunction, named: usize) -> TokenStream {
    let function = &locked.function;
    let returns = return_value(locked);
    let options = options_expr(locked);
    let keys = key_exprs(locked);
    // rustc reports here that the return type is refused, and a panic names this place.
    let here = site().located_at(return_type_span(locked));
    let handles_error = locked.options.otherwise.is_some() || inspects_result(locked);
    let (method, entered) = match (&locked.shape, handles_error) {
        (Shape::Sync, false) => ("__memlock_enter", "__memlock_entered"),
        (Shape::Sync, true) => ("__memlock_try_enter", "__memlock_entered"),
        _ => {
            let method = match locked.options.otherwise {
                None => "__memlock_enter_async",
                Some(_) => "__memlock_try_enter_async",
            };
            (method, "__memlock_entering")
        }
    };
    let method = Ident::new(method, here);
    let entered = Ident::new(entered, site());
    let arguments = quote_spanned!(here=> (#options, [#(#keys),*]));
    // The expansion passes an argument such as `_id` even if the key function does not take it.
    let allow = passes_underscore_name(function, named)
        .then(|| quote_spanned!(site()=> #[allow(clippy::used_underscore_binding)]));
    if reuses_return(locked) {
        quote_spanned! {site()=>
            let __memlock_return = #returns;
            #allow
            let #entered = __memlock_return.#method #arguments;
        }
    } else {
        quote_spanned!(site()=> #allow let #entered = #returns.#method #arguments;)
    }
}

/// Writes `Return::<R>::new()`, with the requirement on `R`.
fn return_value(locked: &LockedFunction) -> TokenStream {
    let ty = match (&locked.returns, &locked.shape) {
        // Nothing here lets the compiler infer an `impl Trait`. Whether a `Result` can report depends on its error
        // only.
        (Returns::Type(ty), Shape::BoxedFuture(_) | Shape::ImplFuture) => {
            let ty = fill_inferred(ty);
            quote!(#ty)
        }
        (Returns::Type(ty), Shape::Sync | Shape::Async) => quote!(#ty),
        (Returns::Opaque | Returns::Never, _) => quote_spanned!(site()=> __memlock::Opaque),
    };
    let method = match locked.requirement {
        Requirement::ResultReports => None,
        Requirement::Nothing => Some(("__memlock_soft", site())),
        Requirement::ReportsBusy(span) => Some(("__memlock_wait", span)),
        Requirement::ReportsUnavailable(span) => Some(("__memlock_on_unavailable", span)),
        Requirement::ReportsLost(span) => Some(("__memlock_on_lost", span)),
        Requirement::ReportsConflicts { has_otherwise } => {
            let method = if has_otherwise {
                "__memlock_try_zlock"
            } else {
                "__memlock_zlock"
            };
            Some((method, return_type_span(locked)))
        }
    };
    let requirement = method.map(|(method, span)| {
        let here = site().located_at(span);
        let method = Ident::new(method, here);
        quote_spanned!(here=> .#method())
    });
    quote_spanned!(site()=> __memlock::Return::<#ty>::new() #requirement)
}

/// Writes `Options::lock("…").timeout(…)`.
fn options_expr(locked: &LockedFunction) -> TokenStream {
    let kind = match locked.kind {
        LockKind::Lock => quote_spanned!(site()=> lock),
        LockKind::Rlock => quote_spanned!(site()=> rlock),
        LockKind::Zlock => quote_spanned!(site()=> zlock),
    };
    let function = function_path(locked);
    let mut call = quote_spanned!(site()=> __memlock::Options::#kind(#function));
    let options = &locked.options;
    let mut option = |name: &str, value: TokenStream| {
        let name = Ident::new(name, site());
        call.extend(quote_spanned!(site()=> .#name(#value)));
    };
    if let Some(name) = options.name.as_deref() {
        let Name(name) = name;
        option("name", quote!(#name));
    }
    let lengths = [
        ("timeout", options.timeout.as_deref()),
        ("interval", options.interval.as_deref()),
        ("wait", options.wait.as_deref().map(|Wait(limit)| limit)),
        ("reserve", options.reserve.as_deref()),
    ];
    for (name, value) in lengths {
        if let Some(value) = value {
            option(name, duration_expr(value));
        }
    }
    match options.renew.as_deref() {
        None | Some(Renew::Never) => {}
        Some(Renew::Always) => option("renew", TokenStream::new()),
        Some(Renew::For(value)) => option("renew_for", duration_expr(value)),
    }
    if let Some(choice) = options.on_unavailable.as_deref() {
        let choice = Ident::new(
            match choice {
                OnUnavailable::Error => "Error",
                OnUnavailable::Unlocked => "Unlocked",
                OnUnavailable::Panic => "Panic",
            },
            site(),
        );
        option(
            "on_unavailable",
            quote_spanned!(site()=> __memlock::OnUnavailable::#choice),
        );
    }
    if let Some(locks) = options.locks.as_deref() {
        option("locks", quote!(#locks));
    }
    call
}

fn duration_expr(duration: &DurationValue) -> TokenStream {
    let literal = match duration {
        DurationValue::Computed(value) => return quote!(#value),
        DurationValue::Literal(literal) => *literal,
    };
    let (constructor, number) = if literal.subsec_nanos() == 0 {
        ("from_secs", u128::from(literal.as_secs()))
    } else if literal == Duration::from_millis(literal.as_millis().try_into().unwrap_or(0)) {
        ("from_millis", literal.as_millis())
    } else {
        ("from_nanos", literal.as_nanos())
    };
    let constructor = Ident::new(constructor, site());
    let number = proc_macro2::Literal::u128_unsuffixed(number);
    quote_spanned!(site()=> __memlock::Duration::#constructor(#number))
}
