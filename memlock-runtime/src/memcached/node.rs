//! One server: a batch from start to end. Here is decided what a failure means for the requests that got no reply, and
//! when a batch may be sent a second time: only where the first time cannot have changed anything.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::address::Server;
use super::answers::{
    answered, closes_every_connection, complete, does_not_answer, ended, failed, no_time, nonsensical, not_sent,
    other_instance, unopened,
};
use super::connection::{Connection, NotOpened, NotSent};
use super::dial::Dialer;
use super::exchange::{Opened, Unopened};
use super::health::{self, Entry, Health, News, Trial};
use super::pending::Listening;
use super::pipe::Pipe;
use super::pool::Pool;
use super::translate::Names;
use super::transport::{Broken, Input, Limit};
use super::trouble::Trouble;
use crate::background;
use crate::clock;
use crate::key::ItemName;
use crate::store::{Answer, Damage, Instance, Request};

const NO_TIME_TO_SEND: &str = "there was no time left to send the request";

/// A pipe that has not come about when the most patient of those who want it has given up is dialled anew for the others: a
/// packet was lost, or the server stopped in the middle of its greeting. But not before this: one that is only slow must not be
/// cut off again and again by those who have no time.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// One server of the list.
#[derive(Debug)]
pub(super) struct Node {
    server: Server,
    clock: ItemName,
    counter: ItemName,
    dialer: Dialer,
    pool: Pool,
    pub(super) health: Arc<Health>,
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
    pub(super) fn new(server: Server, prefix: &str) -> Node {
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

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn evicts(&self) -> Option<bool> {
        *self.evicts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Store::exchange`](crate::store::Store::exchange) with this server.
    pub(super) fn exchange(
        self: &Arc<Node>,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        mut limit: Limit,
    ) -> Answer {
        if limit.is_over() {
            return no_time();
        }
        // Declared before any connection, so that the next caller's turn comes when this one's connection is closed.
        let trial = match self.enter(&mut limit) {
            Ok(trial) => trial,
            Err(why) => return unopened(why),
        };
        if let Some(connection) = self.pool.take(only_on, limit.began())
            && let Some(answer) = self.attempt(connection, item, batch, only_on, &mut limit, true)
        {
            return answer;
        }
        let connection = match self.open(&mut limit) {
            Ok(connection) => connection,
            Err(why) => {
                // Another caller may have more time than this one had.
                if let (Some(trial), false) = (trial, limit.is_over()) {
                    trial.failed(&why);
                }
                return unopened(why);
            }
        };
        if limit.look().is_zero() {
            let instance = connection.instance();
            self.pool.put(connection, limit.began());
            return not_sent(Some(instance), NO_TIME_TO_SEND);
        }
        // `None` is not said of a new connection.
        self.attempt(connection, item, batch, only_on, &mut limit, false)
            .unwrap_or_else(|| closes_every_connection(None))
    }

    /// Waits until it may use a connection that has not answered yet. `Some` where it may do so alone.
    fn enter(&self, limit: &mut Limit) -> Result<Option<Trial>, Unopened> {
        if self.health.answers() {
            return Ok(None);
        }
        let mut now = limit.began();
        loop {
            let (told, over) = match self.health.enter(now, limit.until()) {
                Entry::Free => return Ok(None),
                Entry::Trial(trial) => return Ok(Some(trial)),
                Entry::Wait(told, over) => (told, over),
            };
            let length = over.min(limit.until()).saturating_duration_since(now);
            let news = background::wait_for(told, length);
            // A trial that it was given is handed on where there is no time left for it.
            let is_over = limit.look().is_zero();
            match news {
                _ if is_over => return Err(Unopened::Late),
                Some(Ok(News::Answers)) => return Ok(None),
                Some(Ok(News::Trial(trial))) => return Ok(Some(trial)),
                Some(Ok(News::Failed(why))) => return Err(why),
                Some(Err(_)) | None => now = limit.looked(),
            }
        }
    }

    fn open(&self, limit: &mut Limit) -> Result<Box<Connection>, Unopened> {
        let had = limit.look();
        let opened = self
            .dialer
            .dial(limit)
            .map_err(NotOpened::Failed)
            .and_then(|stream| Connection::open(stream, limit));
        match opened {
            Ok(connection) => {
                self.told_of_evictions(connection.evicts());
                Ok(connection)
            }
            Err(why) => {
                if limit.look().is_zero() {
                    self.was_silent(limit, had);
                }
                Err(why.into())
            }
        }
    }

    /// A caller with this limit, which had `had` left of it when it began to wait for the server, has got no reply.
    ///
    /// Nothing that was connected before is used any more: a firewall that has forgotten one connection has forgotten all
    /// that were idle as long, and the next try would only take the next of them.
    pub(super) fn was_silent(&self, limit: &Limit, had: Duration) {
        // A caller that had little of its limit left says nothing about the server: others, which had more, may be answered.
        if limit.is_most(had.saturating_sub(limit.left())) {
            self.health.was_silent();
        }
        self.pool.clear();
        if let SharedPipe::Open(pipe) = &*self.shared() {
            pipe.retire();
        }
    }

    fn told_of_evictions(&self, evicts: bool) {
        *self.evicts.write().unwrap_or_else(PoisonError::into_inner) = Some(evicts);
    }

    /// What a batch about `item` names here.
    pub(super) fn names<'a>(&'a self, item: &'a ItemName) -> Names<'a> {
        Names {
            item,
            clock: &self.clock,
            counter: &self.counter,
        }
    }

    /// The pipe that all tasks share, if it is open.
    pub(super) fn pipe(&self) -> Option<Arc<Pipe>> {
        match &*self.shared() {
            SharedPipe::Open(pipe) if !pipe.is_retired() => Some(Arc::clone(pipe)),
            _ => None,
        }
    }

    /// Opens a pipe for all who want one now. Nothing is ever told where the background thread fails.
    pub(super) fn open_pipe(self: &Arc<Node>, limit: Limit) -> oneshot::Receiver<Opened> {
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
                    return Err(Unopened::Late);
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
            let (reader, writer) = self.dialer.dial_shared().await.map_err(NotOpened::Failed)?;
            let mut input = Input::new();
            let pipe = Pipe::open(&reader, writer, &mut input, Arc::clone(&self.health)).await?;
            self.told_of_evictions(pipe.evicts());
            background::spawn(Arc::clone(&pipe).run(reader, input));
            Ok(pipe)
        };
        opened.await.or_else(|error| match error {
            NotOpened::Failed(_) => self.share_idle().ok_or_else(|| error.into()),
            NotOpened::TooYoung(_) => Err(error.into()),
        })
    }

    /// A server that takes no more connections may still serve those that it has: one that was left by a thread is as good
    /// as a new one, and what is to be cleaned up must not wait for others to go.
    fn share_idle(&self) -> Option<Arc<Pipe>> {
        let connection = self.pool.take(None, clock::instant())?;
        let (reader, pipe) = connection.share(Arc::clone(&self.health)).ok()?;
        background::spawn(Arc::clone(&pipe).run(reader, Input::new()));
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

    /// One try. `None` where a pooled connection turned out to be dead, and the batch has changed nothing and will not:
    /// it may go out on a new one.
    fn attempt(
        self: &Arc<Node>,
        mut connection: Box<Connection>,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: &mut Limit,
        pooled: bool,
    ) -> Option<Answer> {
        let instance = connection.instance();
        let had = limit.left();
        if only_on.is_some_and(|wanted| wanted != instance) {
            self.pool.put(connection, limit.began());
            return Some(other_instance(instance));
        }
        match connection.send(batch, self.names(item), limit) {
            Ok(()) => {}
            Err(NotSent::Invalid(text)) => {
                self.pool.put(connection, limit.began());
                return Some(not_sent(Some(instance), text));
            }
            Err(NotSent::Broken { taken, broken }) => {
                if !matches!(broken, Broken::Closed(_)) {
                    self.was_silent(limit, had);
                }
                return self.unsent(&connection, taken, broken, pooled);
            }
        }
        let broken = match connection.receive(limit) {
            Ok(()) => return Some(self.completed(connection, limit)),
            Err(broken) => broken,
        };
        if connection.progress.is_answered() {
            // What is missing is no more than the rest of a value that nobody needs.
            return Some(self.completed(connection, limit));
        }
        if let Broken::Late = broken {
            self.was_silent(limit, had);
            return Some(self.late(connection));
        }
        if let Broken::Lost(_) = broken {
            self.was_silent(limit, had);
        }
        self.dead(&connection);
        let is_closed = matches!(broken, Broken::Closed(_));
        if is_closed && pooled && !connection.progress.begun && !batch.iter().any(Request::writes) {
            // Closed while it was idle. Reading twice does no harm.
            return None;
        }
        Some(cut_off(*connection, &broken))
    }

    /// After a batch that the kernel did not take in full.
    fn unsent(&self, connection: &Connection, taken: usize, broken: Broken, pooled: bool) -> Option<Answer> {
        let instance = connection.instance();
        let (damage, trouble) = match (taken, broken) {
            (0, Broken::Closed(_)) if pooled => {
                self.dead(connection);
                return None;
            }
            // A command takes effect when its last byte has arrived, and the first had none.
            (0, Broken::Late) => (Damage::NotSent, Trouble::new(NO_TIME_TO_SEND)),
            (0, Broken::Closed(error) | Broken::Lost(error)) => {
                (Damage::NotSent, Trouble::caused("the request could not be sent", error))
            }
            // Half a command is never executed, but those before it may be, and even later: the server is slow, and
            // the connection cannot be used to learn of it, since half a command stands in the way.
            (_, Broken::Late) => (
                Damage::Late,
                Trouble::new("it takes no more bytes (the request was sent in part)"),
            ),
            (_, Broken::Closed(error)) => (Damage::Cut, Trouble::caused("it closed the connection", error)),
            (_, Broken::Lost(error)) => (Damage::Late, Trouble::caused("the connection failed", error)),
        };
        self.dead(connection);
        Some(failed(Some(instance), damage, trouble))
    }

    /// All replies are there.
    pub(super) fn completed(&self, mut connection: Box<Connection>, limit: &Limit) -> Answer {
        self.health.answered();
        let answer = complete(connection.instance(), mem::take(&mut connection.progress.replies));
        if connection.is_reusable() {
            self.pool.put(connection, limit.began());
        }
        answer
    }

    /// The limit is over and replies are missing.
    fn late(self: &Arc<Node>, connection: Box<Connection>) -> Answer {
        let progress = &connection.progress;
        let trouble = progress.nonsense.as_deref().map_or_else(does_not_answer, nonsensical);
        let replies = progress.replies.clone();
        let mut answer = answered(connection.instance(), replies, Damage::Late, trouble);
        // Of reads there is nothing to learn any more. Without a place the connection is closed.
        if progress.is_write_open()
            && let Some(place) = self.health.listened.place()
        {
            answer.pending = Some(Box::new(Listening {
                node: Arc::clone(self),
                connection,
                _place: place,
            }));
        }
        answer
    }

    /// A connection turned out to be dead: so are those to the same instance.
    pub(super) fn dead(&self, connection: &Connection) {
        self.forget(connection.instance());
    }

    /// Idle connections to `dead` are closed.
    pub(super) fn forget(&self, dead: Instance) {
        self.pool.forget(dead);
    }

    /// How many wait for the pipe that is being opened.
    #[cfg(test)]
    pub(super) fn waiting_for_pipe(&self) -> usize {
        match &*self.shared() {
            SharedPipe::Opening { waiting, .. } => waiting.len(),
            SharedPipe::None | SharedPipe::Open(_) => 0,
        }
    }

    #[cfg(test)]
    pub(super) fn pool(&self) -> &Pool {
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

/// The connection ended before all replies had come.
pub(super) fn cut_off(connection: Connection, broken: &Broken) -> Answer {
    let instance = connection.instance();
    let progress = connection.progress;
    let (damage, trouble) = ended(broken, progress.nonsense.as_deref());
    answered(instance, progress.replies, damage, trouble)
}
