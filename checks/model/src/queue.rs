//! A process's queue for the lock, and handing over in it.
//!
//! The real [`TurnState`] decides which caller has the turn, what it may do with it, and what becomes of a grant on its
//! way. The waiting callers are a list here. Each function here is one step, as it is in the library, where the queue's
//! lock makes it one.

use memlock_runtime::__internals::{Grant, Handed, LeaseState, Now, Taken, TurnState, TurnStatus, Watch};

use crate::Bounds;
use crate::contender::Tools;
use crate::outcomes::Reached;
use crate::world::{Doing, Promise, Then, World, item, local, skew};

impl World {
    /// Joins the queue. Returns whether the queue was empty, so that it is this contender's turn.
    pub(crate) fn join(&mut self, index: usize, bounds: &Bounds) -> bool {
        let now = local(self.now, skew(bounds, index));
        let queue = &mut self.queues[bounds.process(index)];
        let contender = &mut self.contenders[index];
        if queue.turns.is_some() {
            queue.waiting.push(index);
            contender.doing = Doing::Waiting;
            return false;
        }
        queue.numbers += 1;
        queue.turns = Some(TurnState::begun(queue.numbers, bounds.turn_end(now)));
        queue.has_turn = Some(index);
        contender.turn = queue.numbers;
        contender.watch = queue.watch.take();
        true
    }

    /// Whether a waiting contender would learn anything by looking.
    pub(crate) fn is_notified(&self, index: usize, bounds: &Bounds) -> bool {
        let now = local(self.now, skew(bounds, index));
        let queue = &self.queues[bounds.process(index)];
        let is_first = queue.waiting.first() == Some(&index);
        let given = self.contenders[index].given;
        match &queue.turns {
            Some(turns) => turns.claim(given, bounds.step_in_grace(is_first), now) != TurnStatus::Wait,
            None => given != TurnState::NONE,
        }
    }

    /// A waiting contender looks whether its turn has come.
    pub(crate) fn progress(&mut self, index: usize, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let queue = &mut self.queues[tools.bounds.process(index)];
        let contender = &mut self.contenders[index];
        let is_first = queue.waiting.first() == Some(&index);
        if queue.turns.is_none() {
            // The contender that stepped in has left since, so this one is the head again.
            queue.has_turn = Some(index);
        }
        let turns = queue
            .turns
            .get_or_insert_with(|| TurnState::begun(contender.given, tools.bounds.turn_end(now)));
        match turns.claim(contender.given, tools.bounds.step_in_grace(is_first), now) {
            TurnStatus::Wait => return,
            TurnStatus::TooLate => {
                tools.tally.count(Reached::TooLateForTheTurn);
                contender.given = TurnState::NONE;
                queue.waiting.insert(0, index);
                return;
            }
            TurnStatus::StepIn => {
                tools.tally.count(Reached::StepIn);
                queue.numbers += 1;
                turns.next(queue.numbers, tools.bounds.turn_end(now));
                queue.waiting.retain(|other| *other != index);
                queue.has_turn = Some(index);
            }
            TurnStatus::Mine => {}
        }
        let Taken { number, watch, handed } = turns.take(tools.bounds.timeout(index), now);
        let is_its_turn = queue.has_turn == Some(index);
        (contender.turn, contender.given, contender.watch) = (number, TurnState::NONE, watch);
        self.require(is_its_turn, Promise::OneTurn);
        match handed {
            None => self.acquire(index, tools),
            Some(Handed::Over(grant)) => self.taken(index, grant, tools),
            Some(Handed::Spent(grant)) => {
                tools.tally.count(Reached::Spent);
                self.give_back(index, &grant, Then::Acquire, tools);
            }
        }
    }

    /// The contender holds the grant that was handed over to it.
    fn taken(&mut self, index: usize, grant: Grant, tools: Tools<'_>) {
        tools.tally.count(Reached::HandOver);
        self.holds_next(index, grant, tools);
    }

