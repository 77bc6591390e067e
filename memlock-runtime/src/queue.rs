//! The queue of one process for one key: first come, first served. Only its head talks to the server.
//!
//! Contention is mostly between threads of one process, and sixty-four of them polling one server would be sixty-four
//! times the load for the same lock. So a thread first takes its *turn* here, and keeps it until it has released the
//! lock. What the head learns of the holder (its [`Watch`]) stays with the queue, not with the caller: a dead holder is
//! found dead in one lease, however often the head gives up and another takes its place.
//!
//! A turn lasts no longer than the lease that was granted under it: a thread that hangs in its body holds up the threads
//! of its own process for as long as it holds up everyone else's.
//!
//! A head that finds the server unreachable tells all who stand behind it: they were to ask the same server the same
//! question, each after the other's limits.
//!
//! Waiters are woken through a [`Waker`], so that a task could wait in the same queue as a thread.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::Watch;

/// Queues are spread over this many locks, so that distinct keys seldom meet. A power of two.
const SHARDS: usize = 16;

/// All queues of one `Locks`.
#[derive(Debug)]
pub(crate) struct Queues {
    shards: [Mutex<Shard>; SHARDS],
    /// Seeded by the operating system: keys come from users, who may not choose which queues share a bucket.
    hasher: RandomState,
    turns: AtomicU64,
}

/// Queues by their key, which carries its hash, so that it is computed once for all that a caller does in its turn.
type BySlot<T> = HashMap<Slot, T, BuildHasherDefault<Precomputed>>;

/// A part of the keys.
#[derive(Debug, Default)]
struct Shard {
    queues: BySlot<Queue>,
    /// What was known of holders when the last waiter gave up. A nonce and a renewal number that are still the same when
    /// somebody comes back have not changed meanwhile, so the watch goes on: callers who try now and then inherit a dead
    /// holder's lock as well as one who waits for it.
    watches: BySlot<Watch>,
}

/// How many watches are kept in a shard for queues that are gone. Then all are forgotten: that costs their keys' next
/// contenders a lease's time where a holder is dead, and nothing else.
const MOST_WATCHES: usize = 256;

/// The name of a queue with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    hash: u64,
    item: ItemName,
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hands a [`Slot`]'s hash through.
#[derive(Debug, Default)]
struct Precomputed(u64);

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

/// Waiters of one key. It exists while somebody has the turn.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Waiter>>,
    watch: Option<Watch>,
    /// The number of the present turn: one that was taken away from its thread passes nothing on.
    turn: u64,
    /// When the lease ends that was granted in this turn, on the monotonic clock; `None` while there is none.
    leased_until: Option<Duration>,
    /// What the head's last exchange came to grief on, while it tries again.
    trouble: Option<Error>,
}

#[derive(Debug)]
struct Waiter {
    has_turn: AtomicBool,
    /// What the head failed with, on behalf of all.
    verdict: OnceLock<Error>,
    /// When it wakes up by itself, in nanoseconds on the monotonic clock.
    wakes_at: AtomicU64,
    waker: Waker,
}

impl Queues {
    pub(crate) fn new() -> Arc<Queues> {
        Arc::new(Queues {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            turns: AtomicU64::new(0),
        })
    }

    /// Joins the queue for `item`; `waker` is called for when it is made the head.
    pub(crate) fn join(self: &Arc<Queues>, item: &ItemName, waker: impl FnOnce() -> Waker) -> Joined {
        let slot = Slot {
            hash: self.hasher.hash_one(item),
            item: item.clone(),
        };
        let mut shard = self.shard(&slot);
        let Shard { queues, watches } = &mut *shard;
        match queues.entry(slot.clone()) {
            Entry::Vacant(vacant) => {
                let watch = watches.remove(&slot);
                let number = self.number();
                vacant.insert(Queue {
                    turn: number,
                    ..Queue::default()
                });
                Joined::Head(Turn {
                    queues: Arc::clone(self),
                    slot,
                    number,
                    watch,
                })
            }
            Entry::Occupied(mut queue) => {
                let waiter = Arc::new(Waiter {
                    has_turn: AtomicBool::new(false),
                    verdict: OnceLock::new(),
                    wakes_at: AtomicU64::new(u64::MAX),
                    waker: waker(),
                });
                queue.get_mut().waiting.push_back(Arc::clone(&waiter));
                Joined::Behind(Place {
                    queues: Arc::clone(self),
                    slot,
                    waiter: Some(waiter),
                })
            }
        }
    }

