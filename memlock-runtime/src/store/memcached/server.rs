//! One server of the list: its address, its health, its idle connections, and the connection that all tasks share,
//! which is opened here. `direct` and `pipelined` exchange batches with it.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::address::ServerAddress;
use super::codec::handshake::Peer;
use super::codec::translate::{Names, SharedItems};
use super::failure::ConnectError;
use super::health::{self, Health};
use super::instances::Instances;
use super::link::pipe::Pipe;
use super::link::pool::Pool;
use super::socket::dial::Dialer;
use super::socket::transport::{Limit, ReadBuffer};
use crate::key::ItemName;
use crate::protocol::Instance;
use crate::system::{background, clock};

/// The shortest time that is given to one attempt to open a pipe. An attempt that has taken as long as the longest
/// limit of the waiting callers is given up and made anew, since a packet may be lost, or the server may have stopped
/// in the middle of its greeting. But callers with little time must not cut a slow server off again and again.
const MIN_DIAL_TIME: Duration = Duration::from_secs(1);

/// One server of the list.
#[derive(Debug)]
pub(crate) struct Server {
    address: ServerAddress,
    shared_items: SharedItems,
    pub(super) dialer: Dialer,
    pub(super) pool: Pool,
    pub(crate) health: Arc<Health>,
    pub(super) instances: Instances,
    shared: Mutex<SharedPipe>,
    /// Whether the server evicts items, as it said on the connection that was opened last.
    evicts: RwLock<Option<bool>>,
}

/// The connection that all tasks share.
#[derive(Debug, Default)]
enum SharedPipe {
    #[default]
    None,
    /// The pipe is being opened.
    Opening {
        /// The callers that wait for it.
        waiting: Vec<oneshot::Sender<OpenedPipe>>,
        /// When the last of their limits ends.
        until: Instant,
        /// How long one attempt may take: their longest limit.
        dial_time: Duration,
    },
    Open(Arc<Pipe>),
}

