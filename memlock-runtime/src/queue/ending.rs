//! What becomes of a queue when a turn is over: somebody gets the next, or all are sent away, or it is gone and what is left
//! is remembered, or released.

use std::sync::{Arc, Weak};

use super::cleanup::Cleanup;
use super::of_key::Queue;
use super::queues::Queues;
use super::shard::{MOST_MEMORIES, Remembered, Shard};
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Grant, WaitListView};

impl Queues {
    /// Turn `number` is over: the first waiter gets the next, or the queue is gone. `leave` puts into the queue what is
    /// left behind, unless the turn has been taken away.
    pub(super) fn pass_on(&self, item: &ItemName, number: u64, leave: impl FnOnce(&mut Queue)) {
        let mut shard = self.shard(item);
        let Shard { queues, numbers, .. } = &mut *shard;
        let Some(queue) = queues.get_mut(item).filter(|queue| queue.turns.is_present(number)) else {
            return;
        };
        leave(queue);
        // A grant that nobody comes for is of no use to anyone when it is over.
        let until = queue.turns.handed().map(|grant| grant.end.ends());
        if let Some(wake) = queue.give_turn(numbers, until) {
            drop(shard);
            wake.all();
            return;
        }
        let (watch, orphan) = queue.turns.left_behind();
        let standing = queue.standing.take();
        shard.queues.remove(item);
        // Where nobody waits any more, nobody stands in line.
        let (leaving, standing) = match standing {
            Some(standing) if standing.is_to_leave() => (Some(standing), None),
            standing => (None, standing),
        };
        let mut is_to_be_minded = false;
        if watch.is_some() || standing.is_some() {
            if shard.memories.len() >= MOST_MEMORIES {
                shard.memories.clear();
            }
            let is_place_kept = standing.as_ref().is_some_and(|standing| standing.is_place_kept());
            shard.memories.insert(item.clone(), Remembered { watch, standing });
            // Once for all who come and go meanwhile: it costs as much as a hand-over.
            is_to_be_minded = is_place_kept && shard.minded.insert(item.clone());
        }
        drop(shard);
        if let (true, Some(cleanup)) = (is_to_be_minded, self.cleanup()) {
            cleanup.mind_place(item);
        }
        if let Some(grant) = orphan {
            self.release_orphan(item, &grant);
        }
        if let Some(standing) = leaving {
            self.leave_line(item, standing);
        }
    }

    /// Turn `number` is over, and nobody gets the next: all who wait are told why.
    pub(super) fn dismiss(&self, item: &ItemName, number: u64, verdict: &Error) {
        let mut shard = self.shard(item);
        if !shard
            .queues
            .get(item)
            .is_some_and(|queue| queue.turns.is_present(number))
        {
            return;
        }
        let queue = shard.queues.remove(item).unwrap_or_default();
        drop(shard);
        for waiter in queue.waiting {
            waiter.dismiss(verdict.clone());
        }
    }

    /// What is known of a line in which a place was kept for nobody: he who was expected back did not come. `Err`: he may
    /// still come, and it is to be asked for again.
    pub(crate) fn overdue(&self, item: &ItemName, now: Now) -> Result<Option<Box<WaitListView>>, ()> {
        let mut shard = self.shard(item);
        let standing = shard.memories.get_mut(item).map(|memory| &mut memory.standing);
        let overdue = match standing {
            Some(Some(kept)) if kept.is_place_kept() && !kept.is_overdue(now) => return Err(()),
            Some(standing) => standing.take_if(|standing| standing.is_place_kept()),
            None => None,
        };
        shard.minded.remove(item);
        Ok(overdue)
    }

    fn cleanup(&self) -> Option<Arc<dyn Cleanup>> {
        self.cleanup.get().and_then(Weak::upgrade)
    }

    fn leave_line(&self, item: &ItemName, standing: Box<WaitListView>) {
        if let Some(cleanup) = self.cleanup() {
            cleanup.leave_line(item, standing);
        }
    }

    pub(super) fn release_orphan(&self, item: &ItemName, grant: &Grant) {
        if let Some(cleanup) = self.cleanup() {
            cleanup.settle(item, grant.nonce, grant.lease, None);
        }
    }
}
