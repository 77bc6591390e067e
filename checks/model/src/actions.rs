//! The events that can happen next, and what they change: the model as the checker sees it.

use std::time::Duration;

use memlock_runtime::__internals::{Cas, Reply, Request, Status, Unanswered};
use stateright::{Model, Property};

use crate::Bounds;
use crate::contender::{Lane, Tools, next_write};
use crate::outcomes::{Reached, Tally};
use crate::world::{Contender, Doing, ITEM, Promise, World, local, skew};

/// Something that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A contender begins to ask for the lock.
    Begin(usize),
    /// A waiter's pause is over.
    Wake(usize),
    /// A holder begins to renew.
    Renew(usize),
    /// A holder enters again, or begins to renew for that.
    Enter(usize),
    /// The innermost body of a holder that has entered again is done.
    Exit(usize),
    /// A holder is done: it hands over or begins to release.
    Release(usize),
    /// A holder keeps the lock for its retry.
    Reserve(usize),
    /// A contender with a reservation begins to tell the server of the shorter lease.
    Tell(usize),
    /// The retry has come, and begins to claim the reservation.
    Claim(usize),
    /// No retry comes, and the reservation is released.
    Abandon(usize),
    /// The process that reserved the lock ends.
    Die(usize),
    /// A contender that waits in its process's queue looks whether its turn has come.
    Progress(usize),
    /// A contender that waits there leaves.
    Leave(usize),
    /// The keeper of a process begins to clean up.
    Clean(usize),
    /// The server executes the next command of an exchange.
    Execute(usize, Lane),
    /// A contender receives all replies of an exchange.
    Hear(usize, Lane),
    /// A contender stops waiting for an exchange. The rest of it may be executed later, or never.
    Lose(usize, Lane),
    /// An exchange turns out not to have been sent.
    Unsent(usize, Lane),
    /// The connection of an exchange ended with its server.
    Cut(usize, Lane),
    /// An exchange will be executed once more.
    Repeat(usize, Lane),
    /// The server executes the next command of a stray exchange.
    ExecuteStray(usize),
    /// Time passes.
    Advance {
        /// The length of the step.
        step: Duration,
        /// How many seconds the server's clock stays behind.
        late: u64,
    },
    /// The server is stopped.
    Stop,
    /// The server goes on, for now by the clock that stood still.
    Resume,
    /// The server's clock catches up.
    Tick,
    /// Everything on the server is flushed.
    Flush,
    /// A new instance takes the server's place.
    Restart,
    /// The clock item is lost.
    LoseClock,
    /// A live item's CAS changes by itself.
    Renumber,
}

