//! The body of a synchronous function.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::pieces::{conflict, failed, relocated, site};
use crate::parse::returns::Returns;
use crate::valid::{Kind, Locked};

/// The body, once entered, and what is returned where it is not.
pub(super) fn run(locked: &Locked) -> TokenStream {
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
