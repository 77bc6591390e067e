//! Transactions: a closure that is run again after a conflict, and the locks that its functions hold until it has returned.
//!
//! # Why no transaction waits for ever
//!
//! Inside the closure nothing waits for a lock: a [`zlock`] that finds its lock held by another returns a conflict
//! at once, and the closure rolls its database transaction back. Then the scope gives up all that it holds, and takes every
//! lock that it has met so far, in one order for all transactions, before the next attempt. So nobody waits inside an open
//! database transaction, and a transaction that waits for a lock holds only locks that come before it: no two can wait for each other.
//!
//! That is so of what the transaction takes. A lock of a function around it is held while the transaction waits, as with any two
//! locks of which one is taken inside the other.

pub(crate) mod zlock;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call_tree as current;
use crate::call_tree::scope::{Met, Scope};
use crate::call_tree::{Frame, InFrame};
use crate::driver::caller::Caller;
use crate::driver::limits::CallLimits;
use crate::driver::waiting::Stopped;
use crate::error::conflict::Conflict;
use crate::error::{Error, Source};
use crate::hold::held_set::HeldSet;
use crate::locks::policy::soften;
use crate::protocol::Pause;
use crate::system::{clock, on_thread};

/// How often a transaction is attempted, unless it says otherwise.
const ATTEMPTS: u32 = 5;

/// The window of the pause after the first conflict that was not about a lock. It doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// It grows no further.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// How often the locks of a transaction are taken from the beginning, when the first were lost before the last was there.
const ROUNDS: u32 = 3;

/// A transaction to be [run](Transaction::run): a closure that is run again after a conflict.
///
/// A [`zlock`](https://docs.rs/memlock/latest/memlock/attr.zlock.html) in it is held until the closure has returned, so let the
/// closure commit. It never waits: where another holds its lock it returns the conflict, the closure is to return it, too (with
/// `?`), and the transaction takes all locks that it has met so far before it runs the closure again. What the closure has done
/// by then is to be undone: it runs in a database transaction that is rolled back when it is dropped.
///
/// Run it outside of other locks. A lock that is held around it stays held while it waits between two attempts, and two callers
/// that do so in opposite order wait for each other until a lease is over.
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
/// A transaction in a transaction joins it: its closure is run once, with the outer one's attempt, and a conflict goes on to
/// the outer one.
#[derive(Debug, Clone)]
#[must_use = "nothing is run before `run`"]
pub struct Transaction<C = ByTrait> {
    attempts: u32,
    conflict: C,
}

/// A transaction, to be attempted five times at the most. See [`Transaction`].
pub fn transaction() -> Transaction {
    Transaction {
        attempts: ATTEMPTS,
        conflict: ByTrait,
    }
}

/// Conflicts are told by the error's [`Conflict`] implementation.
#[derive(Debug, Clone, Copy)]
pub struct ByTrait;

/// Conflicts are told by a function: see [`Transaction::conflict`].
#[derive(Clone, Copy)]
pub struct ByFunction<F>(F);

impl<F> fmt::Debug for ByFunction<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByFunction")
    }
}

/// Tells which values of `E` are conflicts.
pub trait Recognise<E> {
    /// Whether this one is.
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
    /// Says by `is_conflict` which errors are conflicts, instead of by the error's [`Conflict`] implementation.
    pub fn conflict<E, F: Fn(&E) -> bool>(self, is_conflict: F) -> Transaction<ByFunction<F>> {
        Transaction {
            attempts: self.attempts,
            conflict: ByFunction(is_conflict),
        }
    }
}

impl<C> Transaction<C> {
    /// How often the closure is run at the most, the first time included; zero counts as one.
    pub fn attempts(mut self, attempts: u32) -> Transaction<C> {
        self.attempts = attempts.max(1);
        self
    }

    /// Runs `body`, and again after a conflict. It is given the number of the attempt, from 1.
    ///
    /// The thread waits between attempts, for locks or for a moment of up to 64 ms, and never inside of one.
    ///
    /// # Errors
    ///
    /// What `body` returns, if that is no conflict. [`Error::GaveUp`] with the last conflict below it, when the last attempt met
    /// one. [`Error::Busy`] and [`Error::Unavailable`] when a lock could not be taken between two attempts, as the `wait` and
    /// `on_unavailable` of the function say that met it.
    ///
    /// # Panics
    ///
    /// Where `body` does; its locks are released. And as `on_unavailable = panic` says.
    pub fn run<T, E>(self, mut body: impl FnMut(u32) -> Result<T, E>) -> Result<T, E>
    where
        C: Recognise<E>,
        E: From<Error> + Into<Box<dyn StdError + Send + Sync>>,
    {
        let outer = current::here();
        if let Some(scope) = current::transaction(outer.as_ref()) {
            return body(scope.attempt());
        }
        let mut running = Running::new(Caller::Thread);
        let frame = Frame::of_transaction(outer, &running.scope);
        loop {
            let attempt = running.scope.begin_attempt();
            let entered = current::enter(Arc::clone(&frame));
            let returned = body(attempt);
            drop(entered);
            if let Some(ended) = self.ended(&running, attempt, returned) {
                return ended;
            }
            on_thread::block_on(running.before_next()).map_err(E::from)?;
        }
    }

