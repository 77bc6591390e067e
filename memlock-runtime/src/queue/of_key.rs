//! The queue of one key: its waiters, and which of them each step wakes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::numbers::Numbers;
use super::waiter::Waiter;
use crate::error::Error;
use crate::protocol::{TurnState, WaitListView};

/// A lock that is held for less than this is handed over faster than a thread wakes up, which takes 2 to 20 µs,
/// depending on whether a processor was asleep. The first waiter is then woken early, so that it is awake when its turn
/// comes.
///
/// The caller that joins the queue behind it wakes it. That caller is about to sleep and to free a processor; mostly it
/// is the last holder, which comes again. If that holder woke the first waiter as it hands the lock over, the waiter
/// would take the processor away from a thread that has more to do, or cost a signal to another processor.
pub(super) const SHORT_HOLD: Duration = Duration::from_micros(10);

/// The waiters of one key. It exists while a caller has the turn.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Queue {
    pub(super) waiting: WaitingLine,
    /// The present turn, and what comes with it.
    pub(super) turns: TurnState,
    /// What is known of other processes in line, from one turn to the next.
    pub(super) wait_list: Option<Box<WaitListView>>,
    /// Whether the last holder was done within [`SHORT_HOLD`].
    pub(super) was_hold_short: bool,
    /// Whether the holder is done, and only the server does not know it yet.
    pub(super) is_releasing: bool,
    /// Whether the server has told the head all that it can tell: the head waits for another holder.
    pub(super) is_answered: bool,
    /// The error of the head's last exchange, until the server answers.
    pub(super) trouble: Option<Box<Error>>,
    /// Whether a caller has let its turn end without asking the server, and no other has heard from the server since.
    pub(super) is_stalled: bool,
    /// Whether a waiter waits only for the server's answer: see [`Waiter::set_awaits_answer`].
    pub(super) has_answer_waiters: bool,
}

impl Queue {
    /// Whether `waiter` is the first in line.
    pub(super) fn is_first(&self, waiter: &Arc<Waiter>) -> bool {
        self.waiting.first().is_some_and(|first| Arc::ptr_eq(first, waiter))
    }

    /// Whether it is not known yet that anybody holds the lock: the head is asking the server, or the holder is done
    /// and is telling the server.
    pub(super) fn is_open(&self) -> bool {
        self.is_releasing || !self.is_answered && !self.turns.is_leased()
    }

    /// Tells the waiters that wait only for the server's answer that it has come, or will not come. Returns those that
    /// need a wake-up.
    pub(super) fn notify_of_answer(&mut self) -> Vec<Arc<Waiter>> {
        if !std::mem::take(&mut self.has_answer_waiters) {
            return Vec::new();
        }
        let notified = self.waiting.iter().filter(|waiter| waiter.notify_of_answer());
        notified.map(Arc::clone).collect()
    }

    /// Ends the present turn and begins turn `number`, which lasts until `ends` unless its caller moves.
    fn begin_turn(&mut self, number: u64, ends: Duration) {
        self.turns.next(number, ends);
        self.is_releasing = false;
        // A trouble of the server is not over because another caller asks it now.
        self.is_answered = false;
    }

    /// Ends the present turn and gives the next one to the first waiter, which must come for it by the time that `ends`
    /// returns. `None` if nobody waits.
    pub(super) fn give_turn(&mut self, numbers: &mut Numbers, ends: impl FnOnce() -> Duration) -> Option<ToWake> {
        let next = self.waiting.pop_first()?;
        let number = numbers.next();
        self.begin_turn(number, ends());
        Some(ToWake {
            first: next.give_turn(number).then_some(next),
            sleeper: None,
            others: if self.turns.is_leased() {
                self.notify_of_answer()
            } else {
                Vec::new()
            },
        })
    }

    /// `waiter` takes the turn at `now` from a caller that has let it end, and has it until `ends`. Returns the waiters
    /// before it that have not moved in time either, and need a wake-up. They come too late for a turn that each of them
    /// is given here, so that they cost the others no more time.
    pub(super) fn step_in(
        &mut self,
        waiter: &Arc<Waiter>,
        numbers: &mut Numbers,
        ends: Duration,
        now: Duration,
    ) -> Vec<Arc<Waiter>> {
        let mut passed_over = Vec::new();
        while let Some(first) = self.waiting.first().filter(|first| !Arc::ptr_eq(first, waiter)) {
            if !first.is_overdue(now) {
                break;
            }
            if first.give_turn(numbers.next()) {
                passed_over.push(Arc::clone(first));
            }
            self.waiting.pop_first();
        }
        self.waiting.take_out(waiter);
        self.is_stalled |= self.is_open();
        self.begin_turn(numbers.next(), ends);
        passed_over
    }