    /// Wakes everyone, to look at the clock again.
    pub(crate) fn wake_all(&self) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = shard.queues.values().flat_map(|queue| &queue.waiting);
            waiting.for_each(|waiter| waiter.waker.wake_by_ref());
        }
    }

    fn shard(&self, slot: &Slot) -> MutexGuard<'_, Shard> {
        #[allow(clippy::cast_possible_truncation, reason = "a remainder of 16 fits")]
        let index = (slot.hash % SHARDS as u64) as usize;
        // Nothing below panics while it holds the lock.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no turn has had, of whichever queue.
    fn number(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// Turn `number` is over: the first waiter gets the next, or the queue is gone.
    fn pass_on(&self, slot: &Slot, number: u64, watch: Option<Watch>) {
        let mut shard = self.shard(slot);
        let Some(queue) = shard.queues.get_mut(slot).filter(|queue| queue.turn == number) else {
            return;
        };
        queue.watch = watch;
        let Some(next) = queue.next_turn(self.number()) else {
            shard.queues.remove(slot);
            if let Some(watch) = watch {
                if shard.watches.len() >= MOST_WATCHES {
                    shard.watches.clear();
                }
                shard.watches.insert(slot.clone(), watch);
            }
            return;
        };
        // Under the lock, so that a waiter who leaves at this moment finds out that the turn is its to pass on.
        next.has_turn.store(true, Ordering::Release);
        drop(shard);
        next.waker.wake_by_ref();
    }

    /// Turn `number` is over, and nobody gets the next: all who wait are told why.
    fn dismiss(&self, slot: &Slot, number: u64, verdict: &Error) {
        let mut shard = self.shard(slot);
        if shard.queues.get(slot).is_none_or(|queue| queue.turn != number) {
            return;
        }
        let waiting = shard.queues.remove(slot).map(|queue| queue.waiting).unwrap_or_default();
        drop(shard);
        for waiter in waiting {
            // The only one that sets it.
            let _ = waiter.verdict.set(verdict.clone());
            waiter.waker.wake_by_ref();
        }
    }
}

impl Queue {
    /// Ends the present turn and begins turn `number`. The first in line is to be told that it has it.
    fn next_turn(&mut self, number: u64) -> Option<Arc<Waiter>> {
        self.turn = number;
        self.leased_until = None;
        self.trouble = None;
        self.waiting.pop_front()
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
    slot: Slot,
    waiter: Option<Arc<Waiter>>,
}

/// How a place in a queue fares.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It is the head now.
    Turn(Turn),
    /// It waits on.
    Place(Place),
    /// The head failed on behalf of all.
    Dismissed(Error),
}

impl Place {
    /// The turn, once it has come to this place, or if this is the first place and the lease of the one before has
    /// ended by `now` (on the monotonic clock).
    pub(crate) fn progress(mut self, now: Duration) -> Progress {
        let Some(waiter) = self.waiter.take() else {
            return Progress::Place(self);
        };
        if let Some(verdict) = waiter.verdict.get() {
            return Progress::Dismissed(verdict.clone());
        }
        let mut shard = self.queues.shard(&self.slot);
        let number = shard.queues.get_mut(&self.slot).and_then(|queue| {
            if !waiter.has_turn.load(Ordering::Acquire) {
                let is_first = queue.waiting.front().is_some_and(|first| Arc::ptr_eq(first, &waiter));
                if !is_first || queue.leased_until.is_none_or(|until| now < until) {
                    return None;
                }
                queue.next_turn(self.queues.number());
            }
            Some((queue.turn, queue.watch.take()))
        });
        drop(shard);
        let Some((number, watch)) = number else {
            self.waiter = Some(waiter);
            return Progress::Place(self);
        };
        Progress::Turn(Turn {
            queues: Arc::clone(&self.queues),
            slot: self.slot.clone(),
            number,
            watch,
        })
    }

    /// Whether there is something for [`progress`](Self::progress) to tell. To be asked right before parking, since
    /// whatever ran in between may have used up the wake-up.
    pub(crate) fn has_news(&self) -> bool {
        let has_news = |waiter: &Arc<Waiter>| waiter.has_turn.load(Ordering::Acquire) || waiter.verdict.get().is_some();
        self.waiter.as_ref().is_some_and(has_news)
    }

