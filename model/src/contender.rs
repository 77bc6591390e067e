//! The contenders' side of a transition: what their drivers do around the machines.

use std::time::Duration;

use memlock_runtime::__internals::{
    Acquire, Answered, Batch, Damage, Grant, Input, Instance, Nonce, Now, Outcome, Output, Release, Released, Renew,
    Renewed, Replies, Reply, Request, ServerClock,
};

use crate::Bounds;
use crate::outcomes::{Reached, Tally};
use crate::world::{
    Contender, Doing, Exchange, Machine, Promise, Sender, Stray, World, local, nonce, skew, spec, written,
};

/// Which of a process's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The one that wants the lock.
    Own,
    /// The keeper, which cleans up.
    Keeper,
}

/// What a transition is made with.
#[derive(Clone, Copy)]
pub(crate) struct Tools<'a> {
    pub(crate) bounds: &'a Bounds,
    pub(crate) tally: &'a Tally,
}

impl World {
    pub(crate) fn begin(&mut self, index: usize, tools: Tools<'_>) {
        let contender = &mut self.contenders[index];
        contender.attempts -= 1;
        // Since when it waits decides only how long its pauses are, and here a pause may end at any time.
        let machine = Acquire::new(spec(tools.bounds), contender.watch, false).waiting_since(local(Duration::ZERO, 0));
        contender.doing = Doing::Acquiring(machine);
        self.step(index, Input::Start, None, tools);
    }

    pub(crate) fn renew(&mut self, index: usize, tools: Tools<'_>) {
        let contender = &mut self.contenders[index];
        contender.renewals -= 1;
        if let Doing::Holding(grant) = &contender.doing {
            contender.doing = Doing::Renewing(Renew::new(spec(tools.bounds), grant.clone()));
        }
        self.step(index, Input::Start, None, tools);
    }

    pub(crate) fn release(&mut self, index: usize, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        contender.belief = None;
        if let Doing::Holding(grant) = &contender.doing {
            let machine = Release::of_grant(spec(tools.bounds).item, grant, now);
            contender.doing = Doing::Releasing(machine, grant.nonce);
        }
        self.step(index, Input::Start, None, tools);
    }

    pub(crate) fn clean(&mut self, index: usize, tools: Tools<'_>) {
        let contender = &mut self.contenders[index];
        let machine = Release::of_nonce(spec(tools.bounds).item, contender.leftovers[0]);
        contender.cleaning = Some((machine, None));
        self.step_keeper(index, Input::Start, tools);
    }

    /// Ends an exchange: its replies are heard, and `damage` says why there are no more of them.
    pub(crate) fn hear(&mut self, index: usize, lane: Lane, damage: Option<Damage>, tools: Tools<'_>) {
        let sender = self.sender(index, lane);
        let Some(mut exchange) = self.exchange(index, lane).take() else {
            return;
        };
        let next = exchange.replies.len();
        let is_lost = matches!(damage, Some(Damage::Late));
        if is_lost {
            // The last reply at least is lost, executed or not.
            exchange.replies.truncate(exchange.batch.len() - 1);
            self.stray(sender, &exchange, next);
        }
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        if is_lost && let (Machine::Acquire, Some((_, nonce))) = (sender.machine, written(&exchange.batch)) {
            // The keeper is told at once, while the machine goes on.
            contender.leave(nonce, tools.bounds);
        }
        let instance = (damage != Some(Damage::NotSent)).then_some(exchange.instance);
        let answered = contender.answered(instance, &exchange, damage, now, tools.bounds);
        match lane {
            Lane::Own => self.step(index, Input::Answered(answered), Some(&exchange.batch), tools),
            Lane::Keeper => self.step_keeper(index, Input::Answered(answered), tools),
        }
    }

