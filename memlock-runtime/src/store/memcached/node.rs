//! One server: a batch from start to end. Here is decided what a failure means for the requests that got no reply, and
//! when a batch may be sent a second time: only where the first time cannot have changed anything.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::address::Server;
use super::codec::translate::Names;
use super::failure::ConnectError;
use super::health::{self, Health};
use super::link::connection::Connection;
use super::link::pipe::Pipe;
use super::link::pool::Pool;
use super::socket::dial::Dialer;
use super::socket::transport::{Limit, ReadBuffer};
use crate::key::ItemName;
use crate::protocol::Instance;
use crate::system::{background, clock};

/// A pipe that has not come about when the most patient of those who want it has given up is dialled anew for the others: a
/// packet was lost, or the server stopped in the middle of its greeting. But not before this: one that is only slow must not be
/// cut off again and again by those who have no time.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// One server of the list.
#[derive(Debug)]
pub(crate) struct Node {
    server: Server,
    clock: ItemName,
    counter: ItemName,
    pub(super) dialer: Dialer,
    pub(super) pool: Pool,
    pub(crate) health: Arc<Health>,
    shared: Mutex<SharedPipe>,
    /// Whether the server evicts, as it told on the last connection that was opened.
    evicts: RwLock<Option<bool>>,
}

/// The connection that all tasks share.
#[derive(Debug, Default)]
enum SharedPipe {
    #[default]
    None,
    /// It is being opened, for these, until the last of their limits is over. The longest of them is the patience.
    Opening {
        waiting: Vec<oneshot::Sender<Opened>>,
        until: Instant,
        patience: Duration,
    },
    Open(Arc<Pipe>),
}

