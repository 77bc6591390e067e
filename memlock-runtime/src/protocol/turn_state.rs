//! Whose turn it is in one process to ask for one lock, or to hold it. The queue calls each of these functions under its lock. It
//! knows who stands in line and which waiters to wake; here are only the numbers of turns.
//!
//! Turns are numbered, and one is present. A caller whose number is no longer present has lost its turn: its lease ended before it
//! was done, or it did not come for what was handed over to it. It hands nothing over, takes nothing, and passes nothing on. A
//! grant on its way from one holder to the next lies here, where nobody believes in it.

use std::time::Duration;

use super::grant::{Grant, Handed};
use super::lease::Now;
use super::watch::Watch;

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TurnState {
    present: u64,
    /// What is known of the holder of whom the process is not sure any more, for the next in line.
    watch: Option<Watch>,
    /// When the lease ends that was granted in this turn, or handed over with it, on the monotonic clock; `None` while
    /// there is none.
    leased_until: Option<Duration>,
    /// The grant that was handed over with the present turn, until its taker comes for it. Nobody believes in it meanwhile.
    /// Boxed, so that queues in which nothing lies stay small.
    handed: Option<Box<Grant>>,
}

/// What one in line finds out about its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnStatus {
    /// It has not come yet.
    Wait,
    /// The one before is stopped past its lease: the turn is taken away from it, and [next](TurnState::next) is this one's.
    StepIn,
    /// It came, and was taken away since.
    TooLate,
    /// It has come.
    Mine,
}

/// What comes with a turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taken {
    /// The turn's number.
    pub number: u64,
    /// What is known of the present holder outside.
    pub watch: Option<Watch>,
    /// The grant that was handed over with it.
    pub handed: Option<Handed>,
}

impl TurnState {
    /// No turn's number.
    pub const NONE: u64 = 0;

    /// Turn `number` is the present one, and nothing is known.
    pub fn begun(number: u64) -> TurnState {
        TurnState {
            present: number,
            ..TurnState::default()
        }
    }

    /// The same, when `watch` is what was seen of the holder before.
    pub fn begun_after(number: u64, watch: Option<Watch>) -> TurnState {
        TurnState {
            watch,
            ..TurnState::begun(number)
        }
    }

    /// Whether `number` is the present turn's.
    pub fn is_present(&self, number: u64) -> bool {
        self.present == number
    }

    /// The present turn is over, and `number` begins.
    pub fn next(&mut self, number: u64) {
        self.present = number;
        self.leased_until = None;
    }

    /// A lease in the present turn lasts for `until`.
    pub fn leased(&mut self, until: Duration) {
        self.leased_until = Some(until);
    }

    /// When the lease ends that is held in the present turn, on the monotonic clock.
    pub fn leased_until(&self) -> Option<Duration> {
        self.leased_until
    }

    /// A lease was granted in turn `number`, or extended, and lasts for `until`. Returns whether it is the present turn.
    pub fn granted(&mut self, number: u64, until: Duration, watch: Watch) -> bool {
        let is_present = self.is_present(number);
        if is_present {
            self.watch = Some(watch);
            self.leased(until);
        }
        is_present
    }

    /// The holder in turn `number` is done with `grant`, and the first in line asks for `timeout`. `true`: the grant lies
    /// here now, and the [next](Self::next) turn is to begin, of the first in line, who is [expected](Self::leased) within
    /// its timeout.
    pub fn hand_over(&mut self, number: u64, grant: &Grant, timeout: Duration, now: Now) -> bool {
        let is_handed = self.is_present(number) && grant.may_be_handed_over(timeout, now);
        if is_handed {
            // What is known of the holder from outside does not change.
            self.handed = Some(Box::new(grant.clone()));
        }
        is_handed
    }

    /// How one in line fares that was given turn `given` ([`NONE`](Self::NONE) for none yet).
    pub fn claim(&self, given: u64, is_first: bool, now: Now) -> TurnStatus {
        if given == TurnState::NONE {
            let is_over = self.leased_until.is_some_and(|until| now.instant >= until);
            if is_first && is_over {
                TurnStatus::StepIn
            } else {
                TurnStatus::Wait
            }
        } else if given != self.present {
            // Whoever stepped in has the grant now, if there was one.
            TurnStatus::TooLate
        } else {
            TurnStatus::Mine
        }
    }

    /// What comes with the present turn for one who asks for `timeout`.
    pub fn take(&mut self, timeout: Duration, now: Now) -> Taken {
        let handed = self.handed.take().map(|grant| grant.hand_over(timeout, now));
        let watch = if let Some(Handed::Over(grant)) = &handed {
            // What the first in line needs to know stays where it is.
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

    /// The present turn is over, and `watch` is what was seen of the holder in it. What was handed over with it and not taken
    /// goes on to the next.
    pub fn leave(&mut self, watch: Option<Watch>, untaken: Option<Handed>) {
        if !matches!(untaken, Some(Handed::Over(_))) {
            self.watch = watch;
        }
        self.handed = untaken.map(|untaken| Box::new(untaken.into_grant()));
    }

    /// The grant that lies here.
    pub fn handed(&self) -> Option<&Grant> {
        self.handed.as_deref()
    }

    /// What is left when nobody is in line any more: what was seen of the holder, and the grant that nobody took.
    pub fn take_remains(&mut self) -> (Option<Watch>, Option<Grant>) {
        (self.watch, self.handed.take().map(|grant| *grant))
    }
}
