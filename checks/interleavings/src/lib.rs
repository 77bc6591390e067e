//! The queue of `memlock-runtime` under a checker of interleavings. The queue's own files are compiled here over a
//! `sync` module with the checker's mutex and atomics. The checker runs the threads of a scenario in many orders of
//! their steps.
//!
//! | file | what it is |
//! |---|---|
//! | `sync` | what the queue uses in place of `std::sync`, store buffers included |
//! | `time` | virtual time, and the alarms that wake its sleepers |
//! | `ledger` | who holds the lock, and where its grant is; checks the promises at each step |
//! | `world` `caller` | what a scenario's threads share; what the driver does around the queue |
//! | `check` | the orders in which a scenario runs |
//! | `scenarios` | which threads meet, and what they do |
//!
//! A lost wake-up shows as a deadlock: no thread is left to run. Time stands still unless a scenario moves it, so that
//! no waiter is saved by waking up by itself.

// The queue's own tests would be compiled along, and they do not run under the checker.
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
        Grant, Handed, Member, Nonce, Pending, Taken, TurnState, TurnStatus, WaitListView, Watch, should_read_wait_list,
    };
}
mod system {
    pub(crate) use crate::sync;

    pub(crate) mod clock {
        pub(crate) use crate::time::Time as Clock;
    }
}

#[allow(
    dead_code,
    reason = "some of it shares nothing between threads, and needs no scenario"
)]
#[path = "../../../memlock-runtime/src/queue/mod.rs"]
mod queue;
