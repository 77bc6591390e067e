//! The contenders' side of a transition: what their drivers do around the machines.

use memlock_runtime::__internals::{
    Acquire, Batch, End, Exchanged, Extended, Grant, Input, Instance, LeaseState, Loss, Nonce, Now, Outcome, Output,
    Release, Released, Renew, Renewed, Replies, Reply, Request, ServerClock, Status, TurnState, Unanswered,
};

use crate::Bounds;
use crate::outcomes::{Reached, Tally};
use crate::world::{
    Contender, Doing, Exchange, ITEM, Machine, ORIGIN, Promise, Purpose, Sender, Stray, Then, World, item, local,
    nonce, skew, spec, written,
};

/// A thread of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The thread that wants the lock.
    Own,
    /// The keeper, which cleans up.
    Keeper,
}

/// The tools of a transition.
#[derive(Clone, Copy)]
pub(crate) struct Tools<'a> {
    pub(crate) bounds: &'a Bounds,
    pub(crate) tally: &'a Tally,
}

impl World {
    pub(crate) fn begin(&mut self, index: usize, tools: Tools<'_>) {
        self.contenders[index].attempts -= 1;
        if self.join(index, tools.bounds) {
            self.acquire(index, tools);
        }
    }

    /// Begins to ask the server.
    pub(crate) fn acquire(&mut self, index: usize, tools: Tools<'_>) {
        let contender = &mut self.contenders[index];
        // When its wait began decides only the length of its pauses, and here a pause may end at any time.
        let machine = Acquire::new(spec(tools.bounds, index), contender.watch, false).waiting_since(Now::at(ORIGIN));
        contender.doing = Doing::Acquiring(machine);
        self.step(index, Input::Start, None, tools);
    }

    pub(crate) fn renew(&mut self, index: usize, tools: Tools<'_>) {
        self.contenders[index].renewals -= 1;
        self.begin_renewal(index, Purpose::Keep, tools);
    }

    /// Enters again, after a renewal if little of the lease is left.
    pub(crate) fn enter(&mut self, index: usize, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        contender.reentries -= 1;
        let Doing::Holding(lease) = &mut contender.doing else {
            return;
        };
        if lease.has_half_left(tools.bounds.timeout(index), now) {
            tools.tally.count(Reached::Reentry);
            self.entered(index, tools);
        } else {
            self.begin_renewal(index, Purpose::Enter, tools);
        }
    }

    /// Begins the inner body, under the lease that is there, and no other.
    fn entered(&mut self, index: usize, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        contender.depth += 1;
        let proof = contender.proof;
        let Doing::Holding(lease) = &mut contender.doing else {
            return self.require(false, Promise::OneHold);
        };
        let grant = lease.grant();
        let is_the_same = Some(grant.nonce) == proof;
        // Renewed or not, no more than the contender's own timeout is left. Without a renewal, no more is left than
        // before.
        let belief = contender.belief.map(|(_, deadline)| deadline.remaining(now));
        let is_covered = belief.is_some_and(|left| lease.remaining(now) <= left);
        self.require(is_the_same && is_covered, Promise::OneHold);
    }

    fn begin_renewal(&mut self, index: usize, purpose: Purpose, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        let Doing::Holding(lease) = &mut contender.doing else {
            return;
        };
        if lease.status(now) != Status::Held {
            contender.belief = None;
            tools.tally.count(match purpose {
                Purpose::Keep => Reached::RanOut,
                Purpose::Enter => Reached::NoReentry,
                Purpose::Tell | Purpose::Claim => Reached::NoClaim,
            });
            return;
        }
        let machine = Renew::new(spec(tools.bounds, index), lease.grant().clone());
        contender.doing = Doing::Renewing(machine, lease.clone(), purpose);
        self.step(index, Input::Start, None, tools);
    }

