//! One batch on a connection of its own, from start to end, on the caller's thread; and listening on after its limit.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::answers::{
    answered, closes_every_connection, complete, does_not_answer, ended, failed, no_time, nonsensical, not_sent,
    other_instance, unopened,
};
use super::failure::{ConnectError, Failure, TransferError};
use super::health::{Admission, ListeningPermit, News, Trial};
use super::link::connection::Connection;
use super::node::Node;
use super::socket::transport::Limit;
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
    fn enter(&self, limit: &mut Limit) -> Result<Option<Trial>, ConnectError> {
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
                _ if is_over => return Err(ConnectError::TimedOut),
                Some(Ok(News::Answers)) => return Ok(None),
                Some(Ok(News::Trial(trial))) => return Ok(Some(trial)),
                Some(Ok(News::Failed(why))) => return Err(why),
                Some(Err(_)) | None => now = limit.looked(),
            }
        }
    }

    fn open(&self, limit: &mut Limit) -> Result<Box<Connection>, ConnectError> {
        let had = limit.look();
        let opened = self
            .dialer
            .dial(limit)
            .map_err(ConnectError::from)
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
                Err(why)
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
        if let Err(text) = connection.encode(batch, self.names(item)) {
            self.pool.put(connection, limit.began());
            return Some(not_sent(Some(instance), text));
        }
        if let Err((taken, error)) = connection.send(limit) {
            if !matches!(error, TransferError::Closed(_)) {
                self.was_silent(limit, had);
            }
            return self.unsent(&connection, taken, error, pooled);
        }
        let error = match connection.receive(limit) {
            Ok(()) => return Some(self.completed(connection, limit)),
            Err(error) => error,
        };
        if connection.progress.is_answered() {
            // What is missing is no more than the rest of a value that nobody needs.
            return Some(self.completed(connection, limit));
        }
        if let TransferError::TimedOut = error {
            self.was_silent(limit, had);
            return Some(self.late(connection));
        }
        if let TransferError::Lost(_) = error {
            self.was_silent(limit, had);
        }
        self.dead(&connection);
        let is_closed = matches!(error, TransferError::Closed(_));
        if is_closed && pooled && !connection.progress.begun && !batch.iter().any(Request::writes) {
            // Closed while it was idle. Reading twice does no harm.
            return None;
        }
        Some(cut_off(*connection, &error))
    }

    /// After a batch that the kernel did not take in full.
    fn unsent(&self, connection: &Connection, taken: usize, error: TransferError, pooled: bool) -> Option<Answer> {
        let instance = connection.instance();
        let (unanswered, failure) = match (taken, error) {
            (0, TransferError::Closed(_)) if pooled => {
                self.dead(connection);
                return None;
            }
            // A command takes effect when its last byte has arrived, and the first had none.
            (0, TransferError::TimedOut) => (Unanswered::NotSent, Failure::new(NO_TIME_TO_SEND)),
            (0, TransferError::Closed(error) | TransferError::Lost(error)) => (
                Unanswered::NotSent,
                Failure::with_cause("the request could not be sent", error),
            ),
            // Half a command is never executed, but those before it may be, and even later: the server is slow, and
            // the connection cannot be used to learn of it, since half a command stands in the way.
            (_, TransferError::TimedOut) => (
                Unanswered::Late,
                Failure::new("it takes no more bytes (the request was sent in part)"),
            ),
            (_, TransferError::Closed(error)) => {
                (Unanswered::Cut, Failure::with_cause("it closed the connection", error))
            }
            (_, TransferError::Lost(error)) => (Unanswered::Late, Failure::with_cause("the connection failed", error)),
        };
        self.dead(connection);
        Some(failed(Some(instance), unanswered, failure))
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
        let failure = progress.nonsense.as_deref().map_or_else(does_not_answer, nonsensical);
        let replies = progress.replies.clone();
        let mut answer = answered(connection.instance(), replies, Unanswered::Late, failure);
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
pub(crate) fn cut_off(connection: Connection, error: &TransferError) -> Answer {
    let instance = connection.instance();
    let progress = connection.progress;
    let (unanswered, failure) = ended(error, progress.nonsense.as_deref());
    answered(instance, progress.replies, unanswered, failure)
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
            Err(TransferError::TimedOut) => Err(self),
            Err(error) => {
                self.node.dead(&self.connection);
                Ok(cut_off(*self.connection, &error))
            }
        }
    }
}
