//! What happens to a queue when a turn ends: the first waiter gets the next turn, or all waiters are dismissed, or the
//! queue is removed, and what it leaves behind is remembered or released.

use std::sync::{Arc, Weak};

use super::cleanup::Cleanup;
use super::of_key::Queue;
use super::queues::Queues;
use super::shard::{MAX_REMEMBERED, Remembered, Shard};
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Grant, WaitListView};

impl Queues {
    /// Ends turn `number`: the first waiter gets the next turn, or, without any, the queue is removed. `leave_behind`
    /// writes into the queue what this turn leaves to the next. Does nothing if the turn has been taken away.
    pub(super) fn pass_on(&self, item: &ItemName, number: u64, leave_behind: impl FnOnce(&mut Queue)) {
        let mut shard = self.shard(item);
        let Shard { queues, numbers, .. } = &mut *shard;
        let Some(queue) = queues.get_mut(item).filter(|queue| queue.turns.is_present(number)) else {
            return;
        };
        leave_behind(queue);
        if let Some(wake) = queue.give_turn(numbers, || self.turn_end(self.clock.now())) {
            drop(shard);
            wake.wake();
            return;
        }
        let (watch, untaken) = queue.turns.take_remains();
        let wait_list = queue.wait_list.take();
        shard.queues.remove(item);
        // A process in which no caller waits any more leaves the line.
        let (leaving, wait_list) = match wait_list {
            Some(wait_list) if wait_list.must_leave() => (Some(wait_list), None),
            wait_list => (None, wait_list),
        };
        let mut starts_expiry = false;
        if watch.is_some() || wait_list.is_some() {
            if shard.remembered.len() >= MAX_REMEMBERED {
                shard.remembered.clear();
            }
            let has_kept_place = wait_list.as_ref().is_some_and(|wait_list| wait_list.has_kept_place());
            shard.remembered.insert(item.clone(), Remembered { watch, wait_list });
            // One task for all callers that come and go meanwhile: starting it costs as much as a hand-over.
            starts_expiry = has_kept_place && shard.expiring_places.insert(item.clone());
        }
        drop(shard);
        if let (true, Some(cleanup)) = (starts_expiry, self.cleanup()) {
            cleanup.expire_kept_place(item);
        }
        if let Some(grant) = untaken {
            self.release_untaken(item, &grant);
        }
        if let Some(wait_list) = leaving {
            self.leave_line(item, wait_list);
        }
    }

    /// Ends turn `number` and removes the queue: all its waiters get `failure`, and this process leaves the line. Does
    /// nothing if the turn has been taken away.
    pub(super) fn dismiss(&self, item: &ItemName, number: u64, failure: &Error, wait_list: Option<Box<WaitListView>>) {
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
        for waiter in queue.waiting.iter() {
            waiter.dismiss(failure.clone());
        }
        if let Some(wait_list) = wait_list.filter(|wait_list| wait_list.must_leave()) {
            self.leave_line(item, wait_list);
        }
    }

    /// Takes what is known of a line in which a place was kept in vain: no caller of this process has come back in
    /// time. `None` if no place is kept any more. `Err` if a caller may still come back, so that this has to be asked
    /// again.
    pub(crate) fn take_overdue_place(&self, item: &ItemName, now: Now) -> Result<Option<Box<WaitListView>>, ()> {
        let mut shard = self.shard(item);
        let remembered = shard.remembered.get_mut(item);
        let wait_list = remembered.map(|remembered| &mut remembered.wait_list);
        let overdue = match wait_list {
            Some(Some(kept)) if kept.has_kept_place() && !kept.is_overdue(now) => return Err(()),
            Some(wait_list) => wait_list.take_if(|wait_list| wait_list.has_kept_place()),
            None => None,
        };
        shard.expiring_places.remove(item);
        Ok(overdue)
    }

    fn cleanup(&self) -> Option<Arc<dyn Cleanup>> {
        self.cleanup.get().and_then(Weak::upgrade)
    }

    fn leave_line(&self, item: &ItemName, wait_list: Box<WaitListView>) {
        if let Some(cleanup) = self.cleanup() {
            cleanup.leave_line(item, wait_list);
        }
    }

    /// Releases a grant that was handed over and that no waiter took.
    pub(super) fn release_untaken(&self, item: &ItemName, grant: &Grant) {
        if let Some(cleanup) = self.cleanup() {
            cleanup.settle(item, grant.nonce, grant.lease, None);
        }
    }
}
