//! The runtime behind memlock's attributes: use it through the crate `memlock`.
//!
//! The floors of the house, from the ground up; each imports only from those below it:
//!
//! | floor | what it is |
//! |---|---|
//! | `digits` `shown` `secret` `key` `lease` `token` `label` `error` | plain data and its arithmetic; no I/O, no clock, no dice |
//! | `store` | the vocabulary: requests, replies, faults, and the trait of what answers them |
//! | `protocol` | state machines: acquire, renew, release, leave the line. They wait for nothing and read no clock |
//! | `memory` | memcached's semantics as one pure function |
//! | `in_process` | the store behind `memory:`: that function with a clock, which tests can move |
//! | `memcached` | the same requests to real servers: translate, connect, pool, route |
//! | `doorbell` | a UDP socket on which the first in line is told that the lock is free |
//! | `queue` | one FIFO queue per key in the process; only its head talks to the server |
//! | `driver` | the loops that run the machines: on the caller's thread, in the caller's future, and in the background |
//! | `guard` `scope` `current` | what a holder has in its hands; what a transaction holds; who holds what in this call tree |
//! | `config` `locks` `request` | settings, the public entrance, locks without attributes |
//! | `acquiring` | all of several locks, or none |
//! | `conflict` `zlock` `transaction` | which errors are conflicts; the lock in front of a database; what is run again |
//! | `entry` `held` | the door for generated code; what a function holds while its body runs |
//! | `testing` | locks in memory for the tests of those who use memlock |
//!
//! Beside them, `clock` is the one place that reads clocks, and `background` the one background thread of the
//! process; `sync` is what the queue's threads share their state with; `worker` has a word for those who block a runtime.

#![cfg_attr(test, allow(clippy::unchecked_time_subtraction, reason = "a test may panic"))]

mod acquiring;
mod background;
mod clock;
mod config;
mod conflict;
mod current;
mod digits;
mod doorbell;
mod driver;
mod entry;
mod error;
mod guard;
mod held;
mod in_process;
mod key;
mod label;
mod lease;
mod locks;
mod memcached;
mod memory;
mod protocol;
mod queue;
mod request;
mod scope;
mod secret;
mod shown;
mod store;
mod sync;
mod testing;
mod token;
mod transaction;
mod worker;
mod zlock;

pub use config::Builder;
pub use conflict::{Conflict, is_conflict};
pub use current::{CallTree, current};
pub use entry::OnUnavailable;
pub use error::{Error, Source};
pub use guard::{AsyncGuard, Guard, Lease};
pub use key::{DontLock, IntoKey, Key, KeyText};
pub use locks::{Counts, Locks, init};
pub use request::LockRequest;
pub use testing::TestServer;
pub use token::Token;
pub use transaction::{Transaction, transaction};

/// For this project's own tests: no part of the public interface.
#[doc(hidden)]
pub mod __internals {
    pub use crate::in_process::Memory;
    pub use crate::key::{ByItem, Carried, ItemName};
    pub use crate::label::Label;
    pub use crate::lease::{CLOCK_ITEM_EXPIRY, Deadline, LONGEST_TIMEOUT, Now, Reading, ServerClock};
    pub use crate::memcached::{Memcached, Server};
    pub use crate::memory::Items;
    pub use crate::protocol::{
        Acquire, Answered, Claim, End, Extended, Grant, Handed, Holding, Input, Leave, Loss, Outcome, Output, Pause,
        Release, Released, Renew, Renewed, Spec, Standing, Status, Taken, Turns, Watch, is_to_look,
    };
    pub use crate::secret::Secret;
    pub use crate::store::*;
}

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
