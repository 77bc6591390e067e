//! All that an expansion may name. Not for people: it changes with the attributes, in any release.
//!
//! An expansion asks in this order: what the lock is to be like ([`Options`]), on what ([`IntoKey`], [`KeyFn`] and the
//! `keyN` helpers), and what the function's return type allows ([`Return`]), which enters the lock. Methods that are
//! found by probing types begin with `__memlock_`, so that no trait of the user's has one of the same name.
//!
//! Nothing here allocates unless something is wrong, but for what an async function waits with.
mod conflicts;
mod diagnostics;
pub(crate) mod duration;
pub(crate) mod enter;
mod entering;
pub(crate) mod held;
mod key_fn;
mod options;
mod otherwise;
pub(crate) mod return_type;

pub use core::time::Duration;
pub use std::boxed::Box;

pub use self::conflicts::Conflicts;
pub use self::duration::IntoDuration;
pub use self::entering::returned;
pub use self::held::{AsyncHeld, AwaitRelease, DetachRelease, Held};
pub use self::key_fn::*;
pub use self::options::Options;
pub use self::otherwise::{otherwise, replaced};
pub use self::return_type::{Opaque, Return, run_zlock};
pub use crate::error::OnUnavailable;
pub use crate::key::{IntoKey, Key};

/// The key that a value is.
pub fn key<K: IntoKey + ?Sized>(value: &K) -> Key {
    value.into_key()
}