    /// What the head has met, while it tries again.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.queues
            .shard(&self.slot)
            .queues
            .get(&self.slot)
            .and_then(|queue| queue.trouble.clone())
    }

    /// This waiter is going to sleep until then (on the monotonic clock), unless it is woken.
    pub(crate) fn sleeps_until(&self, wakes_at: Duration) {
        if let Some(waiter) = &self.waiter {
            waiter.wakes_at.store(nanos(wakes_at), Ordering::Release);
        }
    }

    /// When the lease ends that is held before this place, on the monotonic clock. To be asked after
    /// [`sleeps_until`](Self::sleeps_until): a lease that is granted later and ends earlier wakes the first in line.
    pub(crate) fn leased_until(&self) -> Option<Duration> {
        self.queues
            .shard(&self.slot)
            .queues
            .get(&self.slot)
            .and_then(|queue| queue.leased_until)
    }
}

/// Nanoseconds, for an atomic: 584 years' worth.
fn nanos(instant: Duration) -> u64 {
    u64::try_from(instant.as_nanos()).unwrap_or(u64::MAX)
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let mut shard = self.queues.shard(&self.slot);
        let Some(queue) = shard.queues.get_mut(&self.slot) else {
            return;
        };
        queue.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
        let (number, watch) = (queue.turn, queue.watch);
        // Under the lock: a turn that was given meanwhile is this one's to pass on.
        let had_turn = waiter.has_turn.load(Ordering::Acquire);
        drop(shard);
        if had_turn {
            self.queues.pass_on(&self.slot, number, watch);
        }
    }
}

/// The head's right to talk to the server about one key. Dropping it passes it on.
#[derive(Debug)]
pub(crate) struct Turn {
    queues: Arc<Queues>,
    slot: Slot,
    number: u64,
    /// What is known of the present holder; left to the next in line.
    pub(crate) watch: Option<Watch>,
}

impl Turn {
    /// A lease was granted in this turn, or extended: the turn lasts `until` (on the monotonic clock) at the most, and
    /// `watch` is what the next in line needs to know to take over from a holder that hangs.
    pub(crate) fn leased(&self, until: Duration, watch: Watch) {
        let mut shard = self.queues.shard(&self.slot);
        if let Some(queue) = shard
            .queues
            .get_mut(&self.slot)
            .filter(|queue| queue.turn == self.number)
        {
            queue.leased_until = Some(until);
            queue.watch = Some(watch);
            // The first in line is to step in when the lease ends, and may be asleep for longer than that.
            let oversleeps = |first: &&Arc<Waiter>| first.wakes_at.load(Ordering::Acquire) > nanos(until);
            if let Some(first) = queue.waiting.front().filter(oversleeps).map(Arc::clone) {
                drop(shard);
                first.waker.wake_by_ref();
            }
        }
    }
}

impl Turn {
    /// The last exchange failed with `trouble`, and is tried again; or it did not.
    pub(crate) fn met(&self, trouble: Option<Error>) {
        let mut shard = self.queues.shard(&self.slot);
        if let Some(queue) = shard
            .queues
            .get_mut(&self.slot)
            .filter(|queue| queue.turn == self.number)
        {
            queue.trouble = trouble;
        }
    }

