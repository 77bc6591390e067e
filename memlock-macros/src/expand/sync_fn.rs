//! The body of a synchronous function.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::pieces::{conflict, match_entered, relocated, site};
use crate::parse::returns::Returns;
use crate::valid::{Kind, Locked};

/// The body, once entered, and what is returned where it is not.
pub(super) fn run(locked: &Locked) -> TokenStream {
    if locked.options.on_lost_error().is_some() {
        return run_and_check(locked);
    }
    if locked.kind == Kind::Zlock {
        return run_zlock(locked);
    }
    let body = &locked.function.body;
    let entered = quote_spanned!(site()=> __memlock_entered);
    if let Returns::Type(_) = locked.returns {
        return match_entered(locked, &entered, "__memlock_held", &quote!(#body));
    }
    let hold = if locked.options.otherwise.is_some() {
        let held = quote_spanned!(site()=> __memlock_held);
        let matched = match_entered(locked, &entered, "__memlock_held", &held);
        quote_spanned!(site()=> let #held = #matched;)
    } else {
        // The error is an empty type, so this always matches.
        quote_spanned!(site()=> let ::core::result::Result::Ok(__memlock_held) = #entered;)
    };
    let block = relocated(body);
    if let Returns::Never = locked.returns {
        return quote!(#hold #block);
    }
    // A closure that is returned takes its signature from the `impl Fn` here, but would not in a `match`.
    quote_spanned!(site()=> #hold '__memlock: { break '__memlock #block })
}

/// `on_lost = error`: the body is a closure that goes straight into the call which runs it, so that what it returns
/// can be looked at.
fn run_and_check(locked: &Locked) -> TokenStream {
    let body = relocated(&locked.function.body);
    if locked.options.otherwise.is_none() {
        return quote_spanned!(site()=> __memlock_return.__memlock_run(__memlock_entered, || #body));
    }
    let run = quote_spanned!(site()=> __memlock_return.__memlock_try_run(__memlock_entered, || #body));
    let returned = quote_spanned!(site()=> __memlock_returned);
    match_entered(locked, &run, "__memlock_returned", &returned)
}

/// `zlock`: the body is a closure, too, whose error may be a conflict.
fn run_zlock(locked: &Locked) -> TokenStream {
    let body = relocated(&locked.function.body);
    let conflict = conflict(locked);
    if locked.options.otherwise.is_none() {
        return quote_spanned! {site()=>
            __memlock_return.__memlock_run_zlock(__memlock_entered, #conflict, || #body)
        };
    }
    let entered = quote_spanned!(site()=> __memlock_entered);
    let run = quote_spanned!(site()=> __memlock::run_zlock(__memlock_held, &#conflict, || #body));
    match_entered(locked, &entered, "__memlock_held", &run)
}
