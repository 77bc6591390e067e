//! A waiter as other callers see it: what it is told without a lock, and what it announces about its sleep.
//!
//! Others tell it things under the shard's lock, but the waiter looks for them without that lock, right before it goes
//! to sleep. Two questions are asked across that gap. In each case, one of the two sides sees what the other has just
//! written:
//!
//! * *Must it be woken for its turn?* The giver first stores the turn and then asks whether the waiter is awake
//!   ([`give_turn`](Waiter::give_turn)); the waiter first stores that it is not awake, and then looks for its turn
//!   ([`stay_awake`](Waiter::stay_awake), [`is_notified`](Waiter::is_notified)). Each side writes one location and then
//!   reads the other's: only [`Ordering::SeqCst`] keeps both from reading the old value.
//! * *Does it sleep beyond a lease?* From the moment at which it looks at the lease, under the lock, until it announces
//!   for how long it sleeps, it counts as sleeping for ever ([`observe_lease`](Waiter::observe_lease),
//!   [`announce_sleep`](Waiter::announce_sleep)). So a lease that is granted after that look wakes it
//!   ([`sleeps_past`](Waiter::sleeps_past)), sometimes needlessly, and a lease that was granted before that look was
//!   seen.
//!
//! A wake-up is not lost on a waiter that is not asleep yet: its next sleep ends at once.

use std::task::Waker;
use std::time::Duration;

use crate::error::Error;
use crate::protocol::TurnState;
use crate::system::sync::OnceLock;
use crate::system::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How late a waiter may come for what it could have seen in time.
pub(super) const STEP_IN_GRACE: Duration = Duration::from_millis(20);

/// See the module's head.
#[derive(Debug)]
pub(super) struct Waiter {
    /// For how long it asks to hold the lock.
    pub(super) timeout: Duration,
    /// Whether an early wake-up is of use to it.
    wakes_early: bool,
    waker: Waker,
    /// Whether it has left the line.
    has_left: AtomicBool,
    /// The number of the turn that it was given, or [`TurnState::NONE`].
    turn: AtomicU64,
    /// The error with which the head failed on behalf of all.
    failure: OnceLock<Error>,
    /// Whether it has been told that its turn is next, and soon.
    was_woken_early: AtomicBool,
    /// Set together with `was_woken_early`, and cleared when the waiter stays awake because of it.
    is_turn_near: AtomicBool,
    /// Whether it is looking for its turn all the time, and needs no wake-up.
    is_awake: AtomicBool,
    /// Whether its own time is over, and it waits only for the server's answer to the head.
    awaits_answer: AtomicBool,
    /// Whether that answer has come since the waiter last looked.
    is_answered: AtomicBool,
    /// When it wakes up by itself, in nanoseconds on the monotonic clock.
    wakes_at: AtomicU64,
}