/// A model: the protocol within bounds.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) bounds: Bounds,
    pub(crate) tally: std::sync::Arc<Tally>,
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.bounds)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.watched.broken.is_some() {
            return;
        }
        for index in 0..world.contenders.len() {
            self.contenders(world, index, actions);
        }
        if !world.server.is_stopped {
            actions.extend((0..world.strays.len()).map(Action::ExecuteStray));
        }
        self.times(world, actions);
        calamities(world, actions);
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let tools = Tools {
            bounds: &self.bounds,
            tally: &self.tally,
        };
        let mut world = before.clone();
        match action {
            Action::Begin(index) => world.begin(index, tools),
            Action::Wake(index) => world.step(index, memlock_runtime::__internals::Input::Woke, None, tools),
            Action::Renew(index) => world.renew(index, tools),
            Action::Enter(index) => world.enter(index, tools),
            Action::Exit(index) => world.contenders[index].depth -= 1,
            Action::Release(index) => world.release(index, tools),
            Action::Reserve(index) => world.reserve(index, tools),
            Action::Tell(index) => world.tell(index, tools),
            Action::Claim(index) => world.claim(index, tools),
            Action::Abandon(index) => world.abandon(index, tools),
            Action::Die(index) => world.die(index, tools),
            Action::Progress(index) => world.progress(index, tools),
            Action::Leave(index) => {
                world.left.leaves -= 1;
                world.leave_queue(index, tools);
            }
            Action::Clean(index) => world.clean(index, tools),
            Action::Execute(index, lane) => self.execute(&mut world, index, lane),
            Action::Hear(index, lane) => world.hear(index, lane, None, tools),
            Action::Lose(index, lane) => {
                world.left.lost -= 1;
                world.hear(index, lane, Some(Unanswered::Late), tools);
            }
            Action::Unsent(index, lane) => {
                world.left.unsent -= 1;
                world.hear(index, lane, Some(Unanswered::NotSent), tools);
            }
            Action::Cut(index, lane) => world.hear(index, lane, Some(Unanswered::Cut), tools),
            Action::Repeat(index, lane) => {
                world.left.repeated -= 1;
                let sender = world.sender(index, lane);
                if let Some(exchange) = world.exchange(index, lane).clone() {
                    world.stray(sender, &exchange, 0);
                }
            }
            Action::ExecuteStray(place) => self.execute_stray(&mut world, place),
            Action::Advance { step, late } => self.advance(&mut world, step, late),
            Action::Stop => {
                world.left.stops -= 1;
                world.server.is_stopped = true;
            }
            Action::Resume => world.server.is_stopped = false,
            Action::Tick => world.tick(0),
            Action::Flush => {
                world.left.flushes -= 1;
                world.flush();
            }
            Action::Restart => {
                world.left.restarts -= 1;
                world.restart();
            }
            Action::LoseClock => {
                world.left.clock_losses -= 1;
                world.server.items.lose_clock();
            }
            Action::Renumber => {
                world.left.renumberings -= 1;
                world.server.items.renumber(&ITEM);
            }
        }
        self.look(&mut world, action);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("S1: at most one believes", |_, world: &World| {
                let excused = &world.watched.excused;
                world.believers().filter(|(_, nonce)| !excused.contains(nonce)).count() <= 1
            }),
            Property::always(
                "S2: tokens rise in the order of the grants' stores",
                |_, world: &World| world.watched.broken != Some(Promise::TokensRise),
            ),
            Property::always(
                "S3: release and renewal touch only their own item",
                |_, world: &World| world.watched.broken != Some(Promise::OnlyTheOwnItem),
            ),
            Property::always("S4: no grant without a reply that proves it", |_, world: &World| {
                world.watched.broken != Some(Promise::NoGrantWithoutProof)
            }),
            Property::always("S5: until a deadline passes, its item is there", |_, world: &World| {
                let (holder, excused) = (world.watched.holder, &world.watched.excused);
                world
                    .believers()
                    .all(|(_, nonce)| holder == Some(nonce) || excused.contains(&nonce))
            }),
            Property::always(
                "S5: no deadline is beyond the end of its grant, or the server's expiry",
                |_, world: &World| world.watched.broken != Some(Promise::NoDeadlineBeyondTheEnd),
            ),
            Property::always(
                "a contender that lost its turn hands nothing over",
                |_, world: &World| world.watched.broken != Some(Promise::OneTurn),
            ),
            Property::always(
                "a holder that enters again has the same lease, and gives it up once",
                |_, world: &World| world.watched.broken != Some(Promise::OneHold),
            ),
            Property::always("L3: nothing is left behind", |_, world: &World| {
                world.watched.broken != Some(Promise::NothingLeftBehind)
            }),
            Property::always("no machine ends in an impossible way", |_, world: &World| {
                world.watched.broken != Some(Promise::NoSurprise)
            }),
        ]
    }
}

impl Protocol {
    fn execute(&self, world: &mut World, index: usize, lane: Lane) {
        let sender = world.sender(index, lane);
        let Some(mut exchange) = world.exchange(index, lane).take() else {
            return;
        };
        let rest = exchange.replies.len()..exchange.batch.len();
        for place in rest.take(if self.bounds.whole_batches { usize::MAX } else { 1 }) {
            let request = &exchange.batch[place];
            let has_data = matches!(request, Request::Add { .. } | Request::Replace { .. });
            if self.bounds.late_data && has_data && exchange.drawn.is_none() {
                exchange.drawn = Some(world.server.items.draw());
                break;
            }
            let is_in_vain = place > 0 && !matches!(exchange.replies[place - 1], Reply::Stored(_));
            let reply = match request {
                // Its reply is not used, and the numbers that are left out must not make states differ.
                Request::RaiseCounter if is_in_vain => Reply::Raised(Cas::MIN),
                _ => world.execute(sender, request, exchange.drawn.take(), &self.tally),
            };
            exchange.replies.push(reply);
        }
        *world.exchange(index, lane) = Some(exchange);
    }

    fn execute_stray(&self, world: &mut World, place: usize) {
        let mut stray = world.strays.remove(place);
        world.execute(stray.sender, &stray.exchange.batch[stray.next], None, &self.tally);
        if let Some(next) = next_write(&stray.exchange.batch, stray.next + 1) {
            stray.next = next;
            world.strays.insert(place, stray);
        }
    }

    fn advance(&self, world: &mut World, step: Duration, late: u64) {
        world.now += step;
        world.steps_taken += 1;
        world.tick(late);
        for (index, contender) in world.contenders.iter_mut().enumerate() {
            let now = local(world.now, skew(&self.bounds, index));
            contender.belief = contender.belief.filter(|(_, deadline)| !deadline.has_passed(now));
        }
    }

