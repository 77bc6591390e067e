//! Writing the item of a lock, what the server said of that, and giving back what is no grant.

use std::borrow::Borrow;

use smallvec::smallvec;

use super::{Acquire, AcquireState, Along, LOST_WRITES, Outcome, exchange};
use crate::protocol::grant::{Grant, Stored};
use crate::protocol::lease::Now;
use crate::protocol::machine::{Exchanged, Output, lock_of};
use crate::protocol::messages::{Batch, Cas, Instance, Nonce, Refusal, Reply, Request, Unanswered};
use crate::protocol::spec::Spec;

impl<S: Borrow<Spec>> Acquire<S> {
    pub(super) fn add(&mut self, now: Now, nonce: Nonce) -> Output<Outcome> {
        if !self.may_ask() {
            return self.rest(now);
        }
        self.state = AcquireState::Adding { nonce };
        self.clock_asked = Some(now.instant);
        let term = self.spec().term();
        let (record, ttl) = (self.spec().record(nonce, term), term.ttl);
        // The clock is read *before* the write: a tick between the two then understates the expiry. Read after it, a
        // late tick overstated the expiry by 2 s.
        let mut batch: Batch = smallvec![
            Request::ReadClock,
            Request::Add { record, ttl },
            // Behind the store: see the module's head.
            Request::RaiseCounter
        ];
        if self.standing.as_ref().is_some_and(|standing| standing.waits_in_line()) {
            // Who has its turn is to leave the line, and to call the next: with this it can, as it releases the lock.
            batch.push(Request::ReadLine);
        }
        exchange(batch, None)
    }

    pub(super) fn take_over(&mut self, now: Now, nonce: Nonce, cas: Cas, instance: Instance) -> Output<Outcome> {
        if !self.may_ask() {
            return self.rest(now);
        }
        self.state = AcquireState::TakingOver { nonce };
        let term = self.spec().term();
        let (record, ttl) = (self.spec().record(nonce, term), term.ttl);
        // Only where the CAS was read: on a restarted server the same number may be a stranger's.
        exchange(
            smallvec![
                Request::ReadClock,
                Request::Replace { record, ttl, cas },
                Request::RaiseCounter
            ],
            Some(instance),
        )
    }

    pub(super) fn clear(&mut self, now: Now, nonce: Nonce, cas: Cas, instance: Instance) -> Output<Outcome> {
        if !self.may_ask() {
            return self.rest(now);
        }
        self.state = AcquireState::Clearing { nonce };
        exchange(smallvec![Request::Delete { cas }], Some(instance))
    }

    /// The server has stored our record: a grant, if there is a token for it, and enough of it is left.
    pub(super) fn stored(&mut self, now: Now, nonce: Nonce, cas: Cas, answered: &Exchanged) -> Output<Outcome> {
        self.watch = None;
        let (instance, raised) = match (answered.instance, answered.reply(2)) {
            (Some(instance), Some(Reply::Raised(raised))) => (instance, *raised),
            // A token from anywhere else might be lower than that of an earlier grant, so it is none.
            (Some(instance), Some(Reply::Refused(refusal))) => {
                return self.delete_own(nonce, cas, instance, Some(refusal.clone()));
            }
            // Whether a token is as it should be is not known, and so it is an attempt without a reply, whatever is known of its item.
            _ => {
                self.outstanding.push(nonce);
                return self.lost_write(now, answered, |acquire| acquire.look(now));
            }
        };
        self.failures = 0;
        let term = self.spec().term();
        let end = answered.end_of(term.lease, term.ttl);
        let stored = Stored { instance, cas, raised };
        let Some(grant) = Grant::of_stored(self.spec(), term, nonce, stored, end) else {
            self.outstanding.push(nonce);
            return self.end(Outcome::Untrustworthy);
        };
        if let Some(standing) = &mut self.standing {
            standing.granted(nonce, now);
        }
        if answered.reply(0) == Some(&Reply::Missing) && !self.has_made_clock {
            // A server whose clock stood still dates the item by it, and nothing shows that without the clock item: the
            // grant would stand on the TTL alone. If it is missing again it has to.
            self.has_made_clock = true;
            self.state = AcquireState::MakingClock { grant: Box::new(grant) };
            self.must_ask();
            return exchange(smallvec![Request::CreateClock], None);
        }
        if stored.is_undisturbed() || !self.has_enough_left(&grant, now) {
            return self.check(now, grant);
        }
        self.state = AcquireState::Verifying { grant: Box::new(grant) };
        self.must_ask();
        exchange(smallvec![Request::Read], Some(instance))
    }

