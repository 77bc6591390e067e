//! The queue of `memlock-runtime` under a checker of interleavings: its own files, compiled here over a `sync` whose mutex
//! and atomics are the checker's, which runs the threads of a scenario in many orders of their steps.
//!
//! | file | what it is |
//! |---|---|
//! | `sync` | what the queue finds in the place of `std::sync`, store buffers included |
//! | `time` | virtual time, who sleeps in it, and the bells that wake them |
//! | `ledger` | who holds the lock, and where its grant is: the promises, at each step |
//! | `world` `caller` | what a scenario's threads share; what the drivers do around the queue |
//! | `check` | in which orders a scenario runs |
//! | `scenarios` | who meets whom |
//!
//! A wake-up that is lost shows as a deadlock: nobody is left to run. Time stands unless a scenario moves it, so that no
//! waiter is saved by waking up by itself.

// The queue's own tests, which would be compiled along, know nothing of a checker.
#![cfg(not(test))]

mod caller;
mod check;
mod ledger;
pub mod scenarios;
mod sync;
mod time;
mod world;

pub use check::check;

// The floors below the queue, as they are.
mod error {
    pub(crate) use memlock_runtime::Error;
}
mod key {
    pub(crate) use memlock_runtime::__internals::{ByItem, Carried, ItemName};
}
mod protocol {
    pub(crate) mod lease {
        pub(crate) use memlock_runtime::__internals::Now;
    }

    pub(crate) use memlock_runtime::__internals::{
        Grant, Handed, Member, Nonce, Pending, Taken, TurnState, TurnStatus, WaitListView, Watch, is_to_look,
    };
}
mod system {
    pub(crate) use crate::sync;
}

#[allow(
    dead_code,
    reason = "some of it shares nothing between threads, and needs no scenario"
)]
#[path = "../../../memlock-runtime/src/queue/mod.rs"]
mod queue;
