//! Transactions: a closure that is run again after a conflict, and the locks that its functions hold until it has
//! returned.
//!
//! # Why no transaction waits for ever
//!
//! Inside the closure nothing waits for a lock: a [`zlock`] that finds its lock held by another caller returns a
//! conflict at once, and the closure rolls its database transaction back. (Of two functions of the transaction that ask
//! for the same lock at once, the second waits for the answer to the first, as long as one exchange may take.) Before the next attempt, the transaction
//! releases all its locks, and acquires every lock that its functions have asked for so far, in one order for all
//! transactions. So no caller waits inside an open database transaction, and a transaction that waits for a lock holds
//! only locks that come before it: no two can wait for each other.
//!
//! This holds for the locks of the transaction. A lock of a function around the transaction stays held while the
//! transaction waits, as with any two locks of which one is acquired inside the other.

pub(crate) mod zlock;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call_tree::scope::{Scope, ScopeLock};
use crate::call_tree::{self, Frame, InFrame};
use crate::driver::caller::Caller;
use crate::driver::limits::CallLimits;
use crate::driver::waiting::Stopped;
use crate::error::conflict::Conflict;
use crate::error::{Error, Source};
use crate::hold::held_set::HeldSet;
use crate::locks::policy::{Reporting, apply_failure_policy};
use crate::protocol::{Pause, Spec};
use crate::system::{clock, on_thread};

/// How often a transaction is attempted, unless it says otherwise.
const ATTEMPTS: u32 = 5;

/// The longest pause after the first conflict that was not about a lock. It doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// The longest pause after any attempt.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// How often a transaction acquires its locks from the beginning, if it loses the first before it has the last.
const ROUNDS: u32 = 3;

/// A transaction, which [runs](Transaction::run) a closure, and runs it again after a conflict.
///
/// A [`zlock`](https://docs.rs/memlock/latest/memlock/attr.zlock.html) in it is held until the closure has returned, so
/// let the closure commit. It never waits: if another caller holds its lock, it returns a conflict. Functions of the
/// transaction that ask for the same lock share it, also if they run at the same time (`try_join!`). The closure must
/// return the conflict, too (with `?`). The transaction then acquires all locks that its functions have asked for so
/// far, and runs the closure again. An attempt that ends in a conflict must leave nothing behind: let the closure work
/// in a database transaction that is rolled back when it is dropped.
///
/// Run it outside of other locks. A lock that is held around it stays held while it waits between two attempts, and two
/// callers that do so in opposite order wait for each other until a lease is over.
///
/// ```
/// # use memlock_runtime as memlock;
/// # fn main() -> Result<(), memlock::Error> {
/// let mut log = Vec::new();
/// memlock::transaction().attempts(3).run(|attempt| {
///     // let tx = db.begin()?;
///     log.push(attempt);
///     // catalog.catalog_object(&object)?;
///     // tx.commit()?;
///     Ok::<(), memlock::Error>(())
/// })?;
/// assert_eq!(log, [1], "once it has returned `Ok` it is not run again");
/// # Ok(()) }
/// ```
///
/// A transaction inside another joins it: its closure runs once, with the number of the outer attempt, and the outer
/// transaction handles a conflict.
#[derive(Debug, Clone)]
#[must_use = "nothing is run before `run`"]
pub struct Transaction<C = ByTrait> {
    attempts: u32,
    limit: Option<Duration>,
    conflict: C,
}

/// Returns a transaction that makes up to five attempts. See [`Transaction`].
pub fn transaction() -> Transaction {
    Transaction {
        attempts: ATTEMPTS,
        limit: None,
        conflict: ByTrait,
    }
}

/// Recognises conflicts by the error's [`Conflict`] implementation.
#[derive(Debug, Clone, Copy)]
pub struct ByTrait;

/// Recognises conflicts by a function: see [`Transaction::conflict`].
#[derive(Clone, Copy)]
pub struct ByFunction<F>(F);

impl<F> fmt::Debug for ByFunction<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByFunction")
    }
}

/// Recognises which values of `E` are conflicts.
pub trait Recognise<E> {
    /// Returns whether `error` is a conflict.
    fn is_conflict(&self, error: &E) -> bool;
}

impl<E: Conflict> Recognise<E> for ByTrait {
    fn is_conflict(&self, error: &E) -> bool {
        error.is_conflict()
    }
}

impl<E, F: Fn(&E) -> bool> Recognise<E> for ByFunction<F> {
    fn is_conflict(&self, error: &E) -> bool {
        (self.0)(error)
    }
}