    /// Gives the lease up: to the next in the queue, else to the server.
    pub(crate) fn release(&mut self, index: usize, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        let believed = contender.belief.take();
        let Doing::Holding(lease) = &mut contender.doing else {
            return;
        };
        let (end, grant) = (lease.end(now), lease.grant().clone());
        let is_ended_once = end.is_some() && lease.end(now).is_none();
        let is_in_doubt = contender.is_in_doubt;
        // The belief lasts as long as the lease itself says, whatever the release did.
        let believes_on = believed.filter(|_| !lease.remaining(now).is_zero());
        self.require(is_ended_once, Promise::OneHold);
        match end {
            Some(End::HandOver) if self.hand_over(index, &grant, now, tools) => {
                self.require(!is_in_doubt, Promise::NoGrantWithoutProof);
                self.rest(index);
                self.contenders[index].belief = believes_on;
                return;
            }
            None | Some(End::Forget) => return self.done(index, tools),
            Some(End::Release(None)) => tools.tally.count(Reached::DoubtfulRelease),
            Some(End::HandOver | End::Release(Some(_))) => {}
        }
        self.give_back(index, &grant, Then::Rest, tools);
    }

    /// Deletes the item of `grant`.
    pub(crate) fn give_back(&mut self, index: usize, grant: &Grant, then: Then, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let machine = Release::of_grant(item(), grant, now);
        self.contenders[index].doing = Doing::Releasing(machine, grant.nonce, then);
        self.step(index, Input::Start, None, tools);
    }

    pub(crate) fn clean(&mut self, index: usize, tools: Tools<'_>) {
        let contender = &mut self.contenders[index];
        let machine = Release::of_nonce(item(), contender.leftovers[0]);
        contender.cleaning = Some((machine, None));
        self.step_keeper(index, Input::Start, tools);
    }

    /// Ends an exchange: the contender receives its replies, and `unanswered` says why there are no more of them.
    pub(crate) fn hear(&mut self, index: usize, lane: Lane, unanswered: Option<Unanswered>, tools: Tools<'_>) {
        let sender = self.sender(index, lane);
        let Some(mut exchange) = self.exchange(index, lane).take() else {
            return;
        };
        let next = exchange.replies.len();
        let is_lost = matches!(unanswered, Some(Unanswered::Late));
        if is_lost {
            // At least the last reply is lost, whether or not the command was executed.
            exchange.replies.truncate(exchange.batch.len() - 1);
            self.stray(sender, &exchange, next);
        }
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        if is_lost && let (Machine::Acquire, Some((_, nonce))) = (sender.machine, written(&exchange.batch)) {
            // The keeper is told at once, while the machine goes on.
            contender.leave(nonce, tools.bounds);
        }
        contender.is_in_doubt |=
            is_lost && matches!(sender.machine, Machine::Renew(_)) && written(&exchange.batch).is_some();
        let instance = (unanswered != Some(Unanswered::NotSent)).then_some(exchange.instance);
        let answered = contender.answered(instance, &exchange, unanswered, now, tools.bounds);
        match lane {
            Lane::Own => self.step(index, Input::Exchanged(answered), Some(&exchange.batch), tools),
            Lane::Keeper => self.step_keeper(index, Input::Exchanged(answered), tools),
        }
    }

    /// Leaves `exchange` on the network, to be executed from `next` on, if anything in it matters.
    pub(crate) fn stray(&mut self, sender: Sender, exchange: &Exchange, next: usize) {
        let is_gone = exchange.run != self.server.run;
        let Some(next) = next_write(&exchange.batch, next).filter(|_| !is_gone) else {
            return;
        };
        let exchange = Exchange {
            replies: Replies::new(),
            drawn: None,
            ..exchange.clone()
        };
        let sender = Sender {
            is_stray: true,
            ..sender
        };
        self.strays.push(Stray { sender, exchange, next });
    }

