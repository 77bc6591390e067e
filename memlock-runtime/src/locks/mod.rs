//! [`Locks`]: one list of servers, the defaults for its locks, and locks without attributes.

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
use crate::driver::inherited::in_this_process;
use crate::error::OnUnavailable;
use crate::hold::reservation::{Reservations, Retry};
use crate::system::background::{Timer, either};
use crate::system::on_thread;

/// Locks on one list of servers. They are cheap to clone, and clones share connections and queues.
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

/// The result of a [shutdown](Locks::shutdown).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "locks may be left"]
#[non_exhaustive]
pub struct Shutdown {
    /// Locks that were still held when the limit was over, and were given back.
    pub given_back: usize,
    /// Work of the background that was not done in time: releases, and cleaning up after lost replies. The locks that
    /// this leaves behind end with their leases.
    pub unfinished: usize,
}

impl Shutdown {
    /// Returns whether every lock was released by its holder, and nothing is left on the servers.
    pub fn is_clean(&self) -> bool {
        *self == Shutdown::default()
    }
}

/// How often a shutdown looks whether all holders are done.
const LOOK_WHETHER_IDLE: Duration = Duration::from_millis(5);

/// Counts of what has happened so far to the locks of one [`Locks`]. They only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Locks that were acquired, without re-entries.
    pub acquired: u64,
    /// Bodies that ran without their lock because memcached could not be asked.
    pub soft_runs: u64,
    /// Leases that ended before their holders were done.
    pub lost: u64,
    /// Errors of the kind [`Error::Unavailable`](crate::Error::Unavailable).
    pub unavailable: u64,
    /// Times that a call of a `zlock` found its lock held by another caller.
    pub conflicts: u64,
}

impl Locks {
    pub(crate) fn new(core: Arc<Core>, settings: Arc<Settings>) -> Locks {
        Locks {
            core,
            reservations: Arc::default(),
            settings,
        }
    }

    /// Locks with the same settings on another core.
    pub(crate) fn on(&self, core: Arc<Core>) -> Locks {
        Locks::new(core, Arc::clone(&self.settings))
    }

    /// Waits up to `limit` for the work in the background, and returns whether it is done: the releases of dropped
    /// guards and futures, and cleaning up after lost replies. Locks that a process leaves behind when it exits end
    /// with their leases. This may also be called in the destructor of a thread-local.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (locks, _) = memlock_runtime::Locks::in_memory();
    /// // At the end of `main`:
    /// if !locks.flush(Duration::from_secs(1)) {
    ///     eprintln!("some locks are left to the end of their leases");
    /// }
    /// ```
    pub fn flush(&self, limit: Duration) -> bool {
        on_thread::block_on(self.flush_async(limit))
    }

    /// [`flush`](Self::flush) without blocking the thread.
    pub async fn flush_async(&self, limit: Duration) -> bool {
        self.core.is_inherited() || self.wait_for_background_work(limit).await
    }

    /// Shuts these locks and their clones down, so that the process can exit and leaves no lock behind.
    ///
    /// From now on acquiring fails with [`Error::Config`](crate::Error::Config), also for callers that are waiting. Locks
    /// that are reserved for a retry are released at once. Locks that are held stay held, and are renewed and released
    /// as before, for up to `limit`. Those that are still held then are given back: they are released on the server, and
    /// their leases are lost, with that reason. A body that goes on running runs without the lock.
    ///
    /// This returns as soon as nothing is held and the background work is done, or else after `limit` and, if there is
    /// anything to give back, up to [`exchange_timeout`](crate::Builder::exchange_timeout) more. A caller that itself
    /// holds a lock waits for the whole `limit`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (locks, _) = memlock_runtime::Locks::in_memory();
    /// // At the end of `main`:
    /// let shutdown = locks.shutdown(Duration::from_secs(5));
    /// if !shutdown.is_clean() {
    ///     eprintln!("{shutdown:?}");
    /// }
    /// ```
    pub fn shutdown(&self, limit: Duration) -> Shutdown {
        on_thread::block_on(self.shutdown_async(limit))
    }

    /// [`shutdown`](Self::shutdown) without blocking the thread.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, nothing is acquired any more, but what is held is not given back.
    pub async fn shutdown_async(&self, limit: Duration) -> Shutdown {
        if self.core.is_inherited() {
            return Shutdown::default();
        }
        self.core.shut_down();
        self.reservations.abandon();
        self.wait_until_idle(limit).await;
        let given_back = self.core.give_back();
        if given_back > 0 {
            self.wait_for_background_work(self.core.exchange_limit).await;
        }
        Shutdown {
            given_back,
            unfinished: self.core.background_work.count(),
        }
    }

    /// Waits up to `limit` until nothing is held, and the background work is done.
    async fn wait_until_idle(&self, limit: Duration) {
        let idle = async {
            while !self.core.is_idle() {
                Timer::after(LOOK_WHETHER_IDLE).await;
            }
        };
        // In a child that is forked meanwhile, nothing is left to wait for.
        let _ = in_this_process(&self.core, Box::pin(either(idle, Timer::after(limit)))).await;
    }

    /// Waits up to `limit` for the background, and returns whether its work is done. A forked child does none of its
    /// parent's work, so it has nothing to wait for.
    async fn wait_for_background_work(&self, limit: Duration) -> bool {
        let waiting = Box::pin(self.core.background_work.wait_until_done(limit));
        in_this_process(&self.core, waiting).await.unwrap_or(true)
    }

    /// Returns what has happened so far.
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

    /// The locks that are reserved for a retry.
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
