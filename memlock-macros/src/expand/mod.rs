//! The last phase: the function again, with its body behind the lock.
//!
//! ```text
//! use ::memlock::__private as __memlock;
//! let __memlock_entered = __memlock::Return::<R>::new().__memlock_enter(OPTIONS, [KEYS]);
//! match __memlock_entered {
//!     Ok(__memlock_held) => BODY
//!     Err(__memlock_failed) => return __memlock_failed,
//! }
//! ```
//!
//! The `let` evaluates keys and options and drops their temporaries. The `match` makes the lock outlive what
//! the last expression of the body borrows. Both are in the way of neither type inference nor drop order, so that the
//! other shapes below are for what cannot be written like this. What is asynchronous is in `async_fn`.

mod async_fn;

use std::time::Duration;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, FnArg, Pat, ReturnType, Signature};

use crate::key::{Key, argument_name, conditions, hands_over_unused};
use crate::parse::function::{Function, plain_name};
use crate::parse::returns::{Returns, Shape, with_units};
use crate::parse::values::{Length, OnUnavailable, Renew};
use crate::valid::{Demand, Kind, Locked};

/// Names of the expansion are visible to the expansion only.
pub(crate) fn site() -> Span {
    Span::mixed_site()
}

/// Expands.
pub(crate) fn expand(locked: &Locked) -> TokenStream {
    let Function {
        attrs,
        vis,
        default,
        sig,
        inner,
        body,
    } = &locked.function;
    let named = locked.keys.iter().map(Key::arguments).max().unwrap_or(0);
    let (sig, patterns) = name_patterns(sig, named);
    let private = &locked.private;
    let import = quote_spanned!(site()=> use #private as __memlock;);
    let enter = enter(locked, named);
    let entered = match locked.shape {
        Shape::Sync => {
            let run = run(locked);
            quote!(#enter #(#patterns)* #run)
        }
        _ => async_fn::run(locked, &enter, &patterns),
    };
    let mut block = Group::new(Delimiter::Brace, quote!(#(#inner)* #import #entered));
    block.set_span(body.span());
    quote!(#(#attrs)* #vis #default #sig #block)
}

/// Gives the leading parameters names by which a key function's call can reach them.
///
/// Input: `(a, b): (u8, u8)`. Output: `__memlock_arg0: (u8, u8)`, and `let (a, b) = __memlock_arg0;`.
fn name_patterns(sig: &Signature, named: usize) -> (Signature, Vec<TokenStream>) {
    let mut sig = sig.clone();
    let mut patterns = Vec::new();
    for (index, input) in sig.inputs.iter_mut().take(named).enumerate() {
        if let FnArg::Typed(typed) = input
            && plain_name(&typed.pat).is_none()
        {
            let argument = argument_name(index);
            let pattern = std::mem::replace(&mut *typed.pat, Pat::Verbatim(quote!(#argument)));
            if !matches!(pattern, Pat::Wild(_)) {
                let conditions = conditions(&typed.attrs);
                patterns.push(quote_spanned!(site()=> #(#conditions)* let #pattern = #argument;));
            }
        }
    }
    (sig, patterns)
}

/// `let __memlock_entered = …;`: all that happens before the body. In an async function, `let __memlock_entering = …;`:
/// all that is evaluated before it waits.
fn enter(locked: &Locked, named: usize) -> TokenStream {
    let function = &locked.function;
    let returns = returns(locked);
    let options = options(locked);
    let keys = keys(locked);
    // A panic in there, and a refusal of the return type, point there.
    let here = site().located_at(signature_span(locked));
    let looks_at_result = locked.checks_lease || locked.kind == Kind::Zlock;
    let gets_the_error = locked.otherwise.is_some() || looks_at_result;
    let (method, entered, names_return) = match (&locked.shape, gets_the_error) {
        (Shape::Sync, false) => ("__memlock_enter", "__memlock_entered", false),
        (Shape::Sync, true) => ("__memlock_try_enter", "__memlock_entered", looks_at_result),
        _ => {
            let method = match locked.otherwise {
                None => "__memlock_enter_async",
                Some(_) => "__memlock_try_enter_async",
            };
            (method, "__memlock_entering", async_fn::names_return(locked))
        }
    };
    let method = Ident::new(method, here);
    let entered = Ident::new(entered, site());
    let arguments = quote_spanned!(here=> (#options, [#(#keys),*]));
    // The key function may well ignore what the body ignores; only the compiler knows.
    let allow =
        hands_over_unused(function, named).then(|| quote_spanned!(site()=> #[allow(clippy::used_underscore_binding)]));
    if names_return {
        quote_spanned! {site()=>
            let __memlock_return = #returns;
            #allow
            let #entered = __memlock_return.#method #arguments;
        }
    } else {
        quote_spanned!(site()=> #allow let #entered = #returns.#method #arguments;)
    }
}

/// Where the signature says what is returned: of a future, what it gives.
pub(crate) fn signature_span(locked: &Locked) -> Span {
    match (&locked.function.sig.output, &locked.returns) {
        (ReturnType::Default, _) => locked.function.sig.ident.span(),
        (ReturnType::Type(..), Returns::Type(ty)) => ty.span(),
        (ReturnType::Type(_, written), Returns::Hidden | Returns::Never) => written.span(),
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
    let mut options = quote_spanned! {site()=>
        __memlock::Options::#kind(::core::concat!(::core::module_path!(), #function))
    };
    let mut option = |name: &str, value: TokenStream| {
        let name = Ident::new(name, site());
        options.extend(quote_spanned!(site()=> .#name(#value)));
    };
    if let Some(name) = &locked.name {
        option("name", quote!(#name));
    }
    let lengths = [
        ("timeout", &locked.timeout),
        ("interval", &locked.interval),
        ("wait", &locked.wait),
        ("reserve", &locked.reserve),
    ];
    for (name, value) in lengths {
        if let Some(value) = value {
            option(name, length(value));
        }
    }
    match &locked.renew {
        Renew::Never => {}
        Renew::Always => option("renew", TokenStream::new()),
        Renew::For(value) => option("renew_for", length(value)),
    }
    if let Some(choice) = locked.on_unavailable {
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
    if let Some(locks) = &locked.locks {
        option("locks", quote!(#locks));
    }
    options
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

fn keys(locked: &Locked) -> Vec<TokenStream> {
    if locked.keys.is_empty() {
        return vec![quote_spanned!(site()=> __memlock::key(""))];
    }
    locked.keys.iter().map(|key| key.expand(&locked.function)).collect()
}

/// The body, once entered, and what is returned where it is not.
fn run(locked: &Locked) -> TokenStream {
    let body = &locked.function.body;
    if locked.checks_lease {
        return run_and_check(locked);
    }
    if locked.kind == Kind::Zlock {
        return run_zlock(locked);
    }
    let failed = failed(locked);
    match &locked.returns {
        Returns::Type(_) => quote_spanned! {site()=>
            match __memlock_entered {
                ::core::result::Result::Ok(__memlock_held) => #body
                #failed
            }
        },
        Returns::Hidden | Returns::Never => {
            let hold = if locked.otherwise.is_some() {
                quote_spanned! {site()=>
                    let __memlock_held = match __memlock_entered {
                        ::core::result::Result::Ok(__memlock_held) => __memlock_held,
                        #failed
                    };
                }
            } else {
                // The error is an empty type, so this always matches.
                quote_spanned!(site()=> let ::core::result::Result::Ok(__memlock_held) = __memlock_entered;)
            };
            let block = relocated(body);
            if let Returns::Never = locked.returns {
                return quote!(#hold #block);
            }
            // A closure that is returned takes its signature from the `impl Fn` here, but would not in a `match`.
            quote_spanned!(site()=> #hold '__memlock: { break '__memlock #block })
        }
    }
}

/// `on_lost = error`: the body is a closure that goes straight into the call which runs it, so that what it returns
/// can be looked at.
fn run_and_check(locked: &Locked) -> TokenStream {
    let body = relocated(&locked.function.body);
    if locked.otherwise.is_none() {
        return quote_spanned!(site()=> __memlock_return.__memlock_run(__memlock_entered, || #body));
    }
    let failed = failed(locked);
    quote_spanned! {site()=>
        match __memlock_return.__memlock_try_run(__memlock_entered, || #body) {
            ::core::result::Result::Ok(__memlock_returned) => __memlock_returned,
            #failed
        }
    }
}

/// `zlock`: the body is a closure, too, whose error may be a conflict.
fn run_zlock(locked: &Locked) -> TokenStream {
    let body = relocated(&locked.function.body);
    let conflict = conflict(locked);
    if locked.otherwise.is_none() {
        return quote_spanned! {site()=>
            __memlock_return.__memlock_run_zlock(__memlock_entered, #conflict, || #body)
        };
    }
    let failed = failed(locked);
    quote_spanned! {site()=>
        match __memlock_entered {
            ::core::result::Result::Ok(__memlock_held) => __memlock::run_zlock(__memlock_held, &#conflict, || #body),
            #failed
        }
    }
}

/// What tells which errors of a `zlock` are conflicts.
pub(crate) fn conflict(locked: &Locked) -> TokenStream {
    let Returns::Type(ty) = &locked.returns else {
        return TokenStream::new();
    };
    // Nothing here would say what is hidden, and only the error matters.
    let ty = with_units(ty);
    if let Some(given) = &locked.conflict {
        let here = site().located_at(given.span());
        let method = Ident::new("__memlock_told_by", here);
        return quote_spanned!(here=> __memlock::Conflicts::<#ty>::new().#method(#given));
    }
    // Where the error type is refused, the error points there.
    let method = Ident::new("__memlock_told", site().located_at(signature_span(locked)));
    quote_spanned!(site()=> __memlock::Conflicts::<#ty>::new().#method())
}

/// The arm for a lock that is not to be had. It returns, instead of having the value: a lifetime that does not fit is
/// then reported on the user's line. (What never returns does not do even that: it would be called unreachable.)
pub(crate) fn failed(locked: &Locked) -> TokenStream {
    let never_returns =
        matches!(locked.returns, Returns::Never) || locked.otherwise.as_ref().is_some_and(is_seen_to_panic);
    let exit = (!never_returns).then(|| quote_spanned!(site()=> return));
    match &locked.otherwise {
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

/// The body in braces of the expansion's: where the user's own would be called needless.
pub(crate) fn relocated(body: &Group) -> TokenStream {
    let mut block = Group::new(Delimiter::Brace, body.stream());
    block.set_span(site().located_at(body.span()));
    quote!(#block)
}