    /// The first waiter, if it sleeps beyond the end of the present lease. It has to step in then, so it must be woken to
    /// see when that is. The end of a turn without a lease is no such time: each waiter looks for that now and then.
    pub(super) fn first_asleep_past_lease(&self) -> Option<Arc<Waiter>> {
        let until = self.turns.leased_until()?;
        let first = self.waiting.first()?;
        first.sleeps_past(until).then(|| Arc::clone(first))
    }

    /// The first waiter, if it needs a wake-up because its turn is near.
    pub(super) fn first_to_wake_early(&self) -> Option<Arc<Waiter>> {
        let first = self.waiting.first()?;
        (self.was_hold_short && first.wake_early()).then(|| Arc::clone(first))
    }

    /// Removes `waiter`, which has no turn. Returns the waiter that becomes the first by that, if it sleeps beyond the
    /// present lease: only the waiter that was first before was told of that lease.
    pub(super) fn remove(&mut self, waiter: &Arc<Waiter>) -> Option<Arc<Waiter>> {
        let was_first = self.is_first(waiter);
        self.waiting.remove(waiter);
        was_first.then(|| self.first_asleep_past_lease()).flatten()
    }
}

/// The waiters of one key, first come, first served. Each function but `iter` takes the same time however many wait, on average: a
/// crowd that gives up at one moment must not hold the shard's lock for long.
#[derive(Debug, Default)]
pub(super) struct WaitingLine {
    /// The first of them has not left.
    line: VecDeque<Arc<Waiter>>,
    /// How many in the line have left it.
    left: usize,
}

impl WaitingLine {
    pub(super) fn first(&self) -> Option<&Arc<Waiter>> {
        self.line.front()
    }

    pub(super) fn len(&self) -> usize {
        self.line.len() - self.left
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Waiter>> {
        self.line.iter().filter(|waiter| !waiter.has_left())
    }

    pub(super) fn push_last(&mut self, waiter: Arc<Waiter>) {
        self.line.push_back(waiter);
    }

    pub(super) fn push_first(&mut self, waiter: Arc<Waiter>) {
        self.line.push_front(waiter);
    }

    fn pop_first(&mut self) -> Option<Arc<Waiter>> {
        let first = self.line.pop_front();
        self.tidy();
        first
    }

    /// `waiter`, which waits here, leaves.
    fn remove(&mut self, waiter: &Arc<Waiter>) {
        waiter.leave();
        self.left += 1;
        self.tidy();
    }

    /// Takes out `waiter`, which may come back ([`push_first`](Self::push_first)). This takes longer the more wait before
    /// it.
    fn take_out(&mut self, waiter: &Arc<Waiter>) {
        if let Some(place) = self.line.iter().position(|other| Arc::ptr_eq(other, waiter)) {
            self.line.remove(place);
        }
        self.tidy();
    }

    /// Drops waiters that have left: from the front, and all of them once they are the greater part.
    fn tidy(&mut self) {
        if self.left > self.line.len() / 2 {
            self.line.retain(|waiter| !waiter.has_left());
            self.left = 0;
        }
        while self.line.front().is_some_and(|first| first.has_left()) {
            self.line.pop_front();
            self.left -= 1;
        }
    }
}

/// Waiters to wake once the shard's lock is released: a waker is foreign code.
#[must_use]
#[derive(Default)]
pub(super) struct ToWake {
    /// The waiter whose turn it is, or is next.
    pub(super) first: Option<Arc<Waiter>>,
    /// The waiter that sleeps beyond a lease.
    pub(super) sleeper: Option<Arc<Waiter>>,
    /// The waiters that waited only for the server's answer, or were passed over.
    pub(super) others: Vec<Arc<Waiter>>,
}

impl ToWake {
    /// A waiter that sleeps beyond a lease, if there is one.
    pub(super) fn sleeper(sleeper: Option<Arc<Waiter>>) -> ToWake {
        ToWake {
            sleeper,
            ..ToWake::default()
        }
    }

    pub(super) fn wake(self) {
        for waiter in [self.first, self.sleeper].into_iter().flatten().chain(self.others) {
            waiter.wake();
        }
    }
}
