//! [`TurnState`]: which caller of a process may ask for one lock, or holds it. The queue calls these functions under
//! its lock. The queue knows its waiting callers, and which of them to wake; `TurnState` knows only the numbers of
//! turns.
//!
//! Turns are numbered, and one is present. A caller with another number has lost its turn: its lease ended before it
//! was done, or it did not come for the grant that was handed over to it. It hands nothing over, takes nothing, and
//! passes nothing on. A grant on its way from one holder to the next is kept here, where nobody believes in it.

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
    /// The end of the lease that was granted in this turn, or handed over with it, on the monotonic clock. `None` while
    /// there is none.
    leased_until: Option<Duration>,
    /// The grant that was handed over with the present turn, until the turn's caller takes it. Nobody believes in it
    /// meanwhile. Boxed, so that queues without one stay small.
    handed: Option<Box<Grant>>,
}

/// The state of the turn of one caller in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnStatus {
    /// The turn has not come yet.
    Wait,
    /// The caller before it has not finished by the end of its lease, and loses the turn. The [next](TurnState::next)
    /// turn is this caller's.
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

    /// Returns the state in which turn `number` is present, and nothing is known.
    pub fn begun(number: u64) -> TurnState {
        TurnState {
            present: number,
            ..TurnState::default()
        }
    }

    /// Returns the state in which turn `number` is present, and `watch` is what was seen of the holder before.
    pub fn begun_after(number: u64, watch: Option<Watch>) -> TurnState {
        TurnState {
            watch,
            ..TurnState::begun(number)
        }
    }

    /// Whether turn `number` is the present one.
    pub fn is_present(&self, number: u64) -> bool {
        self.present == number
    }

    /// Ends the present turn, and begins turn `number`.
    pub fn next(&mut self, number: u64) {
        self.present = number;
        self.leased_until = None;
    }

    /// Records that a lease in the present turn lasts until `until`.
    pub fn leased(&mut self, until: Duration) {
        self.leased_until = Some(until);
    }

    /// The end of the lease in the present turn, on the monotonic clock.
    pub fn leased_until(&self) -> Option<Duration> {
        self.leased_until
    }

    /// Records that a lease was granted or extended in turn `number`, and lasts until `until`. Returns whether that
    /// turn is the present one.
    pub fn granted(&mut self, number: u64, until: Duration, watch: Watch) -> bool {
        let is_present = self.is_present(number);
        if is_present {
            self.watch = Some(watch);
            self.leased(until);
        }
        is_present
    }

    /// Hands `grant` over: the holder in turn `number` is done with it, and the first caller in the queue asks for
    /// `timeout`. Returns whether the grant is kept here now. If so, the caller of this function must begin the
    /// [next](Self::next) turn, which is that first caller's, and [record](Self::leased) that it lasts for `timeout`:
    /// the first caller must take the grant within that time.
    pub fn hand_over(&mut self, number: u64, grant: &Grant, timeout: Duration, now: Now) -> bool {
        let is_handed = self.is_present(number) && grant.may_be_handed_over(timeout, now);
        if is_handed {
            // What is known of the holder does not change, so the watch stays.
            self.handed = Some(Box::new(grant.clone()));
        }
        is_handed
    }

    /// The status of a caller in the queue that was given turn `given` ([`NONE`](Self::NONE): none yet).
    pub fn claim(&self, given: u64, is_first: bool, now: Now) -> TurnStatus {
        if given == TurnState::NONE {
            let is_over = self.leased_until.is_some_and(|until| now.instant >= until);
            if is_first && is_over {
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
            // If this holder stops, the first caller in the queue steps in at `leased_until`. It needs the watch, so
            // the watch stays.
            self.leased_until = Some(grant.deadline.ends());
            None
        } else {
            self.leased_until = None;
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
