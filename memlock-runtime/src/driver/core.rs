//! What all clones of one `Locks` share, and what an exchange tells of its server.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{fmt, mem};

use super::chores::Chores;
use super::known_server::KnownServer;
use super::limits::ExchangeLimit;
use super::wake::WakeSocket;
use crate::error::{Error, Source};
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Answered, Member, Reply, WaitListView, WakeTarget};
use crate::queue::Queues;
use crate::store::memory::Memory;
use crate::store::{Answer, Pending, Store};
use crate::system::clock::{Clock, Sleeper};
use crate::system::random::Identity;

/// What all clones of one `Locks` share.
pub(crate) struct Core {
    pub(crate) clock: Arc<Clock>,
    pub(crate) identity: Identity,
    /// As it stands in line with others. Another `Locks` on the same servers is another contender, in this process too.
    pub(crate) me: Member,
    /// Where it can be called.
    pub(crate) wake_socket: Option<Arc<WakeSocket>>,
    pub(crate) store: Box<dyn Store>,
    /// The longest that one exchange may take.
    pub(crate) exchange_limit: Duration,
    pub(crate) queues: Arc<Queues>,
    pub(crate) counters: Counters,
    /// What is still to be done in the background.
    pub(crate) chores: Chores,
    /// Nothing is acquired any more.
    pub(crate) is_shut_down: AtomicBool,
    servers: Vec<KnownServer>,
}

impl fmt::Debug for Core {
    /// Nothing: a guard's `Debug` gets here, and everyone's locks, replies and wait lists are behind it.
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
    ///
    /// # Errors
    ///
    /// As [`Identity::draw`].
    pub(crate) fn new(
        store: Box<dyn Store>,
        exchange_limit: Duration,
        wake_socket: Option<WakeSocket>,
    ) -> Result<Arc<Core>, Error> {
        let identity = Identity::draw()?;
        Ok(Core::with(Arc::default(), identity, store, exchange_limit, wake_socket))
    }

    /// On a clock that can be moved, over a store in this process.
    pub(crate) fn on(clock: Arc<Clock>, store: Box<dyn Store>, exchange_limit: Duration) -> Arc<Core> {
        Core::with(clock, Identity::within_this_process(), store, exchange_limit, None)
    }

    pub(crate) fn with(
        clock: Arc<Clock>,
        identity: Identity,
        store: Box<dyn Store>,
        exchange_limit: Duration,
        wake_socket: Option<WakeSocket>,
    ) -> Arc<Core> {
        let servers = (0..store.servers().max(1)).map(|_| KnownServer::default()).collect();
        let core = Arc::new(Core {
            clock,
            me: Member {
                process: identity.process(),
                wake: wake_socket.as_ref().map(WakeSocket::target),
            },
            identity,
            wake_socket: wake_socket.map(Arc::new),
            store,
            exchange_limit,
            queues: Queues::new(),
            counters: Counters::default(),
            chores: Chores::default(),
            is_shut_down: AtomicBool::new(false),
            servers,
        });
        let sleeper: Weak<Core> = Arc::downgrade(&core);
        core.clock.wake_on_move(sleeper);
        let cleanup: Weak<Core> = Arc::downgrade(&core);
        core.queues.set_cleanup(cleanup);
        core
    }

    /// The limit of exchanges that belong to no call with an end of its own.
    pub(crate) fn each_exchange(&self) -> ExchangeLimit {
        ExchangeLimit::each(self.exchange_limit)
    }

    /// Both clocks, now.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// An error once nothing is to be acquired any more.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        self.check_process()?;
        if self.is_shut_down.load(Ordering::Acquire) {
            return Err(Error::config(
                "these locks were shut down: nothing is acquired any more",
            ));
        }
        Ok(())
    }

    /// Notes what an exchange that began at `sent` tells of the server.
    pub(crate) fn hear(&self, item: &ItemName, answer: Answer, sent: Now) -> Heard {
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
        let (unanswered, source) = answer.fault.map(|fault| (fault.unanswered, fault.source)).unzip();
        let answered = Answered {
            instance: answer.instance,
            replies: answer.replies,
            unanswered,
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

    /// Tells the first in line that the lock in `item` is free, unless somebody `was_woken` for this release. Returns whether
    /// somebody has been.
    pub(crate) fn wake_next(&self, item: &ItemName, standing: Option<&WaitListView>, was_woken: bool) -> bool {
        // One datagram for a release, although the line may have changed since: what stands there is anybody's to write.
        was_woken || self.wake_member(item, standing.and_then(WaitListView::to_wake))
    }

    /// At the beginning of a release of the lock in `item`: tells `next` already now, where that is known. Returns whether it
    /// has been told.
    pub(crate) fn wake_early(&self, item: &ItemName, next: Option<WakeTarget>) -> bool {
        if let Some(wake_socket) = &self.wake_socket {
            wake_socket.forget_wakes(item);
        }
        self.wake_member(item, next)
    }

    fn wake_member(&self, item: &ItemName, target: Option<WakeTarget>) -> bool {
        let wake_socket = self.wake_socket.as_ref().zip(target);
        wake_socket.is_some_and(|(wake_socket, target)| wake_socket.wake(target, item, self.now().instant))
    }

    /// Whether contenders for `item` must read before they add: a store that the server refuses for lack of memory deletes
    /// the item under it. A server that never evicts may refuse any store; others hardly ever do.
    pub(crate) fn must_look_first(&self, item: &ItemName, now: Now) -> bool {
        if self.store.evicts(item) != Some(true) {
            return true;
        }
        self.server(item).has_refused_lately(now)
    }

    fn server(&self, item: &ItemName) -> &KnownServer {
        // `new` saw to it that there is one.
        &self.servers[self.store.server_index(item) % self.servers.len()]
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.is_inherited() {
            // The parent uses the connections and the socket: closing them in an orderly way would shut down its own, too. Nor is
            // it known what its threads were doing with them at the fork.
            mem::forget(mem::replace(&mut self.store, Box::new(Memory::new())));
            mem::forget(self.wake_socket.take());
        }
    }
}

impl Sleeper for Core {
    fn wake(&self) {
        self.queues.wake_all();
    }
}

impl Heard {
    /// When the replies came. Reads the clocks, unless it was looked up already.
    pub(crate) fn received(&self, core: &Core) -> Now {
        self.received.unwrap_or_else(|| core.now())
    }
}
