//! The runtime behind memlock's attributes.
//!
//! From the ground up; each floor knows only those below it.
mod clock;
mod entry;
mod error;
mod key;
mod lease;
mod locks;
mod store;
mod token;

pub use entry::OnUnavailable;
pub use error::{Error, Source};
pub use key::{DontLock, IntoKey, ItemName, Key, KeyText};
pub use locks::Locks;
pub use token::Token;

/// For the project's own tests.
#[doc(hidden)]
pub mod __internals {
    pub use crate::lease::{CLOCK_ITEM_EXPIRY, Deadline, LONGEST_TIMEOUT, Now, Reading, ServerClock};
    pub use crate::store::*;
}
