//! `Locks`: one list of servers, the defaults that go with it, and locks without attributes.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use once_cell::sync::OnceCell;
use smallvec::SmallVec;

use crate::background;
use crate::config::{Builder, checked};
use crate::current;
use crate::driver::hold::Hold;
use crate::driver::waiting::{self, Stopped, WAIT_GRACE};
use crate::driver::{Core, Counters, agent, blocking, tasks};
use crate::entry::{OnUnavailable, Renew};
use crate::error::Error;
use crate::guard::{AsyncGuard, Guard, Lease};
use crate::key::{IntoKey, ItemName, Key};
use crate::label::Label;
use crate::lease::{LONGEST_TIMEOUT, Now};
use crate::protocol::Spec;
use crate::worker::warn_if_blocking_tasks;

/// The namespace of locks that are asked for without one.
const UNNAMED: &str = "lock";

/// The longest name and key together, in bytes as they are stored: far beyond what keys have, and well within what a
/// server stores in an item.
const LONGEST_NAME: usize = 50_000;

/// The process-wide locks.
static DEFAULT: OnceCell<Locks> = OnceCell::new();

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
/// # Errors
///
/// [`Error::Config`] when they are already there: it was called twice, or after the first use.
pub fn init(locks: Locks) -> Result<(), Error> {
    DEFAULT.set(locks).map_err(|_| {
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
        DEFAULT.get_or_try_init(Locks::from_env)
    }

    /// Asks for the lock on `key`; nothing happens before [`acquire`](LockRequest::acquire).
    pub fn lock(&self, key: impl IntoKey) -> LockRequest<'_> {
        let (timeout, interval) = (self.settings.timeout, self.settings.interval);
        LockRequest {
            locks: self,
            key: key.into_key(),
            name: UNNAMED,
            timeout,
            interval,
            wait: None,
            renew: None,
        }
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
        self.core.chores.wait(limit).await
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
        self.core.reservations.abandon();
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

    /// Acquires all of `items`, or none. They come in the order of their names and without repetition, and are taken
    /// in it, so two callers cannot wait for each other.
    pub(crate) fn acquire_all(&self, items: &[ItemName], order: &Order) -> Result<Lease, Error> {
        let asked = self.asked(items, order)?;
        warn_if_blocking_tasks(order.function);
        for _ in 0..ROUNDS {
            match self.acquire_once(items, &asked) {
                Err(Stopped::CompanionLost) if !asked.limit().is_zero() => {}
                ended => return self.ended(ended, items, order),
            }
        }
        self.ended(Err(Stopped::CompanionLost), items, order)
    }

    /// The same without blocking the thread. What a dropped future has acquired is released in the background.
    pub(crate) async fn acquire_all_async(&self, items: &[ItemName], order: &Order) -> Result<Lease, Error> {
        let asked = self.asked(items, order)?;
        for _ in 0..ROUNDS {
            match self.acquire_once_async(items, &asked).await {
                Err(Stopped::CompanionLost) if !asked.limit().is_zero() => {}
                ended => return self.ended(ended, items, order),
            }
        }
        self.ended(Err(Stopped::CompanionLost), items, order)
    }

    /// Acquires all of `items` once through. What it has acquired when it fails is released, within what is left of the
    /// caller's wait.
    fn acquire_once(&self, items: &[ItemName], asked: &Asked<'_>) -> Result<Holds, Stopped> {
        let mut acquired =
            Acquired::new(|holds| holds.iter().rev().for_each(|hold| hold.release_within(asked.limit())));
        for item in items {
            let hold = blocking::acquire(&self.core, &asked.spec(item), &asked.began, &acquired.holds)?;
            // The first ones have aged while this one was waited for.
            let kept = acquired
                .holds
                .iter()
                .try_for_each(|aged| aged.keep_at_least_half(asked.limit()));
            acquired.holds.push(hold);
            kept.map_err(|_| Stopped::CompanionLost)?;
        }
        Ok(std::mem::take(&mut acquired.holds))
    }

    /// The same without blocking the thread.
    async fn acquire_once_async(&self, items: &[ItemName], asked: &Asked<'_>) -> Result<Holds, Stopped> {
        let mut acquired = Acquired::new(|holds| Lease::new(holds).iter().for_each(Lease::release_in_background));
        for item in items {
            let hold = tasks::acquire(&self.core, &asked.spec(item), &asked.began, &acquired.holds).await?;
            acquired.holds.push(hold);
            if let [aged @ .., _] = acquired.holds.as_slice() {
                for hold in aged {
                    let kept = hold.keep_at_least_half_async(asked.limit()).await;
                    kept.map_err(|_| Stopped::CompanionLost)?;
                }
            }
        }
        Ok(std::mem::take(&mut acquired.holds))
    }

    /// Begins to acquire `items`.
    pub(crate) fn asked<'a>(&'a self, items: &[ItemName], order: &'a Order) -> Result<Asked<'a>, Error> {
        if self.core.is_shut_down.load(Ordering::Acquire) {
            return Err(Error::config(
                "these locks were shut down: nothing is acquired any more",
            ));
        }
        let too_long = |item: &&ItemName| item.full().is_some_and(|full| full.len() > LONGEST_NAME);
        if let Some(item) = items.iter().find(too_long) {
            return Err(Error::config(format!(
                "the key `{}…` is too long to lock: with its name it comes to {} bytes, and may have {LONGEST_NAME}",
                item.as_str(),
                item.full().map_or(0, |full| full.len()),
            )));
        }
        Ok(Asked {
            core: &self.core,
            order,
            process: &self.settings.label,
            began: OnceLock::new(),
        })
    }

    /// Counts an error of acquiring.
    pub(crate) fn failed(&self, error: Error) -> Error {
        if error.is_unavailable() {
            Counters::count(&self.core.counters.unavailable);
        }
        error
    }

    /// Ends with what acquiring came to.
    fn ended(&self, ended: Result<Holds, Stopped>, items: &[ItemName], order: &Order) -> Result<Lease, Error> {
        match ended {
            Ok(holds) => {
                holds.iter().for_each(|hold| keep_alive(hold, order.renew));
                Lease::new(holds).ok_or_else(|| Error::config("no key to lock was given"))
            }
            Err(Stopped::Failed(error)) => Err(self.failed(error)),
            Err(Stopped::CompanionLost) => {
                let key = items.first().map(ToString::to_string).unwrap_or_default();
                Err(Error::Lost { key, reason: AGED })
            }
        }
    }
}

/// Keeps the lease of `hold` alive as `renew` says.
pub(crate) fn keep_alive(hold: &Arc<Hold>, renew: Option<Renew>) {
    match renew {
        None => {}
        Some(Renew::Always) => agent::keep_alive(hold, None),
        Some(Renew::For(length)) => agent::keep_alive(hold, Some(length)),
    }
}

/// What a caller asks for, and since when.
pub(crate) struct Asked<'a> {
    core: &'a Arc<Core>,
    order: &'a Order,
    /// What to call this process.
    process: &'a Arc<str>,
    /// Set by the first lock that is asked for.
    pub(crate) began: OnceLock<Now>,
}