    /// The same without blocking the thread, under any executor: `run_async(async |attempt| …)`.
    ///
    /// The future is `Send` where the closure and its futures are. (Hence no `AsyncFnMut`, whose futures may borrow from it:
    /// what a closure changes in each attempt it keeps in a cell.)
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
    /// The future may be dropped at any time: `body`'s future is dropped, and then the locks are released in the background.
    pub async fn run_async<T, E, F>(self, mut body: impl FnMut(u32) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        C: Recognise<E>,
        E: From<Error> + Into<Box<dyn StdError + Send + Sync>>,
    {
        let outer = current::here();
        if let Some(scope) = current::transaction(outer.as_ref()) {
            return body(scope.attempt()).await;
        }
        let mut running = Running::new(Caller::Task);
        let frame = Frame::of_transaction(outer, &running.scope);
        loop {
            let attempt = running.scope.begin_attempt();
            let returned = InFrame::new(Some(Arc::clone(&frame)), body(attempt)).await;
            if let Some(ended) = self.ended(&running, attempt, returned) {
                running.release_all().await;
                return ended;
            }
            running.before_next().await.map_err(E::from)?;
        }
    }

    /// What the transaction returns, unless it is to be attempted again.
    fn ended<T, E>(&self, running: &Running, attempt: u32, returned: Result<T, E>) -> Option<Result<T, E>>
    where
        C: Recognise<E>,
        E: From<Error> + Into<Box<dyn StdError + Send + Sync>>,
    {
        match returned {
            Err(error) if self.conflict.is_conflict(&error) => {
                if attempt < self.attempts {
                    return None;
                }
                let source: Box<dyn StdError + Send + Sync> = error.into();
                Some(Err(E::from(running.gave_up(attempt, Source::from(source)))))
            }
            returned => Some(returned),
        }
    }
}

/// A transaction that is running. Dropping it releases its locks.
struct Running {
    scope: Arc<Scope>,
    began: Instant,
    caller: Caller,
}

impl Running {
    fn new(caller: Caller) -> Running {
        Running {
            scope: Arc::new(Scope::new()),
            began: clock::instant(),
            caller,
        }
    }

    fn gave_up(&self, attempts: u32, source: Source) -> Error {
        Error::gave_up(attempts, clock::instant().saturating_duration_since(self.began), source)
    }

    /// Sees to it that all locks that were met are held, before the next attempt.
    async fn before_next(&mut self) -> Result<(), Error> {
        let met = self.scope.all();
        if self.keeps(&met).await {
            // It was the database's conflict, with somebody who does not take these locks: give that a moment. They are held
            // meanwhile, with half of their timeout to come at the least.
            self.caller.pause(self.pause(&met)).await;
            return Ok(());
        }
        for _ in 0..ROUNDS {
            self.release_all().await;
            if self.takes(&met).await? {
                return Ok(());
            }
        }
        // They are lost as fast as they are taken. The functions try again themselves.
        Ok(())
    }

    /// Whether all that was met is held, and lasts.
    async fn keeps(&self, met: &[Met]) -> bool {
        for lock in met {
            let Some(hold) = lock.held() else { return false };
            if hold
                .keep_at_least_half(self.caller, lock.core.each_exchange())
                .await
                .is_err()
            {
                return false;
            }
        }
        true
    }

    /// Takes all that was met, in order. `false`: the first were lost before the last was there.
    async fn takes(&self, met: &[Met]) -> Result<bool, Error> {
        let mut held = HeldSet::of([], self.caller);
        let mut taken = Vec::new();
        for lock in met {
            lock.core.check_open()?;
            let now = lock.core.now();
            // Each lock is waited for as the function says that met it: between two attempts there is no call that has an end.
            let limits = CallLimits::new(now, lock.spec.wait, lock.core.exchange_limit);
            let acquired = held.acquire(&lock.core, lock.spec.clone(), limits, now, lock.options.renew);
            match acquired.await {
                Ok(_) => taken.push(lock),
                Err(Stopped::CompanionLost) => {
                    held.release().await;
                    return Ok(false);
                }
                Err(Stopped::Failed(error)) => soften(&lock.core, lock.options.function, lock.policy, error)?,
            }
        }
        for (lock, hold) in taken.into_iter().zip(held.take().locks()) {
            self.scope.meet(Met {
                hold: Some(Arc::clone(hold)),
                ..lock.clone()
            });
        }
        Ok(true)
    }

    /// A window that doubles with each attempt, and stays below the time for which a lock would be reserved.
    fn pause(&self, met: &[Met]) -> Pause {
        let doubled = FIRST_PAUSE * 1_u32.checked_shl(self.scope.attempt() - 1).unwrap_or(u32::MAX);
        let reserve = met.iter().map(|lock| lock.options.reserve / 2).min();
        Pause {
            from: Duration::ZERO,
            to: doubled.min(LONGEST_PAUSE).min(reserve.unwrap_or(LONGEST_PAUSE)),
        }
    }

    async fn release_all(&self) {
        self.scope.take_held(self.caller).release().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.scope.take_held(self.caller));
    }
}