impl Waiter {
    /// A waiter that asks for `timeout`. With `is_turn_near` its turn is next, and soon.
    pub(super) fn new(timeout: Duration, wakes_early: bool, is_turn_near: bool, waker: Waker) -> Waiter {
        Waiter {
            timeout,
            wakes_early,
            waker,
            has_left: AtomicBool::new(false),
            turn: AtomicU64::new(TurnState::NONE),
            failure: OnceLock::new(),
            was_woken_early: AtomicBool::new(is_turn_near),
            is_turn_near: AtomicBool::new(is_turn_near),
            is_awake: AtomicBool::new(false),
            awaits_answer: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
            wakes_at: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// Gives it turn `number`. Returns whether it needs a wake-up.
    ///
    /// The caller holds the shard's lock, so that a waiter that leaves at this moment finds out that it has a turn to
    /// pass on.
    pub(super) fn give_turn(&self, number: u64) -> bool {
        self.turn.store(number, Ordering::SeqCst);
        // A waiter that is awake looks once more after it has stored that it is not.
        !self.is_awake.load(Ordering::SeqCst)
    }

    /// It leaves the line. Under the shard's lock.
    pub(super) fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
    }

    /// Whether it has left the line. Under the shard's lock.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }

    /// The turn that it was given, or [`TurnState::NONE`]. The caller holds the shard's lock.
    pub(super) fn given_turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// Clears the turn that it was given, which has passed to another waiter. The caller holds the shard's lock.
    pub(super) fn clear_turn(&self) {
        self.turn.store(TurnState::NONE, Ordering::Release);
    }

    /// Tells it that no waiter gets a turn, because the head failed with `failure`. At most one call per waiter.
    pub(super) fn dismiss(&self, failure: Error) {
        // Nothing else sets it.
        let _ = self.failure.set(failure);
        self.wake();
    }

    /// Why no waiter gets a turn.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }

    /// Whether it has been told anything: a turn, a failure, or an answer.
    pub(super) fn is_notified(&self) -> bool {
        self.turn.load(Ordering::SeqCst) != TurnState::NONE
            || self.failure.get().is_some()
            || self.is_answered.load(Ordering::Acquire)
    }

    /// Records whether it waits only for the server's answer to the head, which has not come yet. The caller holds the
    /// shard's lock.
    pub(super) fn set_awaits_answer(&self, awaits_answer: bool) {
        self.awaits_answer.store(awaits_answer, Ordering::Relaxed);
        self.is_answered.store(false, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn awaits_answer(&self) -> bool {
        self.awaits_answer.load(Ordering::Relaxed)
    }

    /// Tells it that the server has answered the head, or has failed to, if it waits for that. Returns whether it needs
    /// a wake-up. The caller holds the shard's lock.
    pub(super) fn notify_of_answer(&self) -> bool {
        let awaits_answer = self.awaits_answer.swap(false, Ordering::Relaxed);
        if awaits_answer {
            self.is_answered.store(true, Ordering::Release);
        }
        awaits_answer
    }

    /// Tells it that its turn is next, and soon. Returns whether it needs a wake-up for that, which it does once at
    /// most. The caller holds the shard's lock.
    pub(super) fn wake_early(&self) -> bool {
        let needs_wake_up = self.wakes_early && !self.was_woken_early.swap(true, Ordering::Relaxed);
        if needs_wake_up {
            self.is_turn_near.store(true, Ordering::Release);
        }
        needs_wake_up
    }

    /// Acts as if it had been woken early again.
    #[cfg(test)]
    pub(super) fn set_turn_near(&self) {
        self.is_turn_near.store(true, Ordering::Release);
    }

    /// If its turn is near: looks for a notification up to `looks` times, with `pause` in between, and is not woken
    /// meanwhile.
    pub(super) fn stay_awake(&self, mut looks: u32, pause: impl Fn()) {
        if !self.is_turn_near.swap(false, Ordering::AcqRel) {
            return;
        }
        self.is_awake.store(true, Ordering::SeqCst);
        while looks > 0 && !self.is_notified() {
            pause();
            looks -= 1;
        }
        self.is_awake.store(false, Ordering::SeqCst);
    }

    /// Records that it looks at the lease of the holder before it. The caller holds the shard's lock.
    pub(super) fn observe_lease(&self) {
        self.wakes_at.store(u64::MAX, Ordering::Release);
    }

    /// Announces that it is about to sleep until `wakes_at` on the monotonic clock, unless it is woken.
    pub(super) fn announce_sleep(&self, wakes_at: Duration) {
        self.wakes_at.store(nanos(wakes_at), Ordering::Release);
    }

    /// Whether it has not looked by `now`, although it should have, by its own announcement and a little more: its
    /// future is not polled, or its thread is stopped. The caller holds the shard's lock.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        self.wakes_at.load(Ordering::Acquire) < nanos(now.saturating_sub(STEP_IN_GRACE))
    }

    /// Whether it sleeps beyond the end of a lease that lasts `until`, and has to be woken to see it. The caller holds
    /// the shard's lock.
    pub(super) fn sleeps_past(&self, until: Duration) -> bool {
        self.wakes_at.load(Ordering::Acquire) > nanos(until)
    }
}

/// Nanoseconds, for an atomic: they suffice for 584 years.
pub(super) fn nanos(instant: Duration) -> u64 {
    u64::try_from(instant.as_nanos()).unwrap_or(u64::MAX)
}
