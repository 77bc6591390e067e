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
//! A head that finds the server unreachable tells all who stand behind it: they were to ask the same server the same
//! question, each after the other's limits.
//!
//! Waiters are woken through a [`Waker`], so that a task could wait in the same queue as a thread.

#[cfg(test)]
mod tests;

use std::collections::hash_map::{self, HashMap, RandomState};
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::error::Error;
use crate::key::ItemName;
use crate::lease::Now;
use crate::protocol::{Claim, Grant, Handed, Standing, Taken, Turns, Watch, is_to_look};
use crate::store::Entry;

/// Queues are spread over this many locks, so that distinct keys seldom meet. A power of two.
const SHARDS: usize = 16;

/// All queues of one `Locks`.
#[derive(Debug)]
pub(crate) struct Queues {
    shards: [Mutex<Shard>; SHARDS],
    /// Seeded by the operating system: keys come from users, who may not choose which queues share a bucket.
    hasher: RandomState,
    turns: AtomicU64,
    orphanage: OnceLock<Weak<dyn Orphanage>>,
}

/// Who sees to it that a lock is released that was handed over to nobody.
pub(crate) trait Orphanage: std::fmt::Debug + Send + Sync {
    /// Releases `grant` of the lock in `item`, soon, without keeping the caller.
    fn release_orphan(self: Arc<Self>, item: &ItemName, grant: &Grant);

    /// Takes this process out of the line for the lock in `item`, soon, without keeping the caller.
    fn leave_line(self: Arc<Self>, item: &ItemName, standing: Box<Standing>);

    /// Sees to it that no place in the line for the lock in `item` is kept for long: asks for it soon ([`Queues::overdue`]),
    /// until there is nothing to mind any more.
    fn mind_place(self: Arc<Self>, item: &ItemName);
}

/// No turn's number.
const NONE: u64 = Turns::NONE;

/// A lock that is held for less than this is handed over faster than a thread wakes up: the first in line is woken early then,
/// and is awake when its turn comes. Waking takes 2 to 20 µs, depending on whether a processor was asleep.
///
/// It is woken by who joins the line behind it, and so is about to sleep and leave it a processor; mostly that is the holder
/// before, who comes again. Woken by that holder as it hands over, it would take the processor away from one who has more to do,
/// or cost a signal to another.
const BRISK: Duration = Duration::from_micros(10);

/// Queues by their key, which carries its hash, so that it is computed once for all that a caller does in its turn.
type BySlot<T> = HashMap<Slot, T, BuildHasherDefault<Precomputed>>;

/// A part of the keys.
#[derive(Debug, Default)]
struct Shard {
    queues: BySlot<Queue>,
    /// What was known of holders when the last waiter gave up. A nonce and a renewal number that are still the same when
    /// somebody comes back have not changed meanwhile, so the watch goes on: callers who try now and then inherit a dead
    /// holder's lock as well as one who waits for it.
    memories: BySlot<Memory>,
    /// Locks for which a place in line may be kept that somebody will see to: see [`Orphanage::mind_place`].
    minded: HashSet<Slot, BuildHasherDefault<Precomputed>>,
    /// When somebody last looked who stands in line for a lock, on the monotonic clock.
    looked: Duration,
}

/// What is kept of a queue that is gone.
#[derive(Debug, Default)]
struct Memory {
    watch: Option<Watch>,
    /// Others stood in line when the lock was released.
    standing: Option<Box<Standing>>,
}

/// How many memories are kept in a shard for queues that are gone. Then all are forgotten: that costs their keys' next
/// contenders a lease's time where a holder is dead, and others in line one turn.
const MOST_MEMORIES: usize = 256;

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
    /// Whose turn it is, and what comes with it.
    turns: Turns,
    /// What is known of other processes in line, from one turn to the next.
    standing: Option<Box<Standing>>,
    /// Whether the last holder was done within [`BRISK`].
    is_brisk: bool,
    /// Whether the holder is done, and only the server is still to be told.
    is_ending: bool,
    /// What the head's last exchange came to grief on, while it tries again.
    trouble: Option<Error>,
}

