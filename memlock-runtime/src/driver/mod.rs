//! The drivers: the loops that run the protocol's machines against a store, with the clocks and the dice that the
//! machines do not have.
//!
//! [`blocking`] runs them on the caller's thread, [`tasks`] inside the caller's future; what both make of a step is in
//! [`contender`], and of waiting in [`waiting`]. [`agent`] is what must happen in the background although no caller waits for it: renewals, releases of what was dropped, and cleaning up after writes that
//! got no reply.

pub(crate) mod agent;
pub(crate) mod blocking;
mod contender;
pub(crate) mod dice;
pub(crate) mod hold;
pub(crate) mod reservations;
pub(crate) mod tasks;
#[cfg(test)]
mod tests;
pub(crate) mod waiting;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::clock::{Clock, Sleeper};
use crate::doorbell::Doorbell;
use crate::error::{Error, Source};
use crate::key::ItemName;
use crate::lease::{Now, Reading, ServerClock};
use crate::protocol::{Answered, Standing};
use crate::queue::Queues;
use crate::store::{Answer, Batch, Call, Entry, Instance, Pending, Reply, Store};
use agent::Chores;
use reservations::Reservations;

/// For how long after a server has refused a store for lack of memory contenders read before they add: the refused
/// store deletes the item under it, which may be a live lock.
const MEMORY_CAUTION: Duration = Duration::from_mins(1);

/// What all clones of one `Locks` share.
pub(crate) struct Core {
    clock: Arc<Clock>,
    /// As it stands in line with others. Another `Locks` on the same servers is another contender, in this process too.
    me: Entry,
    /// Where it can be called.
    doorbell: Option<Arc<Doorbell>>,
    pub(crate) store: Box<dyn Store>,
    /// The longest that one exchange may take.
    pub(crate) exchange_limit: Duration,
    pub(crate) queues: Arc<Queues>,
    pub(crate) counters: Counters,
    pub(crate) reservations: Reservations,
    /// What the agent has still to do.
    pub(crate) chores: Chores,
    /// Nothing is acquired any more.
    pub(crate) is_shut_down: AtomicBool,
    servers: Vec<Server>,
}

impl fmt::Debug for Core {
    /// Nothing: a guard's `Debug` gets here, and everyone's locks, replies and wait lists are behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

/// What is known of one server of the list.
#[derive(Debug, Default)]
struct Server {
    clock: Mutex<KnownClock>,
    /// When it last refused a store, in nanoseconds on the monotonic clock; zero if it never did.
    refused: AtomicU64,
}

/// A server's clock, and which instance's it is: another's is another clock.
#[derive(Debug, Default)]
struct KnownClock {
    instance: Option<Instance>,
    clock: ServerClock,
}

/// Events worth counting. They only rise.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) acquired: AtomicU64,
    pub(crate) soft_runs: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) unavailable: AtomicU64,
    pub(crate) conflicts: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What came of an exchange: for the machine, and for everyone else.
pub(crate) struct Heard {
    pub(crate) answered: Answered,
    /// When the replies came, where that was looked up for them.
    received: Option<Now>,
    pub(crate) source: Option<Source>,
    pub(crate) pending: Option<Box<dyn Pending>>,
}

impl Core {
    /// On the process's own clock.
    pub(crate) fn new(store: Box<dyn Store>, exchange_limit: Duration, doorbell: Option<Doorbell>) -> Arc<Core> {
        Core::with(Arc::default(), store, exchange_limit, doorbell)
    }

    /// On a clock that can be moved.
    pub(crate) fn on(clock: Arc<Clock>, store: Box<dyn Store>, exchange_limit: Duration) -> Arc<Core> {
        Core::with(clock, store, exchange_limit, None)
    }

    fn with(
        clock: Arc<Clock>,
        store: Box<dyn Store>,
        exchange_limit: Duration,
        doorbell: Option<Doorbell>,
    ) -> Arc<Core> {
        let servers = (0..store.servers().max(1)).map(|_| Server::default()).collect();
        let core = Arc::new(Core {
            clock,
            me: Entry {
                process: dice::process(),
                call: doorbell.as_ref().map(Doorbell::call),
            },
            doorbell: doorbell.map(Arc::new),
            store,
            exchange_limit,
            queues: Queues::new(),
            counters: Counters::default(),
            reservations: Reservations::default(),
            chores: Chores::default(),
            is_shut_down: AtomicBool::new(false),
            servers,
        });
        let sleeper: Weak<Core> = Arc::downgrade(&core);
        core.clock.wake_on_move(sleeper);
        let orphanage: Weak<Core> = Arc::downgrade(&core);
        core.queues.orphans_to(orphanage);
        core
    }

