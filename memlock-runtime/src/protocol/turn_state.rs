//! [`TurnState`]: which caller of a process may ask for one lock, or holds it. The queue calls these functions under
//! its lock. The queue knows its waiting callers, and which of them to wake; `TurnState` knows only the numbers of
//! turns.
//!
//! Turns are numbered, and one is present. Each ends by itself: with the lease that was granted in it, or, without a
//! lease, when its caller has had the time to move. A caller may be a future that is not polled, or a thread that is
//! stopped, so nothing waits for it without a limit. A caller with another number has lost its turn. It hands nothing
//! over, takes nothing, and passes nothing on. A grant on its way from one holder to the next is kept here, where nobody
//! believes in it.

use std::time::Duration;

use super::grant::{Grant, Handed};
use super::lease::Now;
use super::watch::Watch;

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TurnState {
    present: u64,
    /// What is known of the present holder. The next caller in the queue watches by it if the process is no longer sure
    /// of that holder.
    watch: Option<Watch>,
    /// When the present turn ends by itself, on the monotonic clock: with the lease that was granted in it, or when its
    /// caller must have moved.
    ends: Duration,
    /// Whether a lease was granted in this turn, or handed over with it.
    is_leased: bool,
    /// The grant that was handed over with the present turn, until the turn's caller takes it. Nobody believes in it
    /// meanwhile. Boxed, so that queues without one stay small.
    handed: Option<Box<Grant>>,
}

/// The state of the turn of one caller in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnStatus {
    /// The turn has not come yet.
    Wait,
    /// The caller before it has not finished by the end of its turn, and loses it. The [next](TurnState::next) turn is
    /// this caller's.
    StepIn,
    /// The turn came, and the caller has lost it since.
    TooLate,
    /// The turn has come.
    Mine,
}

/// What comes with a turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taken {
    /// The turn's number.
    pub number: u64,
    /// What is known of the lock's present holder.
    pub watch: Option<Watch>,
    /// The grant that was handed over with the turn.
    pub handed: Option<Handed>,
}

impl TurnState {
    /// The number of no turn.
    pub const NONE: u64 = 0;

    /// Returns the state in which turn `number` is present until `ends`, and nothing is known.
    pub fn begun(number: u64, ends: Duration) -> TurnState {
        TurnState {
            present: number,
            ends,
            ..TurnState::default()
        }
    }

    /// Returns the same state, where `watch` is what was seen of the holder before.
    #[must_use]
    pub fn after(self, watch: Option<Watch>) -> TurnState {
        TurnState { watch, ..self }
    }

    /// Whether turn `number` is the present one.
    pub fn is_present(&self, number: u64) -> bool {
        self.present == number
    }

    /// Ends the present turn, and begins turn `number`, which lasts until `ends` unless its caller moves.
    pub fn next(&mut self, number: u64, ends: Duration) {
        self.present = number;
        self.ends = ends;
        self.is_leased = false;
    }

    /// Extends turn `number` to `ends`, since its caller has moved. Returns whether that turn is the present one.
    pub fn extend(&mut self, number: u64, ends: Duration) -> bool {
        let is_present = self.is_present(number);
        if is_present && !self.is_leased {
            self.ends = self.ends.max(ends);
        }
        is_present
    }

    /// When the present turn ends by itself, on the monotonic clock.
    pub fn ends(&self) -> Duration {
        self.ends
    }

    /// The end of the lease that was granted in the present turn, on the monotonic clock.
    pub fn leased_until(&self) -> Option<Duration> {
        self.is_leased.then_some(self.ends)
    }

    /// What is known of the grant under which a caller of this process holds the lock in the present turn.
    pub fn own_watch(&self) -> Option<Watch> {
        self.watch.filter(|_| self.is_leased)
    }

    /// Whether a lease was granted in the present turn, or lies here for its caller.
    pub fn is_leased(&self) -> bool {
        self.is_leased || self.handed.is_some()
    }

    /// Records that a lease was granted or extended in turn `number`, and lasts until `until`. Returns whether that
    /// turn is the present one.
    pub fn granted(&mut self, number: u64, until: Duration, watch: Watch) -> bool {
        let is_present = self.is_present(number);
        if is_present {
            self.watch = Some(watch);
            (self.ends, self.is_leased) = (until, true);
        }
        is_present
    }

    /// Hands `grant` over: the holder in turn `number` is done with it, and the first caller in the queue asks for
    /// `timeout`. Returns whether the grant is kept here now. If so, the caller of this function must begin the
    /// [next](Self::next) turn, which is that first caller's and lasts for `timeout` at most: the first caller must take
    /// the grant within that time.
    pub fn hand_over(&mut self, number: u64, grant: &Grant, timeout: Duration, now: Now) -> bool {
        let is_handed = self.is_present(number) && grant.may_be_handed_over(timeout, now);
        if is_handed {
            // What is known of the holder does not change, so the watch stays.
            self.handed = Some(Box::new(grant.clone()));
        }
        is_handed
    }

    /// The status of a caller in the queue that was given turn `given` ([`NONE`](Self::NONE): none yet). It leaves the
    /// callers before it `grace` after the end of the turn to step in. The first caller has none to leave it to.
    pub fn claim(&self, given: u64, grace: Duration, now: Now) -> TurnStatus {
        if given == TurnState::NONE {
            if now.instant >= self.ends.saturating_add(grace) {
                TurnStatus::StepIn
            } else {
                TurnStatus::Wait
            }
        } else if given != self.present {
            // The caller that stepped in has taken the grant, if there was one.
            TurnStatus::TooLate
        } else {
            TurnStatus::Mine
        }
    }

    /// Takes what comes with the present turn, for a caller that asks for `timeout`.
    pub fn take(&mut self, timeout: Duration, now: Now) -> Taken {
        let handed = self.handed.take().map(|grant| grant.hand_over(timeout, now));
        let watch = if let Some(Handed::Over(grant)) = &handed {
            // If this holder stops, another caller steps in at the end of its lease. It needs the watch, so the watch
            // stays.
            (self.ends, self.is_leased) = (grant.deadline.ends(), true);
            None
        } else {
            self.watch.take()
        };
        Taken {
            number: self.present,
            watch,
            handed,
        }
    }

    /// Leaves the present turn. `watch` is what was seen of the holder in it. `untaken` is a grant that was handed over
    /// with the turn and not taken; it passes to the next turn.
    pub fn leave(&mut self, watch: Option<Watch>, untaken: Option<Handed>) {
        if !matches!(untaken, Some(Handed::Over(_))) {
            self.watch = watch;
        }
        self.handed = untaken.map(|untaken| Box::new(untaken.into_grant()));
    }

    /// The grant that was handed over and not taken yet.
    pub fn handed(&self) -> Option<&Grant> {
        self.handed.as_deref()
    }

    /// Takes what is left when no caller is in the queue any more: what was seen of the holder, and a grant that nobody
    /// took.
    pub fn take_remains(&mut self) -> (Option<Watch>, Option<Grant>) {
        (self.watch, self.handed.take().map(|grant| *grant))
    }
}