impl Transaction {
    /// Recognises conflicts by `is_conflict`, instead of by the error's [`Conflict`] implementation.
    pub fn conflict<E, F: Fn(&E) -> bool>(self, is_conflict: F) -> Transaction<ByFunction<F>> {
        Transaction {
            attempts: self.attempts,
            limit: self.limit,
            conflict: ByFunction(is_conflict),
        }
    }
}

impl<C> Transaction<C> {
    /// Sets how often the closure runs at most, the first time included. Zero counts as one.
    pub fn attempts(mut self, attempts: u32) -> Transaction<C> {
        self.attempts = attempts.max(1);
        self
    }

    /// Limits the transaction as a whole: after `limit` it waits no longer between two attempts, and begins no further
    /// one. By default there is no limit. The `wait` of a function bounds each wait for its lock, and not the sum of the
    /// waits.
    ///
    /// An attempt that is running goes on, so a transaction may take as much longer as its closure.
    pub fn within(mut self, limit: Duration) -> Transaction<C> {
        self.limit = Some(limit);
        self
    }

    /// Runs `body` with the number of the attempt, from 1. Runs it again after a conflict.
    ///
    /// Between attempts, but never inside one, the thread waits for locks, or for up to 64 ms.
    ///
    /// # Errors
    ///
    /// An error of `body` that is not a conflict. [`Error::GaveUp`], with the last conflict as its source, if the last
    /// attempt ends in a conflict, or the limit of [`within`](Self::within) is over after one. [`Error::Busy`] and [`Error::Unavailable`] if a lock cannot be acquired between two
    /// attempts: the `wait` and `on_unavailable` of the function that asked for the lock apply.
    ///
    /// # Panics
    ///
    /// If `body` panics; the locks are released. Also as `on_unavailable = panic` says.
    pub fn run<T, E>(self, mut body: impl FnMut(u32) -> Result<T, E>) -> Result<T, E>
    where
        C: Recognise<E>,
        E: From<Error> + Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Some(attempt) = outer_attempt() {
            return body(attempt);
        }
        let mut running = Running::new(self, Caller::Thread);
        loop {
            let returned = running.run_attempt(&mut body);
            if let Some(result) = on_thread::block_on(running.end_attempt(returned)) {
                return result;
            }
        }
    }

    /// As [`run`](Self::run), but without blocking the thread, under any executor: `run_async(async |attempt| …)`.
    ///
    /// The future is `Send` if the closure and its futures are. (So the closure is not an `AsyncFnMut`, whose futures
    /// may borrow from it: a closure keeps what it changes in each attempt in a cell.)
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancellation
    ///
    /// The future may be dropped at any time. The future of `body` is dropped first, then the background releases the
    /// locks.
    pub async fn run_async<T, E, F>(self, mut body: impl FnMut(u32) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        C: Recognise<E>,
        E: From<Error> + Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Some(attempt) = outer_attempt() {
            return body(attempt).await;
        }
        let mut running = Running::new(self, Caller::Task);
        loop {
            let returned = running.begin_attempt(&mut body).await;
            if let Some(result) = running.end_attempt(returned).await {
                return result;
            }
        }
    }
}

/// Returns the number of the attempt of the transaction around this one, if there is one.
fn outer_attempt() -> Option<u32> {
    call_tree::find_transaction(call_tree::current_frame().as_ref()).map(|scope| scope.attempt())
}

/// A transaction that is running. Dropping it releases its locks.
struct Running<C> {
    transaction: Transaction<C>,
    caller: Caller,
    scope: Arc<Scope>,
    frame: Arc<Frame>,
    began: Instant,
}

impl<C> Running<C> {
    fn new(transaction: Transaction<C>, caller: Caller) -> Running<C> {
        let scope = Arc::new(Scope::new());
        Running {
            transaction,
            caller,
            frame: Frame::of_transaction(call_tree::current_frame(), &scope),
            scope,
            began: clock::instant(),
        }
    }

    /// Runs one attempt on this thread.
    fn run_attempt<R>(&self, body: impl FnOnce(u32) -> R) -> R {
        let attempt = self.scope.begin_attempt();
        let _entered = call_tree::enter(Arc::clone(&self.frame));
        body(attempt)
    }

    /// Begins one attempt of a task.
    fn begin_attempt<F: Future>(&self, body: impl FnOnce(u32) -> F) -> InFrame<F> {
        InFrame::new(Some(Arc::clone(&self.frame)), body(self.scope.begin_attempt()))
    }