#[derive(Debug)]
struct Waiter {
    /// The number of the turn that it was given, or [`NONE`].
    turn: AtomicU64,
    /// For how long it is to hold the lock.
    timeout: Duration,
    /// Whether it can make use of being woken early.
    wakes_early: bool,
    /// Whether it knows that its turn is the next, and soon.
    was_called: AtomicBool,
    /// The same, until it has stayed awake for that.
    is_near: AtomicBool,
    /// Whether it looks for its turn all the time, and needs no waking.
    is_awake: AtomicBool,
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
            turns: AtomicU64::new(NONE),
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
        let slot = self.slot(item);
        let mut shard = self.shard(&slot);
        let Shard { queues, memories, .. } = &mut *shard;
        match queues.entry(slot.clone()) {
            hash_map::Entry::Vacant(vacant) => {
                let memory = memories.remove(&slot).unwrap_or_default();
                let number = self.number();
                vacant.insert(Queue {
                    turns: Turns::begun(number),
                    ..Queue::default()
                });
                Joined::Head(Turn {
                    queues: Arc::clone(self),
                    slot,
                    number,
                    watch: memory.watch,
                    standing: memory.standing,
                    handed: None,
                })
            }
            hash_map::Entry::Occupied(mut queue) => {
                let queue = queue.get_mut();
                let is_first = queue.waiting.is_empty();
                let is_near = wakes_early && queue.is_brisk && is_first;
                let near = queue.near();
                let waiter = Arc::new(Waiter {
                    turn: AtomicU64::new(NONE),
                    timeout,
                    wakes_early,
                    was_called: AtomicBool::new(is_near),
                    is_near: AtomicBool::new(is_near),
                    is_awake: AtomicBool::new(false),
                    verdict: OnceLock::new(),
                    wakes_at: AtomicU64::new(u64::MAX),
                    waker: waker(),
                });
                queue.waiting.push_back(Arc::clone(&waiter));
                let seen = Seen::of(&queue.turns, is_first);
                drop(shard);
                Wake(near, None).all();
                Joined::Behind(Place {
                    queues: Arc::clone(self),
                    slot,
                    waiter: Some(waiter),
                    seen,
                })
            }
        }
    }

    /// How many wait for `item`, not counting whose turn it is.
    pub(crate) fn waiting(&self, item: &ItemName) -> usize {
        let slot = self.slot(item);
        self.shard(&slot)
            .queues
            .get(&slot)
            .map_or(0, |queue| queue.waiting.len())
    }

    /// Wakes everyone, to look at the clock again.
    pub(crate) fn wake_all(&self) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = shard.queues.values().flat_map(|queue| &queue.waiting);
            waiting.for_each(|waiter| waiter.waker.wake_by_ref());
        }
    }

    fn slot(&self, item: &ItemName) -> Slot {
        Slot {
            hash: self.hasher.hash_one(item),
            item: item.clone(),
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
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Turn `number` is over: the first waiter gets the next, or the queue is gone. `leave` puts into the queue what is
    /// left behind, unless the turn has been taken away.
    fn pass_on(&self, slot: &Slot, number: u64, leave: impl FnOnce(&mut Queue)) {
        let mut shard = self.shard(slot);
        let Some(queue) = shard
            .queues
            .get_mut(slot)
            .filter(|queue| queue.turns.is_present(number))
        else {
            return;
        };
        leave(queue);
        // A grant that nobody comes for is of no use to anyone when it is over.
        let until = queue.turns.handed().map(|grant| grant.end.ends());
        if let Some(wake) = queue.give_turn(self.number(), until) {
            drop(shard);
            wake.all();
            return;
        }
        let (watch, orphan) = queue.turns.left_behind();
        let standing = queue.standing.take();
        shard.queues.remove(slot);
        // Where nobody waits any more, nobody stands in line.
        let (leaving, standing) = match standing {
            Some(standing) if standing.is_to_leave() => (Some(standing), None),
            standing => (None, standing),
        };
        let mut is_to_be_minded = false;
        if watch.is_some() || standing.is_some() {
            if shard.memories.len() >= MOST_MEMORIES {
                shard.memories.clear();
            }
            let is_place_kept = standing.as_ref().is_some_and(|standing| standing.is_place_kept());
            shard.memories.insert(slot.clone(), Memory { watch, standing });
            // Once for all who come and go meanwhile: it costs as much as a hand-over.
            is_to_be_minded = is_place_kept && shard.minded.insert(slot.clone());
        }
        drop(shard);
        if let (true, Some(orphanage)) = (is_to_be_minded, self.orphanage()) {
            orphanage.mind_place(&slot.item);
        }
        if let Some(grant) = orphan {
            self.release_orphan(slot, &grant);
        }
        if let Some(standing) = leaving {
            self.leave_line(slot, standing);
        }
    }

    /// What is known of a line in which a place was kept for nobody: he who was expected back did not come. `Err`: he may still
    /// come, and it is to be asked for again.
    pub(crate) fn overdue(&self, item: &ItemName, now: Now) -> Result<Option<Box<Standing>>, ()> {
        let slot = self.slot(item);
        let mut shard = self.shard(&slot);
        let standing = shard.memories.get_mut(&slot).map(|memory| &mut memory.standing);
        let overdue = match standing {
            Some(Some(kept)) if kept.is_place_kept() && !kept.is_overdue(now) => return Err(()),
            Some(standing) => standing.take_if(|standing| standing.is_place_kept()),
            None => None,
        };
        shard.minded.remove(&slot);
        Ok(overdue)
    }

    fn orphanage(&self) -> Option<Arc<dyn Orphanage>> {
        self.orphanage.get().and_then(Weak::upgrade)
    }

    fn leave_line(&self, slot: &Slot, standing: Box<Standing>) {
        if let Some(orphanage) = self.orphanage() {
            orphanage.leave_line(&slot.item, standing);
        }
    }

    fn release_orphan(&self, slot: &Slot, grant: &Grant) {
        if let Some(orphanage) = self.orphanage() {
            orphanage.release_orphan(&slot.item, grant);
        }
    }

    /// Turn `number` is over, and nobody gets the next: all who wait are told why.
    fn dismiss(&self, slot: &Slot, number: u64, verdict: &Error) {
        let mut shard = self.shard(slot);
        if !shard
            .queues
            .get(slot)
            .is_some_and(|queue| queue.turns.is_present(number))
        {
            return;
        }
        let queue = shard.queues.remove(slot).unwrap_or_default();
        drop(shard);
        for waiter in queue.waiting {
            // The only one that sets it.
            let _ = waiter.verdict.set(verdict.clone());
            waiter.waker.wake_by_ref();
        }
    }
}

impl Queue {
    /// Ends the present turn and begins turn `number`. The first in line is to have it.
    fn next_turn(&mut self, number: u64) -> Option<Arc<Waiter>> {
        self.turns.next(number);
        self.is_ending = false;
        self.trouble = None;
        self.waiting.pop_front()
    }

    /// The same, and tells the first in line. The lease that comes with the turn, if one does, lasts for `until`.
    fn give_turn(&mut self, number: u64, until: Option<Duration>) -> Option<Wake> {
        let next = self.next_turn(number)?;
        // Under the lock, so that a waiter who leaves at this moment finds out that the turn is its to pass on.
        next.turn.store(number, Ordering::SeqCst);
        let sleeper = until.and_then(|until| self.leased(until));
        // Whoever is awake looks once more after it has said that it is not.
        let is_asleep = !next.is_awake.load(Ordering::SeqCst);
        Some(Wake(is_asleep.then_some(next), sleeper))
    }

    /// A lease lasts for `until`. The first in line is to step in then, and is to be woken if it sleeps for longer.
    fn leased(&mut self, until: Duration) -> Option<Arc<Waiter>> {
        self.turns.leased(until);
        self.oversleeper(until)
    }

    /// The first in line, if it sleeps for longer than `until`.
    fn oversleeper(&self, until: Duration) -> Option<Arc<Waiter>> {
        let oversleeps = |first: &&Arc<Waiter>| first.wakes_at.load(Ordering::Acquire) > nanos(until);
        self.waiting.front().filter(oversleeps).map(Arc::clone)
    }

    /// The first in line, if it is to be woken because its turn is near, once.
    fn near(&self) -> Option<Arc<Waiter>> {
        let first = self.waiting.front()?;
        let is_near = self.is_brisk && first.wakes_early && !first.was_called.swap(true, Ordering::Relaxed);
        is_near.then(|| {
            first.is_near.store(true, Ordering::Release);
            Arc::clone(first)
        })
    }
}

/// Waiters to be woken, once the shard's lock is let go.
#[must_use]
struct Wake(Option<Arc<Waiter>>, Option<Arc<Waiter>>);

impl Wake {
    fn all(self) {
        for waiter in [self.0, self.1].into_iter().flatten() {
            waiter.waker.wake_by_ref();
        }
    }
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

/// A place in a queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Place {
    queues: Arc<Queues>,
    slot: Slot,
    waiter: Option<Arc<Waiter>>,
    seen: Seen,
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
    fn of(turns: &Turns, is_first: bool) -> Seen {
        Seen {
            is_first,
            leased_until: turns.leased_until(),
        }
    }
}

/// How a place in a queue fares.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "as above")]
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
    /// ended by `now`. A grant may come with it: see [`Turn::take_handed`].
    pub(crate) fn progress(mut self, now: Now) -> Progress {
        let Some(waiter) = self.waiter.take() else {
            return Progress::Place(self);
        };
        if let Some(verdict) = waiter.verdict.get() {
            return Progress::Dismissed(verdict.clone());
        }
        let mut shard = self.queues.shard(&self.slot);
        let given = waiter.turn.load(Ordering::Acquire);
        if given != NONE && !shard.queues.contains_key(&self.slot) {
            // It came too late for its turn, and whoever stepped in has left since: it is the head again.
            let queue = Queue {
                turns: Turns::begun(given),
                ..Queue::default()
            };
            shard.queues.insert(self.slot.clone(), queue);
        }
        self.seen = Seen::default();
        let begun = shard.queues.get_mut(&self.slot).and_then(|queue| {
            // Until it says for how long, it sleeps for ever: so it is woken when a lease is granted that it does not see here.
            waiter.wakes_at.store(u64::MAX, Ordering::Release);
            let is_first = queue.waiting.front().is_some_and(|first| Arc::ptr_eq(first, &waiter));
            self.seen = Seen::of(&queue.turns, is_first);
            match queue.turns.claim(given, is_first, now) {
                Claim::Wait => return None,
                Claim::TooLate => {
                    waiter.turn.store(NONE, Ordering::Release);
                    queue.waiting.push_front(Arc::clone(&waiter));
                    return None;
                }
                Claim::StepIn => {
                    queue.next_turn(self.queues.number());
                }
                Claim::Mine => {}
            }
            let taken = queue.turns.take(waiter.timeout, now);
            let sleeper = queue.turns.leased_until().and_then(|until| queue.oversleeper(until));
            Some((taken, queue.standing.take(), sleeper))
        });
        drop(shard);
        let Some((taken, standing, sleeper)) = begun else {
            self.waiter = Some(waiter);
            return Progress::Place(self);
        };
        Wake(None, sleeper).all();
        let Taken { number, watch, handed } = taken;
        Progress::Turn(Turn {
            queues: Arc::clone(&self.queues),
            slot: self.slot.clone(),
            number,
            watch,
            standing,
            handed: handed.map(Box::new),
        })
    }

    /// Whether there is something for [`progress`](Self::progress) to tell. To be asked right before parking, since
    /// whatever ran in between may have used up the wake-up.
    pub(crate) fn has_news(&self) -> bool {
        let has_news =
            |waiter: &Arc<Waiter>| waiter.turn.load(Ordering::SeqCst) != NONE || waiter.verdict.get().is_some();
        self.waiter.as_ref().is_some_and(has_news)
    }

    /// Where the turn comes next, and soon, it costs less to stay awake for it: then this looks for news a few times, with
    /// `pause` in between, and nobody takes the trouble to wake this place meanwhile. It does so once each time that it is
    /// woken early.
    pub(crate) fn stay_awake(&self, mut looks: u32, pause: impl Fn()) {
        let Some(waiter) = &self.waiter else { return };
        if !waiter.is_near.swap(false, Ordering::AcqRel) {
            return;
        }
        waiter.is_awake.store(true, Ordering::SeqCst);
        while looks > 0 && !self.has_news() {
            pause();
            looks -= 1;
        }
        waiter.is_awake.store(false, Ordering::SeqCst);
    }

    /// What the head has met, while it tries again.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.queues
            .shard(&self.slot)
            .queues
            .get(&self.slot)
            .and_then(|queue| queue.trouble.clone())
    }

    /// Whether the holder before this place is done, and the turn comes as soon as the server has been told.
    pub(crate) fn is_next_soon(&self) -> bool {
        let shard = self.queues.shard(&self.slot);
        shard.queues.get(&self.slot).is_some_and(|queue| queue.is_ending)
    }

    /// This waiter is going to sleep until then (on the monotonic clock), unless it is woken. A lease that ends earlier, and that
    /// it has not [`seen`](Self::seen), wakes the first in line.
    pub(crate) fn sleeps_until(&self, wakes_at: Duration) {
        if let Some(waiter) = &self.waiter {
            waiter.wakes_at.store(nanos(wakes_at), Ordering::Release);
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen
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
        // Under the lock: a turn that was given meanwhile is this one's to pass on, with the grant that came with it.
        let given = waiter.turn.load(Ordering::Acquire);
        if let Some(queue) = shard.queues.get_mut(&self.slot).filter(|_| given == NONE) {
            queue.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
        }
        drop(shard);
        if given != NONE {
            self.queues.pass_on(&self.slot, given, |_| ());
        }
    }
}