impl Asked<'_> {
    pub(crate) fn spec(&self, item: &ItemName) -> Spec {
        Spec {
            item: item.clone(),
            label: Label::new(self.process, self.order.function),
            timeout: self.order.timeout,
            interval: self.order.interval,
            wait: self.order.wait,
            grace: self.order.grace,
        }
    }

    /// How long an exchange may take.
    fn limit(&self) -> Duration {
        let began = *self.began.get_or_init(|| self.core.now());
        waiting::limit(self.core, self.order.wait, self.order.grace, began)
    }
}

/// Locks acquired together, nearly always one.
pub(crate) type Holds = SmallVec<[Arc<Hold>; 1]>;

/// How often several keys are acquired from the beginning, when the first were lost before the last was there.
const ROUNDS: usize = 3;

/// Why it is given up after that.
const AGED: &str = "acquiring all keys took longer than their `timeout`; give them a longer one";

/// Locks acquired so far, and how those are released that are left when it is dropped.
struct Acquired<F: Fn(Holds)> {
    holds: Holds,
    release: F,
}

impl<F: Fn(Holds)> Acquired<F> {
    fn new(release: F) -> Acquired<F> {
        Acquired {
            holds: Holds::new(),
            release,
        }
    }
}

impl<F: Fn(Holds)> Drop for Acquired<F> {
    fn drop(&mut self) {
        if !self.holds.is_empty() {
            (self.release)(std::mem::take(&mut self.holds));
        }
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

/// How locks are to be acquired.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) function: &'static str,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) wait: Option<Duration>,
    /// How much longer than that the server may take to answer.
    pub(crate) grace: Duration,
    pub(crate) renew: Option<Renew>,
}

impl Order {
    /// Refuses durations that cannot be meant.
    pub(crate) fn check(&self) -> Result<(), Error> {
        checked("timeout", self.timeout, LONGEST_TIMEOUT)?;
        checked("interval", self.interval, LONGEST_TIMEOUT)?;
        Ok(())
    }
}

/// A lock that is being asked for without an attribute. Made by [`Locks::lock`].
#[derive(Debug, Clone)]
#[must_use = "nothing is locked before `acquire`"]
pub struct LockRequest<'a> {
    locks: &'a Locks,
    key: Key,
    name: &'a str,
    timeout: Duration,
    interval: Duration,
    wait: Option<Duration>,
    renew: Option<Renew>,
}

