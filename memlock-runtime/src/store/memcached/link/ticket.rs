//! A batch on the connection that all tasks share, for whoever waits for its outcome, or does not any more.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::pipe::{Fate, Pipe, Submitted};
use crate::protocol::{Instance, Replies, Unanswered};
use crate::store::memcached::answers::{answered, complete, does_not_answer, failed, nonsensical, not_sent};
use crate::store::memcached::failure::Failure;
use crate::store::{Answer, Pending};
use crate::system::{clock, on_thread};

/// A batch that was submitted, for whoever waits for its outcome. Dropping it gives up listening.
#[derive(Debug)]
pub(crate) struct Ticket {
    pipe: Arc<Pipe>,
    id: u64,
    writes: bool,
    outcome: oneshot::Receiver<Answer>,
    /// Whether the pipe knows nothing of it any more.
    is_settled: bool,
}

impl Ticket {
    /// For batch `id`, which `pipe` has taken.
    pub(crate) fn new(pipe: Arc<Pipe>, submitted: Submitted) -> Ticket {
        let Submitted { id, writes, outcome } = submitted;
        Ticket {
            pipe,
            id,
            writes,
            outcome,
            is_settled: false,
        }
    }

    pub(crate) fn instance(&self) -> Instance {
        self.pipe.instance()
    }

    /// The outcome, once it is there. Not to be polled again after that.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.outcome).poll(context).map(|outcome| {
            self.is_settled = true;
            outcome.unwrap_or_else(|_| self.never_told())
        })
    }

    /// The outcome where it is there.
    fn now(&mut self) -> Option<Answer> {
        let outcome = match self.outcome.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Closed) => self.never_told(),
        };
        self.is_settled = true;
        Some(outcome)
    }

    fn never_told(&self) -> Answer {
        let failure = Failure::new("the background thread failed");
        failed(Some(self.instance()), Unanswered::Late, failure)
    }

    /// The limit is over and the outcome is not there. The next batch is to try another connection.
    pub(crate) fn late(mut self) -> Answer {
        let fate = self.pipe.give_up(self.id);
        self.pipe.retire();
        let instance = self.instance();
        if let Fate::NotSent = fate {
            self.is_settled = true;
            return not_sent(Some(instance), "it takes no more bytes (the request was not sent)");
        }
        if let Some(answer) = self.now() {
            return answer;
        }
        if let Fate::Answered(replies) = fate {
            self.is_settled = true;
            self.pipe.look_again();
            return complete(instance, replies);
        }
        let (replies, is_write_open, nonsense) = match fate {
            Fate::Sent {
                replies,
                is_write_open,
                nonsense,
            } => (replies, is_write_open, nonsense),
            // The outcome is told just after the pipe has forgotten the batch.
            Fate::Over | Fate::NotSent | Fate::Answered(_) => (Replies::new(), self.writes, None),
        };
        let failure = nonsense.as_deref().map_or_else(does_not_answer, nonsensical);
        let mut answer = answered(instance, replies, Unanswered::Late, failure);
        // Of reads there is nothing to learn any more.
        if is_write_open {
            answer.pending = Some(Box::new(Outstanding {
                ticket: self,
                until: None,
            }));
        }
        answer
    }

    /// Nobody waits for the outcome any more, for which there was time until `until`. `Some` where a write was sent.
    pub(crate) fn abandon(mut self, until: Instant) -> Option<Box<dyn Pending>> {
        if let Fate::NotSent = self.pipe.give_up(self.id) {
            self.is_settled = true;
            self.pipe.look_again();
            return None;
        }
        self.writes.then(|| {
            Box::new(Outstanding {
                ticket: self,
                until: Some(until),
            }) as Box<dyn Pending>
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_settled {
            self.outcome.close();
            self.pipe.give_up(self.id);
            self.pipe.look_again();
        }
    }
}

/// A batch whose caller does not wait any more, and whose outcome still comes over its pipe.
#[derive(Debug)]
struct Outstanding {
    ticket: Ticket,
    /// When it will be late, where its caller gave up before that.
    until: Option<Instant>,
}

impl Pending for Outstanding {
    fn wait(mut self: Box<Self>, limit: Duration) -> Result<Answer, Box<dyn Pending>> {
        let ticket = &mut self.ticket;
        let mut answer = ticket.now();
        if answer.is_none() && !limit.is_zero() {
            answer = on_thread::wait_for(std::future::poll_fn(|context| ticket.poll(context)), limit);
        }
        if let Some(answer) = answer {
            return Ok(answer);
        }
        // Callers that always give up before their limit would never find a server silent otherwise.
        if self.until.is_some_and(|until| clock::instant() >= until) {
            self.until = None;
            self.ticket.pipe.was_silent();
        }
        Err(self)
    }
}
