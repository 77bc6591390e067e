//! `Locks`: one list of servers, the defaults that go with it, and locks without attributes.

pub(crate) mod acquire;
pub(crate) mod builder;
pub(crate) mod policy;
pub(crate) mod request;
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::driver::core::Core;
use crate::driver::inherited::here;
use crate::error::OnUnavailable;
use crate::hold::reservation::{Reservations, Retry};
use crate::system::on_thread;

/// Locks on one list of servers. Cheap to clone; clones share connections and queues.
///
/// ```
/// # fn main() -> Result<(), memlock_runtime::Error> {
/// let locks = memlock_runtime::Locks::builder().servers("memory:").build()?;
/// let guard = locks.lock(("invoice", 7)).acquire()?;
/// println!("nobody else works on it; token {}", guard.token());
/// guard.release();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Locks {
    core: Arc<Core>,
    reservations: Arc<Reservations>,
    settings: Arc<Settings>,
}

/// The settings of one `Locks`.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) prefix: String,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    /// The name of this process in the items that it holds.
    pub(crate) label: Arc<str>,
    pub(crate) on_unavailable: Option<OnUnavailable>,
}

/// What has happened so far to the locks of one [`Locks`], in numbers that only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Locks acquired, re-entries not counted.
    pub acquired: u64,
    /// Bodies that ran without their lock because memcached could not be asked.
    pub soft_runs: u64,
    /// Leases that ended before their holders did.
    pub lost: u64,
    /// Errors that said [`Error::Unavailable`](crate::Error::Unavailable).
    pub unavailable: u64,
    /// Calls of a `zlock` that found their lock held by another, counted when they did.
    pub conflicts: u64,
}

impl Locks {
    pub(crate) fn new(core: Arc<Core>, settings: Settings) -> Locks {
        Locks {
            core,
            reservations: Arc::default(),
            settings: Arc::new(settings),
        }
    }

    /// The same settings over another core.
    pub(crate) fn on(&self, core: Arc<Core>) -> Locks {
        Locks {
            core,
            reservations: Arc::default(),
            settings: Arc::clone(&self.settings),
        }
    }

    /// Waits until all that goes on in the background is done: releases of guards and futures that were dropped, and
    /// cleaning up after lost replies. Waits for up to `limit`, and returns whether all is done. What a process leaves undone when it
    /// exits ends with the leases.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (locks, _) = memlock_runtime::Locks::in_memory();
    /// // Last thing in main():
    /// if !locks.flush(Duration::from_secs(1)) {
    ///     eprintln!("some locks are left to the end of their leases");
    /// }
    /// ```
    pub fn flush(&self, limit: Duration) -> bool {
        on_thread::block_on(self.flush_async(limit))
    }

    /// [`flush`](Self::flush) without blocking the thread.
    pub async fn flush_async(&self, limit: Duration) -> bool {
        // A forked child does none of its parent's background work, so it has nothing to wait for.
        if self.core.is_inherited() {
            return true;
        }
        let waiting = Box::pin(self.core.chores.wait(limit));
        here(&self.core, waiting).await.unwrap_or(true)
    }

    /// Ends the use of these locks, and of their clones: from now on nothing is acquired any more
    /// ([`Error::Config`](crate::Error::Config) says why), then as [`flush`](Self::flush). Locks that are held go on being held, renewed and
    /// released; what is reserved for a retry is released at once.
    pub fn shutdown(&self, limit: Duration) -> bool {
        on_thread::block_on(self.shutdown_async(limit))
    }

    /// [`shutdown`](Self::shutdown) without blocking the thread.
    pub async fn shutdown_async(&self, limit: Duration) -> bool {
        self.core.is_shut_down.store(true, Ordering::Release);
        if !self.core.is_inherited() {
            self.reservations.abandon();
        }
        self.flush_async(limit).await
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        let counters = &self.core.counters;
        Counts {
            acquired: counters.acquired.load(Ordering::Relaxed),
            soft_runs: counters.soft_runs.load(Ordering::Relaxed),
            lost: counters.lost.load(Ordering::Relaxed),
            unavailable: counters.unavailable.load(Ordering::Relaxed),
            conflicts: counters.conflicts.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The locks that are kept for a retry.
    pub(crate) fn reservations(&self) -> &Arc<Reservations> {
        &self.reservations
    }

    /// Where locks are reserved for a retry, for `length`.
    pub(crate) fn retry(&self, length: Duration) -> Retry {
        Retry {
            reservations: Arc::clone(&self.reservations),
            length,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks")
            .field("settings", &self.settings)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
