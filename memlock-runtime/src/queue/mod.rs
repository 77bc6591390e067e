//! The queue of one process for one key: first come, first served. Only its head talks to the server.
//!
//! Contention is mostly between threads of one process, and sixty-four of them polling one server would be sixty-four
//! times the load for the same lock. So a thread first takes its *turn* here, and keeps it until it has released the
//! lock. What the head learns of the holder (its [`Watch`]) stays with the queue, not with the caller: a dead holder is
//! found dead in one lease, however often the head gives up and another takes its place.
//!
//! Who is done with the lock hands it over to the next in line without the server, as long as the grant allows
//! ([`Turn::hand_over`]). On its way the grant lies in the queue: in nobody's hands, until its taker comes for it
//! ([`Place::progress`]). A taker that leaves instead, or does not come, is passed over; and where nobody is left to take
//! it, it is given to [`Queues::orphans_to`] to be released. So it is always in exactly one place, and is lost in none.
//!
//! A turn lasts no longer than the lease that was granted under it: a thread that hangs in its body holds up the threads
//! of its own process for as long as it holds up everyone else's.
//!
//! The head asks on behalf of all. A waiter whose time is over learns from the queue how that stands ([`Place::outlook`]): while it
//! is open whether anybody holds the lock, it waits for the server's answer, and is woken when that is there.
//!
//! A head that finds the server unreachable tells all who stand behind it: they were to ask the same server the same
//! question, each after the other's limits.
//!
//! Waiters are woken through a [`Waker`], so that a task could wait in the same queue as a thread.
//!
//! | file | what it is |
//! |---|---|
//! | `shard` | a part of the keys: their queues, and what is remembered of those that are gone |
//! | `of_key` | one key's queue, and whom each of its steps is to wake |
//! | `waiter` | one who waits: what it is told, and tells, without a lock |
//! | `place` `turn` | what callers have in their hands: a place in a queue, and the right of its head |
//! | `ending` | what becomes of a queue when a turn is over |
//!
//! `interleavings/` at the root of the workspace runs all this in many orders of its threads' steps.

mod ending;
mod of_key;
mod place;
mod shard;
#[cfg(test)]
mod tests;
mod turn;
mod waiter;

use std::collections::hash_map;
use std::sync::{Arc, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

pub(crate) use ending::Orphanage;
use of_key::{Queue, Wake};
pub(crate) use place::{Place, Progress, Seen};
use shard::{Memory, Shard};
pub(crate) use turn::Turn;
use waiter::Waiter;

use crate::key::ItemName;
use crate::protocol::Turns;
use crate::sync::atomic::AtomicU64;
use crate::sync::{Mutex, MutexGuard, OnceLock};

/// Queues are spread over this many locks, so that distinct keys seldom meet. A power of two.
const SHARDS: usize = 16;

/// All queues of one `Locks`.
#[derive(Debug)]
pub(crate) struct Queues {
    shards: [Mutex<Shard>; SHARDS],
    /// When somebody last looked who stands in line for a lock of each shard, in nanoseconds on the monotonic clock.
    looked: [AtomicU64; SHARDS],
    orphanage: OnceLock<Weak<dyn Orphanage>>,
}

impl Queues {
    pub(crate) fn new() -> Arc<Queues> {
        Arc::new(Queues {
            shards: std::array::from_fn(|index| Mutex::new(Shard::at(index))),
            looked: std::array::from_fn(|_| AtomicU64::new(0)),
            orphanage: OnceLock::new(),
        })
    }

    /// From now on `orphanage` releases what is handed over to nobody. The first call counts.
    pub(crate) fn orphans_to(&self, orphanage: Weak<dyn Orphanage>) {
        let _ = self.orphanage.set(orphanage);
    }

    /// Joins the queue for `item`, to hold it for `timeout`. The waker that `waker` makes is called when the turn comes, and
    /// with `wakes_early` also right before (see [`Place::stay_awake`]).
    pub(crate) fn join(
        self: &Arc<Queues>,
        item: &ItemName,
        timeout: Duration,
        wakes_early: bool,
        waker: impl FnOnce() -> Waker,
    ) -> Joined {
        let mut shard = self.shard(item);
        let Shard {
            queues,
            memories,
            numbers,
            ..
        } = &mut *shard;
        match queues.entry(item.clone()) {
            hash_map::Entry::Vacant(vacant) => {
                let memory = memories.remove(item).unwrap_or_default();
                let number = numbers.next();
                vacant.insert(Queue {
                    turns: Turns::begun(number),
                    ..Queue::default()
                });
                Joined::Head(self.turn(item, number, memory))
            }
            hash_map::Entry::Occupied(mut queue) => {
                let queue = queue.get_mut();
                let is_first = queue.waiting.is_empty();
                let is_near = wakes_early && queue.is_brisk && is_first;
                let near = queue.near();
                let waiter = Arc::new(Waiter::new(timeout, wakes_early, is_near, waker()));
                queue.waiting.push_back(Arc::clone(&waiter));
                let seen = Seen::of(&queue.turns, is_first);
                drop(shard);
                Wake(near, None, Vec::new()).all();
                Joined::Behind(Place {
                    queues: Arc::clone(self),
                    item: item.clone(),
                    waiter: Some(waiter),
                    seen,
                })
            }
        }
    }

    /// Turn `number`, of one who finds nobody there, and `memory`.
    fn turn(self: &Arc<Queues>, item: &ItemName, number: u64, memory: Memory) -> Turn {
        Turn {
            queues: Arc::clone(self),
            item: item.clone(),
            number,
            watch: memory.watch,
            standing: memory.standing,
            handed: None,
        }
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

    fn shard(&self, item: &ItemName) -> MutexGuard<'_, Shard> {
        // Nothing below panics while it holds the lock.
        self.shards[shard_of(item)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// When somebody last looked who stands in line for a lock like this one.
    fn looked(&self, item: &ItemName) -> &AtomicU64 {
        &self.looked[shard_of(item)]
    }
}

/// Of a name's hash, bits that the tables of a shard do not go by: they would find all its names in a few places.
#[allow(clippy::cast_possible_truncation, reason = "a remainder of 16 fits")]
fn shard_of(item: &ItemName) -> usize {
    (item.hash_value() >> 32) as usize % SHARDS
}

/// What joining a queue gives.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is moved per acquisition; a box would cost more than the move"
)]
pub(crate) enum Joined {
    /// Nobody was there: the turn.
    Head(Turn),
    /// A place behind others.
    Behind(Place),
}
