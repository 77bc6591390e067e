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

mod arguments;
mod async_fn;
mod enter;
mod keys;
mod pieces;
mod sync_fn;

use proc_macro2::{Delimiter, Group, TokenStream};
use quote::{quote, quote_spanned};

use self::arguments::name_patterns;
use self::enter::enter;
use self::pieces::site;
use crate::key::Key;
use crate::parse::function::Function;
use crate::parse::returns::Shape;
use crate::valid::Locked;

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
            let run = sync_fn::run(locked);
            quote!(#enter #(#patterns)* #run)
        }
        _ => async_fn::run(locked, &enter, &patterns),
    };
    let mut block = Group::new(Delimiter::Brace, quote!(#(#inner)* #import #entered));
    block.set_span(body.span());
    quote!(#(#attrs)* #vis #default #sig #block)
}