impl Server {
    pub(crate) fn new(address: ServerAddress, prefix: &str) -> Server {
        let health: Arc<Health> = Arc::default();
        Server {
            dialer: Dialer::new(&address),
            address,
            shared_items: SharedItems::new(prefix),
            pool: Pool::new(Arc::clone(&health)),
            health,
            instances: Instances::default(),
            shared: Mutex::default(),
            evicts: RwLock::default(),
        }
    }

    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    pub(crate) fn evicts(&self) -> Option<bool> {
        *self.evicts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a caller got no reply within `limit`, of which `left_at_start` was left when it began to wait for
    /// the server.
    ///
    /// All connections are dropped: a firewall that has forgotten one has forgotten all that were idle as long, and the
    /// next attempt would only take the next of them.
    pub(crate) fn record_silence(&self, limit: &Limit, left_at_start: Duration) {
        // A caller that had little of its limit left proves nothing: callers with more time may be answered.
        if limit.is_most(left_at_start.saturating_sub(limit.left())) {
            self.health.record_silence();
        }
        self.pool.clear();
        if let SharedPipe::Open(pipe) = &*self.shared() {
            pipe.retire();
        }
    }

    /// Records that `peer` has answered on a new connection, before whose opening `newest` was the newest instance.
    /// From then on nothing is sent on connections to any other instance: a server that was restarted is gone, and where
    /// another has taken its place at the address, it must not go on granting beside that one.
    ///
    /// # Errors
    ///
    /// If the connection must not be used.
    pub(super) fn admit(&self, peer: Peer, newest: Option<Instance>) -> Result<(), ConnectError> {
        let admitted = self
            .instances
            .admit(peer, newest, clock::instant(), |admitted| self.pool.keep_only(admitted));
        if let SharedPipe::Open(pipe) = &*self.shared() {
            self.retire_unless_admitted(pipe);
        }
        admitted?;
        *self.evicts.write().unwrap_or_else(PoisonError::into_inner) = Some(peer.evicts);
        Ok(())
    }

    fn retire_unless_admitted(&self, pipe: &Pipe) {
        if self.instances.admitted() != Some(pipe.instance()) {
            pipe.retire();
        }
    }

    /// The names of the items that a batch about `item` uses on this server.
    pub(crate) fn names<'a>(&'a self, item: &'a ItemName) -> Names<'a> {
        Names {
            item,
            shared: &self.shared_items,
        }
    }

    /// The pipe that all tasks share, if it is open.
    pub(crate) fn pipe(&self) -> Option<Arc<Pipe>> {
        match &*self.shared() {
            SharedPipe::Open(pipe) if !pipe.is_retired() => Some(Arc::clone(pipe)),
            _ => None,
        }
    }

    /// Opens the pipe, or waits for it if it is being opened. The sender is dropped if the background thread fails.
    pub(crate) fn open_pipe(self: &Arc<Server>, limit: Limit) -> oneshot::Receiver<OpenedPipe> {
        let (sender, receiver) = oneshot::channel();
        let mut shared = self.shared();
        match &mut *shared {
            SharedPipe::Opening {
                waiting,
                until,
                dial_time,
            } => {
                health::remove_closed(waiting, |sender| sender);
                waiting.push(sender);
                *until = limit.until().max(*until);
                *dial_time = limit.length().max(*dial_time);
            }
            SharedPipe::Open(pipe) if !pipe.is_retired() => {
                // The receiver is below.
                let _ = sender.send(Ok(Arc::clone(pipe)));
            }
            SharedPipe::None | SharedPipe::Open(_) => {
                *shared = SharedPipe::Opening {
                    waiting: vec![sender],
                    until: limit.until(),
                    dial_time: limit.length().max(MIN_DIAL_TIME),
                };
                drop(shared);
                let opening = PipeOpening {
                    server: Arc::clone(self),
                    opened: None,
                };
                background::spawn(async move {
                    let opened = opening.server.dial_pipe(limit.length()).await;
                    opening.end(opened);
                });
            }
        }
        receiver
    }

    /// Attempts to open a pipe until that is of use to no caller any more. The limit of the first caller has this
    /// `length`.
    async fn dial_pipe(&self, length: Duration) -> OpenedPipe {
        loop {
            let began = clock::instant();
            let mut dialling = std::pin::pin!(self.dial_once(length));
            loop {
                // Callers with more time may have come meanwhile.
                let (until, dial_time) = self.opening_limits();
                let attempt_end = began + dial_time;
                if let Ok(opened) = tokio::time::timeout_at(until.min(attempt_end).into(), dialling.as_mut()).await {
                    return opened;
                }
                let now = clock::instant();
                if self.opening_limits().0 <= now {
                    return Err(ConnectError::TimedOut);
                }
                if attempt_end <= now {
                    break;
                }
            }
        }
    }

    /// One attempt to open a pipe for a caller with a limit of this `length`.
    async fn dial_once(&self, length: Duration) -> OpenedPipe {
        let newest = self.instances.newest();
        let opened = async {
            let (reader, writer) = self.dialer.dial_shared(length).await.map_err(ConnectError::from)?;
            let mut input = ReadBuffer::new();
            let pipe = Pipe::open(&reader, writer, &mut input, Arc::clone(&self.health)).await?;
            self.admit(pipe.peer(), newest)?;
            background::spawn(Arc::clone(&pipe).run(reader, input));
            Ok(pipe)
        };
        opened.await.or_else(|error| match error {
            ConnectError::Failed(_) => self.share_idle().ok_or(error),
            ConnectError::TooYoung(_) | ConnectError::TimedOut => Err(error),
        })
    }

    /// Makes an idle connection of the threads into the pipe: a server that accepts no more connections still serves
    /// those that it has, and cleaning up must not wait for other clients to leave.
    fn share_idle(&self) -> Option<Arc<Pipe>> {
        let connection = self.pool.take(None, clock::instant())?;
        let (reader, pipe) = Pipe::share(*connection, Arc::clone(&self.health)).ok()?;
        background::spawn(Arc::clone(&pipe).run(reader, ReadBuffer::new()));
        Some(pipe)
    }

    /// Until when the pipe that is being opened is of use to a caller, and how long one attempt may take.
    fn opening_limits(&self) -> (Instant, Duration) {
        match &*self.shared() {
            SharedPipe::Opening { until, dial_time, .. } => (*until, *dial_time),
            SharedPipe::None | SharedPipe::Open(_) => (clock::instant(), MIN_DIAL_TIME),
        }
    }

    fn shared(&self) -> MutexGuard<'_, SharedPipe> {
        // Nothing panics while it holds the lock.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many callers wait for the pipe that is being opened.
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

impl Drop for Server {
    fn drop(&mut self) {
        // The pipe's task does not hold the server, and would keep the pipe open.
        if let SharedPipe::Open(pipe) = &*self.shared() {
            pipe.retire();
        }
    }
}

/// A pipe that is being opened. Dropping this ends the opening, so that the callers learn of a panic as well.
struct PipeOpening {
    server: Arc<Server>,
    opened: Option<OpenedPipe>,
}

impl PipeOpening {
    fn end(mut self, opened: OpenedPipe) {
        self.opened = Some(opened);
    }
}

impl Drop for PipeOpening {
    fn drop(&mut self) {
        let next = match &self.opened {
            Some(Ok(pipe)) => SharedPipe::Open(Arc::clone(pipe)),
            Some(Err(_)) | None => SharedPipe::None,
        };
        let before = {
            let mut shared = self.server.shared();
            // Another caller may have met another instance since this pipe was admitted.
            if let SharedPipe::Open(pipe) = &next {
                self.server.retire_unless_admitted(pipe);
            }
            mem::replace(&mut *shared, next)
        };
        if let (SharedPipe::Opening { waiting, .. }, Some(opened)) = (before, &self.opened) {
            for sender in waiting {
                // The caller may have given up.
                let _ = sender.send(opened.clone());
            }
        }
    }
}

/// What opening a pipe came to.
pub(crate) type OpenedPipe = Result<Arc<Pipe>, ConnectError>;
