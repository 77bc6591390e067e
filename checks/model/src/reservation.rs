//! A contender that keeps the lock for its retry instead of giving it up, and what becomes of that.
//!
//! Between the two nobody runs under it. All the same it counts as believed in, until its time is over: that nobody else is let
//! in meanwhile is what it is for.

use memlock_runtime::__internals::{End, Input, LeaseState, Renew, Status};

use crate::contender::Tools;
use crate::outcomes::Reached;
use crate::world::{Doing, Line, Promise, Purpose, World, local, skew, spec_for};

impl World {
    /// A holder ends, and the lock is kept for its retry where a release would hand it over or give it back.
    pub(crate) fn reserve(&mut self, index: usize, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        let Doing::LeaseState(holding) = &mut contender.doing else {
            return;
        };
        contender.reserves -= 1;
        // Only what could be handed over is kept; of the rest a release makes what is right.
        if holding.clone().end(now) != Some(End::HandOver) {
            return self.release(index, tools);
        }
        let grant = holding.grant().clone().reserve(tools.bounds.reserve, now);
        contender.is_untold = grant.lease > tools.bounds.reserve;
        self.leased(index, &grant, tools);
        tools.tally.count(Reached::Reservation);
        self.keep(index, LeaseState::new(grant), tools);
    }

    /// What is reserved is as `holding` says.
    fn keep(&mut self, index: usize, holding: LeaseState, tools: Tools<'_>) {
        self.believe(index, &holding, tools);
        self.contenders[index].doing = Doing::Reserved(holding);
    }

    pub(crate) fn tell(&mut self, index: usize, tools: Tools<'_>) {
        self.contenders[index].is_untold = false;
        let short = spec_for(tools.bounds.reserve);
        self.renew_reservation(
            index,
            Purpose::Tell,
            |holding| Renew::shorten(short, holding.grant().clone()),
            tools,
        );
    }

    pub(crate) fn claim(&mut self, index: usize, tools: Tools<'_>) {
        self.contenders[index].is_untold = false;
        let retry = spec_for(tools.bounds.claims_for(index));
        self.renew_reservation(
            index,
            Purpose::Claim,
            |holding| Renew::new(retry, holding.grant().clone()),
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
        let Doing::Reserved(holding) = &mut self.contenders[index].doing else {
            return;
        };
        if holding.status(now) != Status::Held {
            let holding = holding.clone();
            return self.reservation_renewed(index, holding, purpose, false, tools);
        }
        let machine = machine(holding);
        self.contenders[index].doing = Doing::Renewing(machine, holding.clone(), purpose);
        self.step(index, Input::Start, None, tools);
    }

    /// The renewal of what is reserved is over; `holding` has taken note of it.
    pub(crate) fn reservation_renewed(
        &mut self,
        index: usize,
        mut holding: LeaseState,
        purpose: Purpose,
        is_renewed: bool,
        tools: Tools<'_>,
    ) {
        if purpose == Purpose::Tell {
            if is_renewed {
                tools.tally.count(Reached::Told);
            }
            return self.keep(index, holding, tools);
        }
        let now = local(self.now, skew(tools.bounds, index));
        let claimed = holding.grant().clone().claim(tools.bounds.claims_for(index), now);
        if let Some(claimed) = claimed.filter(|_| is_renewed) {
            tools.tally.count(Reached::Claim);
            self.require(holding.end(now).is_some(), Promise::OneHold);
            return self.holds_next(index, claimed, tools);
        }
        tools.tally.count(Reached::NoClaim);
        self.hold(index, holding, tools);
        self.release(index, tools);
    }

    /// Nobody comes for it.
    pub(crate) fn abandon(&mut self, index: usize, tools: Tools<'_>) {
        if let Doing::Reserved(holding) = &self.contenders[index].doing {
            let holding = holding.clone();
            self.hold(index, holding, tools);
            self.release(index, tools);
        }
    }

    /// The process ends, and leaves the lock to the end of its lease.
    pub(crate) fn die(&mut self, index: usize, tools: Tools<'_>) {
        self.left.deaths -= 1;
        tools.tally.count(Reached::Death);
        self.lines[tools.bounds.process(index)] = Line::default();
        self.rest(index);
        let contender = &mut self.contenders[index];
        (contender.attempts, contender.cleaning, contender.watch) = (0, None, None);
        contender.leftovers.clear();
    }
}