    /// Ends the turn with a failure that is everyone's.
    pub(crate) fn fail_for_all(self, verdict: &Error) {
        self.queues.dismiss(&self.slot, self.number, verdict);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queues.pass_on(&self.slot, self.number, self.watch);
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

    fn has_turn(place: Place, now: Duration, why: &str) -> Turn {
        match place.progress(now) {
            Progress::Turn(turn) => turn,
            other => panic!("{other:?}: {why}"),
        }
    }

    fn waits(place: Place, now: Duration, why: &str) -> Place {
        match place.progress(now) {
            Progress::Place(place) => place,
            other => panic!("{other:?}: {why}"),
        }
    }

    #[test]
    fn a_failure_that_is_everyones_is_told_to_all_at_once() {
        let queues = Queues::new();
        let turn = head(&queues);
        let (first, first_woken) = behind(&queues);
        let (second, second_woken) = behind(&queues);
        turn.met(Some(Error::config("in trouble")));
        assert!(first.trouble().is_some());
        turn.met(None);
        assert!(first.trouble().is_none());
        assert!(!first.has_news());
        turn.fail_for_all(&Error::config("no server"));
        assert!(first.has_news());
        for place in [first, second] {
            assert!(matches!(place.progress(Duration::ZERO), Progress::Dismissed(error) if error.is_config()));
        }
        assert_eq!(
            (
                first_woken.0.load(Ordering::SeqCst),
                second_woken.0.load(Ordering::SeqCst)
            ),
            (1, 1)
        );
        drop(head(&queues));
    }

    #[test]
    fn turns_are_given_in_the_order_of_arrival_and_wake_only_their_taker() {
        let queues = Queues::new();
        let turn = head(&queues);
        let (first, first_woken) = behind(&queues);
        let (second, second_woken) = behind(&queues);
        let first = waits(first, Duration::ZERO, "the head still has it");
        drop(turn);
        let second = waits(second, Duration::ZERO, "first come, first served");
        let turn = has_turn(first, Duration::ZERO, "the head has left");
        assert_eq!(
            (
                first_woken.0.load(Ordering::SeqCst),
                second_woken.0.load(Ordering::SeqCst)
            ),
            (1, 0)
        );
        drop(turn);
        drop(has_turn(second, Duration::ZERO, "the first has left"));
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
        drop(has_turn(third, Duration::ZERO, "the turn was passed on"));
        drop(head(&queues));
    }

    #[test]
    fn the_watch_stays_with_the_queue() {
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
        let next = has_turn(next, Duration::ZERO, "the head has left");
        assert_eq!(next.watch, Some(watch));
        drop(next);
        assert_eq!(head(&queues).watch, Some(watch), "whoever comes back goes on watching");
        let mut held = head(&queues);
        held.watch = None;
        drop(held);
        assert_eq!(head(&queues).watch, None, "a lock that was had is not watched any more");
    }

    #[test]
    fn watches_of_queues_that_are_gone_are_kept_within_bounds() {
        let queues = Queues::new();
        let watch = Watch::observe(
            None,
            &crate::store::Record {
                nonce: crate::store::Nonce(1),
                lease: Duration::from_secs(1),
                renewal: 0,
                label: "".into(),
                full_name: None,
            },
            crate::lease::Now::default(),
        );
        for key in 0..20_000 {
            let item = ItemName::of_lock("memlock", "queue", &key.to_string());
            match queues.join(&item, || unreachable!()) {
                Joined::Head(mut turn) => turn.watch = Some(watch),
                Joined::Behind(_) => panic!("another key's"),
            }
        }
        let kept = |shard: &Mutex<Shard>| shard.lock().expect("no panic").watches.len();
        let kept: usize = queues.shards.iter().map(kept).sum();
        assert!(kept > 0 && kept <= SHARDS * MOST_WATCHES, "{kept}");
    }

    #[test]
    fn a_turn_ends_with_the_lease_that_was_granted_in_it() {
        let lease = Duration::from_secs(1);
        let record = crate::store::Record {
            nonce: crate::store::Nonce(1),
            lease,
            renewal: 0,
            label: "".into(),
            full_name: None,
        };
        let watch = Watch::observe(None, &record, crate::lease::Now::default());
        let queues = Queues::new();
        let hanging = head(&queues);
        let (first, _) = behind(&queues);
        let (second, _) = behind(&queues);
        let first = waits(first, lease * 9, "nothing is leased yet");
        hanging.leased(lease, watch);
        let second = waits(second, lease * 9, "it is not its place");
        let first = waits(first, lease / 2, "the lease is not over");
        let first = has_turn(first, lease, "the lease is over");
        assert_eq!(first.watch, Some(watch), "it knows whom it takes over from");
        let before = hanging.number;
        drop(hanging); // It wakes up, and has nothing to pass on any more.
        assert!(first.number > before, "nor has it in a later queue of the same key");
        let second = waits(second, Duration::ZERO, "the first has it");
        drop(first);
        drop(has_turn(second, Duration::ZERO, "the first has left"));
        drop(head(&queues));
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
                .all(|shard| shard.lock().expect("no panic").queues.is_empty())
        );
    }
}
