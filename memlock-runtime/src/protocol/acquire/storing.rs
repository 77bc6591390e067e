//! Writes the lock's item, handles the server's replies to the write, and deletes an item that gave no grant.

use std::borrow::Borrow;

use smallvec::smallvec;

use super::{Acquire, AcquireState, LOST_WRITES, LookKind, Outcome, exchange};
use crate::protocol::grant::{Grant, Stored};
use crate::protocol::lease::Now;
use crate::protocol::machine::{Exchanged, Output, Pause, lock_of};
use crate::protocol::messages::{Batch, Cas, Instance, Nonce, Refusal, Reply, Request, Unanswered};
use crate::protocol::server_clock::TICK;
use crate::protocol::spec::Spec;

/// How many grants in a row may arrive with too little of their lease left.
pub(super) const SHORT_GRANTS: u8 = 3;

impl<S: Borrow<Spec>> Acquire<S> {
    /// Adds the item under `nonce`.
    pub(super) fn add(&mut self, now: Now, nonce: Nonce) -> Output<Outcome> {
        if !self.take_credit() {
            return self.pause_without_credit(now);
        }
        self.clock_asked = Some(now.instant);
        let lengths = self.spec().lengths();
        let (record, ttl) = (self.spec().record(nonce, lengths), lengths.ttl);
        // The clock is read *before* the write: a tick between the two then understates the expiry. Read after it, a
        // late tick overstated the expiry by 2 s.
        let mut batch: Batch = smallvec![
            Request::ReadClock,
            Request::Add { record, ttl },
            // Behind the store: see the module's head.
            Request::RaiseCounter
        ];
        let passing = self.wait_list.as_mut().and_then(|wait_list| wait_list.pass(now));
        self.state = AcquireState::Adding {
            nonce,
            passing: passing.is_some(),
        };
        let mut only_on = None;
        if let Some((store, instance)) = passing {
            // With the grant, so that a living one of those passed finds its mark as soon as it sees the new holder.
            batch.push(store);
            only_on = Some(instance);
        } else if self.wait_list.as_ref().is_some_and(|wait_list| wait_list.is_waiting()) {
            // A process that has had its turn must leave the list and wake the next one. With this read it can do both
            // while it releases the lock.
            batch.push(Request::ReadWaitList);
        }
        exchange(batch, only_on)
    }

    /// Replaces an item whose lease has been watched out.
    pub(super) fn take_over(&mut self, now: Now, nonce: Nonce, cas: Cas, instance: Instance) -> Output<Outcome> {
        if !self.take_credit() {
            return self.pause_without_credit(now);
        }
        self.state = AcquireState::TakingOver { nonce };
        let lengths = self.spec().lengths();
        let (record, ttl) = (self.spec().record(nonce, lengths), lengths.ttl);
        // The batch goes only to the instance where the CAS was read: after a restart the same number may be another
        // grant's.
        exchange(
            smallvec![
                Request::ReadClock,
                Request::Replace { record, ttl, cas },
                Request::RaiseCounter
            ],
            Some(instance),
        )
    }

    /// Deletes the item that an attempt without a reply left behind under `nonce`.
    pub(super) fn clear(&mut self, now: Now, nonce: Nonce, cas: Cas, instance: Instance) -> Output<Outcome> {
        if !self.take_credit() {
            return self.pause_without_credit(now);
        }
        self.state = AcquireState::Clearing { nonce };
        exchange(smallvec![Request::Delete { cas }], Some(instance))
    }

    /// Handles the reply that the item was stored. That is a grant if there is a token for it and enough of the lease
    /// is left.
    pub(super) fn handle_stored(&mut self, now: Now, nonce: Nonce, cas: Cas, answered: &Exchanged) -> Output<Outcome> {
        self.watch = None;
        let (instance, raised) = match (answered.instance, answered.reply(2)) {
            (Some(instance), Some(Reply::Raised(raised))) => (instance, *raised),
            // A token from anywhere else might be lower than that of an earlier grant, so this is not a grant.
            (Some(instance), Some(Reply::Refused(refusal))) => {
                return self.delete_own(nonce, cas, instance, Some(refusal.clone()));
            }
            // It is not known whether the counter was raised behind the store. So this is an attempt without a reply,
            // even though its item is known to be stored.
            _ => {
                self.outstanding.push(nonce);
                return self.handle_lost_write(now, answered, |acquire| acquire.look(now));
            }
        };
        self.failures = 0;
        let lengths = self.spec().lengths();
        let end = answered.end_of(lengths.lease, lengths.ttl);
        self.clock_behind = (end.length() < lengths.lease).then(|| answered.clock_lag());
        let stored = Stored { instance, cas, raised };
        let Some(grant) = Grant::of_stored(self.spec(), lengths, nonce, stored, end) else {
            self.outstanding.push(nonce);
            return self.end(Outcome::Untrustworthy);
        };
        if let Some(wait_list) = &mut self.wait_list {
            wait_list.record_grant(nonce, now);
        }
        if answered.reply(0) == Some(&Reply::Missing) && !self.has_made_clock {
            // A server whose clock stood still dates the item by it. Only the clock item shows that, and without it the
            // grant would stand on the TTL alone. If the clock item is missing a second time, the grant stands on it
            // all the same.
            self.has_made_clock = true;
            self.state = AcquireState::MakingClock { grant: Box::new(grant) };
            self.spend_credit();
            return exchange(smallvec![Request::CreateClock], None);
        }
        if stored.is_undisturbed() || !self.has_enough_left(&grant, now) {
            return self.grant_or_give_back(now, grant);
        }
        self.state = AcquireState::Verifying { grant: Box::new(grant) };
        self.spend_credit();
        exchange(smallvec![Request::Read], Some(instance))
    }

