//! One batch that was submitted to the pipe: waiting for its answer, giving up, and listening after that.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::pipe::{BatchStatus, Pipe, Submitted};
use crate::protocol::{Exchanged, Instance, Pending, Replies, Unanswered};
use crate::store::memcached::answers::{complete, does_not_answer, failed, incomplete, not_sent, protocol_violation};
use crate::store::memcached::failure::Failure;
use crate::system::{clock, on_thread};

/// A submitted batch, for the caller that waits for its answer. Dropping it gives up listening.
#[derive(Debug)]
pub(crate) struct Ticket {
    pipe: Arc<Pipe>,
    id: u64,
    writes: bool,
    answer: oneshot::Receiver<Exchanged>,
    /// Whether the pipe has forgotten the batch.
    is_settled: bool,
}

impl Ticket {
    /// For a batch that `pipe` has taken.
    pub(crate) fn new(pipe: Arc<Pipe>, submitted: Submitted) -> Ticket {
        let Submitted { id, writes, answer } = submitted;
        Ticket {
            pipe,
            id,
            writes,
            answer,
            is_settled: false,
        }
    }

    pub(crate) fn instance(&self) -> Instance {
        self.pipe.instance()
    }

    /// Ready with the answer. It must not be polled again after that.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Exchanged> {
        Pin::new(&mut self.answer).poll(context).map(|answer| {
            self.is_settled = true;
            answer.unwrap_or_else(|_| self.background_failed())
        })
    }

    /// The answer, if it is there.
    fn try_answer(&mut self) -> Option<Exchanged> {
        let answer = match self.answer.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Closed) => self.background_failed(),
        };
        self.is_settled = true;
        Some(answer)
    }

    fn background_failed(&self) -> Exchanged {
        let failure = Failure::new("the background thread failed");
        failed(Some(self.instance()), Unanswered::Late, failure)
    }

    /// The answer at the end of the limit. The pipe is retired, so that the next batch goes over another connection.
    pub(crate) fn late(mut self) -> Exchanged {
        let status = self.pipe.withdraw(self.id);
        self.pipe.retire();
        let instance = self.instance();
        if let BatchStatus::NotSent = status {
            self.is_settled = true;
            return not_sent(Some(instance), "it takes no more bytes (the request was not sent)");
        }
        if let Some(answer) = self.try_answer() {
            return answer;
        }
        if let BatchStatus::Answered(replies) = status {
            self.is_settled = true;
            self.pipe.wake_task();
            return complete(instance, replies);
        }
        let (replies, is_write_open, violation) = match status {
            BatchStatus::Sent {
                replies,
                is_write_open,
                violation,
            } => (replies, is_write_open, violation),
            // The answer is sent just after the pipe has forgotten the batch.
            BatchStatus::Finished | BatchStatus::NotSent | BatchStatus::Answered(_) => {
                (Replies::new(), self.writes, None)
            }
        };
        let failure = violation.as_deref().map_or_else(does_not_answer, protocol_violation);
        let mut answer = incomplete(instance, replies, Unanswered::Late, failure);
        // Late replies to reads are of no use.
        if is_write_open {
            answer.pending = Some(Box::new(Outstanding {
                ticket: self,
                until: None,
            }));
        }
        answer
    }

    /// Gives up waiting before the limit, which ends at `until`. `Some` if a write was sent.
    pub(crate) fn abandon(mut self, until: Instant) -> Option<Box<dyn Pending>> {
        if let BatchStatus::NotSent = self.pipe.withdraw(self.id) {
            self.is_settled = true;
            self.pipe.wake_task();
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
            self.answer.close();
            self.pipe.withdraw(self.id);
            self.pipe.wake_task();
        }
    }
}

/// A batch with a caller that has stopped waiting. Its answer may still arrive over the pipe.
#[derive(Debug)]
struct Outstanding {
    ticket: Ticket,
    /// The end of its limit, if its caller gave up before that.
    until: Option<Instant>,
}

impl Pending for Outstanding {
    fn wait(mut self: Box<Self>, limit: Duration) -> Result<Exchanged, Box<dyn Pending>> {
        let ticket = &mut self.ticket;
        let mut answer = ticket.try_answer();
        if answer.is_none() && !limit.is_zero() {
            answer = on_thread::wait_for(std::future::poll_fn(|context| ticket.poll(context)), limit);
        }
        if let Some(answer) = answer {
            return Ok(answer);
        }
        // Otherwise callers that always give up before their limit would never find the server silent.
        if self.until.is_some_and(|until| clock::instant() >= until) {
            self.until = None;
            self.ticket.pipe.record_silence();
        }
        Err(self)
    }
}
