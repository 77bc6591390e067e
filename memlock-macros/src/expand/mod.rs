//! Writes the function again, with its body behind the lock.
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
//! The `let` evaluates keys and options and drops their temporaries. The `match` keeps the lock until the temporaries
//! of the body's last expression are dropped. Neither disturbs type inference or drop order. Other forms are used only
//! where this one does not compile or does not suffice: `sync_fn` and `async_fn` say where.

mod arguments;
mod async_fn;
mod enter;
mod keys;
mod pieces;
mod sync_fn;

use proc_macro2::{Delimiter, Group, TokenStream};
use quote::{quote, quote_spanned};

use crate::expand::arguments::name_patterns;
use crate::expand::enter::enter_statement;
use crate::expand::pieces::site;
use crate::key::Key;
use crate::parse::function::Function;
use crate::parse::returns::Shape;
use crate::valid::LockedFunction;

/// Expands a locked function.
pub(crate) fn expand(locked: &LockedFunction) -> TokenStream {
    let Function {
        attrs,
        vis,
        default,
        sig,
        inner_attrs,
        body,
    } = &locked.function;
    let named = locked.keys.iter().map(Key::argument_count).max().unwrap_or(0);
    let (sig, patterns) = name_patterns(sig, named);
    let private = &locked.private;
    let import = quote_spanned!(site()=> use #private as __memlock;);
    let enter = enter_statement(locked, named);
    let run = match locked.shape {
        Shape::Sync => sync_fn::run_body(locked),
        Shape::Async | Shape::ImplFuture | Shape::BoxedFuture(_) => async_fn::run_body(locked),
    };
    let entered = quote!(#enter #(#patterns)* #run);
    let entered = match locked.shape {
        Shape::Sync | Shape::Async => entered,
        Shape::ImplFuture => quote_spanned!(site()=> async move { #entered }),
        Shape::BoxedFuture(_) => quote_spanned!(site()=> __memlock::Box::pin(async move { #entered })),
    };
    let mut block = Group::new(Delimiter::Brace, quote!(#(#inner_attrs)* #import #entered));
    block.set_span(body.span());
    quote!(#(#attrs)* #vis #default #sig #block)
}