    /// Leaves `exchange` on the network, to be executed from `next` on, if there is anything in it that matters.
    pub(crate) fn stray(&mut self, sender: Sender, exchange: &Exchange, next: usize) {
        let is_gone = exchange.run != self.server.run;
        let Some(next) = next_write(&exchange.batch, next).filter(|_| !is_gone) else {
            return;
        };
        let exchange = Exchange {
            replies: Replies::new(),
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
            (Lane::Own, Doing::Releasing(_, nonce)) => Machine::Release(*nonce),
            // Whose lease is renewed is what it believed in last: the belief may have ended meanwhile.
            (Lane::Own, Doing::Renewing(_)) => Machine::Renew(contender.proof.unwrap_or(Nonce(0))),
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
                let output = machine.step(now, fresh, input);
                self.contenders[index].watch = machine.watch();
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
            Doing::Renewing(mut machine) => match machine.step(now, input) {
                Output::Done(renewed) => self.renewed(index, renewed, tools),
                Output::Exchange { batch, only_on } => {
                    if heard.is_some() && written(&batch).is_some() {
                        tools.tally.count(Reached::CasReadAnew);
                    }
                    self.contenders[index].doing = Doing::Renewing(machine);
                    self.send(index, Lane::Own, batch, only_on, tools);
                }
                Output::Pause(_) => self.require(false, Promise::NoSurprise),
            },
            Doing::Releasing(mut machine, nonce) => match machine.step(now, input) {
                Output::Done(released) => {
                    match released {
                        Released::Released => tools.tally.count(Reached::Release),
                        Released::Gone => tools.tally.count(Reached::NothingToRelease),
                        Released::Failed(_) => self.contenders[index].leave(nonce, tools.bounds),
                    }
                    self.rest(index);
                }
                Output::Exchange { batch, only_on } => {
                    self.contenders[index].doing = Doing::Releasing(machine, nonce);
                    self.send(index, Lane::Own, batch, only_on, tools);
                }
                Output::Pause(_) => self.require(false, Promise::NoSurprise),
            },
            Doing::Resting | Doing::Holding(_) => self.require(false, Promise::NoSurprise),
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
            Outcome::Unreachable(_) => {
                tools.tally.count(Reached::GaveUp);
                self.rest(index);
            }
            Outcome::TooSlow => self.rest(index),
            // Nobody is in a hurry, and this server has memory and a clock that is right.
            Outcome::Busy { .. } | Outcome::Refused(_) | Outcome::Untrustworthy => {
                self.require(false, Promise::NoSurprise);
            }
        }
    }

    fn granted(&mut self, index: usize, grant: Grant, tools: Tools<'_>) {
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
        self.forget_stored_by(index);
        self.contenders[index].watch = None;
        self.hold(index, grant, tools);
    }

    fn renewed(&mut self, index: usize, renewed: Renewed, tools: Tools<'_>) {
        match renewed {
            Renewed::Renewed(grant) => {
                tools.tally.count(Reached::Renewal);
                self.hold(index, grant, tools);
            }
            // The old deadline stands, if it has not passed meanwhile.
            Renewed::Failed(grant, _) => self.contenders[index].doing = Doing::Holding(grant),
            Renewed::Lost => {
                tools.tally.count(Reached::Loss);
                self.rest(index);
            }
            // The item may still be there. That nobody releases it is the worst that can happen.
            Renewed::RanOut => {
                tools.tally.count(Reached::RanOut);
                self.rest(index);
            }
        }
    }

    fn hold(&mut self, index: usize, grant: Grant, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let contender = &mut self.contenders[index];
        let believes = !grant.deadline.has_passed(now);
        contender.belief = believes.then_some((grant.nonce, grant.deadline));
        contender.doing = Doing::Holding(grant);
    }

    fn rest(&mut self, index: usize) {
        let contender = &mut self.contenders[index];
        contender.belief = None;
        contender.proof = None;
        contender.doing = Doing::Resting;
        self.forget_stored_by(index);
    }

