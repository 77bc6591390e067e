//! The queue of one process for one key: first come, first served. Only its head talks to the server.
//!
//! Contention is mostly between threads of one process, and sixty-four of them polling one server would be sixty-four
//! times the load for the same lock. So a thread first takes its *turn* here, and keeps it until it has released the
//! lock. What the head learns of the holder (its [`Watch`]) stays with the queue, not with the caller: a dead holder is
//! found dead in one lease, however often the head gives up and another takes its place.
//!
//! Waiters are woken through a [`Waker`], so that a task could wait in the same queue as a thread.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap, RandomState};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::key::ItemName;
use crate::protocol::Watch;

/// Queues are spread over this many locks, so that distinct keys seldom meet. A power of two.
const SHARDS: usize = 16;

/// All queues of one `Locks`.
#[derive(Debug)]
pub(crate) struct Queues {
    shards: [Mutex<HashMap<ItemName, Queue>>; SHARDS],
    hasher: RandomState,
}

/// Waiters of one key. It exists while somebody has the turn.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Waiter>>,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Waiter {
    has_turn: AtomicBool,
    waker: Waker,
}

impl Queues {
    pub(crate) fn new() -> Arc<Queues> {
        Arc::new(Queues {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        })
    }

    /// Joins the queue for `item`; `waker` is called for when it is made the head.
    pub(crate) fn join(self: &Arc<Queues>, item: &ItemName, waker: impl FnOnce() -> Waker) -> Joined {
        match self.shard(item).entry(item.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Queue::default());
                Joined::Head(Turn {
                    queues: Arc::clone(self),
                    item: item.clone(),
                    watch: None,
                })
            }
            Entry::Occupied(mut queue) => {
                let waiter = Arc::new(Waiter {
                    has_turn: AtomicBool::new(false),
                    waker: waker(),
                });
                queue.get_mut().waiting.push_back(Arc::clone(&waiter));
                Joined::Behind(Place {
                    queues: Arc::clone(self),
                    item: item.clone(),
                    waiter: Some(waiter),
                })
            }
        }
    }

    fn shard(&self, item: &ItemName) -> MutexGuard<'_, HashMap<ItemName, Queue>> {
        #[allow(clippy::cast_possible_truncation, reason = "only the low bits are used")]
        let index = self.hasher.hash_one(item) as usize % SHARDS;
        // Nothing below panics while it holds the lock.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn is over: the first waiter gets it, or the queue is gone.
    fn pass_on(&self, item: &ItemName, watch: Option<Watch>) {
        let mut shard = self.shard(item);
        let next = shard.get_mut(item).and_then(|queue| {
            queue.watch = watch;
            queue.waiting.pop_front()
        });
        let Some(next) = next else {
            shard.remove(item);
            return;
        };
        // Under the lock, so that a waiter who leaves at this moment finds out that the turn is its to pass on.
        next.has_turn.store(true, Ordering::Release);
        drop(shard);
        next.waker.wake_by_ref();
    }
}

/// What joining a queue gives.
#[derive(Debug)]
pub(crate) enum Joined {
    /// Nobody was there: the turn.
    Head(Turn),
    /// A place behind others.
    Behind(Place),
}

/// A place in a queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Place {
    queues: Arc<Queues>,
    item: ItemName,
    waiter: Option<Arc<Waiter>>,
}