    /// The contender is the next holder under the same grant.
    pub(crate) fn holds_next(&mut self, index: usize, grant: Grant, tools: Tools<'_>) {
        let is_excused = self.watched.excused.contains(&grant.nonce);
        let stored = &mut self.watched.stored;
        // Every earlier grant has a lower token. There is one exception: the grant of a server that has lost its state
        // since may come after another contender's grant, which the resource then prefers.
        let tokens = stored.iter().filter_map(|(_, token)| *token);
        let rises = tokens.max().is_none_or(|highest| highest < grant.token);
        let own = stored.iter_mut().find(|(nonce, _)| *nonce == grant.nonce);
        let rises_under_its_grant = own.as_ref().is_none_or(|(_, token)| *token < Some(grant.token));
        let is_known = own.is_some();
        if let Some((_, token)) = own {
            *token = Some(grant.token);
        }
        // And in the order of the stores there is no exception: each grant's tokens are below the next one's.
        let tokens: Vec<_> = stored.iter().filter_map(|(_, token)| *token).collect();
        let is_sorted = tokens.is_sorted_by(|before, after| before < after);
        let is_kept = rises_under_its_grant && is_sorted && (is_excused || (is_known && rises));
        self.require(is_kept, Promise::TokensRise);
        self.contenders[index].proof = Some(grant.nonce);
        self.hold(index, LeaseState::new(grant), tools);
    }

    /// A holder that believes no more hands `grant` over, if it may.
    pub(crate) fn hand_over(&mut self, index: usize, grant: &Grant, now: Now, tools: Tools<'_>) -> bool {
        let queue = &mut self.queues[tools.bounds.process(index)];
        let number = self.contenders[index].turn;
        let is_its_turn = queue.has_turn == Some(index);
        if !is_its_turn {
            tools.tally.count(Reached::TurnTakenAway);
        }
        let (Some(turns), Some(&first)) = (&mut queue.turns, queue.waiting.first()) else {
            return false;
        };
        let timeout = tools.bounds.timeout(first);
        if !turns.hand_over(number, grant, timeout, now) {
            return false;
        }
        let ends = tools.bounds.turn_end(now).min(now.instant + timeout);
        turns.next(queue.numbers + 1, ends);
        self.give_turn(tools.bounds.process(index));
        self.require(is_its_turn, Promise::OneTurn);
        true
    }

    /// Gives the turn that has just begun to the first waiting contender.
    fn give_turn(&mut self, process: usize) {
        let queue = &mut self.queues[process];
        let first = queue.waiting.remove(0);
        queue.numbers += 1;
        queue.has_turn = Some(first);
        self.contenders[first].given = queue.numbers;
    }

    /// Records that a lease was granted or extended in the contender's turn.
    pub(crate) fn leased(&mut self, index: usize, grant: &Grant, tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let number = self.contenders[index].turn;
        if let Some(turns) = &mut self.queues[tools.bounds.process(index)].turns {
            turns.granted(number, grant.deadline.ends(), Watch::of_own(grant, now));
        }
    }

    /// The contender is done, and passes its turn on without a grant.
    pub(crate) fn pass_on(&mut self, index: usize, tools: Tools<'_>) {
        let contender = &mut self.contenders[index];
        let (number, watch) = (contender.turn, contender.watch.take());
        self.end_turn(index, number, |turns| turns.leave(watch, None), tools);
    }

    fn end_turn(&mut self, index: usize, number: u64, leave: impl FnOnce(&mut TurnState), tools: Tools<'_>) {
        let now = local(self.now, skew(tools.bounds, index));
        let process = tools.bounds.process(index);
        let queue = &mut self.queues[process];
        let is_its_turn = queue.has_turn == Some(index);
        let Some(turns) = queue.turns.as_mut().filter(|turns| turns.is_present(number)) else {
            return;
        };
        leave(turns);
        if queue.waiting.is_empty() {
            let (watch, orphan) = turns.take_remains();
            (queue.turns, queue.watch, queue.has_turn) = (None, watch, None);
            if let Some(grant) = orphan {
                self.contenders[index].leave(grant.nonce, tools.bounds);
            }
        } else {
            if turns.handed().is_some() {
                tools.tally.count(Reached::PassedOn);
            }
            turns.next(queue.numbers + 1, tools.bounds.turn_end(now));
            self.give_turn(process);
        }
        self.require(is_its_turn, Promise::OneTurn);
    }

