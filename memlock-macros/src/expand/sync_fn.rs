//! Runs the body of a synchronous function.
//!
//! The body is the arm of a `match`. An opaque return type and `!` need other forms, and so does a body whose result is
//! inspected.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::expand::pieces::{body_block, conflict_test, match_entered, site};
use crate::parse::returns::Returns;
use crate::valid::{LockKind, LockedFunction};

/// Writes what follows the enter statement: the body, and what is returned without a lock.
pub(super) fn run_body(locked: &LockedFunction) -> TokenStream {
    if locked.options.on_lost_error().is_some() {
        return run_and_check(locked);
    }
    if locked.kind == LockKind::Zlock {
        return run_zlock(locked);
    }
    let body = &locked.function.body;
    let entered = quote_spanned!(site()=> __memlock_entered);
    if let Returns::Type(_) = locked.returns {
        return match_entered(locked, &entered, "__memlock_held", &quote!(#body));
    }
    let acquire = if locked.options.otherwise.is_some() {
        let held = quote_spanned!(site()=> __memlock_held);
        let matched = match_entered(locked, &entered, "__memlock_held", &held);
        quote_spanned!(site()=> let #held = #matched;)
    } else {
        // The error is an empty type, so this pattern always matches.
        quote_spanned!(site()=> let ::core::result::Result::Ok(__memlock_held) = #entered;)
    };
    let block = body_block(body);
    if let Returns::Never = locked.returns {
        return quote!(#acquire #block);
    }
    // rustc infers the signature of a returned closure from the `impl Fn` here, but would not in a `match`.
    quote_spanned!(site()=> #acquire '__memlock: { break '__memlock #block })
}

/// Runs the body for `on_lost = error`.
///
/// The body is a closure, so that its result can be inspected. The closure is written in the call that runs it, where
/// rustc infers what it may borrow and return as for a function.
fn run_and_check(locked: &LockedFunction) -> TokenStream {
    let body = body_block(&locked.function.body);
    if locked.options.otherwise.is_none() {
        return quote_spanned!(site()=> __memlock_return.__memlock_run(__memlock_entered, || #body));
    }
    let run = quote_spanned!(site()=> __memlock_return.__memlock_try_run(__memlock_entered, || #body));
    let returned = quote_spanned!(site()=> __memlock_returned);
    match_entered(locked, &run, "__memlock_returned", &returned)
}

/// Runs the body for `zlock`. The body is a closure here, too, because its error may be a conflict.
fn run_zlock(locked: &LockedFunction) -> TokenStream {
    let body = body_block(&locked.function.body);
    let conflict = conflict_test(locked);
    if locked.options.otherwise.is_none() {
        return quote_spanned! {site()=>
            __memlock_return.__memlock_run_zlock(__memlock_entered, #conflict, || #body)
        };
    }
    let entered = quote_spanned!(site()=> __memlock_entered);
    let run = quote_spanned!(site()=> __memlock::run_zlock(__memlock_held, &#conflict, || #body));
    match_entered(locked, &entered, "__memlock_held", &run)
}
