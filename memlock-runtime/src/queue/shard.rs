//! A part of the keys: the queues of those that are waited for, and what is remembered of those that are not any more.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::numbers::Numbers;
use super::of_key::Queue;
use crate::key::{ByItem, Carried, ItemName};
use crate::protocol::{WaitListView, Watch};

/// A part of the keys.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) queues: ByItem<Queue>,
    /// What was known of holders when the last waiter gave up. A nonce and a renewal number that are still the same when
    /// somebody comes back have not changed meanwhile, so the watch goes on: callers who try now and then inherit a dead
    /// holder's lock as well as one who waits for it.
    pub(super) memories: ByItem<Remembered>,
    /// Locks for which a place in line may be kept that somebody will see to: see
    /// [`mind_place`](super::Cleanup::mind_place).
    pub(super) minded: HashSet<ItemName, BuildHasherDefault<Carried>>,
    pub(super) numbers: Numbers,
}

/// What is kept of a queue that is gone.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    pub(super) watch: Option<Watch>,
    /// Others stood in line when the lock was released.
    pub(super) standing: Option<Box<WaitListView>>,
}

/// How many memories are kept in a shard for queues that are gone. Then all are forgotten: that costs their keys' next
/// contenders a lease's time where a holder is dead, and others in line one turn.
pub(super) const MOST_MEMORIES: usize = 256;

impl Shard {
    /// The part at `index`.
    pub(super) fn at(index: usize) -> Shard {
        Shard {
            numbers: Numbers(index as u64),
            ..Shard::default()
        }
    }
}
