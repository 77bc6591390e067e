//! [`Core`]: what all clones of one `Locks` share. It also records what each exchange says about its server.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{fmt, mem};

use super::known_server::KnownServer;
use super::limits::ExchangeLimit;
use super::wake::WakeSocket;
use super::work_counter::WorkCounter;
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Exchanged, Member, Reply, WaitListView, WakeTarget};
use crate::queue::{Cleanup as _, Queues};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::system::clock::{Clock, Sleeper};
use crate::system::random::Identity;

/// How much longer than an exchange a caller may keep its turn without moving.
const TURN_SLACK: Duration = Duration::from_millis(50);

/// What all clones of one `Locks` share.
pub(crate) struct Core {
    pub(crate) clock: Arc<Clock>,
    pub(crate) identity: Identity,
    /// This process as a member of wait lists. Another `Locks` on the same servers is another member, also in this
    /// process.
    pub(crate) me: Member,
    /// The socket on which other processes wake this one. `None`: they cannot.
    pub(crate) wake_socket: Option<Arc<WakeSocket>>,
    pub(crate) store: Arc<dyn Store>,
    /// The limit of one exchange.
    pub(crate) exchange_limit: Duration,
    pub(crate) queues: Arc<Queues>,
    pub(crate) counters: Counters,
    /// Counts what the background still has to do.
    pub(crate) background_work: WorkCounter,
    /// Once set, nothing is acquired any more.
    is_shut_down: AtomicBool,
    /// Once set, the locks that were held at that time are lost to their holders.
    has_given_back: AtomicBool,
    servers: Vec<KnownServer>,
}

impl fmt::Debug for Core {
    /// Shows nothing: a guard's `Debug` gets here, and the locks, replies and wait lists of all callers are behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
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

impl Core {
    /// A core on the system's clocks.
    ///
    /// # Errors
    ///
    /// As [`Identity::draw`].
    pub(crate) fn new(
        store: Arc<dyn Store>,
        exchange_limit: Duration,
        wake_socket: Option<WakeSocket>,
    ) -> Result<Arc<Core>, Error> {
        let identity = Identity::draw()?;
        Ok(Core::with(Arc::default(), identity, store, exchange_limit, wake_socket))
    }

    /// A core on a clock that tests move, over a store in this process.
    pub(crate) fn on(clock: Arc<Clock>, store: Arc<dyn Store>, exchange_limit: Duration) -> Arc<Core> {
        Core::with(clock, Identity::within_this_process(), store, exchange_limit, None)
    }

    pub(crate) fn with(
        clock: Arc<Clock>,
        identity: Identity,
        store: Arc<dyn Store>,
        exchange_limit: Duration,
        wake_socket: Option<WakeSocket>,
    ) -> Arc<Core> {
        let servers = (0..store.servers().max(1)).map(|_| KnownServer::default()).collect();
        let core = Arc::new(Core {
            me: Member::new(identity.process(), wake_socket.as_ref().map(WakeSocket::target)),
            identity,
            wake_socket: wake_socket.map(Arc::new),
            store,
            exchange_limit,
            queues: Queues::new(Arc::clone(&clock), exchange_limit.saturating_add(TURN_SLACK)),
            clock,
            counters: Counters::default(),
            background_work: WorkCounter::default(),
            is_shut_down: AtomicBool::new(false),
            has_given_back: AtomicBool::new(false),
            servers,
        });
        let sleeper: Weak<Core> = Arc::downgrade(&core);
        core.clock.wake_on_move(sleeper);
        let cleanup: Weak<Core> = Arc::downgrade(&core);
        core.queues.set_cleanup(cleanup);
        core
    }

    /// The limit of exchanges that belong to no call with an end.
    pub(crate) fn each_exchange(&self) -> ExchangeLimit {
        ExchangeLimit::each(self.exchange_limit)
    }

    /// Reads the clocks.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Ordering::Acquire)
    }

    /// Returns an error once these locks are shut down.
    pub(crate) fn check_not_shut_down(&self) -> Result<(), Error> {
        if self.is_shut_down() { Err(shut_down()) } else { Ok(()) }
    }