    /// Updates, after each transition, the state that only the checker sees.
    fn look(&self, world: &mut World, action: Action) {
        world.contenders.iter_mut().for_each(Contender::retire);
        let before = world.watched.holder;
        let held = world.ask_for_holder();
        world.watched.holder = held.map(|(nonce, _)| nonce);
        world.watched.lease = held.map(|(_, lease)| lease);
        world.retire_queues(&self.bounds);
        world.check_expiry(&self.bounds);
        // If a write may be executed after every caller has given it up, its item is left to expire.
        if self.bounds.keeper && self.bounds.lost == 0 && self.bounds.repeated == 0 {
            world.check_for_orphans();
        }
        let is_time = matches!(action, Action::Advance { .. } | Action::Tick);
        if is_time && before.is_some() && world.watched.holder.is_none() {
            self.tally.count(Reached::Expiry);
        }
        let excused = |nonce| world.watched.excused.contains(&nonce);
        let (some, others): (Vec<_>, Vec<_>) = world.believers().partition(|(_, nonce)| excused(*nonce));
        if !some.is_empty() && !others.is_empty() {
            self.tally.count(Reached::ExcusedBeliever);
        }
    }

    fn contenders(&self, world: &World, index: usize, actions: &mut Vec<Action>) {
        let contender = &world.contenders[index];
        let begins_after = self.bounds.begins_after.get(index).copied().unwrap_or(0);
        match (&contender.doing, &contender.exchange) {
            (_, Some(exchange)) => self.exchanges(world, exchange, index, Lane::Own, actions),
            (Doing::Resting, None) if contender.attempts > 0 && world.steps_taken >= begins_after => {
                actions.push(Action::Begin(index));
            }
            (Doing::Resting, None) => {}
            (Doing::Waiting, None) => {
                if world.is_notified(index, &self.bounds) {
                    actions.push(Action::Progress(index));
                }
                if world.left.leaves > 0 {
                    actions.push(Action::Leave(index));
                }
            }
            (Doing::Holding(lease), None) => {
                let is_held = lease.last_status() == Status::Held;
                if contender.depth > 0 {
                    actions.push(Action::Exit(index));
                } else {
                    actions.push(Action::Release(index));
                }
                if is_held && contender.reentries > 0 {
                    actions.push(Action::Enter(index));
                }
                if is_held && contender.renewals > 0 {
                    actions.push(Action::Renew(index));
                }
                if is_held && contender.depth == 0 && contender.reserves > 0 {
                    actions.push(Action::Reserve(index));
                }
            }
            (Doing::Reserved(_), None) => {
                actions.extend([Action::Claim(index), Action::Abandon(index)]);
                if contender.is_untold {
                    actions.push(Action::Tell(index));
                }
                if world.left.deaths > 0 && self.bounds.is_alone(index) {
                    actions.push(Action::Die(index));
                }
            }
            (Doing::Acquiring(_) | Doing::Renewing(..) | Doing::Releasing(..), None) => {
                actions.push(Action::Wake(index));
            }
        }
        match &contender.cleaning {
            Some((_, Some(exchange))) => self.exchanges(world, exchange, index, Lane::Keeper, actions),
            Some((_, None)) => {}
            None if contender.leftovers.is_empty() => {}
            None => actions.push(Action::Clean(index)),
        }
    }

    fn exchanges(
        &self,
        world: &World,
        exchange: &crate::world::Exchange,
        index: usize,
        lane: Lane,
        actions: &mut Vec<Action>,
    ) {
        let is_whole = exchange.replies.len() == exchange.batch.len();
        let is_gone = exchange.run != world.server.run;
        if is_whole {
            actions.push(Action::Hear(index, lane));
        } else if is_gone {
            actions.push(Action::Cut(index, lane));
        } else if !world.server.is_stopped {
            actions.push(Action::Execute(index, lane));
        }
        let is_renewal = matches!(world.contenders[index].doing, Doing::Renewing(..)) && lane == Lane::Own;
        if world.left.lost > 0 && !is_gone && (is_renewal || !self.bounds.loses_only_renewals) {
            actions.push(Action::Lose(index, lane));
        }
        if world.left.unsent > 0 && exchange.replies.is_empty() {
            actions.push(Action::Unsent(index, lane));
        }
        if world.left.repeated > 0 && !is_gone && next_write(&exchange.batch, 0).is_some() {
            actions.push(Action::Repeat(index, lane));
        }
    }

    fn times(&self, world: &World, actions: &mut Vec<Action>) {
        let longest_delay = u64::from(self.bounds.late_ticks && !world.server.is_stopped);
        if let Some(&step) = self.bounds.steps.get(world.steps_taken) {
            actions.extend((0..=longest_delay).map(|late| Action::Advance { step, late }));
        }
        if world.server.is_stopped {
            actions.push(Action::Resume);
        } else {
            if world.left.stops > 0 {
                actions.push(Action::Stop);
            }
            if world.server.second < world.true_second() {
                actions.push(Action::Tick);
            }
        }
    }
}

fn calamities(world: &World, actions: &mut Vec<Action>) {
    let left = &world.left;
    if left.flushes > 0 {
        actions.push(Action::Flush);
    }
    if left.restarts > 0 {
        actions.push(Action::Restart);
    }
    if left.clock_losses > 0 {
        actions.push(Action::LoseClock);
    }
    if left.renumberings > 0 && world.watched.holder.is_some() {
        actions.push(Action::Renumber);
    }
}