    /// Handles the read that shows whether the item of `grant` was still there after the counter had been raised.
    pub(super) fn handle_verification(
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
            return self.grant_or_give_back(now, grant);
        }
        // Once the item is seen to be gone, the store is settled: it has been executed, and it is executed only once.
        if !matches!(answered.reply(0), Some(Reply::Missing | Reply::Item { .. })) {
            self.outstanding.push(grant.nonce);
        }
        self.handle_look(now, fresh, LookKind::LockOnly, answered)
    }

    /// Ends with the grant, or gives it back: a holder that is let in with little time left only loses its lease.
    pub(super) fn grant_or_give_back(&mut self, now: Now, grant: Grant) -> Output<Outcome> {
        if self.has_enough_left(&grant, now) {
            return self.end(Outcome::Granted(grant));
        }
        self.short_grants += 1;
        self.give_back(&grant)
    }

    /// Asks again after a grant with too little left was given back, or gives up.
    pub(super) fn ask_again_after_short_grant(&mut self, now: Now, fresh: Nonce) -> Output<Outcome> {
        match self.clock_behind {
            _ if self.short_grants + 1 < SHORT_GRANTS => self.add(now, fresh),
            // The clock of a server that was stopped is right again by now. So this one may have lost time for good,
            // which shows as soon as it has ticked.
            Some(_) if self.short_grants < SHORT_GRANTS && !self.wait_is_over(now) => {
                self.state = AcquireState::Pausing { then_look: true };
                let length = TICK.min(self.wait_left(now));
                Output::Pause(Pause {
                    from: length,
                    to: length,
                })
            }
            _ if self.short_grants < SHORT_GRANTS => self.add(now, fresh),
            Some(lag) => self.end(Outcome::ClockBehind(lag)),
            None => self.end(Outcome::TooSlow),
        }
    }

    /// Whether half of the timeout is left.
    pub(super) fn has_enough_left(&self, grant: &Grant, now: Now) -> bool {
        grant.deadline.remaining(now) >= self.spec().timeout / 2
    }

    /// Deletes the item of a grant, and then asks again.
    pub(super) fn give_back(&mut self, grant: &Grant) -> Output<Outcome> {
        self.delete_own(grant.nonce, grant.cas, grant.instance, None)
    }

    /// Deletes the item that was stored under `nonce`, and then asks again, or ends with `no_token`.
    pub(super) fn delete_own(
        &mut self,
        nonce: Nonce,
        cas: Cas,
        instance: Instance,
        no_token: Option<Refusal>,
    ) -> Output<Outcome> {
        self.state = AcquireState::GivingBack { nonce, no_token };
        self.spend_credit();
        exchange(smallvec![Request::Delete { cas }], Some(instance))
    }

    /// Handles a write that got no reply, or a reply that proves nothing.
    pub(super) fn handle_unanswered_write(
        &mut self,
        now: Now,
        fresh: Nonce,
        nonce: Nonce,
        answered: &Exchanged,
    ) -> Output<Outcome> {
        if answered.why_unanswered().is_ambiguous() {
            self.outstanding.push(nonce);
            return self.handle_lost_write(now, answered, |acquire| acquire.look(now));
        }
        self.handle_lost_write(now, answered, |acquire| {
            if acquire.has_looked {
                acquire.look(now)
            } else {
                acquire.add(now, fresh)
            }
        })
    }

    /// Does the same as [`handle_failed_exchange`](Self::handle_failed_exchange) for a write, and gives up after
    /// [`LOST_WRITES`] writes without a reply.
    pub(super) fn handle_lost_write(
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
        self.handle_failed_exchange(now, answered, again)
    }
}
