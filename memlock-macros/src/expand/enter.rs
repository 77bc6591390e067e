//! What stands before the body: the statement that evaluates keys and options and asks for the lock.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};

use super::arguments::hands_over_unused;
use super::keys::keys;
use super::pieces::{looks_at_result, names_return, signature_span, site};
use crate::parse::returns::{Returns, Shape, with_units};
use crate::parse::values::{Length, Name, OnUnavailable, Renew, Wait};
use crate::valid::{Demand, Kind, Locked};

/// `let __memlock_entered = …;`: all that happens before the body. In an async function, `let __memlock_entering = …;`:
/// all that is evaluated before it waits.
pub(super) fn enter(locked: &Locked, named: usize) -> TokenStream {
    let function = &locked.function;
    let returns = returns(locked);
    let options = options(locked);
    let keys = keys(locked);
    // A panic in there, and a refusal of the return type, point there.
    let here = site().located_at(signature_span(locked));
    let gets_the_error = locked.options.otherwise.is_some() || looks_at_result(locked);
    let (method, entered) = match (&locked.shape, gets_the_error) {
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
    // The key function may well ignore what the body ignores; only the compiler knows.
    let allow =
        hands_over_unused(function, named).then(|| quote_spanned!(site()=> #[allow(clippy::used_underscore_binding)]));
    if names_return(locked) {
        quote_spanned! {site()=>
            let __memlock_return = #returns;
            #allow
            let #entered = __memlock_return.#method #arguments;
        }
    } else {
        quote_spanned!(site()=> #allow let #entered = #returns.#method #arguments;)
    }
}

/// `Return::<R>::new()`, with what is demanded of `R`.
fn returns(locked: &Locked) -> TokenStream {
    let ty = match (&locked.returns, &locked.shape) {
        // Nothing here says what is hidden. It does not matter either: whether a `Result` can report is up to its error.
        (Returns::Type(ty), Shape::Boxed(_) | Shape::Future) => {
            let ty = with_units(ty);
            quote!(#ty)
        }
        (Returns::Type(ty), Shape::Sync | Shape::Async) => quote!(#ty),
        (Returns::Hidden | Returns::Never, _) => quote_spanned!(site()=> __memlock::Opaque),
    };
    let demand = match locked.demand {
        Demand::Usual => None,
        Demand::Soft => Some(("__memlock_soft", site())),
        Demand::ReportsBusy(span) => Some(("__memlock_wait", span)),
        Demand::ReportsUnavailable(span) => Some(("__memlock_on_unavailable", span)),
        Demand::ReportsLost(span) => Some(("__memlock_on_lost", span)),
        Demand::ReportsConflicts { has_otherwise } => {
            let method = if has_otherwise {
                "__memlock_try_zlock"
            } else {
                "__memlock_zlock"
            };
            Some((method, signature_span(locked)))
        }
    };
    let demand = demand.map(|(method, span)| {
        let here = site().located_at(span);
        let method = Ident::new(method, here);
        quote_spanned!(here=> .#method())
    });
    quote_spanned!(site()=> __memlock::Return::<#ty>::new() #demand)
}

/// `Options::lock("…").timeout(…)`.
fn options(locked: &Locked) -> TokenStream {
    let kind = match locked.kind {
        Kind::Lock => quote_spanned!(site()=> lock),
        Kind::Rlock => quote_spanned!(site()=> rlock),
        Kind::Zlock => quote_spanned!(site()=> zlock),
    };
    let function = format!("::{}", locked.function.name());
    let mut call = quote_spanned! {site()=>
        __memlock::Options::#kind(::core::concat!(::core::module_path!(), #function))
    };
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
        ("wait", options.wait.as_deref().map(|Wait(length)| length)),
        ("reserve", options.reserve.as_deref()),
    ];
    for (name, value) in lengths {
        if let Some(value) = value {
            option(name, length(value));
        }
    }
    match options.renew.as_deref() {
        None | Some(Renew::Never) => {}
        Some(Renew::Always) => option("renew", TokenStream::new()),
        Some(Renew::For(value)) => option("renew_for", length(value)),
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

fn length(length: &Length) -> TokenStream {
    let literal = match length {
        Length::Computed(value) => return quote!(#value),
        Length::Literal(literal) => *literal,
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