    /// Whether the item of `grant` was still there after the counter had been raised.
    pub(super) fn verified(
        &mut self,
        now: Now,
        fresh: Nonce,
        mut grant: Grant,
        answered: &Exchanged,
    ) -> Output<Outcome> {
        if let Some(Reply::Item { content, cas }) = answered.reply(0)
            && lock_of(&self.spec().item, content).is_some_and(|record| record.nonce == grant.nonce)
        {
            grant.cas = *cas;
            return self.check(now, grant);
        }
        // Once it is seen not to be there it is settled: it was stored, and that happens once.
        if !matches!(answered.reply(0), Some(Reply::Missing | Reply::Item { .. })) {
            self.outstanding.push(grant.nonce);
        }
        self.looked(now, fresh, Along::Nothing, answered)
    }

    /// Hands the grant out, or back: a holder that is let in with little time left only loses its lease.
    pub(super) fn check(&mut self, now: Now, grant: Grant) -> Output<Outcome> {
        if self.has_enough_left(&grant, now) {
            return self.end(Outcome::Granted(grant));
        }
        self.short_grants += 1;
        self.give_back(&grant)
    }

    pub(super) fn has_enough_left(&self, grant: &Grant, now: Now) -> bool {
        grant.deadline.remaining(now) >= self.spec().timeout / 2
    }

    pub(super) fn give_back(&mut self, grant: &Grant) -> Output<Outcome> {
        self.delete_own(grant.nonce, grant.cas, grant.instance, None)
    }

    /// Deletes what was stored under `nonce`, and then asks again, or ends with `no_token`.
    pub(super) fn delete_own(
        &mut self,
        nonce: Nonce,
        cas: Cas,
        instance: Instance,
        no_token: Option<Refusal>,
    ) -> Output<Outcome> {
        self.state = AcquireState::GivingBack { nonce, no_token };
        self.must_ask();
        exchange(smallvec![Request::Delete { cas }], Some(instance))
    }

    /// A write got no reply that proves anything.
    pub(super) fn unanswered_write(
        &mut self,
        now: Now,
        fresh: Nonce,
        nonce: Nonce,
        answered: &Exchanged,
    ) -> Output<Outcome> {
        if answered.why_unanswered().is_ambiguous() {
            self.outstanding.push(nonce);
            return self.lost_write(now, answered, |acquire| acquire.look(now));
        }
        self.lost_write(now, answered, |acquire| {
            if acquire.has_looked {
                acquire.look(now)
            } else {
                acquire.add(now, fresh)
            }
        })
    }

    /// The same as [`unreachable`](Self::unreachable), for a write.
    pub(super) fn lost_write(
        &mut self,
        now: Now,
        answered: &Exchanged,
        again: impl FnOnce(&mut Acquire<S>) -> Output<Outcome>,
    ) -> Output<Outcome> {
        match answered.why_unanswered() {
            unanswered @ (Unanswered::NotSent | Unanswered::Cut | Unanswered::Late) => {
                self.lost_writes += 1;
                if self.lost_writes >= LOST_WRITES {
                    return self.end(Outcome::Unreachable(unanswered));
                }
            }
            Unanswered::TooYoung | Unanswered::OtherInstance | Unanswered::Contradicted => {}
        }
        self.unreachable(now, answered, again)
    }
}
