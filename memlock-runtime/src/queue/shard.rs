//! A part of the keys: the queues of those that are waited for, and what is remembered of those that are not any more.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Duration;

use super::of_key::Queue;
use crate::key::ItemName;
use crate::protocol::{Standing, Watch};

/// Queues by their key, which carries its hash, so that it is computed once for all that a caller does in its turn.
pub(super) type BySlot<T> = HashMap<Slot, T, BuildHasherDefault<Precomputed>>;

/// A part of the keys.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) queues: BySlot<Queue>,
    /// What was known of holders when the last waiter gave up. A nonce and a renewal number that are still the same when
    /// somebody comes back have not changed meanwhile, so the watch goes on: callers who try now and then inherit a dead
    /// holder's lock as well as one who waits for it.
    pub(super) memories: BySlot<Memory>,
    /// Locks for which a place in line may be kept that somebody will see to: see
    /// [`mind_place`](super::Orphanage::mind_place).
    pub(super) minded: HashSet<Slot, BuildHasherDefault<Precomputed>>,
    /// When somebody last looked who stands in line for a lock, on the monotonic clock.
    pub(super) looked: Duration,
}

/// What is kept of a queue that is gone.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) watch: Option<Watch>,
    /// Others stood in line when the lock was released.
    pub(super) standing: Option<Box<Standing>>,
}

/// How many memories are kept in a shard for queues that are gone. Then all are forgotten: that costs their keys' next
/// contenders a lease's time where a holder is dead, and others in line one turn.
pub(super) const MOST_MEMORIES: usize = 256;

/// The name of a queue with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) hash: u64,
    pub(super) item: ItemName,
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hands a [`Slot`]'s hash through.
#[derive(Debug, Default)]
pub(super) struct Precomputed(u64);

impl Hasher for Precomputed {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
