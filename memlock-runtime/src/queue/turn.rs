//! The turn: what the head of a queue holds.

use std::sync::Arc;
use std::time::Duration;

use super::of_key::{Queue, SHORT_HOLD, ToWake};
use super::queues::Queues;
use super::shard::Shard;
use super::waiter::nanos;
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Grant, Handed, Member, TurnState, WaitListView, Watch, should_read_wait_list};
use crate::system::sync::atomic::Ordering;

/// The head's right to talk to the server about one key. Dropping it passes it on.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(super) queues: Arc<Queues>,
    pub(super) item: ItemName,
    /// The turn's number, or [`TurnState::NONE`] once it is over.
    pub(crate) number: u64,
    /// What is known of the present holder. The next head inherits it.
    pub(crate) watch: Option<Watch>,
    /// What is known of other processes in line. The next head inherits it, too.
    pub(crate) wait_list: Option<Box<WaitListView>>,
    /// The grant that came with the turn, until it is taken. Boxed, so that turns without one stay small.
    pub(crate) handed: Option<Box<Handed>>,
}

impl Turn {
    /// Takes the grant that was handed over with the turn, if there is one. The caller has to hold it or to release it.
    pub(crate) fn take_handed(&mut self) -> Option<Handed> {
        self.handed.take().map(|handed| *handed)
    }

    /// Hands `grant`, with which the holder is done, and the turn over to the first waiter, if the grant may still be
    /// handed over to it. Otherwise returns the turn, and the caller has to release the lock.
    pub(crate) fn hand_over(mut self, grant: &Grant, now: Now) -> Option<Turn> {
        let mut shard = self.queues.shard(&self.item);
        let Shard { queues, numbers, .. } = &mut *shard;
        let wake = queues.get_mut(&self.item).and_then(|queue| {
            // A hand-over, which begins the next turn, clears it again.
            queue.is_releasing |= queue.turns.is_present(self.number);
            let timeout = queue.waiting.first()?.timeout;
            if !queue.turns.hand_over(self.number, grant, timeout, now) {
                return None;
            }
            queue.was_hold_short = now.since(grant.deadline.sent()) < SHORT_HOLD;
            queue.wait_list = self.wait_list.take();
            // The grant waits for its taker no longer than the taker's own lease would last.
            queue.give_turn(numbers, || now.instant + timeout.min(self.queues.patience))
        });
        drop(shard);
        let Some(wake) = wake else { return Some(self) };
        self.number = TurnState::NONE;
        wake.wake();
        None
    }

    /// Takes what is known of the wait list, if a release of the lock at `now` should read that list. This process,
    /// `me`, was granted the lock at `granted`.
    pub(crate) fn take_wait_list_view(&mut self, granted: Duration, me: Member, now: Now) -> Option<Box<WaitListView>> {
        if !self.should_look(granted, now) {
            return None;
        }
        // Two releases at once may both read the list, which costs one needless read.
        let last_look = self.queues.last_look(&self.item);
        last_look.store(nanos(now.instant), Ordering::Relaxed);
        Some(self.wait_list.take().unwrap_or_else(|| Box::new(WaitListView::new(me))))
    }

    fn should_look(&self, granted: Duration, now: Now) -> bool {
        let last_look = self.queues.last_look(&self.item).load(Ordering::Relaxed);
        should_read_wait_list(self.wait_list.as_deref(), granted, Duration::from_nanos(last_look), now)
    }

    /// Records that a lease was granted in this turn, or extended. The turn lasts at most until `until` on the
    /// monotonic clock; with `watch` the next head can take over from a holder that hangs.
    pub(crate) fn leased(&self, until: Duration, watch: Watch) {
        let mut shard = self.queues.shard(&self.item);
        let wake = shard.queues.get_mut(&self.item).and_then(|queue| {
            let is_present = queue.turns.granted(self.number, until, watch);
            is_present.then(|| {
                (queue.trouble, queue.is_stalled) = (None, false);
                ToWake {
                    first: None,
                    sleeper: queue.first_asleep_past_lease(),
                    others: queue.notify_of_answer(),
                }
            })
        });
        drop(shard);
        wake.into_iter().for_each(ToWake::wake);
    }

    /// Records whether the last exchange failed: with `trouble`, and it is tried again, or, with `None`, not at all.
    pub(crate) fn set_trouble(&self, trouble: Option<Error>) {
        self.update_queue(|queue| {
            queue.is_answered = false;
            queue.trouble = trouble.map(Box::new);
        });
    }

    /// Records that the server has told all that it can tell for now: that another holder has the lock, or why nobody
    /// can have it. The caller goes on after a `pause` that begins at `now`.
    pub(crate) fn pause(&self, pause: Duration, now: Now) {
        let ends = self.queues.turn_end(now).saturating_add(pause);
        self.update_queue(|queue| {
            queue.is_answered = true;
            queue.turns.extend(self.number, ends);
        });
    }

    /// The error of the last exchange, if the server has not answered since.
    pub(crate) fn trouble(&self) -> Option<Error> {
        let shard = self.queues.shard(&self.item);
        let queue = shard.queues.get(&self.item)?;
        queue.trouble.as_deref().cloned()
    }

    /// Whether callers before this one have let their turns end without hearing from the server.
    pub(crate) fn is_stalled(&self) -> bool {
        let shard = self.queues.shard(&self.item);
        shard.queues.get(&self.item).is_some_and(|queue| queue.is_stalled)
    }

    /// Updates the queue with what the server has told, or has failed to tell, and wakes the waiters that wait only for
    /// that. Does nothing if the turn is over.
    fn update_queue(&self, update: impl FnOnce(&mut Queue)) {
        let mut shard = self.queues.shard(&self.item);
        let queue = shard.queues.get_mut(&self.item);
        let Some(queue) = queue.filter(|queue| queue.turns.is_present(self.number)) else {
            return;
        };
        update(queue);
        queue.is_stalled = false;
        let others = queue.notify_of_answer();
        drop(shard);
        ToWake {
            others,
            ..ToWake::default()
        }
        .wake();
    }

    /// Records at `now` that the caller goes on. Returns whether it still has the turn: a caller that does not move in time
    /// loses the turn to another one.
    pub(crate) fn go_on(&self, now: Now) -> bool {
        let ends = self.queues.turn_end(now);
        let mut shard = self.queues.shard(&self.item);
        let queue = shard.queues.get_mut(&self.item);
        queue.is_some_and(|queue| queue.turns.extend(self.number, ends))
    }

    /// Whether the turn lasts, and no caller waits behind it.
    pub(crate) fn is_last(&self) -> bool {
        let shard = self.queues.shard(&self.item);
        let queue = shard.queues.get(&self.item);
        queue.is_some_and(|queue| queue.turns.is_present(self.number) && queue.waiting.len() == 0)
    }

    /// Ends the turn with `failure`, which all waiters get as well.
    pub(crate) fn fail_for_all(mut self, failure: &Error) {
        let wait_list = self.wait_list.take();
        self.queues.dismiss(&self.item, self.number, failure, wait_list);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.number == TurnState::NONE {
            return;
        }
        // Its owner may have been stopped before it took the grant that came with the turn.
        let mut untaken = self.handed.take().map(|handed| *handed);
        let passed = &mut untaken;
        self.queues.pass_on(&self.item, self.number, |queue| {
            queue.turns.leave(self.watch, passed.take());
            queue.wait_list = self.wait_list.take();
        });
        if let Some(handed) = untaken {
            self.queues.release_untaken(&self.item, &handed.into_grant());
        }
    }
}
