//! `Locks`: one list of servers, the defaults that go with it, and locks without attributes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::background;
use crate::config::Builder;
use crate::driver::Core;
use crate::driver::inherited::here;
use crate::entry::OnUnavailable;
use crate::error::Error;
use crate::key::IntoKey;
use crate::process::PerProcess;
use crate::request::LockRequest;

/// The process-wide locks.
static DEFAULT: PerProcess<Locks> = PerProcess::new();

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
    settings: Arc<Settings>,
}

/// What holds for all locks of one `Locks`.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) prefix: String,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    /// What to call this process.
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
    /// Errors that said [`Error::Unavailable`].
    pub unavailable: u64,
    /// Calls of a `zlock` that found their lock held by another, counted when they did.
    pub conflicts: u64,
}

/// Installs the process-wide locks, which annotated functions use that name no others. Without it the first of them
/// builds the locks from the environment.
///
/// A child that was forked finds those of its parent, which it cannot use, until it calls this itself.
///
/// # Errors
///
/// [`Error::Config`] when they are already there: it was called twice in this process, or after the first use.
pub fn init(locks: Locks) -> Result<(), Error> {
    DEFAULT.here().set(locks).map_err(|_| {
        Error::config("init() came too late: the process-wide locks are already in use; call it first thing in main()")
    })
}

impl Locks {
    pub(crate) fn new(core: Arc<Core>, settings: Settings) -> Locks {
        Locks {
            core,
            settings: Arc::new(settings),
        }
    }

    /// The same settings over another core.
    pub(crate) fn on(&self, core: Arc<Core>) -> Locks {
        Locks {
            core,
            settings: Arc::clone(&self.settings),
        }
    }

    /// Settings to build from.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The locks that the environment describes: see [`Builder::servers`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] names the variable and the part of it that is wrong.
    pub fn from_env() -> Result<Locks, Error> {
        Builder::new().build()
    }

    /// The process-wide ones.
    pub(crate) fn process_wide() -> Result<&'static Locks, Error> {
        // A parent's count, too: whether it built them with the settings of this environment is not known. Using them says that they
        // are a parent's.
        match DEFAULT.latest() {
            Some(locks) => Ok(locks),
            None => DEFAULT.here().get_or_try_init(Locks::from_env),
        }
    }

    /// Asks for the lock on `key`; nothing happens before [`acquire`](LockRequest::acquire).
    pub fn lock(&self, key: impl IntoKey) -> LockRequest<'_> {
        LockRequest::new(self, key.into_key())
    }

    /// Waits until all that goes on in the background is done: releases of guards and futures that were dropped, and
    /// cleaning up after replies that were lost. Whether that is so after `limit` at the latest. A process that exits
    /// without it leaves to the leases' end what was not done yet.
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
        background::block_on(self.flush_async(limit))
    }

    /// [`flush`](Self::flush) without blocking the thread.
    pub async fn flush_async(&self, limit: Duration) -> bool {
        // A child that was forked does nothing of what its parent has to do, and so has nothing to wait for.
        if self.core.is_inherited() {
            return true;
        }
        let waiting = Box::pin(self.core.chores.wait(limit));
        here(&self.core, waiting).await.unwrap_or(true)
    }

    /// Ends the use of these locks, and of their clones: from now on nothing is acquired any more
    /// ([`Error::Config`] says why), then as [`flush`](Self::flush). Locks that are held go on being held, renewed and
    /// released; what is reserved for a retry is released at once.
    pub fn shutdown(&self, limit: Duration) -> bool {
        background::block_on(self.shutdown_async(limit))
    }

    /// [`shutdown`](Self::shutdown) without blocking the thread.
    pub async fn shutdown_async(&self, limit: Duration) -> bool {
        self.core.is_shut_down.store(true, Ordering::Release);
        if !self.core.is_inherited() {
            self.core.reservations.abandon();
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