    /// A waiting contender leaves. A turn that it was given meanwhile is passed on with the grant that came with it.
    pub(crate) fn leave_queue(&mut self, index: usize, tools: Tools<'_>) {
        let given = std::mem::take(&mut self.contenders[index].given);
        if given == TurnState::NONE {
            self.queues[tools.bounds.process(index)]
                .waiting
                .retain(|other| *other != index);
        } else {
            self.end_turn(index, given, |_| (), tools);
        }
        self.rest(index);
    }

    /// The head could not reach the server, so the contenders behind it cannot either.
    pub(crate) fn dismiss(&mut self, index: usize, bounds: &Bounds) {
        let queue = &mut self.queues[bounds.process(index)];
        let number = self.contenders[index].turn;
        if queue.turns.as_ref().is_some_and(|turns| turns.is_present(number)) {
            (queue.turns, queue.has_turn) = (None, None);
            for waiter in std::mem::take(&mut queue.waiting) {
                self.rest(waiter);
            }
        }
    }

    /// Forgets the numbers of turns where no contender has a turn any more.
    pub(crate) fn retire_queues(&mut self, bounds: &Bounds) {
        for (process, queue) in self.queues.iter_mut().enumerate() {
            let mut threads = self.contenders.iter().enumerate();
            let is_over = |turn: u64| turn == TurnState::NONE;
            let is_idle = |(index, contender): (usize, &crate::world::Contender)| {
                bounds.process(index) != process || (is_over(contender.turn) && is_over(contender.given))
            };
            if queue.turns.is_none() && threads.all(is_idle) {
                queue.numbers = 0;
                let is_retired =
                    |index: usize| bounds.process(index) != process || self.contenders[index].attempts == 0;
                if (0..self.contenders.len()).all(is_retired) {
                    queue.watch = None;
                }
            }
        }
    }

    /// Checks that every belief ends before the item does. A contender believes too long if its deadline has not passed
    /// when the item expires, were the server's clock right at once. It also believes too long if it believes for
    /// longer than a contender would watch that sees the item now for the first time.
    pub(crate) fn check_expiry(&mut self, bounds: &Bounds) {
        let (Some(second), Some(lease)) = (self.server.items.expiry(&item()), self.watched.lease) else {
            return;
        };
        let until = std::time::Duration::from_secs(second - crate::world::BEGINNING);
        let has_passed = self.contenders.iter().enumerate().all(|(index, contender)| {
            let is_on_it = |nonce| self.watched.holder == Some(nonce);
            contender
                .belief
                .filter(|(nonce, _)| is_on_it(*nonce))
                .is_none_or(|(_, deadline)| {
                    let skew = skew(bounds, index);
                    let is_covered = deadline.remaining(local(self.now, skew)) <= lease;
                    is_covered && deadline.has_passed(local(until, skew))
                })
        });
        self.require(has_passed, Promise::NoDeadlineBeyondTheEnd);
    }

    /// Checks that some contender knows of the item on the server, and is going to release it.
    pub(crate) fn check_for_orphans(&mut self) {
        let Some(nonce) = self.watched.holder else { return };
        let knows = |(index, contender): (usize, &crate::world::Contender)| {
            let is_at_work = match &contender.doing {
                Doing::Resting | Doing::Waiting => false,
                Doing::Acquiring(_) => nonce.0 >> 8 == index as u128 + 1,
                Doing::Holding(lease) | Doing::Reserved(lease) | Doing::Renewing(_, lease, _) => {
                    lease.grant().nonce == nonce
                }
                Doing::Releasing(_, released, _) => *released == nonce,
            };
            is_at_work || contender.leftovers.contains(&nonce)
        };
        let is_handed_over = self.queues.iter().any(|queue| {
            let handed = queue.turns.as_ref().and_then(TurnState::handed);
            handed.is_some_and(|grant| grant.nonce == nonce)
        });
        let is_known = is_handed_over || self.contenders.iter().enumerate().any(knows);
        self.require(is_known, Promise::NothingLeftBehind);
    }
}