    /// Puts a batch on its way, or answers at once that it was not sent.
    fn send(&mut self, index: usize, lane: Lane, batch: Batch, only_on: Option<Instance>, tools: Tools<'_>) {
        let instance = self.server.items.instance();
        let sent = local(self.now, skew(tools.bounds, index));
        let damage = if self.is_young() && !tools.bounds.serves_when_young {
            tools.tally.count(Reached::TooYoung);
            Some(Damage::TooYoung)
        } else if only_on.is_some_and(|only| only != instance) {
            tools.tally.count(Reached::OtherInstance);
            self.note_same_cas(index, &batch, tools.tally);
            Some(Damage::OtherInstance)
        } else {
            None
        };
        // A nonce that was not sent is as good as a fresh one, and a contender may try without end.
        let fresh = nonce(index, self.contenders[index].nonces_used);
        let uses_fresh = damage.is_none() && written(&batch).is_some_and(|(_, nonce)| nonce == fresh);
        self.contenders[index].nonces_used += u8::from(uses_fresh);
        let exchange = Exchange {
            batch,
            instance,
            run: self.server.run,
            sent,
            replies: Replies::new(),
        };
        *self.exchange(index, lane) = Some(exchange);
        if damage.is_some() {
            self.hear(index, lane, damage, tools);
        }
    }

    fn note_same_cas(&self, index: usize, batch: &Batch, tally: &Tally) {
        let is_anothers = self
            .watched
            .holder
            .is_some_and(|holder| holder.0 >> 8 != index as u128 + 1);
        let would_match = batch.iter().any(|request| {
            // On a copy: it is not sent.
            let reply = self.server.items.clone().apply(self.server.second, request);
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
    /// Notes what an exchange tells of the server, as the driver does, and puts the answer together.
    fn answered(
        &mut self,
        instance: Option<Instance>,
        exchange: &Exchange,
        damage: Option<Damage>,
        now: Now,
        bounds: &Bounds,
    ) -> Answered {
        let mut best = None;
        if instance.is_some() {
            if self.clock_of != instance {
                self.clock_of = instance;
                self.clock = ServerClock::default();
            }
            // Where the server's clock is never late, what it says shortens no lease, and would only make states differ.
            let may_be_late = bounds.stops > 0 || bounds.late_ticks;
            if let (true, Some(Reply::Clock(second))) = (may_be_late, exchange.replies.first()) {
                self.clock.observe(*second, exchange.sent, now);
            }
            best = self.clock.best(now);
        }
        Answered {
            instance,
            replies: exchange.replies.clone(),
            damage,
            sent: exchange.sent,
            best,
        }
    }

    /// Forgets what no longer matters, once it will do nothing any more.
    pub(crate) fn retire(&mut self) {
        let is_idle = matches!(self.doing, Doing::Resting) && self.cleaning.is_none();
        if is_idle && self.attempts == 0 && self.leftovers.is_empty() {
            (self.watch, self.clock, self.clock_of) = (None, ServerClock::default(), None);
            (self.nonces_used, self.renewals) = (0, 0);
        }
    }

    /// A write under `nonce` has no reply: the keeper is to see to it.
    fn leave(&mut self, nonce: Nonce, bounds: &Bounds) {
        if bounds.keeper && !self.leftovers.contains(&nonce) {
            self.leftovers.push(nonce);
        }
    }
}

/// The nonce that `input` proves to have been stored, if it does.
fn told_of_store(heard: Option<&Batch>, input: &Input) -> Option<Nonce> {
    let (place, nonce) = written(heard?)?;
    match input {
        Input::Answered(answered) if matches!(answered.replies.get(place), Some(Reply::Stored(_))) => Some(nonce),
        _ => None,
    }
}

/// Notes why a contender deletes an item before it has the lock.
fn note(batch: &Batch, heard: Option<&Batch>, was_stored: bool, tally: &Tally) {
    let has_read = heard.is_some_and(|heard| heard.iter().any(|request| matches!(request, Request::Read { .. })));
    match batch.first() {
        Some(Request::Delete { .. }) if was_stored => tally.count(Reached::TooLate),
        Some(Request::Delete { .. }) if has_read => tally.count(Reached::FoundOwnLeftover),
        _ => {}
    }
}

/// The place of the first write from `from` on.
pub(crate) fn next_write(batch: &Batch, from: usize) -> Option<usize> {
    (from..batch.len()).find(|&place| batch[place].writes())
}