    /// Both clocks, now.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// An error once nothing is to be acquired any more.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.is_shut_down.load(Ordering::Acquire) {
            return Err(Error::config(
                "these locks were shut down: nothing is acquired any more",
            ));
        }
        Ok(())
    }

    /// Makes one exchange, and notes what it tells of the server. `sent` is a moment just before: the last that the caller has
    /// read.
    fn exchange(&self, item: &ItemName, batch: &Batch, only_on: Option<Instance>, limit: Duration, sent: Now) -> Heard {
        self.hear(item, self.store.exchange(item, batch, only_on, limit), sent)
    }

    /// Notes what an exchange that began at `sent` tells of the server.
    fn hear(&self, item: &ItemName, answer: Answer, sent: Now) -> Heard {
        let mut received = None;
        let mut best = None;
        if let (Some(instance), Some(Reply::Clock(second))) = (answer.instance, answer.replies.first()) {
            let received = *received.get_or_insert_with(|| self.now());
            best = self.server(item).read_clock(instance, *second, sent, received);
        }
        if answer.replies.iter().any(|reply| matches!(reply, Reply::Refused(_))) {
            let received = received.get_or_insert_with(|| self.now());
            self.server(item).refused(*received);
        }
        let (damage, source) = answer.fault.map(|fault| (fault.damage, fault.source)).unzip();
        let answered = Answered {
            instance: answer.instance,
            replies: answer.replies,
            damage,
            sent,
            best,
        };
        Heard {
            answered,
            received,
            source,
            pending: answer.pending,
        }
    }

    /// Tells the first in line that the lock in `item` is free, unless it has been `called`. Returns who has been told.
    fn call_next(&self, item: &ItemName, standing: Option<&Standing>, called: Option<Call>) -> Option<Call> {
        let next = standing
            .and_then(Standing::to_call)
            .filter(|next| Some(*next) != called);
        self.call(item, next).or(called)
    }

    /// At the beginning of a release of the lock in `item`: tells `next` already now, where that is known. Returns who has been
    /// told.
    fn call_early(&self, item: &ItemName, next: Option<Call>) -> Option<Call> {
        self.doorbell.as_ref()?.forget_calls(item);
        self.call(item, next)
    }

    fn call(&self, item: &ItemName, call: Option<Call>) -> Option<Call> {
        let (doorbell, call) = self.doorbell.as_ref().zip(call)?;
        doorbell.ring(call, item);
        Some(call)
    }

    /// Whether contenders for `item` must read before they add: a store that the server refuses for lack of memory deletes
    /// the item under it. A server that never evicts may refuse any store; others hardly ever do.
    fn must_look_first(&self, item: &ItemName, now: Now) -> bool {
        if self.store.evicts(item) != Some(true) {
            return true;
        }
        self.server(item).has_refused_lately(now)
    }

    fn server(&self, item: &ItemName) -> &Server {
        // `new` saw to it that there is one.
        &self.servers[self.store.server_index(item) % self.servers.len()]
    }
}

impl Server {
    /// Takes note of a reading of the clock of `instance`, and gives the best one of that clock.
    fn read_clock(&self, instance: Instance, second: u64, sent: Now, received: Now) -> Option<Reading> {
        let mut known = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if known.instance != Some(instance) {
            *known = KnownClock {
                instance: Some(instance),
                clock: ServerClock::default(),
            };
        }
        known.clock.observe(second, sent, received);
        known.clock.best(received)
    }

    fn refused(&self, now: Now) {
        let nanos = u64::try_from(now.instant.as_nanos()).unwrap_or(u64::MAX);
        self.refused.store(nanos, Ordering::Relaxed);
    }

    fn has_refused_lately(&self, now: Now) -> bool {
        let refused = Duration::from_nanos(self.refused.load(Ordering::Relaxed));
        !refused.is_zero() && now.instant.saturating_sub(refused) < MEMORY_CAUTION
    }
}

impl Sleeper for Core {
    fn wake(&self) {
        self.queues.wake_all();
    }
}

impl Heard {
    /// When the replies came. Reads the clocks, unless it was looked up already.
    fn received(&self, core: &Core) -> Now {
        self.received.unwrap_or_else(|| core.now())
    }
}
