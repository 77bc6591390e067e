//! Joining a queue: at its head, or behind others.

use std::collections::hash_map;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::of_key::{Queue, ToWake};
use super::place::{Place, Seen};
use super::queues::Queues;
use super::shard::{Remembered, Shard};
use super::turn::Turn;
use super::waiter::Waiter;
use crate::key::ItemName;
use crate::protocol::TurnState;
use crate::protocol::lease::Now;

/// What joining a queue gives.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is moved per acquisition; a box would cost more than the move"
)]
pub(crate) enum Joined {
    /// The turn, since the queue was empty.
    Head(Turn),
    /// A place behind others.
    Behind(Place),
}

impl Queues {
    /// Joins the queue for `item` at `now`, to hold the lock for `timeout`. The waker that `waker` makes is called when the turn
    /// comes, and with `wakes_early` also right before that (see [`Place::stay_awake`]).
    pub(crate) fn join(
        self: &Arc<Queues>,
        item: &ItemName,
        timeout: Duration,
        now: Now,
        wakes_early: bool,
        waker: impl FnOnce() -> Waker,
    ) -> Joined {
        let mut shard = self.shard(item);
        let Shard {
            queues,
            remembered,
            numbers,
            ..
        } = &mut *shard;
        match queues.entry(item.clone()) {
            hash_map::Entry::Vacant(vacant) => {
                let remembered = remembered.remove(item).unwrap_or_default();
                let number = numbers.next();
                vacant.insert(Queue {
                    turns: TurnState::begun(number, self.turn_end(now)),
                    ..Queue::default()
                });
                Joined::Head(self.turn(item, number, remembered))
            }
            hash_map::Entry::Occupied(mut queue) => {
                let queue = queue.get_mut();
                let ahead = queue.waiting.len();
                let is_turn_near = wakes_early && queue.was_hold_short && ahead == 0;
                let first = queue.first_to_wake_early();
                let waiter = Arc::new(Waiter::new(timeout, wakes_early, is_turn_near, waker()));
                queue.waiting.push_last(Arc::clone(&waiter));
                let seen = Seen::of(&queue.turns, ahead);
                drop(shard);
                ToWake {
                    first,
                    ..ToWake::default()
                }
                .wake();
                Joined::Behind(Place {
                    queues: Arc::clone(self),
                    item: item.clone(),
                    waiter: Some(waiter),
                    seen,
                })
            }
        }
    }

    /// Turn `number`, the first of a queue, with what was `remembered` of the queue before it.
    fn turn(self: &Arc<Queues>, item: &ItemName, number: u64, remembered: Remembered) -> Turn {
        Turn {
            queues: Arc::clone(self),
            item: item.clone(),
            number,
            watch: remembered.watch,
            wait_list: remembered.wait_list,
            handed: None,
        }
    }
}
