//! The limits on how often a contender asks: see the head of [`acquire`](super).

use std::borrow::Borrow;

use super::{Acquire, AcquireState, FAILURES, Outcome, ROUND, YOUNG_SERVER_PAUSE};
use crate::protocol::lease::Now;
use crate::protocol::machine::{Exchanged, Output, Pause};
use crate::protocol::messages::Unanswered;
use crate::protocol::spec::Spec;

impl<S: Borrow<Spec>> Acquire<S> {
    /// Takes the credit for one more exchange. Returns whether there was any; otherwise the contender must
    /// [pause](Self::pause_without_credit).
    pub(super) fn take_credit(&mut self) -> bool {
        let had_credit = self.credit > 0;
        self.spend_credit();
        had_credit
    }

    /// Spends the credit for one more exchange, even if none is left. It is for an exchange that follows from another
    /// one, and does not lead back by itself.
    pub(super) fn spend_credit(&mut self) {
        self.credit = self.credit.saturating_sub(1);
    }

    /// Pauses because the credit has run out, or ends if the wait is over: see the module's head.
    pub(super) fn pause_without_credit(&mut self, now: Now) -> Output<Outcome> {
        if self.wait_is_over(now) {
            // As far as this contender knows, another one holds the lock.
            if self.watch.is_some() {
                return self.end_busy();
            }
            return self.end(Outcome::Unreachable(Unanswered::Contradicted));
        }
        self.is_slowed_down = true;
        self.credit = self.credit.saturating_add(ROUND);
        self.state = AcquireState::Pausing { then_look: true };
        let longest = self.longest_pause(now).saturating_mul(ROUND.unsigned_abs().into());
        let left = self.wait_left(now);
        Output::Pause(Pause {
            from: left.min(longest / 2),
            to: left.min(longest),
        })
    }

    /// Handles an exchange that failed: tries once more on a new connection (`again`), then gives up.
    pub(super) fn handle_failed_exchange(
        &mut self,
        now: Now,
        answered: &Exchanged,
        again: impl FnOnce(&mut Acquire<S>) -> Output<Outcome>,
    ) -> Output<Outcome> {
        match answered.why_unanswered() {
            // The server is alive, and only too young. The contender waits for it as for a held lock.
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
