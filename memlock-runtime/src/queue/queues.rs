//! All queues of one set of locks.

use std::mem;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::cleanup::Cleanup;
use super::numbers::SHARDS;
use super::of_key::{Queue, WaitingLine};
use super::shard::Shard;
use super::waiter::Waiter;
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::Watch;
use crate::protocol::lease::Now;
use crate::system::clock::Clock;
use crate::system::sync::atomic::AtomicU64;
use crate::system::sync::{Mutex, MutexGuard, OnceLock};

/// All queues of one `Locks`.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(super) shards: [Mutex<Shard>; SHARDS],
    /// When a release last read a wait list of each shard, in nanoseconds on the monotonic clock.
    last_looks: [AtomicU64; SHARDS],
    pub(super) cleanup: OnceLock<Weak<dyn Cleanup>>,
    pub(super) clock: Arc<Clock>,
    /// How long a caller may keep a turn without moving.
    pub(super) patience: Duration,
}

impl Queues {
    /// Queues in which a caller loses its turn if it does not move for `patience`.
    pub(crate) fn new(clock: Arc<Clock>, patience: Duration) -> Arc<Queues> {
        Arc::new(Queues {
            clock,
            patience,
            shards: std::array::from_fn(|index| Mutex::new(Shard::at(index))),
            last_looks: std::array::from_fn(|_| AtomicU64::new(0)),
            cleanup: OnceLock::new(),
        })
    }

    /// Makes `cleanup` do what the queues leave to the background. Only the first call has an effect.
    pub(crate) fn set_cleanup(&self, cleanup: Weak<dyn Cleanup>) {
        let _ = self.cleanup.set(cleanup);
    }

    /// When a turn ends by itself whose caller has moved last at `now`.
    pub(super) fn turn_end(&self, now: Now) -> Duration {
        now.instant.saturating_add(self.patience)
    }

    /// How many callers wait for `item`, not counting the one that has the turn.
    pub(crate) fn waiting(&self, item: &ItemName) -> usize {
        self.shard(item).queues.get(item).map_or(0, |queue| queue.waiting.len())
    }

    /// How many waiters for `item` have run out of time, and wait only for the server's answer.
    #[cfg(test)]
    pub(crate) fn curious(&self, item: &ItemName) -> usize {
        let shard = self.shard(item);
        let queue = shard.queues.get(item);
        queue.map_or(0, |queue| {
            queue.waiting.iter().filter(|waiter| waiter.awaits_answer()).count()
        })
    }

    /// Whether the server has told the head for `item` all that it can tell.
    #[cfg(test)]
    pub(crate) fn is_answered(&self, item: &ItemName) -> bool {
        let shard = self.shard(item);
        shard.queues.get(item).is_some_and(|queue| queue.is_answered)
    }

    /// Ends all waiting: each waiter gets `failure`. The callers that have the turns keep them.
    pub(crate) fn dismiss_waiters(&self, failure: &Error) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let lines: Vec<WaitingLine> = shard
                .queues
                .values_mut()
                .map(|queue| mem::take(&mut queue.waiting))
                .collect();
            drop(shard);
            for waiter in lines.iter().flat_map(WaitingLine::iter) {
                waiter.dismiss(failure.clone());
            }
        }
    }

    /// Whether no caller has a turn, for any item.
    pub(crate) fn are_empty(&self) -> bool {
        let is_empty = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).queues.is_empty();
        self.shards.iter().all(is_empty)
    }

    /// The items whose locks callers of this process hold, and what is known of each grant.
    pub(crate) fn held(&self) -> Vec<(ItemName, Watch)> {
        let mut held = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let own = |(item, queue): (&ItemName, &Queue)| Some((item.clone(), queue.turns.own_watch()?));
            held.extend(shard.queues.iter().filter_map(own));
        }
        held
    }

    /// Wakes all waiters, so that they read the clock again.
    pub(crate) fn wake_all(&self) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = shard.queues.values().flat_map(|queue| queue.waiting.iter());
            let waiting: Vec<Arc<Waiter>> = waiting.map(Arc::clone).collect();
            // A waker is foreign code, and may drop a future that waits here, which takes this lock.
            drop(shard);
            for waiter in waiting {
                waiter.wake();
            }
        }
    }

    pub(super) fn shard(&self, item: &ItemName) -> MutexGuard<'_, Shard> {
        // Nothing below panics while it holds the lock.
        self.shards[shard_of(item)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// When a release last read the wait list of a lock in the shard of `item`.
    pub(super) fn last_look(&self, item: &ItemName) -> &AtomicU64 {
        &self.last_looks[shard_of(item)]
    }
}

/// The shard of `item`, from bits of its hash that the tables in a shard do not use: otherwise all names of a shard
/// would fall into a few buckets of its tables.
#[allow(clippy::cast_possible_truncation, reason = "a remainder of 16 fits")]
pub(super) fn shard_of(item: &ItemName) -> usize {
    (item.hash_value() >> 32) as usize % SHARDS
}
