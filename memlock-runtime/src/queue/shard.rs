//! A part of the keys: their queues, and what is remembered of queues that are gone.

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
    /// What was known of holders when the last waiter gave up. If the nonce and the renewal number are still the same
    /// when a caller comes back, they have not changed meanwhile, so the watch goes on: callers that try now and then
    /// inherit the lock of a dead holder as well as a caller that waits for it.
    pub(super) remembered: ByItem<Remembered>,
    /// Locks for which a background task already looks after a place that may be kept in line: see
    /// [`expire_kept_place`](super::Cleanup::expire_kept_place).
    pub(super) expiring_places: HashSet<ItemName, BuildHasherDefault<Carried>>,
    pub(super) numbers: Numbers,
}

/// What is kept of a queue that is gone.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    pub(super) watch: Option<Watch>,
    /// The wait list, if other processes stood in line when the lock was released.
    pub(super) wait_list: Option<Box<WaitListView>>,
}

/// How many queues that are gone a shard remembers. At the limit it forgets all of them: that costs the next contenders
/// for their keys the time of a lease where a holder is dead, and other processes in line one turn.
pub(super) const MAX_REMEMBERED: usize = 256;

impl Shard {
    /// The shard at `index`.
    pub(super) fn at(index: usize) -> Shard {
        Shard {
            numbers: Numbers(index as u64),
            ..Shard::default()
        }
    }
}