    /// From now on nothing is acquired. Callers that wait get an error.
    pub(crate) fn shut_down(&self) {
        self.is_shut_down.store(true, Ordering::Release);
        // A waiter that joins after this sees the flag: both use the lock of the queue's shard.
        self.queues.dismiss_waiters(&shut_down());
    }

    /// Whether the locks that were held at the end of the shutdown are lost to their holders.
    pub(crate) fn has_given_back(&self) -> bool {
        self.has_given_back.load(Ordering::Acquire)
    }

    /// Gives back what is held although these locks are shut down. Returns how many locks those are. The background
    /// releases them.
    pub(crate) fn give_back(self: &Arc<Core>) -> usize {
        // First, so that each holder stops believing before another process can be granted its lock.
        self.has_given_back.store(true, Ordering::SeqCst);
        let held = self.queues.held();
        for (item, watch) in &held {
            let (nonce, lease) = watch.nonce_and_lease();
            Arc::clone(self).settle(item, nonce, lease, None);
        }
        held.len()
    }

    /// Whether no caller holds a lock, or asks for one, and the background has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.queues.are_empty() && self.background_work.is_done()
    }

    /// Records what an exchange that began at `sent` says about its server: a reading of its clock, and a refusal for
    /// lack of memory.
    pub(super) fn record_server_state(&self, server: usize, exchanged: &mut Exchanged, sent: Now) {
        exchanged.sent = sent;
        if let (Some(instance), Some(Reply::Clock(second))) = (exchanged.instance, exchanged.replies.first()) {
            let received = *exchanged.received.get_or_insert_with(|| self.now());
            exchanged.best = self.server(server).read_clock(instance, *second, sent, received);
        }
        if exchanged.replies.iter().any(|reply| matches!(reply, Reply::Refused(_))) {
            let received = exchanged.received.get_or_insert_with(|| self.now());
            self.server(server).record_refusal(*received);
        }
    }

    /// Returns when the replies of `exchanged` came. Reads the clocks, unless recording the exchange has done so.
    pub(super) fn received(&self, exchanged: &Exchanged) -> Now {
        exchanged.received.unwrap_or_else(|| self.now())
    }

    /// Wakes the first member of the wait list, since the lock in `item` is free, unless this release has already woken
    /// one (`was_woken`). Returns whether it has woken one by now.
    pub(super) fn wake_next(&self, item: &ItemName, list: Option<&WaitListView>, was_woken: bool) -> bool {
        // One datagram for a release, even if the list has changed since: anybody could write members into it.
        was_woken || self.wake_member(item, list.and_then(WaitListView::next_wake_target))
    }

    /// Wakes `next` at the beginning of a release of the lock in `item`, if the next member is known already. Returns
    /// whether it has woken one.
    pub(super) fn wake_early(&self, item: &ItemName, next: Option<WakeTarget>) -> bool {
        if let Some(wake_socket) = &self.wake_socket {
            wake_socket.forget_wakes(item);
        }
        self.wake_member(item, next)
    }

    fn wake_member(&self, item: &ItemName, target: Option<WakeTarget>) -> bool {
        let wake_socket = self.wake_socket.as_ref().zip(target);
        wake_socket.is_some_and(|(wake_socket, target)| wake_socket.wake(target, item, self.now().instant))
    }

    /// Returns whether contenders for items of `server` must read them before they add them.
    ///
    /// A server that is short of memory refuses a store, and deletes the item under it, which may be a live lock. A
    /// server that never evicts may refuse any store; others hardly ever do.
    pub(super) fn must_read_first(&self, server: usize, now: Now) -> bool {
        if self.store.evicts(server) != Some(true) {
            return true;
        }
        self.server(server).has_refused_lately(now)
    }

    fn server(&self, server: usize) -> &KnownServer {
        // `with` makes at least one.
        &self.servers[server % self.servers.len()]
    }
}

fn shut_down() -> Error {
    Error::config("these locks were shut down, and acquire nothing any more: build new ones")
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.is_inherited() {
            // The parent uses the connections and the socket, and an orderly shutdown here would shut down its own. At
            // the fork, its threads may also have been in the middle of something.
            mem::forget(mem::replace(&mut self.store, Arc::new(Memory::new())));
            mem::forget(self.wake_socket.take());
        }
    }
}

impl Sleeper for Core {
    fn wake(&self) {
        self.queues.wake_all();
    }
}