    pub(crate) fn sender(&self, index: usize, lane: Lane) -> Sender {
        let contender = &self.contenders[index];
        let machine = match (lane, &contender.doing) {
            (Lane::Keeper, _) => Machine::Release(contender.leftovers.first().copied().unwrap_or(Nonce(0))),
            (Lane::Own, Doing::Releasing(_, nonce, _)) => Machine::Release(*nonce),
            // The lease that is renewed is the one that the contender believed in last. Its belief may have ended
            // meanwhile.
            (Lane::Own, Doing::Renewing(..)) => Machine::Renew(contender.proof.unwrap_or(Nonce(0))),
            (Lane::Own, _) => Machine::Acquire,
        };
        Sender {
            contender: index,
            machine,
            is_stray: false,
        }
    }

    pub(crate) fn exchange(&mut self, index: usize, lane: Lane) -> &mut Option<Exchange> {
        let contender = &mut self.contenders[index];
        match (lane, &mut contender.cleaning) {
            (Lane::Keeper, Some((_, exchange))) => exchange,
            _ => &mut contender.exchange,
        }
    }

    /// Moves the machine of the process's own thread. `heard` is the batch that `input` answers.
    pub(crate) fn step(&mut self, index: usize, input: Input, heard: Option<&Batch>, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        match std::mem::replace(&mut self.contenders[index].doing, Doing::Resting) {
            Doing::Acquiring(mut machine) => {
                let fresh = nonce(index, self.contenders[index].nonces_used);
                let told = told_of_store(heard, &input);
                self.contenders[index].proof = told.or(self.contenders[index].proof);
                let unanswered = unanswered_store(heard, &input);
                let output = machine.step(now, fresh, input);
                machine.reset_credit();
                self.contenders[index].watch = machine.watch();
                let is_remembered = unanswered.is_none_or(|nonce| machine.outstanding().contains(&nonce));
                self.require(is_remembered, Promise::NothingLeftBehind);
                match output {
                    Output::Done(outcome) => self.acquired(index, outcome, &machine, heard, tools),
                    Output::Exchange { batch, only_on } => {
                        note(&batch, heard, told.is_some(), tools.tally);
                        self.contenders[index].doing = Doing::Acquiring(machine);
                        self.send(index, Lane::Own, batch, only_on, tools);
                    }
                    Output::Pause(_) => self.contenders[index].doing = Doing::Acquiring(machine),
                }
            }
            Doing::Renewing(mut machine, lease, purpose) => match machine.step(now, input) {
                Output::Done(renewed) => self.renewed(index, renewed, lease, purpose, tools),
                Output::Exchange { batch, only_on } => {
                    if heard.is_some() && written(&batch).is_some() {
                        tools.tally.count(Reached::CasReadAnew);
                    }
                    self.contenders[index].doing = Doing::Renewing(machine, lease, purpose);
                    self.send(index, Lane::Own, batch, only_on, tools);
                }
                Output::Pause(_) => self.require(false, Promise::NoSurprise),
            },
            Doing::Releasing(mut machine, nonce, then) => match machine.step(now, input) {
                Output::Done(released) => {
                    match released {
                        Released::Released => tools.tally.count(Reached::Release),
                        Released::Gone => tools.tally.count(Reached::NothingToRelease),
                        Released::Failed(_) => self.contenders[index].leave(nonce, tools.bounds),
                    }
                    match then {
                        Then::Rest => self.done(index, tools),
                        Then::Acquire => self.acquire(index, tools),
                    }
                }
                Output::Exchange { batch, only_on } => {
                    self.contenders[index].doing = Doing::Releasing(machine, nonce, then);
                    self.send(index, Lane::Own, batch, only_on, tools);
                }
                Output::Pause(_) => self.require(false, Promise::NoSurprise),
            },
            Doing::Resting | Doing::Waiting | Doing::Holding(_) | Doing::Reserved(_) => {
                self.require(false, Promise::NoSurprise);
            }
        }
    }