impl<'a> LockRequest<'a> {
    /// The namespace of the key, `lock` by default. An annotated function's is its path, or its `name` option.
    pub fn name(mut self, name: &'a str) -> LockRequest<'a> {
        self.name = name;
        self
    }

    /// The lifetime of the lock: how long it may be held, and a dead holder blocks others.
    pub fn timeout(mut self, timeout: Duration) -> LockRequest<'a> {
        self.timeout = timeout;
        self
    }

    /// The longest pause between two looks at a held lock.
    pub fn interval(mut self, interval: Duration) -> LockRequest<'a> {
        self.interval = interval;
        self
    }

    /// How long to wait for the lock; for ever by default, and zero tries once.
    pub fn wait(mut self, wait: Duration) -> LockRequest<'a> {
        self.wait = Some(wait);
        self
    }

    /// Keeps extending the lease in the background until the guard is dropped.
    pub fn renew(mut self) -> LockRequest<'a> {
        self.renew = Some(Renew::Always);
        self
    }

    /// Acquires the lock, blocking this thread meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when the wait was over first, [`Error::Unavailable`] when the server could not be asked,
    /// [`Error::Reentered`] when an annotated function that is running on this thread holds it, and [`Error::Config`]
    /// for a wrong setting, or a key that asks for no lock.
    pub fn acquire(self) -> Result<Guard, Error> {
        let (order, item) = self.asked()?;
        self.locks.acquire_all(&[item], &order).map(Guard::new)
    }

    /// Acquires the lock without blocking the thread, under any executor. Nothing happens before the future is first
    /// polled.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancellation
    ///
    /// The future may be dropped at any time. A lock that was or will be acquired for it is released in the background.
    pub async fn acquire_async(self) -> Result<AsyncGuard, Error> {
        let (order, item) = self.asked()?;
        self.locks.acquire_all_async(&[item], &order).await.map(AsyncGuard::new)
    }

    /// Tries once to acquire the lock, without blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Cancellation
    ///
    /// As [`acquire_async`](Self::acquire_async).
    pub async fn try_acquire_async(self) -> Result<AsyncGuard, Error> {
        self.wait(Duration::ZERO).acquire_async().await
    }

    /// How to acquire what, once checked.
    fn asked(&self) -> Result<(Order, ItemName), Error> {
        let order = Order {
            function: "",
            timeout: self.timeout,
            interval: self.interval,
            wait: self.wait,
            grace: WAIT_GRACE,
            renew: self.renew,
        };
        order.check()?;
        let Some(key) = self.key.text() else {
            return Err(Error::config(
                "the key asks for no lock (`None` or `DontLock`): a guard needs one",
            ));
        };
        let item = ItemName::of_lock(&self.locks.settings.prefix, self.name, key);
        if current::find(current::here().as_ref(), &self.locks.core, &item).is_some() {
            return Err(Error::Reentered { key: item.to_string() });
        }
        Ok((order, item))
    }

    /// Tries once to acquire the lock.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); [`Error::Busy`] at once when another holds it.
    pub fn try_acquire(self) -> Result<Guard, Error> {
        self.wait(Duration::ZERO).acquire()
    }
}
