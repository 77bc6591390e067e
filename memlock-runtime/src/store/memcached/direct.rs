//! One batch on a connection of its own, from start to end, on the caller's thread; and listening on after its limit.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::answers::{
    answered, closes_every_connection, complete, does_not_answer, ended, failed, no_time, nonsensical, not_sent,
    other_instance, unopened,
};
use super::failure::{NotOpened, NotSent, Unopened};
use super::health::{Admission, ListeningPermit, News, Trial};
use super::link::connection::Connection;
use super::node::Node;
use super::socket::transport::{Broken, Limit};
use super::trouble::Trouble;
use crate::key::ItemName;
use crate::protocol::{Instance, Request, Unanswered};
use crate::store::{Answer, Pending};
use crate::system::on_thread;

impl Node {
    /// [`Store::exchange`](crate::store::Store::exchange) with this server.
    pub(crate) fn exchange(
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
                Admission::Free => return Ok(None),
                Admission::Trial(trial) => return Ok(Some(trial)),
                Admission::Wait(told, over) => (told, over),
            };
            let length = over.min(limit.until()).saturating_duration_since(now);
            let news = on_thread::wait_for(told, length);
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
                self.record_evictions(connection.evicts());
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
        let (unanswered, trouble) = match (taken, broken) {
            (0, Broken::Closed(_)) if pooled => {
                self.dead(connection);
                return None;
            }
            // A command takes effect when its last byte has arrived, and the first had none.
            (0, Broken::Late) => (Unanswered::NotSent, Trouble::new(NO_TIME_TO_SEND)),
            (0, Broken::Closed(error) | Broken::Lost(error)) => (
                Unanswered::NotSent,
                Trouble::caused("the request could not be sent", error),
            ),
            // Half a command is never executed, but those before it may be, and even later: the server is slow, and
            // the connection cannot be used to learn of it, since half a command stands in the way.
            (_, Broken::Late) => (
                Unanswered::Late,
                Trouble::new("it takes no more bytes (the request was sent in part)"),
            ),
            (_, Broken::Closed(error)) => (Unanswered::Cut, Trouble::caused("it closed the connection", error)),
            (_, Broken::Lost(error)) => (Unanswered::Late, Trouble::caused("the connection failed", error)),
        };
        self.dead(connection);
        Some(failed(Some(instance), unanswered, trouble))
    }

    /// All replies are there.
    pub(crate) fn completed(&self, mut connection: Box<Connection>, limit: &Limit) -> Answer {
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
        let mut answer = answered(connection.instance(), replies, Unanswered::Late, trouble);
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
}

pub(crate) const NO_TIME_TO_SEND: &str = "there was no time left to send the request";

/// The connection ended before all replies had come.
pub(crate) fn cut_off(connection: Connection, broken: &Broken) -> Answer {
    let instance = connection.instance();
    let progress = connection.progress;
    let (unanswered, trouble) = ended(broken, progress.nonsense.as_deref());
    answered(instance, progress.replies, unanswered, trouble)
}

/// An exchange whose limit is over, with its connection and the replies as far as they have come.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) node: Arc<Node>,
    pub(crate) connection: Box<Connection>,
    pub(crate) _place: ListeningPermit,
}

impl Pending for Listening {
    fn wait(mut self: Box<Self>, limit: Duration) -> Result<Answer, Box<dyn Pending>> {
        let mut limit = Limit::new(limit);
        let received = if limit.is_over() {
            self.connection.receive_now()
        } else {
            self.connection.receive(&mut limit)
        };
        match received {
            Ok(()) => Ok(self.node.completed(self.connection, &limit)),
            Err(Broken::Late) => Err(self),
            Err(broken) => {
                self.node.dead(&self.connection);
                Ok(cut_off(*self.connection, &broken))
            }
        }
    }
}