    fn step_keeper(&mut self, index: usize, input: Input, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let Some((mut machine, _)) = self.contenders[index].cleaning.take() else {
            return;
        };
        match machine.step(now, input) {
            Output::Done(Released::Failed(_)) => {}
            Output::Done(released) => {
                if released == Released::Released {
                    tools.tally.count(Reached::Cleaned);
                }
                self.contenders[index].leftovers.remove(0);
            }
            Output::Exchange { batch, only_on } => {
                self.contenders[index].cleaning = Some((machine, None));
                self.send(index, Lane::Keeper, batch, only_on, tools);
            }
            Output::Pause(_) => self.require(false, Promise::NoSurprise),
        }
    }

    fn acquired(&mut self, index: usize, outcome: Outcome, machine: &Acquire, heard: Option<&Batch>, tools: Tools<'_>) {
        for nonce in machine.outstanding() {
            self.contenders[index].leave(*nonce, tools.bounds);
        }
        match outcome {
            Outcome::Granted(grant) => {
                tools.tally.count(Reached::Grant);
                if heard.is_some_and(|batch| batch.iter().any(|request| matches!(request, Request::Replace { .. }))) {
                    tools.tally.count(Reached::TakeOver);
                }
                self.granted(index, grant, tools);
            }
            Outcome::Unreachable(unanswered) => {
                tools.tally.count(Reached::GaveUp);
                if unanswered != Unanswered::TooYoung {
                    self.dismiss(index, tools.bounds);
                }
                self.done(index, tools);
            }
            Outcome::TooSlow | Outcome::ClockBehind(_) => self.done(index, tools),
            // No caller is in a hurry, and this server has memory and a clock that is right.
            Outcome::Busy { .. } | Outcome::Refused(_) | Outcome::Untrustworthy | Outcome::NoToken(_) => {
                self.require(false, Promise::NoSurprise);
            }
        }
    }

    fn granted(&mut self, index: usize, mut grant: Grant, tools: Tools<'_>) {
        let was_told = self.contenders[index].proof == Some(grant.nonce);
        let stored = &mut self.watched.stored;
        let entry = stored
            .iter_mut()
            .find(|(nonce, token)| *nonce == grant.nonce && token.is_none());
        let was_stored = entry.is_some();
        if let Some((_, token)) = entry {
            *token = Some(grant.token);
        }
        let tokens: Vec<_> = stored.iter().filter_map(|(_, token)| *token).collect();
        self.require(was_told && was_stored, Promise::NoGrantWithoutProof);
        self.require(tokens.is_sorted_by(|before, after| before < after), Promise::TokensRise);
        let now = local(self.now, skew(tools.bounds, index));
        for _ in 0..tools.bounds.handed_over_before {
            grant = grant.hand_over(tools.bounds.timeout(index), now).into_grant();
        }
        if let Some((_, token)) = self.watched.stored.iter_mut().find(|(nonce, _)| *nonce == grant.nonce) {
            *token = Some(grant.token);
        }
        self.forget_stored_by(index);
        self.contenders[index].watch = None;
        self.leased(index, &grant, tools);
        self.hold(index, LeaseState::new(grant), tools);
    }

    fn renewed(&mut self, index: usize, renewed: Renewed, mut lease: LeaseState, purpose: Purpose, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let before = lease.grant().token;
        let extended = lease.renewed(renewed);
        let (grant, is_same) = (lease.grant().clone(), lease.grant().token == before);
        self.require(is_same, Promise::TokensRise);
        match extended {
            Extended::Yes => {
                tools.tally.count(Reached::Renewal);
                self.contenders[index].is_in_doubt = false;
                self.leased(index, &grant, tools);
            }
            // The old deadline stands, if it has not passed meanwhile.
            Extended::Failed(_) => {}
            Extended::Over(Status::Lost(Loss::Taken)) => {
                tools.tally.count(Reached::Loss);
                // From now on the contender knows, and nothing excuses it any more.
                self.watched.excused.retain(|nonce| *nonce != grant.nonce);
            }
            Extended::Over(_) => tools.tally.count(Reached::RanOut),
        }
        if let Purpose::Tell | Purpose::Claim = purpose {
            let is_renewed = extended == Extended::Yes;
            return self.reservation_renewed(index, lease, purpose, is_renewed, tools);
        }
        let enters = purpose == Purpose::Enter && !matches!(extended, Extended::Over(_));
        let status = if enters { lease.status(now) } else { lease.last_status() };
        self.hold(index, lease, tools);
        match (purpose, status) {
            (Purpose::Keep | Purpose::Tell | Purpose::Claim, _) => {}
            (Purpose::Enter, Status::Held) => {
                tools.tally.count(Reached::RenewedReentry);
                self.entered(index, tools);
            }
            (Purpose::Enter, _) => tools.tally.count(Reached::NoReentry),
        }
    }

