//! [`HeldLock`]: a grant, the state of its lease, and the turn in this process's queue that goes with it.

pub(crate) mod body_locks;
pub(crate) mod guard;
pub(crate) mod held_set;
pub(crate) mod lease;
pub(crate) mod options;
mod release;
pub(crate) mod renewal;
pub(crate) mod reservation;

use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, mem};

use crate::driver::caller::Caller;
use crate::driver::core::{Core, Counters};
use crate::driver::limits::ExchangeLimit;
use crate::error::{Error, Source};
use crate::protocol::token::Token;
use crate::protocol::{Grant, LeaseState, Loss, Spec, Status};
use crate::queue::Turn;
use crate::system::background;

/// A granted lock. Its guard, the leases from it, and the background share it.
pub(crate) struct HeldLock {
    core: Arc<Core>,
    spec: Spec,
    token: Token,
    /// Whether it is a reservation: no body runs under it.
    is_reservation: bool,
    /// Whether its holder is done with it. Its release may still wait for a renewal.
    is_given_up: AtomicBool,
    state: Mutex<HeldLockState>,
    /// Locked during a renewal and during the release, so that they do not overlap.
    exchanging: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct HeldLockState {
    lease: LeaseState,
    turn: Option<Turn>,
    /// Why the lease was lost before the release, if it was. [`Status::Released`] does not say.
    lost: Option<Loss>,
    /// Why the last renewal failed. `None`: it succeeded.
    renewal_error: Option<Source>,
    /// The background task that renews the lock, or waits for the end of a reservation. It ends with the lock, so a
    /// lock with a long timeout leaves nothing behind after its release.
    background_task: Option<background::Task>,
}

const RAN_OUT: &str = "it ran out: use a longer `timeout`, or `renew`";
const GIVEN_BACK: &str = "its locks were shut down, and gave it back before its holder was done";
const RELEASED: &str = "it has been released";
const TAKEN: &str = "its item on the server is gone, or belongs to another holder";

impl HeldLock {
    /// A lock that the server has just granted, or that was handed over with the turn.
    #[inline]
    pub(crate) fn new(core: &Arc<Core>, spec: Spec, grant: Grant, turn: Option<Turn>) -> Arc<HeldLock> {
        Counters::count(&core.counters.acquired);
        HeldLock::of(core, spec, grant, turn, false)
    }

    #[inline]
    fn of(core: &Arc<Core>, spec: Spec, grant: Grant, turn: Option<Turn>, is_reservation: bool) -> Arc<HeldLock> {
        let token = grant.token;
        Arc::new(HeldLock {
            core: Arc::clone(core),
            spec,
            token,
            is_reservation,
            is_given_up: AtomicBool::new(false),
            state: Mutex::new(HeldLockState {
                lease: LeaseState::new(grant),
                turn,
                lost: None,
                renewal_error: None,
                background_task: None,
            }),
            exchanging: tokio::sync::Mutex::new(()),
        })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// From now on the leases from this lock report that it was released, even while its release waits for a renewal.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// Runs `task` in the background while the lock is held.
    pub(crate) fn run_while_held(&self, task: impl Future<Output = ()> + Send + 'static) {
        match background::spawn_owned(task) {
            Ok(task) => {
                let mut state = self.state();
                // Otherwise another thread has released the lock, and the task is dropped here.
                if state.lease.last_status() == Status::Held {
                    state.background_task = Some(task);
                }
            }
            Err(error) => tracing::error!(
                target: "memlock", lock = %self.spec.item, %error, "could not start the thread for background work"
            ),
        }
    }

    /// Returns how much of the lease is left. Zero once it is lost or released, and in a child that was forked with it.
    pub(crate) fn remaining(&self) -> Duration {
        if self.is_given_up() || self.core.is_inherited() {
            return Duration::ZERO;
        }
        let now = self.core().now();
        self.state().lease.remaining(now)
    }

    pub(crate) fn is_released(&self) -> bool {
        self.is_given_up() || self.state().lease.last_status() == Status::Released
    }

    /// Returns an error if the lease was lost or released, and in a child that was forked with it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.core.check_process()?;
        let now = self.core().now();
        let mut state = self.state();
        match state.lease.status(now) {
            Status::Held if !self.is_given_up() => Ok(()),
            over => Err(self.lost_error(over, &state)),
        }
    }

