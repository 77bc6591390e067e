//! A place in a queue: what a caller has in its hands until its turn comes.

use std::sync::Arc;
use std::time::Duration;

use super::of_key::{Queue, Wake};
use super::queues::Queues;
use super::shard::{Remembered, Shard};
use super::turn::Turn;
use super::waiter::Waiter;
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

/// What a place has seen of its queue when it joined, or last looked. The default: that it was gone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Whether it was the first in line.
    pub(crate) is_first: bool,
    /// When the lease ends that was held before it, on the monotonic clock.
    pub(crate) leased_until: Option<Duration>,
}

impl Seen {
    pub(super) fn of(turns: &TurnState, is_first: bool) -> Seen {
        Seen {
            is_first,
            leased_until: turns.leased_until(),
        }
    }
}

/// How things stand for a waiter whose time is over.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    /// It is not known yet whether anybody holds the lock: the head is asking, or the holder is done and the server is being
    /// told.
    pub(crate) is_open: bool,
    /// What the last exchange came to grief on, if the server has not answered since.
    pub(crate) trouble: Option<Error>,
}

/// How a place in a queue fares.
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
    /// The turn, once it has come to this place, or if this is the first place and the lease of the one before has
    /// ended by `now`. A grant may come with it: see [`Turn::take_handed`].
    pub(crate) fn progress(mut self, now: Now) -> PlaceProgress {
        let Some(waiter) = self.waiter.take() else {
            return PlaceProgress::Place(self);
        };
        if let Some(verdict) = waiter.verdict() {
            return PlaceProgress::Dismissed(verdict.clone());
        }
        let mut shard = self.queues.shard(&self.item);
        let given = waiter.given();
        if given != TurnState::NONE && !shard.queues.contains_key(&self.item) {
            // It came too late for its turn, and whoever stepped in has left since: it is the head again, and knows what
            // that one has left behind.
            let Remembered { watch, standing } = shard.memories.remove(&self.item).unwrap_or_default();
            let queue = Queue {
                turns: TurnState::begun_after(given, watch),
                standing,
                ..Queue::default()
            };
            shard.queues.insert(self.item.clone(), queue);
        }
        self.seen = Seen::default();
        let Shard { queues, numbers, .. } = &mut *shard;
        let begun = queues.get_mut(&self.item).and_then(|queue| {
            waiter.looks();
            let is_first = queue.is_first(&waiter);
            self.seen = Seen::of(&queue.turns, is_first);
            match queue.turns.claim(given, is_first, now) {
                TurnStatus::Wait => return None,
                TurnStatus::TooLate => {
                    waiter.forget_turn();
                    queue.waiting.push_front(Arc::clone(&waiter));
                    self.seen.is_first = true;
                    return None;
                }
                TurnStatus::StepIn => {
                    queue.next_turn(numbers.next());
                }
                TurnStatus::Mine => {}
            }
            let taken = queue.turns.take(waiter.timeout, now);
            let sleeper = queue.oversleeper();
            Some((taken, queue.standing.take(), sleeper))
        });
        drop(shard);
        let Some((taken, standing, sleeper)) = begun else {
            self.waiter = Some(waiter);
            return PlaceProgress::Place(self);
        };
        Wake(None, sleeper, Vec::new()).all();
        let Taken { number, watch, handed } = taken;
        PlaceProgress::Turn(Turn {
            queues: Arc::clone(&self.queues),
            item: self.item.clone(),
            number,
            watch,
            standing,
            handed: handed.map(Box::new),
        })
    }

    /// Whether there is something for [`progress`](Self::progress) to tell. To be asked right before parking, since
    /// whatever ran in between may have used up the wake-up.
    pub(crate) fn has_news(&self) -> bool {
        self.waiter.as_ref().is_some_and(|waiter| waiter.has_news())
    }

    /// Where the turn comes next, and soon, it costs less to stay awake for it: then this looks for news a few times, with
    /// `pause` in between, and nobody takes the trouble to wake this place meanwhile. It does so once each time that it is
    /// woken early.
    pub(crate) fn stay_awake(&self, looks: u32, pause: impl Fn()) {
        if let Some(waiter) = &self.waiter {
            waiter.stay_awake(looks, pause);
        }
    }

    /// How things stand for a waiter whose time is over. Where they are open, it is woken when the server has answered the head,
    /// or has not.
    pub(crate) fn outlook(&self) -> Outlook {
        let mut shard = self.queues.shard(&self.item);
        let (Some(queue), Some(waiter)) = (shard.queues.get_mut(&self.item), &self.waiter) else {
            return Outlook::default();
        };
        let is_open = queue.is_open();
        queue.has_curious |= is_open;
        waiter.is_curious(is_open);
        Outlook {
            is_open,
            trouble: queue.trouble.as_deref().cloned(),
        }
    }

    /// This waiter is going to sleep until then (on the monotonic clock), unless it is woken. A lease that ends earlier, and
    /// that it has not [`seen`](Self::seen), wakes the first in line.
    pub(crate) fn sleeps_until(&self, wakes_at: Duration) {
        if let Some(waiter) = &self.waiter {
            waiter.sleeps_until(wakes_at);
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let mut shard = self.queues.shard(&self.item);
        // Under the lock: a turn that was given meanwhile is this one's to pass on, with the grant that came with it.
        let given = waiter.given();
        if given != TurnState::NONE {
            drop(shard);
            self.queues.pass_on(&self.item, given, |_| ());
            return;
        }
        let sleeper = shard.queues.get_mut(&self.item).and_then(|queue| queue.leave(&waiter));
        drop(shard);
        Wake(None, sleeper, Vec::new()).all();
    }
}