    /// The contender holds the lock, or has lost it and must still give it up.
    pub(crate) fn hold(&mut self, index: usize, lease: LeaseState, tools: Tools<'_>) {
        self.believe(index, &lease, tools);
        self.contenders[index].doing = Doing::Holding(lease);
    }

    /// The contender believes in `lease` for as long as `lease` says.
    pub(crate) fn believe(&mut self, index: usize, lease: &LeaseState, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let grant = lease.grant();
        let (left, most) = (grant.deadline.remaining(now), grant.end.remaining(now));
        let believes = lease.last_status() == Status::Held && !left.is_zero();
        let contender = &mut self.contenders[index];
        contender.belief = believes.then_some((grant.nonce, grant.deadline));
        self.require(left <= most, Promise::NoDeadlineBeyondTheEnd);
    }

    /// The contender is done, and passes its turn on.
    pub(crate) fn done(&mut self, index: usize, tools: Tools<'_>) {
        self.pass_on(index, tools);
        self.rest(index);
    }

    pub(crate) fn rest(&mut self, index: usize) {
        let contender = &mut self.contenders[index];
        contender.belief = None;
        contender.proof = None;
        contender.is_in_doubt = false;
        contender.is_untold = false;
        contender.turn = TurnState::NONE;
        contender.doing = Doing::Resting;
        self.forget_stored_by(index);
    }

    /// Sends a batch, or answers at once that it was not sent.
    fn send(&mut self, index: usize, lane: Lane, batch: Batch, only_on: Option<Instance>, tools: Tools<'_>) {
        let instance = self.server.items.instance();
        let sent = local(self.now, skew(tools.bounds, index));
        let unanswered = if self.is_young() && !tools.bounds.serves_when_young {
            tools.tally.count(Reached::TooYoung);
            Some(Unanswered::TooYoung)
        } else if only_on.is_some_and(|only| only != instance) {
            tools.tally.count(Reached::OtherInstance);
            self.note_same_cas(index, &batch, tools.tally);
            Some(Unanswered::OtherInstance)
        } else {
            None
        };
        // A nonce that was not sent is as good as a fresh one. Otherwise a contender that tries again and again would
        // use up nonces without end.
        let fresh = nonce(index, self.contenders[index].nonces_used);
        let uses_fresh = unanswered.is_none() && written(&batch).is_some_and(|(_, nonce)| nonce == fresh);
        self.contenders[index].nonces_used += u8::from(uses_fresh);
        let exchange = Exchange {
            batch,
            instance,
            run: self.server.run,
            sent,
            replies: Replies::new(),
            drawn: None,
        };
        *self.exchange(index, lane) = Some(exchange);
        if unanswered.is_some() {
            self.hear(index, lane, unanswered, tools);
        }
    }

    fn note_same_cas(&self, index: usize, batch: &Batch, tally: &Tally) {
        let is_anothers = self
            .watched
            .holder
            .is_some_and(|holder| holder.0 >> 8 != index as u128 + 1);
        let would_match = batch.iter().any(|request| {
            // On a copy, since the batch is not sent.
            let reply = self.server.items.clone().apply(self.server.second, &ITEM, request);
            matches!(
                (request, reply),
                (Request::Delete { .. }, Reply::Deleted) | (Request::Replace { .. }, Reply::Stored(_))
            )
        });
        if is_anothers && would_match {
            tally.count(Reached::SameCasOnAnotherInstance);
        }
    }
}

