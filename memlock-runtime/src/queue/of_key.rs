//! The queue of one key: who waits, and whom each step is to wake.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::numbers::Numbers;
use super::waiter::Waiter;
use crate::error::Error;
use crate::protocol::{TurnState, WaitListView};

/// A lock that is held for less than this is handed over faster than a thread wakes up: the first in line is woken early
/// then, and is awake when its turn comes. Waking takes 2 to 20 µs, depending on whether a processor was asleep.
///
/// It is woken by who joins the line behind it, and so is about to sleep and leave it a processor; mostly that is the holder
/// before, who comes again. Woken by that holder as it hands over, it would take the processor away from one who has more to
/// do, or cost a signal to another.
pub(super) const BRISK: Duration = Duration::from_micros(10);

/// Waiters of one key. It exists while somebody has the turn.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Arc<Waiter>>,
    /// Whose turn it is, and what comes with it.
    pub(super) turns: TurnState,
    /// What is known of other processes in line, from one turn to the next.
    pub(super) standing: Option<Box<WaitListView>>,
    /// Whether the last holder was done within [`BRISK`].
    pub(super) is_brisk: bool,
    /// Whether the holder is done, and only the server is still to be told.
    pub(super) is_ending: bool,
    /// Whether the server has told the head all that it can tell: the head waits for another holder.
    pub(super) is_answered: bool,
    /// What the last exchange of a head came to grief on, until the server answers.
    pub(super) trouble: Option<Box<Error>>,
    /// Whether somebody waits for nothing but the server's answer: see [`Waiter::is_curious`].
    pub(super) has_curious: bool,
}

impl Queue {
    /// Whether `waiter` is the first in line.
    pub(super) fn is_first(&self, waiter: &Arc<Waiter>) -> bool {
        self.waiting.front().is_some_and(|first| Arc::ptr_eq(first, waiter))
    }

    /// Whether it is not known yet that somebody holds the lock: the head is asking, or the holder is done and the server is
    /// being told.
    pub(super) fn is_open(&self) -> bool {
        self.is_ending || !self.is_answered && self.turns.leased_until().is_none()
    }

    /// The server has answered the head, or has not: those who wait for that alone are to be woken.
    pub(super) fn curious(&mut self) -> Vec<Arc<Waiter>> {
        if !std::mem::take(&mut self.has_curious) {
            return Vec::new();
        }
        let curious = self.waiting.iter().filter(|waiter| waiter.tell_curious());
        curious.map(Arc::clone).collect()
    }

    /// Ends the present turn and begins turn `number`. The first in line is to have it.
    pub(super) fn next_turn(&mut self, number: u64) -> Option<Arc<Waiter>> {
        self.turns.next(number);
        self.is_ending = false;
        // What troubled the server is not over because another asks it now.
        self.is_answered = false;
        self.waiting.pop_front()
    }

    /// The same, and tells the first in line. The lease that comes with the turn, if one does, lasts for `until`.
    pub(super) fn give_turn(&mut self, numbers: &mut Numbers, until: Option<Duration>) -> Option<Wake> {
        let number = numbers.next();
        let next = self.next_turn(number)?;
        let is_to_be_woken = next.give(number);
        let (sleeper, curious) = match until {
            Some(until) => {
                self.turns.leased(until);
                (self.oversleeper(), self.curious())
            }
            None => (None, Vec::new()),
        };
        Some(Wake(is_to_be_woken.then_some(next), sleeper, curious))
    }

    /// The first in line, if it is to be woken to see when the present lease ends: it is to step in then, and sleeps for
    /// longer.
    pub(super) fn oversleeper(&self) -> Option<Arc<Waiter>> {
        let until = self.turns.leased_until()?;
        let first = self.waiting.front()?;
        first.oversleeps(until).then(|| Arc::clone(first))
    }

    /// The first in line, if it is to be woken because its turn is near.
    pub(super) fn near(&self) -> Option<Arc<Waiter>> {
        let first = self.waiting.front()?;
        (self.is_brisk && first.wake_early()).then(|| Arc::clone(first))
    }

    /// `waiter`, who has no turn, waits no longer. Returns whom that makes the first in line, if it sleeps beyond the
    /// present lease: only who was the first before was told of it.
    pub(super) fn leave(&mut self, waiter: &Arc<Waiter>) -> Option<Arc<Waiter>> {
        let was_first = self.is_first(waiter);
        self.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
        was_first.then(|| self.oversleeper()).flatten()
    }
}

/// Waiters to be woken, once the shard's lock is let go: who has the turn, who oversleeps a lease, and who is curious.
#[must_use]
pub(super) struct Wake(
    pub(super) Option<Arc<Waiter>>,
    pub(super) Option<Arc<Waiter>>,
    pub(super) Vec<Arc<Waiter>>,
);

impl Wake {
    pub(super) fn all(self) {
        for waiter in [self.0, self.1].into_iter().flatten().chain(self.2) {
            waiter.wake();
        }
    }
}
