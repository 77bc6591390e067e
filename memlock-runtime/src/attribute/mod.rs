//! All that an expansion may name. Not for people: it changes with the attributes, in any release.
//!
//! An expansion first writes down the options of its attribute ([`Options`]), then the keys ([`IntoKey`], [`KeyFn`] and
//! the `keyN` helpers). [`Return`] then enters the lock as the return type of the function allows. Methods that are
//! found by probing types begin with `__memlock_`, so that no trait of the user has a method of the same name.
//!
//! Nothing here allocates unless something is wrong, except the futures with which an async function waits.
pub(crate) mod call_guard;
mod conflicts;
mod diagnostics;
pub(crate) mod duration;
pub(crate) mod enter;
mod entering;
mod key_fn;
mod options;
mod otherwise;
pub(crate) mod return_type;

pub use core::time::Duration;
pub use std::boxed::Box;

pub use self::call_guard::{AsyncCallGuard, AwaitRelease, CallGuard, DetachRelease, run_zlock};
pub use self::conflicts::Conflicts;
pub use self::duration::IntoDuration;
pub use self::entering::returned;
pub use self::key_fn::*;
pub use self::options::Options;
pub use self::otherwise::{otherwise, replaced};
pub use self::return_type::{Opaque, Return};
pub use crate::error::OnUnavailable;
pub use crate::key::{IntoKey, Key};

/// Returns the key that `value` stands for.
pub fn key<K: IntoKey + ?Sized>(value: &K) -> Key {
    value.into_key()
}
