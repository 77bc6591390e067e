//! One who waits, as the others see it: what it is told without a lock, and what it tells of its sleep.
//!
//! It is told under the shard's lock, but looks without it, right before it goes to sleep. Two questions are asked across
//! that gap, each so that one of the two sees what the other has just said:
//!
//! * *Must it be woken for its turn?* Who gives the turn first stores it and then asks whether the waiter is awake
//!   ([`give`](Waiter::give)); the waiter first says that it is not, and then looks for its turn
//!   ([`stay_awake`](Waiter::stay_awake), [`has_news`](Waiter::has_news)). Each writes one place and then reads the other's:
//!   only [`Ordering::SeqCst`] keeps both from reading what was there before.
//! * *Does it sleep beyond a lease?* It is taken to sleep for ever from when it looks at the lease, under the lock, until it
//!   says for how long ([`looks`](Waiter::looks), [`sleeps_until`](Waiter::sleeps_until)). So a lease that is granted after
//!   that look wakes it ([`oversleeps`](Waiter::oversleeps)), needlessly at times, and one before it was seen.
//!
//! A wake-up is not lost on one who is not asleep yet: its next sleep ends at once.

use std::task::Waker;
use std::time::Duration;

use crate::error::Error;
use crate::protocol::TurnState;
use crate::system::sync::OnceLock;
use crate::system::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// See the module's head.
#[derive(Debug)]
pub(super) struct Waiter {
    /// For how long it is to hold the lock.
    pub(super) timeout: Duration,
    /// Whether it can make use of being woken early.
    wakes_early: bool,
    waker: Waker,
    /// The number of the turn that it was given, or [`TurnState::NONE`].
    turn: AtomicU64,
    /// What the head failed with, on behalf of all.
    verdict: OnceLock<Error>,
    /// Whether it knows that its turn is the next, and soon.
    was_woken: AtomicBool,
    /// The same, until it has stayed awake for that.
    is_near: AtomicBool,
    /// Whether it looks for its turn all the time, and needs no waking.
    is_awake: AtomicBool,
    /// Whether it waits for nothing but the server's answer to the head.
    is_curious: AtomicBool,
    /// Whether that was there, until it has looked.
    was_answered: AtomicBool,
    /// When it wakes up by itself, in nanoseconds on the monotonic clock.
    wakes_at: AtomicU64,
}

impl Waiter {
    /// One that asks for `timeout`. `is_near`: its turn is the next, and soon.
    pub(super) fn new(timeout: Duration, wakes_early: bool, is_near: bool, waker: Waker) -> Waiter {
        Waiter {
            timeout,
            wakes_early,
            waker,
            turn: AtomicU64::new(TurnState::NONE),
            verdict: OnceLock::new(),
            was_woken: AtomicBool::new(is_near),
            is_near: AtomicBool::new(is_near),
            is_awake: AtomicBool::new(false),
            is_curious: AtomicBool::new(false),
            was_answered: AtomicBool::new(false),
            wakes_at: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// Turn `number` is its own. Under the shard's lock, so that one who leaves at this moment finds out that the turn is
    /// its to pass on. Returns whether it is to be woken.
    pub(super) fn give(&self, number: u64) -> bool {
        self.turn.store(number, Ordering::SeqCst);
        // Whoever is awake looks once more after it has said that it is not.
        !self.is_awake.load(Ordering::SeqCst)
    }

    /// The turn that it was given, or [`TurnState::NONE`]. Under the shard's lock.
    pub(super) fn given(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// The turn that it was given is another's by now. Under the shard's lock.
    pub(super) fn forget_turn(&self) {
        self.turn.store(TurnState::NONE, Ordering::Release);
    }

    /// Nobody gets a turn, for this reason. To be said once.
    pub(super) fn dismiss(&self, verdict: Error) {
        // The only one that sets it.
        let _ = self.verdict.set(verdict);
        self.wake();
    }

    /// Why nobody gets a turn.
    pub(super) fn verdict(&self) -> Option<&Error> {
        self.verdict.get()
    }

    /// Whether it was told anything.
    pub(super) fn has_news(&self) -> bool {
        self.turn.load(Ordering::SeqCst) != TurnState::NONE
            || self.verdict.get().is_some()
            || self.was_answered.load(Ordering::Acquire)
    }

    /// Its time is over. Where it `is_curious` it waits for nothing but the server's answer to the head, and has none yet. Under
    /// the shard's lock.
    pub(super) fn is_curious(&self, is_curious: bool) {
        self.is_curious.store(is_curious, Ordering::Relaxed);
        self.was_answered.store(false, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn waits_for_answer(&self) -> bool {
        self.is_curious.load(Ordering::Relaxed)
    }

    /// Tells it, if it waits for that, that the server has answered, or has not. Under the shard's lock. Returns whether it is to be
    /// woken.
    pub(super) fn tell_curious(&self) -> bool {
        let is_curious = self.is_curious.swap(false, Ordering::Relaxed);
        if is_curious {
            self.was_answered.store(true, Ordering::Release);
        }
        is_curious
    }

    /// Its turn is the next, and soon. Under the shard's lock. Returns whether it is to be woken for that: once, if at all.
    pub(super) fn wake_early(&self) -> bool {
        let is_woken = self.wakes_early && !self.was_woken.swap(true, Ordering::Relaxed);
        if is_woken {
            self.is_near.store(true, Ordering::Release);
        }
        is_woken
    }

    /// As if it had been called early again.
    #[cfg(test)]
    pub(super) fn is_near_again(&self) {
        self.is_near.store(true, Ordering::Release);
    }

    /// If its turn is near: looks for news up to so many times, with `pause` in between, and is not woken meanwhile.
    pub(super) fn stay_awake(&self, mut looks: u32, pause: impl Fn()) {
        if !self.is_near.swap(false, Ordering::AcqRel) {
            return;
        }
        self.is_awake.store(true, Ordering::SeqCst);
        while looks > 0 && !self.has_news() {
            pause();
            looks -= 1;
        }
        self.is_awake.store(false, Ordering::SeqCst);
    }

    /// It looks at the lease of the one before it. Under the shard's lock.
    pub(super) fn looks(&self) {
        self.wakes_at.store(u64::MAX, Ordering::Release);
    }

    /// It is about to sleep until then, unless it is woken.
    pub(super) fn sleeps_until(&self, wakes_at: Duration) {
        self.wakes_at.store(nanos(wakes_at), Ordering::Release);
    }

    /// Whether it is to be woken to see a lease that lasts for `until`. Under the shard's lock.
    pub(super) fn oversleeps(&self, until: Duration) -> bool {
        self.wakes_at.load(Ordering::Acquire) > nanos(until)
    }
}

/// Nanoseconds, for an atomic: 584 years' worth.
pub(super) fn nanos(instant: Duration) -> u64 {
    u64::try_from(instant.as_nanos()).unwrap_or(u64::MAX)
}
