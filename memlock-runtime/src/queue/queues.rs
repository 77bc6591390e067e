//! All queues of one set of locks.

use std::sync::{Arc, PoisonError, Weak};

use super::cleanup::Cleanup;
use super::numbers::SHARDS;
use super::shard::Shard;
use super::waiter::Waiter;
use crate::key::ItemName;
use crate::system::sync::atomic::AtomicU64;
use crate::system::sync::{Mutex, MutexGuard, OnceLock};

/// All queues of one `Locks`.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(super) shards: [Mutex<Shard>; SHARDS],
    /// When somebody last looked who stands in line for a lock of each shard, in nanoseconds on the monotonic clock.
    looked: [AtomicU64; SHARDS],
    pub(super) cleanup: OnceLock<Weak<dyn Cleanup>>,
}

impl Queues {
    pub(crate) fn new() -> Arc<Queues> {
        Arc::new(Queues {
            shards: std::array::from_fn(|index| Mutex::new(Shard::at(index))),
            looked: std::array::from_fn(|_| AtomicU64::new(0)),
            cleanup: OnceLock::new(),
        })
    }

    /// From now on `cleanup` releases what is handed over to nobody. The first call counts.
    pub(crate) fn set_cleanup(&self, cleanup: Weak<dyn Cleanup>) {
        let _ = self.cleanup.set(cleanup);
    }

    /// How many wait for `item`, not counting whose turn it is.
    pub(crate) fn waiting(&self, item: &ItemName) -> usize {
        self.shard(item).queues.get(item).map_or(0, |queue| queue.waiting.len())
    }

    /// How many wait for `item` whose time is over, and who wait for nothing but the server's answer.
    #[cfg(test)]
    pub(crate) fn curious(&self, item: &ItemName) -> usize {
        let shard = self.shard(item);
        let queue = shard.queues.get(item);
        queue.map_or(0, |queue| {
            queue.waiting.iter().filter(|waiter| waiter.waits_for_answer()).count()
        })
    }

    /// Whether the server has told the head for `item` all that it can tell.
    #[cfg(test)]
    pub(crate) fn is_answered(&self, item: &ItemName) -> bool {
        let shard = self.shard(item);
        shard.queues.get(item).is_some_and(|queue| queue.is_answered)
    }

    /// Wakes everyone, to look at the clock again.
    pub(crate) fn wake_all(&self) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = shard.queues.values().flat_map(|queue| &queue.waiting);
            let waiting: Vec<Arc<Waiter>> = waiting.map(Arc::clone).collect();
            // A waker is others' code, and may end a future that waits here.
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

    /// When somebody last looked who stands in line for a lock like this one.
    pub(super) fn looked(&self, item: &ItemName) -> &AtomicU64 {
        &self.looked[shard_of(item)]
    }
}

/// Of a name's hash, bits that the tables of a shard do not go by: they would find all its names in a few places.
#[allow(clippy::cast_possible_truncation, reason = "a remainder of 16 fits")]
pub(super) fn shard_of(item: &ItemName) -> usize {
    (item.hash_value() >> 32) as usize % SHARDS
}
