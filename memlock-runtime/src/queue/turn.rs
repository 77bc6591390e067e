//! The turn: what the head of a queue has in its hands.

use std::sync::Arc;
use std::time::Duration;

use super::of_key::{BRISK, Queue, Wake};
use super::queues::Queues;
use super::shard::Shard;
use super::waiter::nanos;
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Grant, Handed, Member, TurnState, WaitListView, Watch, is_to_look};
use crate::system::sync::atomic::Ordering;

/// The head's right to talk to the server about one key. Dropping it passes it on.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(super) queues: Arc<Queues>,
    pub(super) item: ItemName,
    /// [`TurnState::NONE`] once it is over.
    pub(crate) number: u64,
    /// What is known of the present holder; left to the next in line.
    pub(crate) watch: Option<Watch>,
    /// What is known of other processes in line; left to the next as well.
    pub(crate) standing: Option<Box<WaitListView>>,
    /// The grant that came with it, until it is taken. Boxed, so that those that come without one stay small.
    pub(crate) handed: Option<Box<Handed>>,
}

impl Turn {
    /// What was handed over with the turn, if anything was: it is the caller's now, to hold or to release.
    pub(crate) fn take_handed(&mut self) -> Option<Handed> {
        self.handed.take().map(|handed| *handed)
    }

    /// The holder is done with `grant`: it and the turn go to the first in line, if one waits to whom the grant may still
    /// be handed over. Otherwise the turn comes back, and the lock is to be released.
    pub(crate) fn hand_over(mut self, grant: &Grant, now: Now) -> Option<Turn> {
        let mut shard = self.queues.shard(&self.item);
        let Shard { queues, numbers, .. } = &mut *shard;
        let wake = queues.get_mut(&self.item).and_then(|queue| {
            // Unless it is handed over.
            queue.is_ending |= queue.turns.is_present(self.number);
            let timeout = queue.waiting.front()?.timeout;
            if !queue.turns.hand_over(self.number, grant, timeout, now) {
                return None;
            }
            queue.is_brisk = now.since(grant.deadline.sent()) < BRISK;
            queue.standing = self.standing.take();
            queue.give_turn(numbers, Some(now.instant + timeout))
        });
        drop(shard);
        let Some(wake) = wake else { return Some(self) };
        self.number = TurnState::NONE;
        wake.all();
        None
    }

    /// What is known of the line, if the release of a lock that this process was granted at `granted` is to look at it.
    pub(crate) fn looks(&mut self, granted: Duration, me: Member, now: Now) -> Option<Box<WaitListView>> {
        if !self.is_to_look(granted, now) {
            return None;
        }
        // Two at once may both look: that costs a look.
        let looked = self.queues.looked(&self.item);
        looked.store(nanos(now.instant), Ordering::Relaxed);
        Some(self.standing.take().unwrap_or_else(|| Box::new(WaitListView::new(me))))
    }

    fn is_to_look(&self, granted: Duration, now: Now) -> bool {
        let looked = self.queues.looked(&self.item).load(Ordering::Relaxed);
        is_to_look(self.standing.as_deref(), granted, Duration::from_nanos(looked), now)
    }

    /// A lease was granted in this turn, or extended: the turn lasts `until` (on the monotonic clock) at the most, and
    /// `watch` is what the next in line needs to know to take over from a holder that hangs.
    pub(crate) fn leased(&self, until: Duration, watch: Watch) {
        let mut shard = self.queues.shard(&self.item);
        let wake = shard.queues.get_mut(&self.item).and_then(|queue| {
            let is_present = queue.turns.granted(self.number, until, watch);
            is_present.then(|| {
                queue.trouble = None;
                Wake(None, queue.oversleeper(), queue.curious())
            })
        });
        drop(shard);
        wake.into_iter().for_each(Wake::all);
    }

    /// The last exchange failed with `trouble`, and is tried again; or it did not.
    pub(crate) fn met(&self, trouble: Option<Error>) {
        self.learns(|queue| {
            queue.is_answered = false;
            queue.trouble = trouble.map(Box::new);
        });
    }

    /// The server has told all that it can tell for now: that another holds the lock, or why nobody can.
    pub(crate) fn waits(&self) {
        self.learns(|queue| queue.is_answered = true);
    }

    /// What the last exchange came to grief on, if the server has not answered since.
    pub(crate) fn trouble(&self) -> Option<Error> {
        let shard = self.queues.shard(&self.item);
        let queue = shard.queues.get(&self.item)?;
        queue.trouble.as_deref().cloned()
    }

    fn learns(&self, what: impl FnOnce(&mut Queue)) {
        let mut shard = self.queues.shard(&self.item);
        let queue = shard.queues.get_mut(&self.item);
        let Some(queue) = queue.filter(|queue| queue.turns.is_present(self.number)) else {
            return;
        };
        what(queue);
        let curious = queue.curious();
        drop(shard);
        Wake(None, None, curious).all();
    }

    /// Ends the turn with a failure that is everyone's.
    pub(crate) fn fail_for_all(self, verdict: &Error) {
        self.queues.dismiss(&self.item, self.number, verdict);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.number == TurnState::NONE {
            return;
        }
        // Its taker may have been stopped before it took what came with it.
        let mut untaken = self.handed.take().map(|handed| *handed);
        let passed = &mut untaken;
        self.queues.pass_on(&self.item, self.number, |queue| {
            queue.turns.leave(self.watch, passed.take());
            queue.standing = self.standing.take();
        });
        if let Some(handed) = untaken {
            self.queues.release_orphan(&self.item, &handed.into_grant());
        }
    }
}