impl Contender {
    /// Records what an exchange shows of the server, as the driver does, and makes its outcome.
    fn answered(
        &mut self,
        instance: Option<Instance>,
        exchange: &Exchange,
        unanswered: Option<Unanswered>,
        now: Now,
        bounds: &Bounds,
    ) -> Exchanged {
        let mut best = None;
        if instance.is_some() {
            if self.clock_of != instance {
                self.clock_of = instance;
                self.clock = ServerClock::default();
            }
            // Where the server's clock is never late, its readings shorten no lease, and would only make states differ.
            let may_be_late = bounds.stops > 0 || bounds.late_ticks;
            if let (true, Some(Reply::Clock(second))) = (may_be_late, exchange.replies.first()) {
                self.clock.observe(*second, exchange.sent, now);
            }
            best = self.clock.best(now);
        }
        Exchanged {
            instance,
            replies: exchange.replies.clone(),
            unanswered,
            sent: exchange.sent,
            best,
            ..Exchanged::default()
        }
    }

    /// Forgets what no longer matters, once the contender is finished.
    pub(crate) fn retire(&mut self) {
        let is_idle = matches!(self.doing, Doing::Resting) && self.cleaning.is_none();
        if is_idle && self.attempts == 0 && self.leftovers.is_empty() {
            (self.watch, self.clock, self.clock_of) = (None, ServerClock::default(), None);
            (self.nonces_used, self.renewals, self.reentries, self.reserves) = (0, 0, 0, 0);
        }
    }

    /// Leaves a write under `nonce`, which has no reply, to the keeper.
    pub(crate) fn leave(&mut self, nonce: Nonce, bounds: &Bounds) {
        if bounds.keeper && !self.leftovers.contains(&nonce) {
            self.leftovers.push(nonce);
        }
    }
}

/// The nonce that `input` proves to have been stored, if it does.
fn told_of_store(heard: Option<&Batch>, input: &Input) -> Option<Nonce> {
    let (place, nonce) = written(heard?)?;
    match input {
        Input::Exchanged(answered) if matches!(answered.replies.get(place), Some(Reply::Stored(_))) => Some(nonce),
        _ => None,
    }
}

/// The nonce that was written, where it is not known whether it was stored.
fn unanswered_store(heard: Option<&Batch>, input: &Input) -> Option<Nonce> {
    let (place, nonce) = written(heard?)?;
    match input {
        // A store without the counter's reply is not a grant, and has to be cleared away all the same.
        Input::Exchanged(answered)
            if matches!(answered.replies.get(place), None | Some(Reply::Stored(_)))
                && answered.replies.get(place + 1).is_none() =>
        {
            let is_unknown = matches!(answered.unanswered, Some(Unanswered::Late | Unanswered::Cut));
            is_unknown.then_some(nonce)
        }
        _ => None,
    }
}

/// Counts why a contender deletes or reads an item before it has the lock.
fn note(batch: &Batch, heard: Option<&Batch>, was_stored: bool, tally: &Tally) {
    let has_read = heard.is_some_and(|heard| heard.iter().any(|request| matches!(request, Request::Read)));
    match batch.first() {
        Some(Request::Delete { .. }) if was_stored => tally.count(Reached::TooLate),
        Some(Request::Read) if was_stored => tally.count(Reached::Verification),
        Some(Request::Delete { .. }) if has_read => tally.count(Reached::FoundOwnLeftover),
        _ => {}
    }
}

/// The index of the first write from `from` on.
pub(crate) fn next_write(batch: &Batch, from: usize) -> Option<usize> {
    (from..batch.len()).find(|&place| batch[place].writes())
}
