//! A place in a queue: what a caller holds until its turn comes.

use std::sync::Arc;
use std::time::Duration;

use super::of_key::{Queue, ToWake};
use super::queues::Queues;
use super::shard::{Remembered, Shard};
use super::turn::Turn;
use super::waiter::{STEP_IN_GRACE, Waiter};
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Taken, TurnState, TurnStatus};

/// A place in a queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) queues: Arc<Queues>,
    pub(super) item: ItemName,
    /// `None` once it has left.
    pub(super) waiter: Option<Arc<Waiter>>,
    pub(super) seen: Seen,
}

/// What a place saw of its queue when it joined, or when it last looked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// How many were ahead of it when it joined, or zero once it was the first.
    ahead: usize,
    /// When the turn before it ends by itself, on the monotonic clock.
    turn_ends: Duration,
}

impl Seen {
    pub(super) fn of(turns: &TurnState, ahead: usize) -> Seen {
        Seen {
            ahead,
            turn_ends: turns.ends(),
        }
    }

    /// How long after the end of a turn this place steps in: the first at once, and the others one after the other, since
    /// those ahead may not move either. The more are ahead, the less often a place looks, so that the looks of a crowd
    /// grow with the root of its size.
    fn grace(self) -> Duration {
        let root = u32::try_from(self.ahead.isqrt()).unwrap_or(u32::MAX);
        STEP_IN_GRACE.saturating_mul(root.saturating_mul(2))
    }
}

/// What a waiter whose time is over may still expect.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    /// Whether it is not known yet that anybody holds the lock: the head is asking the server, or the holder is done
    /// and is telling the server.
    pub(crate) is_open: bool,
    /// The error of the last exchange, if the server has not answered since.
    pub(crate) trouble: Option<Error>,
}

/// What has become of a place in a queue.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "as with `Joined`")]
pub(crate) enum PlaceProgress {
    /// It is the head now.
    Turn(Turn),
    /// It waits on.
    Place(Place),
    /// The head failed on behalf of all.
    Dismissed(Error),
}

impl Place {
    /// Takes the turn, if it has come to this place, or if the turn before it has ended by `now`, and it is up to this
    /// place to step in. A grant may come with the turn: see [`Turn::take_handed`].
    pub(crate) fn progress(mut self, now: Now) -> PlaceProgress {
        let Some(waiter) = self.waiter.take() else {
            return PlaceProgress::Place(self);
        };
        if let Some(failure) = waiter.failure() {
            return PlaceProgress::Dismissed(failure.clone());
        }
        let mut shard = self.queues.shard(&self.item);
        let given = waiter.given_turn();
        if given != TurnState::NONE && !shard.queues.contains_key(&self.item) {
            // This waiter came too late for its turn, and the waiter that stepped in has left since: this one is the
            // head again, and takes over what the other has left behind.
            let Remembered { watch, wait_list } = shard.remembered.remove(&self.item).unwrap_or_default();
            let queue = Queue {
                turns: TurnState::begun(given, self.queues.turn_end(now)).after(watch),
                wait_list,
                ..Queue::default()
            };
            shard.queues.insert(self.item.clone(), queue);
        }
        let ends = self.queues.turn_end(now);
        let Shard { queues, numbers, .. } = &mut *shard;
        let begun = queues.get_mut(&self.item).and_then(|queue| {
            waiter.observe_lease();
            let ahead = if queue.is_first(&waiter) { 0 } else { self.seen.ahead };
            self.seen = Seen::of(&queue.turns, ahead);
            let mut others = Vec::new();
            match queue.turns.claim(given, self.seen.grace(), now) {
                TurnStatus::Wait => return None,
                TurnStatus::TooLate => {
                    waiter.clear_turn();
                    queue.waiting.push_first(Arc::clone(&waiter));
                    self.seen.ahead = 0;
                    return None;
                }
                TurnStatus::StepIn => others = queue.step_in(&waiter, numbers, ends, now.instant),
                TurnStatus::Mine => {}
            }
            let taken = queue.turns.take(waiter.timeout, now);
            queue.turns.extend(taken.number, ends);
            let sleeper = queue.first_asleep_past_lease();
            let wake = ToWake {
                first: None,
                sleeper,
                others,
            };
            Some((taken, queue.wait_list.take(), wake))
        });
        drop(shard);
        let Some((taken, wait_list, wake)) = begun else {
            self.waiter = Some(waiter);
            return PlaceProgress::Place(self);
        };
        wake.wake();
        let Taken { number, watch, handed } = taken;
        PlaceProgress::Turn(Turn {
            queues: Arc::clone(&self.queues),
            item: self.item.clone(),
            number,
            watch,
            wait_list,
            handed: handed.map(Box::new),
        })
    }

    /// Whether [`progress`](Self::progress) has something to return. A caller asks this right before it parks, since
    /// other code that ran in between may have consumed the wake-up.
    pub(crate) fn is_notified(&self) -> bool {
        self.waiter.as_ref().is_some_and(|waiter| waiter.is_notified())
    }

    /// Looks for the turn up to `looks` times, with `pause` in between, if the turn is next, and soon: then staying
    /// awake costs less than sleeping, and nobody has to wake this place meanwhile. Does so once for each early
    /// wake-up.
    pub(crate) fn stay_awake(&self, looks: u32, pause: impl Fn()) {
        if let Some(waiter) = &self.waiter {
            waiter.stay_awake(looks, pause);
        }
    }

    /// What this waiter may still expect, once its time is over. If that is open, the waiter is woken when the server
    /// has answered the head, or has failed to.
    pub(crate) fn outlook(&self) -> Outlook {
        let mut shard = self.queues.shard(&self.item);
        let (Some(queue), Some(waiter)) = (shard.queues.get_mut(&self.item), &self.waiter) else {
            return Outlook::default();
        };
        let is_open = queue.is_open();
        queue.has_answer_waiters |= is_open;
        waiter.set_awaits_answer(is_open);
        Outlook {
            is_open,
            trouble: queue.trouble.as_deref().cloned(),
        }
    }

    /// Announces that this waiter is about to sleep until `wakes_at` on the monotonic clock, unless it is woken. If it
    /// is the first in line, a lease that ends earlier, and that it has not seen, wakes it.
    pub(crate) fn announce_sleep(&self, wakes_at: Duration) {
        if let Some(waiter) = &self.waiter {
            waiter.announce_sleep(wakes_at);
        }
    }

    /// How long this waiter may sleep from `now` before it looks whether it has to step in. Zero: it has to.
    pub(crate) fn until_next_look(&self, now: Now) -> Duration {
        let grace = self.seen.grace();
        let until_step_in = self.seen.turn_ends.saturating_add(grace).saturating_sub(now.instant);
        // Another turn may follow meanwhile, and its caller may not come for it.
        until_step_in.min(self.queues.patience.saturating_add(grace))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let mut shard = self.queues.shard(&self.item);
        // Under the lock: if this waiter was given the turn meanwhile, it has to pass it on, with the grant that came
        // with it.
        let given = waiter.given_turn();
        if given != TurnState::NONE {
            drop(shard);
            self.queues.pass_on(&self.item, given, |_| ());
            return;
        }
        let queue = shard.queues.get_mut(&self.item);
        let sleeper = queue.and_then(|queue| queue.remove(&waiter));
        drop(shard);
        ToWake::sleeper(sleeper).wake();
    }
}
