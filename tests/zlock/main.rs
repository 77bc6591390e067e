//! `zlock` and transactions: the lock in front of a database that detects conflicts itself.
//!
//! | file | promise |
//! |---|---|
//! | `alone` | reservations: which caller a conflict reserves the lock for, and for how long |
//! | `alone_async` | the same for tasks |
//! | `conflicts` | which errors are conflicts |
//! | `transactions` | locks are held until the closure has returned, and nothing waits inside |
//! | `siblings` | functions of one transaction that ask for the same lock at once share it |
//! | `deadlocks` | two keys in opposite orders, in threads and tasks, over a database that would report "locked" |
#![deny(warnings, clippy::all, clippy::pedantic)]
#![allow(
    clippy::items_after_statements,
    reason = "a function that one test locks stands where it is used"
)]

#[path = "../../memlock-runtime/tests/tasks/executors.rs"]
#[allow(dead_code, reason = "the runtime's own tests use the rest of it")]
mod executors;

mod alone;
mod alone_async;
mod conflicts;
mod deadlocks;
mod siblings;
mod transactions;

use std::time::{Duration, Instant};

use memlock::{Error, Locks};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a catalogue's transaction may meet.
#[derive(Debug, thiserror::Error)]
enum CatalogError {
    #[error("another writer has changed the catalogue")]
    Changed,
    #[error("no such document")]
    Missing,
    #[error(transparent)]
    Lock(#[from] Error),
}

impl memlock::Conflict for CatalogError {
    fn is_conflict(&self) -> bool {
        matches!(self, CatalogError::Changed) || memlock::is_conflict(self)
    }
}

impl CatalogError {
    fn lock(&self) -> Option<&Error> {
        match self {
            CatalogError::Lock(error) => Some(error),
            CatalogError::Changed | CatalogError::Missing => None,
        }
    }
}

/// Waits until `condition` holds.
#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not within a minute: {what}");
        std::thread::yield_now();
    }
}

/// Whether the lock on `key` that catalogues use is free, as `others` find it.
fn is_free(others: &Locks, key: &str) -> bool {
    match others.lock(key).name("catalog").try_acquire() {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_busy(), "{error}");
            false
        }
    }
}
