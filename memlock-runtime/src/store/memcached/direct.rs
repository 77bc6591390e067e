//! One batch on a connection of its own, on the caller's thread, and listening for its replies after the limit. Here it
//! is decided what a failure means for the requests without a reply, and when a batch may be sent a second time: only
//! if the first time cannot have changed anything.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::answers::{
    closes_every_connection, complete, connection_ended, does_not_answer, failed, incomplete, no_time, not_connected,
    not_sent, other_instance, protocol_violation,
};
use super::failure::{ConnectError, Failure, TransferError};
use super::health::{Admission, ListeningSlot, Trial, WaitOutcome};
use super::link::connection::Connection;
use super::server::Server;
use super::socket::transport::Limit;
use crate::key::ItemName;
use crate::protocol::{Exchanged, Instance, Pending, Request, Unanswered};
use crate::system::on_thread;

impl Server {
    /// [`Store::exchange`](crate::store::Store::exchange) with this server.
    pub(crate) fn exchange(
        self: &Arc<Server>,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        mut limit: Limit,
    ) -> Exchanged {
        if limit.is_over() {
            return no_time();
        }
        // Declared before any connection, so that this caller's connection is closed before the next caller has the
        // trial.
        let trial = match self.enter(&mut limit) {
            Ok(trial) => trial,
            Err(error) => return not_connected(error),
        };
        if let Some(connection) = self.pool.take(only_on, limit.began())
            && let Some(answer) = self.attempt(connection, item, batch, only_on, &mut limit, true)
        {
            return answer;
        }
        let connection = match self.open(&mut limit) {
            Ok(connection) => connection,
            Err(error) => {
                // After this caller's limit the error proves nothing: another caller may have more time.
                if let (Some(trial), false) = (trial, limit.is_over()) {
                    trial.fail(&error);
                }
                return not_connected(error);
            }
        };
        if limit.refresh().is_zero() {
            let instance = connection.instance();
            self.pool.put(connection, limit.began());
            return not_sent(Some(instance), NO_TIME_TO_SEND);
        }
        // `attempt` does not return `None` for a new connection.
        self.attempt(connection, item, batch, only_on, &mut limit, false)
            .unwrap_or_else(|| closes_every_connection(None))
    }

    /// Waits for permission to use a connection on which nothing was answered yet. `Some`: only this caller has it.
    fn enter(&self, limit: &mut Limit) -> Result<Option<Trial>, ConnectError> {
        if self.health.is_answering() {
            return Ok(None);
        }
        let mut now = limit.began();
        loop {
            let (outcome, expiry) = match self.health.enter(now, limit.until()) {
                Admission::Free => return Ok(None),
                Admission::Trial(trial) => return Ok(Some(trial)),
                Admission::Wait(outcome, expiry) => (outcome, expiry),
            };
            let length = expiry.min(limit.until()).saturating_duration_since(now);
            let outcome = on_thread::wait_for(outcome, length);
            // After the limit a trial in `outcome` is dropped, and so handed on.
            let is_over = limit.refresh().is_zero();
            match outcome {
                _ if is_over => return Err(ConnectError::TimedOut),
                Some(Ok(WaitOutcome::ServerAnswers)) => return Ok(None),
                Some(Ok(WaitOutcome::Trial(trial))) => return Ok(Some(trial)),
                Some(Ok(WaitOutcome::Failed(error))) => return Err(error),
                Some(Err(_)) | None => now = limit.refreshed_at(),
            }
        }
    }

    fn open(&self, limit: &mut Limit) -> Result<Box<Connection>, ConnectError> {
        let left_at_start = limit.refresh();
        let newest = self.instances.newest();
        let opened = self
            .dialer
            .dial(limit)
            .map_err(ConnectError::from)
            .and_then(|stream| Connection::open(stream, limit));
        match opened {
            Ok(connection) => self.admit(connection.peer(), newest).map(|()| connection),
            Err(error) => {
                if limit.refresh().is_zero() {
                    self.record_silence(limit, left_at_start);
                }
                Err(error)
            }
        }
    }

