//! Joining a queue: at its head, or behind others.

use std::collections::hash_map;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::of_key::{Queue, Wake};
use super::place::{Place, Seen};
use super::queues::Queues;
use super::shard::{Remembered, Shard};
use super::turn::Turn;
use super::waiter::Waiter;
use crate::key::ItemName;
use crate::protocol::TurnState;

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

impl Queues {
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
                    turns: TurnState::begun(number),
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
    fn turn(self: &Arc<Queues>, item: &ItemName, number: u64, memory: Remembered) -> Turn {
        Turn {
            queues: Arc::clone(self),
            item: item.clone(),
            number,
            watch: memory.watch,
            standing: memory.standing,
            handed: None,
        }
    }
}