impl Node {
    pub(crate) fn new(server: Server, prefix: &str) -> Node {
        let health: Arc<Health> = Arc::default();
        Node {
            dialer: Dialer::new(&server),
            server,
            clock: ItemName::of_clock(prefix),
            counter: ItemName::of_counter(prefix),
            pool: Pool::new(Arc::clone(&health)),
            health,
            shared: Mutex::default(),
            evicts: RwLock::default(),
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn evicts(&self) -> Option<bool> {
        *self.evicts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A caller with this limit, which had `had` left of it when it began to wait for the server, has got no reply.
    ///
    /// Nothing that was connected before is used any more: a firewall that has forgotten one connection has forgotten all
    /// that were idle as long, and the next try would only take the next of them.
    pub(crate) fn was_silent(&self, limit: &Limit, had: Duration) {
        // A caller that had little of its limit left says nothing about the server: others, which had more, may be answered.
        if limit.is_most(had.saturating_sub(limit.left())) {
            self.health.was_silent();
        }
        self.pool.clear();
        if let SharedPipe::Open(pipe) = &*self.shared() {
            pipe.retire();
        }
    }

    pub(super) fn record_evictions(&self, evicts: bool) {
        *self.evicts.write().unwrap_or_else(PoisonError::into_inner) = Some(evicts);
    }

    /// What a batch about `item` names here.
    pub(crate) fn names<'a>(&'a self, item: &'a ItemName) -> Names<'a> {
        Names {
            item,
            clock: &self.clock,
            counter: &self.counter,
        }
    }

    /// The pipe that all tasks share, if it is open.
    pub(crate) fn pipe(&self) -> Option<Arc<Pipe>> {
        match &*self.shared() {
            SharedPipe::Open(pipe) if !pipe.is_retired() => Some(Arc::clone(pipe)),
            _ => None,
        }
    }

    /// Opens a pipe for all who want one now. Nothing is ever told where the background thread fails.
    pub(crate) fn open_pipe(self: &Arc<Node>, limit: Limit) -> oneshot::Receiver<Opened> {
        let (told, listener) = oneshot::channel();
        let mut shared = self.shared();
        match &mut *shared {
            SharedPipe::Opening {
                waiting,
                until,
                patience,
            } => {
                health::make_room(waiting, |told| told);
                waiting.push(told);
                *until = limit.until().max(*until);
                *patience = limit.length().max(*patience);
            }
            SharedPipe::Open(pipe) if !pipe.is_retired() => {
                // Whoever asked is there to be told.
                let _ = told.send(Ok(Arc::clone(pipe)));
            }
            SharedPipe::None | SharedPipe::Open(_) => {
                *shared = SharedPipe::Opening {
                    waiting: vec![told],
                    until: limit.until(),
                    patience: limit.length().max(LEAST_PATIENCE),
                };
                drop(shared);
                let opening = Opening {
                    node: Arc::clone(self),
                    opened: None,
                };
                background::spawn(async move {
                    let opened = opening.node.dial_pipe().await;
                    opening.end(opened);
                });
            }
        }
        listener
    }

    async fn dial_pipe(&self) -> Opened {
        loop {
            let began = clock::instant();
            let mut dialling = std::pin::pin!(self.dial_once());
            loop {
                // Somebody with more time may come meanwhile.
                let (until, patience) = self.wanted();
                let hung = began + patience;
                if let Ok(opened) = tokio::time::timeout_at(until.min(hung).into(), dialling.as_mut()).await {
                    return opened;
                }
                let now = clock::instant();
                if self.wanted().0 <= now {
                    return Err(ConnectError::TimedOut);
                }
                if hung <= now {
                    break;
                }
            }
        }
    }

    /// One try to open a pipe.
    async fn dial_once(&self) -> Opened {
        let opened = async {
            let (reader, writer) = self.dialer.dial_shared().await.map_err(ConnectError::from)?;
            let mut input = ReadBuffer::new();
            let pipe = Pipe::open(&reader, writer, &mut input, Arc::clone(&self.health)).await?;
            self.record_evictions(pipe.evicts());
            background::spawn(Arc::clone(&pipe).run(reader, input));
            Ok(pipe)
        };
        opened.await.or_else(|error| match error {
            ConnectError::Failed(_) => self.share_idle().ok_or(error),
            ConnectError::TooYoung(_) | ConnectError::TimedOut => Err(error),
        })
    }

    /// A server that takes no more connections may still serve those that it has: one that was left by a thread is as good
    /// as a new one, and what is to be cleaned up must not wait for others to go.
    fn share_idle(&self) -> Option<Arc<Pipe>> {
        let connection = self.pool.take(None, clock::instant())?;
        let (reader, pipe) = Pipe::share(*connection, Arc::clone(&self.health)).ok()?;
        background::spawn(Arc::clone(&pipe).run(reader, ReadBuffer::new()));
        Some(pipe)
    }

    /// Until when the pipe that is being opened is of use to anybody, and how long one try may last.
    fn wanted(&self) -> (Instant, Duration) {
        match &*self.shared() {
            SharedPipe::Opening { until, patience, .. } => (*until, *patience),
            SharedPipe::None | SharedPipe::Open(_) => (clock::instant(), LEAST_PATIENCE),
        }
    }

    fn shared(&self) -> MutexGuard<'_, SharedPipe> {
        // Nothing panics while it holds the lock.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection turned out to be dead: so are those to the same instance.
    pub(crate) fn dead(&self, connection: &Connection) {
        self.forget(connection.instance());
    }

    /// Idle connections to `dead` are closed.
    pub(crate) fn forget(&self, dead: Instance) {
        self.pool.forget(dead);
    }

    /// How many wait for the pipe that is being opened.
    #[cfg(test)]
    pub(crate) fn waiting_for_pipe(&self) -> usize {
        match &*self.shared() {
            SharedPipe::Opening { waiting, .. } => waiting.len(),
            SharedPipe::None | SharedPipe::Open(_) => 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its task does not hold the node, and would keep it open.
        if let SharedPipe::Open(pipe) = &*self.shared() {
            pipe.retire();
        }
    }
}

/// A pipe that is being opened. However that ends, those who wait for it are told.
struct Opening {
    node: Arc<Node>,
    opened: Option<Opened>,
}

impl Opening {
    fn end(mut self, opened: Opened) {
        self.opened = Some(opened);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let next = match &self.opened {
            Some(Ok(pipe)) => SharedPipe::Open(Arc::clone(pipe)),
            Some(Err(_)) | None => SharedPipe::None,
        };
        let before = mem::replace(&mut *self.node.shared(), next);
        if let (SharedPipe::Opening { waiting, .. }, Some(opened)) = (before, &self.opened) {
            for told in waiting {
                // It may have given up.
                let _ = told.send(opened.clone());
            }
        }
    }
}

/// What opening a pipe came to.
pub(crate) type Opened = Result<Arc<Pipe>, ConnectError>;