    /// Sends the batch and receives its replies. `None`: a pooled connection was dead, and the batch has changed
    /// nothing and will not, so that it may be sent on a new connection.
    fn attempt(
        self: &Arc<Server>,
        mut connection: Box<Connection>,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: &mut Limit,
        pooled: bool,
    ) -> Option<Exchanged> {
        let instance = connection.instance();
        let left_at_start = limit.left();
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
                self.record_silence(limit, left_at_start);
            }
            return self.unsent(&connection, taken, error, pooled);
        }
        let error = match connection.receive(limit) {
            Ok(()) => return Some(self.completed(connection, limit)),
            Err(error) => error,
        };
        if connection.progress.is_answered() {
            // Only the rest of a value is missing, and nothing needs it.
            return Some(self.completed(connection, limit));
        }
        if let TransferError::TimedOut = error {
            self.record_silence(limit, left_at_start);
            return Some(self.late(connection));
        }
        if let TransferError::Lost(_) = error {
            self.record_silence(limit, left_at_start);
        }
        self.pool.forget(instance);
        let is_closed = matches!(error, TransferError::Closed(_));
        if is_closed && pooled && !connection.progress.begun && !batch.iter().any(Request::writes) {
            // The connection was closed while it was idle. Reading twice is harmless.
            return None;
        }
        Some(cut_off(*connection, &error))
    }

    /// The outcome for a batch of which the kernel took only `taken` bytes.
    fn unsent(&self, connection: &Connection, taken: usize, error: TransferError, pooled: bool) -> Option<Exchanged> {
        let instance = connection.instance();
        let (unanswered, failure) = match (taken, error) {
            (0, TransferError::Closed(_)) if pooled => {
                self.pool.forget(instance);
                return None;
            }
            // A command takes effect when its last byte has arrived; here nothing was sent.
            (0, TransferError::TimedOut) => (Unanswered::NotSent, Failure::new(NO_TIME_TO_SEND)),
            (0, TransferError::Closed(error) | TransferError::Lost(error)) => (
                Unanswered::NotSent,
                Failure::with_cause("the request could not be sent", error),
            ),
            // Half a command is never executed, but the server may execute those before it, even later, since it is
            // slow. Half a command stands in the way of any other, so the connection cannot be used to find out.
            (_, TransferError::TimedOut) => (
                Unanswered::Late,
                Failure::new("it takes no more bytes (the request was sent in part)"),
            ),
            (_, TransferError::Closed(error)) => {
                (Unanswered::Cut, Failure::with_cause("it closed the connection", error))
            }
            (_, TransferError::Lost(error)) => (Unanswered::Late, Failure::with_cause("the connection failed", error)),
        };
        self.pool.forget(instance);
        Some(failed(Some(instance), unanswered, failure))
    }

    /// The outcome where all replies have arrived.
    fn completed(&self, mut connection: Box<Connection>, limit: &Limit) -> Exchanged {
        self.health.record_answer();
        let answer = complete(connection.instance(), mem::take(&mut connection.progress.replies));
        if connection.is_reusable() {
            self.pool.put(connection, limit.began());
        }
        answer
    }

    /// The outcome where the limit is over and replies are missing.
    fn late(self: &Arc<Server>, connection: Box<Connection>) -> Exchanged {
        let progress = &connection.progress;
        let failure = progress
            .violation
            .as_deref()
            .map_or_else(does_not_answer, protocol_violation);
        let replies = progress.replies.clone();
        let mut answer = incomplete(connection.instance(), replies, Unanswered::Late, failure);
        // Late replies to reads are of no use. Without a slot the connection is closed.
        if progress.is_write_open()
            && let Some(slot) = self.health.listening_slots.take()
        {
            answer.pending = Some(Box::new(LateExchange {
                server: Arc::clone(self),
                connection,
                _slot: slot,
            }));
        }
        answer
    }
}

const NO_TIME_TO_SEND: &str = "there was no time left to send the request";

/// The answer where the connection ended before all replies had arrived.
fn cut_off(connection: Connection, error: &TransferError) -> Exchanged {
    let instance = connection.instance();
    let progress = connection.progress;
    let (unanswered, failure) = connection_ended(error, progress.violation.as_deref());
    incomplete(instance, progress.replies, unanswered, failure)
}

/// An exchange that was not complete at the end of its limit, with its connection and the replies that have arrived.
#[derive(Debug)]
struct LateExchange {
    server: Arc<Server>,
    connection: Box<Connection>,
    _slot: ListeningSlot,
}

impl Pending for LateExchange {
    fn wait(mut self: Box<Self>, limit: Duration) -> Result<Exchanged, Box<dyn Pending>> {
        let mut limit = Limit::new(limit);
        let received = if limit.is_over() {
            self.connection.receive_now()
        } else {
            self.connection.receive(&mut limit)
        };
        match received {
            Ok(()) => Ok(self.server.completed(self.connection, &limit)),
            Err(TransferError::TimedOut) => Err(self),
            Err(error) => {
                self.server.pool.forget(self.connection.instance());
                Ok(cut_off(*self.connection, &error))
            }
        }
    }
}