/// The head's right to talk to the server about one key. Dropping it passes it on.
#[derive(Debug)]
pub(crate) struct Turn {
    queues: Arc<Queues>,
    slot: Slot,
    /// [`NONE`] once it is over.
    number: u64,
    /// What is known of the present holder; left to the next in line.
    pub(crate) watch: Option<Watch>,
    /// What is known of other processes in line; left to the next as well.
    pub(crate) standing: Option<Box<Standing>>,
    /// The grant that came with it, until it is taken. Boxed, so that those that come without one stay small.
    handed: Option<Box<Handed>>,
}

impl Turn {
    /// What was handed over with the turn, if anything was: it is the caller's now, to hold or to release.
    pub(crate) fn take_handed(&mut self) -> Option<Handed> {
        self.handed.take().map(|handed| *handed)
    }

    /// The holder is done with `grant`: it and the turn go to the first in line, if one waits to whom the grant may still
    /// be handed over. Otherwise the turn comes back, and the lock is to be released.
    pub(crate) fn hand_over(mut self, grant: &Grant, now: Now) -> Option<Turn> {
        let mut shard = self.queues.shard(&self.slot);
        let wake = shard.queues.get_mut(&self.slot).and_then(|queue| {
            // Unless it is handed over.
            queue.is_ending |= queue.turns.is_present(self.number);
            let timeout = queue.waiting.front()?.timeout;
            if !queue.turns.hand_over(self.number, grant, timeout, now) {
                return None;
            }
            queue.is_brisk = now.since(grant.deadline.sent()) < BRISK;
            queue.standing = self.standing.take();
            queue.give_turn(self.queues.number(), Some(now.instant + timeout))
        });
        drop(shard);
        let Some(wake) = wake else { return Some(self) };
        self.number = NONE;
        wake.all();
        None
    }