impl Place {
    /// The turn, once it has come to this place.
    pub(crate) fn turn(mut self) -> Result<Turn, Place> {
        if !self
            .waiter
            .as_ref()
            .is_some_and(|waiter| waiter.has_turn.load(Ordering::Acquire))
        {
            return Err(self);
        }
        self.waiter = None;
        let watch = self
            .queues
            .shard(&self.item)
            .get_mut(&self.item)
            .and_then(|queue| queue.watch.take());
        Ok(Turn {
            queues: Arc::clone(&self.queues),
            item: self.item.clone(),
            watch,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let mut shard = self.queues.shard(&self.item);
        let watch = shard.get_mut(&self.item).and_then(|queue| {
            queue.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
            queue.watch
        });
        let had_turn = waiter.has_turn.load(Ordering::Acquire);
        drop(shard);
        if had_turn {
            self.queues.pass_on(&self.item, watch);
        }
    }
}

/// The head's right to talk to the server about one key. Dropping it passes it on.
#[derive(Debug)]
pub(crate) struct Turn {
    queues: Arc<Queues>,
    item: ItemName,
    /// What is known of the present holder; left to the next in line.
    pub(crate) watch: Option<Watch>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queues.pass_on(&self.item, self.watch);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn item() -> ItemName {
        ItemName::of_lock("memlock", "queue", "x")
    }

    fn head(queues: &Arc<Queues>) -> Turn {
        match queues.join(&item(), || Waker::noop().clone()) {
            Joined::Head(turn) => turn,
            Joined::Behind(_) => panic!("somebody is there"),
        }
    }

    fn behind(queues: &Arc<Queues>) -> (Place, Arc<Count>) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        match queues.join(&item(), || Waker::from(Arc::clone(&count))) {
            Joined::Head(_) => panic!("nobody is there"),
            Joined::Behind(place) => (place, count),
        }
    }

    #[test]
    fn turns_are_given_in_the_order_of_arrival_and_wake_only_their_taker() {
        let queues = Queues::new();
        let turn = head(&queues);
        let (first, first_woken) = behind(&queues);
        let (second, second_woken) = behind(&queues);
        let first = first.turn().expect_err("the head still has it");
        drop(turn);
        let second = second.turn().expect_err("first come, first served");
        let turn = first.turn().expect("the head has left");
        assert_eq!(
            (
                first_woken.0.load(Ordering::SeqCst),
                second_woken.0.load(Ordering::SeqCst)
            ),
            (1, 0)
        );
        drop(turn);
        drop(second.turn().expect("the first has left"));
        drop(head(&queues));
    }

    #[test]
    fn a_waiter_that_leaves_takes_no_turn_with_it() {
        let queues = Queues::new();
        let turn = head(&queues);
        let (first, _) = behind(&queues);
        let (second, _) = behind(&queues);
        let (third, _) = behind(&queues);
        drop(first);
        drop(turn);
        drop(second); // It had been given the turn, and had not looked yet.
        drop(third.turn().expect("the turn was passed on"));
        drop(head(&queues));
    }

    #[test]
    fn the_watch_stays_with_the_queue() {
        use std::time::Duration;

        use crate::lease::Now;
        use crate::store::{Nonce, Record};

        let lease = Duration::from_secs(1);
        let record = Record {
            nonce: Nonce(1),
            lease,
            renewal: 0,
            label: "".into(),
            full_name: None,
        };
        let queues = Queues::new();
        let mut turn = head(&queues);
        let (next, _) = behind(&queues);
        let watch = Watch::observe(None, &record, Now::default());
        turn.watch = Some(watch);
        drop(turn);
        let next = next.turn().expect("the head has left");
        assert_eq!(next.watch, Some(watch));
        drop(next);
        assert_eq!(head(&queues).watch, None, "a queue that is gone watches nothing");
    }

    #[test]
    fn distinct_keys_have_distinct_queues_and_none_is_left_behind() {
        let queues = Queues::new();
        let turns: Vec<Turn> = (0..100)
            .map(|key| {
                match queues.join(
                    &ItemName::of_lock("memlock", "queue", &key.to_string()),
                    || unreachable!(),
                ) {
                    Joined::Head(turn) => turn,
                    Joined::Behind(_) => panic!("another key's"),
                }
            })
            .collect();
        drop(turns);
        assert!(
            queues
                .shards
                .iter()
                .all(|shard| shard.lock().expect("no panic").is_empty())
        );
    }
}