    /// Waits until no exchange about this lock is under way. None begins while the guard lives. `None`: `limit` ended
    /// first. What the wait takes is taken off `limit`.
    async fn begin_exchanging(
        &self,
        caller: Caller,
        limit: &mut ExchangeLimit,
    ) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if let Ok(exchanging) = self.exchanging.try_lock() {
            return Some(exchanging);
        }
        // The other exchange may be a renewal in the background, whose own limit may end later.
        let now = self.core().now();
        *limit = limit.as_for_one(now);
        caller.lock_within(&self.exchanging, limit.left(|| now)).await
    }

    #[cfg(test)]
    pub(crate) fn is_exchanging(&self) -> bool {
        self.exchanging.try_lock().is_err()
    }

    /// Returns the error of using a lock whose lease is `over`.
    fn lost_error(&self, over: Status, state: &HeldLockState) -> Error {
        let loss = match over {
            Status::Lost(loss) => Some(loss),
            Status::Held | Status::Released => state.lost,
        };
        match loss {
            Some(loss) => {
                let error = state.renewal_error.as_ref();
                let source = error.filter(|_| loss == Loss::RanOut).map(Arc::clone);
                Error::lost(self.spec.item.as_str(), self.describe(loss, error), source)
            }
            None => Error::lost(self.spec.item.as_str(), RELEASED, None),
        }
    }

    /// Describes why the lease was lost. `renewal_error` is the reason why its last renewal failed.
    fn describe(&self, loss: Loss, renewal_error: Option<&Source>) -> Cow<'static, str> {
        match (loss, renewal_error) {
            (Loss::RanOut, None) => RAN_OUT.into(),
            (Loss::RanOut, Some(error)) => {
                let server = self.core().store.server_name(self.spec.server);
                format!("it could not be renewed: memcached server {server} is unavailable: {error}").into()
            }
            (Loss::Taken, _) => TAKEN.into(),
            (Loss::GivenBack, _) => GIVEN_BACK.into(),
        }
    }

    fn state(&self) -> MutexGuard<'_, HeldLockState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.core.has_given_back() {
            state.lease.give_back();
        }
        state
    }
}

impl fmt::Debug for HeldLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLock")
            .field("lock", &self.spec.item)
            .field("token", &self.token)
            .field("is_released", &self.is_released())
            .finish_non_exhaustive()
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The usual case, which needs neither a clock nor a lock.
        if state.lease.last_status() == Status::Released {
            return;
        }
        if self.core.is_inherited() {
            // The lock and the turn belong to the parent.
            mem::forget(state.turn.take());
        } else {
            self.release_dropped();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Locks;
    use crate::system::on_thread;

    #[test]
    fn a_lease_is_over_while_its_release_still_waits_for_a_renewal() {
        let (locks, _server) = Locks::in_memory();
        let guard = on_thread::block_on(locks.lock("k").acquire_async()).expect("it is free");
        let lease = guard.lease();
        let [held] = lease.locks() else { panic!("one lock") };
        let renewing = held.exchanging.try_lock().expect("nothing is under way");
        drop(guard);
        assert!(locks.lock("k").try_acquire().is_err(), "it is not released yet");
        assert!(!lease.is_valid() && lease.remaining().is_zero());
        let error = lease.check().expect_err("its holder is done");
        assert!(error.is_lost() && error.to_string().contains(RELEASED), "{error}");
        assert!(held.is_released(), "no inner function enters it again");
        drop(renewing);
        assert!(locks.flush(Duration::from_secs(60)));
        assert!(locks.lock("k").try_acquire().is_ok());
    }

    #[test]
    fn debug_output_of_guards_is_short_and_escaped() {
        let (locks, _server) = Locks::in_memory();
        let key = format!("\u{1b}\u{202e}{}", "x".repeat(40_000));
        let request = locks.lock(key.as_str());
        let asked = format!("{request:?}");
        let guard = request.acquire().expect("it is free");
        for shown in [asked, format!("{guard:?} {:?} {locks:?}", guard.lease())] {
            assert!(shown.len() < 1000, "{} bytes", shown.len());
            assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
        }
    }
}