    /// What is known of the line, if the release of a lock that this process was granted at `granted` is to look at it.
    pub(crate) fn looks(&mut self, granted: Duration, me: Entry, now: Now) -> Option<Box<Standing>> {
        let mut shard = self.queues.shard(&self.slot);
        if !is_to_look(self.standing.as_deref(), granted, shard.looked, now) {
            return None;
        }
        shard.looked = now.instant;
        drop(shard);
        Some(self.standing.take().unwrap_or_else(|| Box::new(Standing::new(me))))
    }

    /// A lease was granted in this turn, or extended: the turn lasts `until` (on the monotonic clock) at the most, and
    /// `watch` is what the next in line needs to know to take over from a holder that hangs.
    pub(crate) fn leased(&self, until: Duration, watch: Watch) {
        let mut shard = self.queues.shard(&self.slot);
        let sleeper = shard.queues.get_mut(&self.slot).and_then(|queue| {
            let is_present = queue.turns.granted(self.number, until, watch);
            is_present.then(|| queue.oversleeper(until)).flatten()
        });
        drop(shard);
        Wake(None, sleeper).all();
    }

    /// The last exchange failed with `trouble`, and is tried again; or it did not.
    pub(crate) fn met(&self, trouble: Option<Error>) {
        let mut shard = self.queues.shard(&self.slot);
        if let Some(queue) = shard
            .queues
            .get_mut(&self.slot)
            .filter(|queue| queue.turns.is_present(self.number))
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
        if self.number == NONE {
            return;
        }
        // Its taker may have been stopped before it took what came with it.
        let mut untaken = self.handed.take().map(|handed| *handed);
        let passed = &mut untaken;
        self.queues.pass_on(&self.slot, self.number, |queue| {
            queue.turns.leave(self.watch, passed.take());
            queue.standing = self.standing.take();
        });
        if let Some(handed) = untaken {
            self.queues.release_orphan(&self.slot, &handed.into_grant());
        }
    }
}
