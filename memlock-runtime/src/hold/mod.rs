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

/// A lock that was granted. Shared between its guard, the leases taken from it, and the background.
pub(crate) struct HeldLock {
    core: Arc<Core>,
    spec: Spec,
    token: Token,
    /// Whether it is a reservation: kept for a retry, and no body runs under it.
    is_reservation: bool,
    /// Whether its holder is done with it. The release may still have to wait for a renewal.
    is_given_up: AtomicBool,
    state: Mutex<HeldLockState>,
    /// Held while a renewal or the release is under way, so that they follow each other; never while reading `state`.
    exchanging: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct HeldLockState {
    holding: LeaseState,
    turn: Option<Turn>,
    /// Why it was lost before it was released, if it was. [`Status::Released`] does not tell.
    lost: Option<Loss>,
    /// Why the last renewal failed, unless one has succeeded since.
    trouble: Option<Source>,
    /// The background task that renews the lock, or waits for the end of a reservation. It ends with the lock, so that a lock with a
    /// long timeout leaves nothing behind when it is released.
    meanwhile: Option<background::Task>,
}

const RAN_OUT: &str = "it ran out; give it a longer `timeout`, or `renew` it";
const RELEASED: &str = "it has been released";
const TAKEN: &str = "its item on the server is gone or another's";

impl HeldLock {
    /// A lock that the server granted, or that was handed over with the turn.
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
                holding: LeaseState::new(grant),
                turn,
                lost: None,
                trouble: None,
                meanwhile: None,
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

    /// From now on a kept lease says that it was released.
    ///
    /// The release waits behind a renewal that is under way; the body is done before that.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// Runs `task` in the background, as long as the lock is held.
    pub(crate) fn run_meanwhile(&self, task: impl Future<Output = ()> + Send + 'static) {
        match background::spawn_owned(task) {
            Ok(task) => {
                let mut state = self.state();
                // Otherwise another thread has released it, and nothing would end the task.
                if state.holding.last_status() == Status::Held {
                    state.meanwhile = Some(task);
                }
            }
            Err(error) => tracing::error!(
                target: "memlock", lock = %self.spec.item, %error, "could not start the thread for background work"
            ),
        }
    }

    /// How much of the lease is left; zero once it is lost or released.
    pub(crate) fn remaining(&self) -> Duration {
        if self.is_given_up() || self.core.is_inherited() {
            return Duration::ZERO;
        }
        let now = self.core().now();
        self.state().holding.remaining(now)
    }

    pub(crate) fn is_released(&self) -> bool {
        self.is_given_up() || self.state().holding.last_status() == Status::Released
    }

    /// Returns the error that says how the lease was lost, or that it was released. `None`: it is held.
    pub(crate) fn lost(&self) -> Option<Error> {
        if let Err(inherited) = self.core.check_process() {
            return Some(inherited);
        }
        let now = self.core().now();
        let mut state = self.state();
        match state.holding.status(now) {
            Status::Held if !self.is_given_up() => None,
            over => Some(self.not_held(over, &state)),
        }
    }

    /// Keeps other exchanges about this lock from beginning. `None`: one is under way, and `limit` ended before it did.
    async fn exchange_alone(&self, caller: Caller, limit: ExchangeLimit) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if let Ok(alone) = self.exchanging.try_lock() {
            return Some(alone);
        }
        // A renewal in the background has a limit of its own, and may have just begun.
        match limit.until_end(|| self.core().now()) {
            Some(left) => caller.lock_within(&self.exchanging, left).await,
            None => Some(self.exchanging.lock().await),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_exchanging(&self) -> bool {
        self.exchanging.try_lock().is_err()
    }

    /// The error of using a lock that is `over`.
    fn not_held(&self, over: Status, state: &HeldLockState) -> Error {
        let loss = match over {
            Status::Lost(loss) => Some(loss),
            Status::Held | Status::Released => state.lost,
        };
        match loss {
            Some(loss) => self.lost_because(loss, state.trouble.as_ref()),
            None => Error::lost(self.spec.item.as_str(), RELEASED, None),
        }
    }

    fn lost_because(&self, loss: Loss, trouble: Option<&Source>) -> Error {
        let source = trouble.filter(|_| loss == Loss::RanOut).map(Arc::clone);
        Error::lost(self.spec.item.as_str(), self.reason(loss, trouble), source)
    }

    /// Why it was lost, for people. `trouble` is why its last renewal failed.
    fn reason(&self, loss: Loss, trouble: Option<&Source>) -> Cow<'static, str> {
        match (loss, trouble) {
            (Loss::RanOut, None) => RAN_OUT.into(),
            (Loss::RanOut, Some(trouble)) => {
                let server = self.core().store.server_name(self.spec.server);
                format!("it could not be renewed: memcached server {server} is unavailable: {trouble}").into()
            }
            (Loss::Taken, _) => TAKEN.into(),
        }
    }

    fn state(&self) -> MutexGuard<'_, HeldLockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Nearly always it is released, and that is known without a clock or a lock.
        if state.holding.last_status() == Status::Released {
            return;
        }
        if self.core.is_inherited() {
            // The lock, and the place in the queue, are the parent's.
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
    fn a_lease_is_over_before_its_release_has_waited_for_a_renewal() {
        let (locks, _server) = Locks::in_memory();
        let guard = on_thread::block_on(locks.lock("k").acquire_async()).expect("it is free");
        let lease = guard.lease();
        let [hold] = lease.locks() else { panic!("one lock") };
        let renewing = hold.exchanging.try_lock().expect("nothing is under way");
        drop(guard);
        assert!(locks.lock("k").try_acquire().is_err(), "it is not released yet");
        assert!(!lease.is_valid() && lease.remaining().is_zero());
        let error = lease.check().expect_err("its holder is done");
        assert!(error.is_lost() && error.to_string().contains(RELEASED), "{error}");
        assert!(hold.is_released(), "nobody enters it again");
        drop(renewing);
        assert!(locks.flush(Duration::from_secs(60)));
        assert!(locks.lock("k").try_acquire().is_ok());
    }

    #[test]
    fn what_holders_show_of_themselves_is_short() {
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