    /// Ends an attempt: releases the locks and returns the result of the transaction, or prepares the next attempt and
    /// returns `None`.
    async fn end_attempt<T, E>(&mut self, returned: Result<T, E>) -> Option<Result<T, E>>
    where
        C: Recognise<E>,
        E: From<Error> + Into<Box<dyn StdError + Send + Sync>>,
    {
        let result = match returned {
            Err(error) if self.transaction.conflict.is_conflict(&error) => {
                if self.scope.attempt() < self.transaction.attempts && !self.is_over() {
                    drop(error);
                    return match self.hold_all_locks().await {
                        Ok(()) => None,
                        Err(busy) if busy.is_busy() && self.is_over() => Some(Err(self.gave_up(Box::new(busy)))),
                        Err(error) => Some(Err(E::from(error))),
                    };
                }
                Err(self.gave_up(error.into()))
            }
            returned => returned,
        };
        self.release_all().await;
        Some(result)
    }

    /// How much is left of the limit of the transaction.
    fn left(&self) -> Option<Duration> {
        let lasted = clock::instant().saturating_duration_since(self.began);
        self.transaction.limit.map(|limit| limit.saturating_sub(lasted))
    }

    fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Returns the error of a transaction whose last attempt ended in the conflict `last`.
    fn gave_up<E: From<Error>>(&self, last: Box<dyn StdError + Send + Sync>) -> E {
        let lasted = clock::instant().saturating_duration_since(self.began);
        E::from(Error::gave_up(self.scope.attempt(), lasted, Source::from(last)))
    }

    /// Keeps, or acquires, all locks that the functions have asked for, before the next attempt.
    async fn hold_all_locks(&mut self) -> Result<(), Error> {
        let locks = self.scope.locks();
        if self.keep_alive(&locks).await {
            // The conflict was in the database, with a transaction that does not take these locks. Give it a moment to
            // end. The locks stay held, with at least half of their timeout left.
            self.caller.pause(self.pause_window(&locks)).await;
            return Ok(());
        }
        for _ in 0..ROUNDS {
            self.release_all().await;
            if self.acquire(&locks).await? {
                return Ok(());
            }
        }
        // The locks are lost as fast as they are acquired. In the next attempt the functions try again themselves.
        Ok(())
    }

    /// Extends the leases of `locks` that are half over. Returns whether all locks are held.
    async fn keep_alive(&self, locks: &[ScopeLock]) -> bool {
        for lock in locks {
            let Some(held) = lock.valid() else { return false };
            let kept = held.keep_at_least_half(self.caller, lock.core.each_exchange());
            if kept.await.is_err() {
                return false;
            }
        }
        true
    }

    /// Acquires `locks` in order. Returns `false` if the first were lost before the last was acquired.
    async fn acquire(&self, locks: &[ScopeLock]) -> Result<bool, Error> {
        let mut held = HeldSet::of([], self.caller);
        let mut acquired = Vec::new();
        for lock in locks {
            // The wait before this may have ended in a child that was forked meanwhile.
            lock.core.check_process()?;
            lock.core.check_not_shut_down()?;
            let now = lock.core.now();
            // The `wait` of the function that asked for it counts from here: no call is under way between two attempts.
            // It ends with the transaction's limit, if that is sooner.
            let wait = lock.spec.wait.into_iter().chain(self.left()).min();
            let limits = CallLimits::new(now, wait, lock.core.exchange_limit);
            let spec = Spec {
                wait,
                ..lock.spec.clone()
            };
            let acquiring = held.acquire(&lock.core, spec, limits, now, lock.options.renew);
            match acquiring.await {
                Ok(()) => acquired.push(lock),
                Err(Stopped::CompanionLost) => {
                    held.release().await;
                    return Ok(false);
                }
                Err(Stopped::Failed(error)) => {
                    let function = lock.options.site.function;
                    apply_failure_policy(&lock.core, function, lock.policy, Reporting::Yes, error)?;
                }
            }
        }
        for (lock, held) in acquired.into_iter().zip(held.take().locks()) {
            self.scope.record(ScopeLock {
                held: Some(Arc::clone(held)),
                ..lock.clone()
            });
        }
        Ok(true)
    }

    /// Returns the window of the pause after a database's conflict. It doubles with each attempt, and stays below the
    /// time for which a lock would be reserved.
    fn pause_window(&self, locks: &[ScopeLock]) -> Pause {
        let longest = self.left().map_or(LONGEST_PAUSE, |left| left.min(LONGEST_PAUSE));
        let doubled = FIRST_PAUSE * 1_u32.checked_shl(self.scope.attempt() - 1).unwrap_or(u32::MAX);
        let reserve = locks.iter().map(|lock| lock.options.reserve / 2).min();
        Pause {
            from: Duration::ZERO,
            to: doubled.min(longest).min(reserve.unwrap_or(longest)),
        }
    }

    async fn release_all(&self) {
        self.scope.take_held(self.caller).release().await;
    }
}

impl<C> Drop for Running<C> {
    fn drop(&mut self) {
        drop(self.scope.take_held(self.caller));
    }
}
