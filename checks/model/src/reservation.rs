//! A contender that keeps the lock for its retry instead of giving it up.
//!
//! Between the two runs no body runs under the lock. The contender still counts as a believer until the reservation
//! ends, since a reservation exists to keep others out meanwhile.

use memlock_runtime::__internals::{End, Input, LeaseState, Renew, Status};

use crate::contender::Tools;
use crate::outcomes::Reached;
use crate::world::{Doing, Promise, Purpose, Queue, World, local, skew, spec_for};

impl World {
    /// A holder ends, and keeps the lock for its retry where a release would hand it over or give it back.
    pub(crate) fn reserve(&mut self, index: usize, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        let Doing::Holding(lease) = &mut contender.doing else {
            return;
        };
        contender.reserves -= 1;
        // Only a lease that could be handed over is kept. A release does the right thing with any other.
        if lease.clone().end(now) != Some(End::HandOver) {
            return self.release(index, tools);
        }
        let grant = lease.grant().clone().reserve(tools.bounds.reserve, now);
        contender.is_untold = grant.lease > tools.bounds.reserve;
        self.leased(index, &grant, tools);
        tools.tally.count(Reached::Reservation);
        self.keep(index, LeaseState::new(grant), tools);
    }

    /// The reservation is as `lease` says.
    fn keep(&mut self, index: usize, lease: LeaseState, tools: Tools<'_>) {
        self.believe(index, &lease, tools);
        self.contenders[index].doing = Doing::Reserved(lease);
    }

    pub(crate) fn tell(&mut self, index: usize, tools: Tools<'_>) {
        self.contenders[index].is_untold = false;
        let short = spec_for(tools.bounds.reserve);
        self.renew_reservation(
            index,
            Purpose::Tell,
            |lease| Renew::shorten(short, lease.grant().clone()),
            tools,
        );
    }

    pub(crate) fn claim(&mut self, index: usize, tools: Tools<'_>) {
        self.contenders[index].is_untold = false;
        let retry = spec_for(tools.bounds.claims_for(index));
        self.renew_reservation(
            index,
            Purpose::Claim,
            |lease| Renew::new(retry, lease.grant().clone()),
            tools,
        );
    }

    fn renew_reservation(
        &mut self,
        index: usize,
        purpose: Purpose,
        machine: impl FnOnce(&LeaseState) -> Renew,
        tools: Tools<'_>,
    ) {
        let now = local(self.now, skew(tools.bounds, index));
        let Doing::Reserved(lease) = &mut self.contenders[index].doing else {
            return;
        };
        if lease.status(now) != Status::Held {
            let lease = lease.clone();
            return self.reservation_renewed(index, lease, purpose, false, tools);
        }
        let machine = machine(lease);
        self.contenders[index].doing = Doing::Renewing(machine, lease.clone(), purpose);
        self.step(index, Input::Start, None, tools);
    }

    /// The renewal of the reservation is over, and `lease` has recorded it.
    pub(crate) fn reservation_renewed(
        &mut self,
        index: usize,
        mut lease: LeaseState,
        purpose: Purpose,
        is_renewed: bool,
        tools: Tools<'_>,
    ) {
        if purpose == Purpose::Tell {
            if is_renewed {
                tools.tally.count(Reached::Told);
            }
            return self.keep(index, lease, tools);
        }
        let now = local(self.now, skew(tools.bounds, index));
        let claimed = lease.grant().clone().claim(tools.bounds.claims_for(index), now);
        if let Some(claimed) = claimed.filter(|_| is_renewed) {
            tools.tally.count(Reached::Claim);
            self.require(lease.end(now).is_some(), Promise::OneHold);
            return self.holds_next(index, claimed, tools);
        }
        tools.tally.count(Reached::NoClaim);
        self.hold(index, lease, tools);
        self.release(index, tools);
    }

    /// No retry comes, and the lock is released.
    pub(crate) fn abandon(&mut self, index: usize, tools: Tools<'_>) {
        if let Doing::Reserved(lease) = &self.contenders[index].doing {
            let lease = lease.clone();
            self.hold(index, lease, tools);
            self.release(index, tools);
        }
    }

    /// The process ends, and leaves the lock to the end of its lease.
    pub(crate) fn die(&mut self, index: usize, tools: Tools<'_>) {
        self.left.deaths -= 1;
        tools.tally.count(Reached::Death);
        self.queues[tools.bounds.process(index)] = Queue::default();
        self.rest(index);
        let contender = &mut self.contenders[index];
        (contender.attempts, contender.cleaning, contender.watch) = (0, None, None);
        contender.leftovers.clear();
    }
}
