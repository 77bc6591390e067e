//! How often a contender asks: see the head of [`acquire`](super).

use std::borrow::Borrow;

use super::{Acquire, AcquireState, FAILURES, Outcome, ROUND, YOUNG_SERVER_PAUSE};
use crate::protocol::lease::Now;
use crate::protocol::machine::{Exchanged, Output, Pause};
use crate::protocol::messages::Unanswered;
use crate::protocol::spec::Spec;

impl<S: Borrow<Spec>> Acquire<S> {
    /// Whether it may make one more exchange now. Otherwise it is to [rest](Self::rest).
    pub(super) fn may_ask(&mut self) -> bool {
        let may = self.credit > 0;
        self.must_ask();
        may
    }

    /// It makes one more exchange, whatever is left: one that follows from another, and does not lead back by itself.
    pub(super) fn must_ask(&mut self) {
        self.credit = self.credit.saturating_sub(1);
    }

    /// Nothing comes of asking: see the module's head.
    pub(super) fn rest(&mut self, now: Now) -> Output<Outcome> {
        if self.wait_is_over(now) {
            // As far as is known another holds it.
            if self.watch.is_some() {
                return self.busy();
            }
            return self.end(Outcome::Unreachable(Unanswered::Contradicted));
        }
        self.goes_in_circles = true;
        self.credit = self.credit.saturating_add(ROUND);
        self.state = AcquireState::Pausing { then_look: true };
        let longest = self.longest_pause(now).saturating_mul(ROUND.unsigned_abs().into());
        let left = self.wait_left(now);
        Output::Pause(Pause {
            from: left.min(longest / 2),
            to: left.min(longest),
        })
    }

    /// An exchange failed: once more on a new connection, then give up.
    pub(super) fn unreachable(
        &mut self,
        now: Now,
        answered: &Exchanged,
        again: impl FnOnce(&mut Acquire<S>) -> Output<Outcome>,
    ) -> Output<Outcome> {
        match answered.why_unanswered() {
            // The server lives; it is only too young. This is a wait like any other.
            Unanswered::TooYoung if self.wait_is_over(now) => self.end(Outcome::Unreachable(Unanswered::TooYoung)),
            Unanswered::TooYoung => {
                self.failures = 0;
                self.state = AcquireState::Pausing {
                    then_look: self.has_looked,
                };
                let length = YOUNG_SERVER_PAUSE.min(self.wait_left(now));
                Output::Pause(Pause {
                    from: length,
                    to: length,
                })
            }
            Unanswered::OtherInstance => self.look(now),
            unanswered @ (Unanswered::NotSent | Unanswered::Cut | Unanswered::Late | Unanswered::Contradicted) => {
                self.failures += 1;
                if self.failures >= FAILURES {
                    self.end(Outcome::Unreachable(unanswered))
                } else {
                    again(self)
                }
            }
        }
    }
}
