//! One batch on the pipe that all tasks share, without blocking a thread. Here it is decided what a failure means, by
//! the same rules as in `direct`.

use std::future::Future as _;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::answers::{closes_every_connection, connect_timed_out, no_time, not_connected, not_sent, other_instance};
use super::failure::ConnectError;
use super::health::{Admission, Trial, WaitOutcome};
use super::link::pipe::Pipe;
use super::link::ticket::Ticket;
use super::server::{OpenedPipe, Server};
use super::socket::transport::Limit;
use crate::key::ItemName;
use crate::protocol::{Batch, Exchanged, Instance, Pending, Request, Unanswered};
use crate::store::Exchange;
use crate::system::background::{self, Timer};
use crate::system::clock;

/// How many pipes are opened for a batch before it fails. Other callers' failures may retire each of them before the
/// batch is submitted, and each costs a connection.
const MAX_PIPES: u8 = 4;

/// The exchange of one batch over the pipe.
#[derive(Debug)]
pub(crate) struct PipelinedExchange {
    server: Arc<Server>,
    item: ItemName,
    batch: Batch,
    only_on: Option<Instance>,
    limit: Limit,
    /// Fires at the end of the limit. Started at the first wait.
    timer: Option<Timer>,
    /// How many pipes were opened for this batch.
    pipes: u8,
    /// The permission to go ahead alone while the server does not answer.
    trial: Option<Trial>,
    /// What was left of the limit when the wait for the server began.
    left_at_start: Duration,
    stage: Stage,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives in a box")]
enum Stage {
    /// The pipe is being opened.
    Opening(oneshot::Receiver<OpenedPipe>),
    /// The pipe is open, and another caller's trial is under way: until its outcome is known, or it expires.
    Waiting {
        outcome: oneshot::Receiver<WaitOutcome>,
        expiry: Timer,
    },
    /// The batch was submitted.
    Sent {
        ticket: Ticket,
        /// Whether the pipe was opened for this batch, and so cannot have been closed while it was idle.
        is_fresh: bool,
    },
    /// The answer, until it is taken.
    Done(Option<Exchanged>),
}

impl PipelinedExchange {
    pub(crate) fn begin(
        server: Arc<Server>,
        item: ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Limit,
    ) -> Box<PipelinedExchange> {
        let mut exchange = Box::new(PipelinedExchange {
            server,
            item,
            batch,
            only_on,
            limit,
            timer: None,
            pipes: 0,
            trial: None,
            left_at_start: limit.left(),
            stage: Stage::Done(None),
        });
        let stage = if limit.is_over() {
            done(no_time())
        } else {
            exchange.go_ahead()
        };
        exchange.move_to(stage);
        exchange
    }

    fn go_ahead(&mut self) -> Stage {
        match self.server.pipe() {
            Some(pipe) => self.submit(&pipe, false),
            None => self.open(),
        }
    }

    fn move_to(&mut self, stage: Stage) {
        self.stage = stage;
        if let Stage::Done(_) = self.stage {
            self.trial = None;
        }
    }

    fn open(&mut self) -> Stage {
        self.pipes += 1;
        self.left_at_start = self.limit.left();
        Stage::Opening(self.server.open_pipe(self.limit))
    }

    fn submit(&mut self, pipe: &Arc<Pipe>, is_fresh: bool) -> Stage {
        if self.only_on.is_some_and(|wanted| wanted != pipe.instance()) {
            return done(other_instance(pipe.instance()));
        }
        if let Some(waiting) = self.enter() {
            return waiting;
        }
        self.left_at_start = self.limit.left();
        match pipe.submit(&self.batch, self.server.names(&self.item)) {
            Ok(Some(submitted)) => {
                let ticket = Ticket::new(Arc::clone(pipe), submitted);
                Stage::Sent { ticket, is_fresh }
            }
            // Another caller's failure has retired the pipe since it was opened.
            Ok(None) if self.pipes < MAX_PIPES => self.open(),
            Ok(None) => done(closes_every_connection(Some(pipe.instance()))),
            Err(text) => done(not_sent(Some(pipe.instance()), text)),
        }
    }

    /// Asks for permission to send to a server that does not answer. `Some`: the stage in which to wait for it.
    fn enter(&mut self) -> Option<Stage> {
        if self.trial.is_some() || self.server.health.is_answering() {
            return None;
        }
        let now = clock::instant();
        match self.server.health.enter(now, self.limit.until()) {
            Admission::Free => None,
            Admission::Trial(trial) => {
                self.trial = Some(trial);
                None
            }
            Admission::Wait(outcome, expiry) => {
                let expiry = Timer::after(expiry.saturating_duration_since(now));
                Some(Stage::Waiting { outcome, expiry })
            }
        }
    }

    /// The stage after the wait for another caller's trial. `None`: the trial has expired.
    fn waited(&mut self, outcome: Option<WaitOutcome>) -> Stage {
        match outcome {
            // A trial in `outcome` is dropped, and so handed on.
            _ if self.limit.refresh().is_zero() => return done(connect_timed_out()),
            Some(WaitOutcome::Failed(error)) => return done(not_connected(error)),
            Some(WaitOutcome::Trial(trial)) => self.trial = Some(trial),
            Some(WaitOutcome::ServerAnswers) | None => {}
        }
        self.go_ahead()
    }

    /// The stage after the opening of a pipe.
    fn opened(&mut self, opened: Result<OpenedPipe, oneshot::error::RecvError>) -> Stage {
        let is_over = self.limit.refresh().is_zero();
        match opened {
            // The pipe was opened, but this future was not polled in time.
            Ok(Ok(_)) if is_over => done(no_time()),
            Ok(Ok(pipe)) => self.submit(&pipe, true),
            // This caller came when the opening was about to be given up, and has time left.
            Ok(Err(ConnectError::TimedOut)) if !is_over => self.open(),
            Ok(Err(error)) => done(not_connected(error)),
            Err(_) if !is_over && self.pipes < MAX_PIPES && background::handle().is_ok() => self.open(),
            Err(_) => done(no_background()),
        }
    }

    /// The stage after the answer on a pipe.
    fn answered(&mut self, answer: Exchanged, instance: Instance, is_fresh: bool) -> Stage {
        let unanswered = answer.unanswered;
        if let Some(Unanswered::Cut | Unanswered::NotSent) = unanswered {
            self.server.pool.forget(instance);
        }
        if let Some(Unanswered::Late) = unanswered {
            self.limit.refresh();
            self.server.record_silence(&self.limit, self.left_at_start);
        }
        // The pipe was closed while it was idle. Reading twice is harmless, and so is sending what was never sent.
        let writes = self.batch.iter().any(Request::writes);
        let is_harmless = unanswered == Some(Unanswered::NotSent) || unanswered == Some(Unanswered::Cut) && !writes;
        if is_harmless && !is_fresh && !self.limit.refresh().is_zero() {
            return self.open();
        }
        done(answer)
    }

    /// Ready when the limit is over.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = &mut self.limit;
        let timer = self.timer.get_or_insert_with(|| Timer::beside_task(limit.refresh()));
        Pin::new(timer).poll(context)
    }

    /// The stage after the end of the limit.
    fn late(&mut self) -> Stage {
        let stage = mem::replace(&mut self.stage, Stage::Done(None));
        self.limit.refresh();
        match stage {
            Stage::Opening(_) => {
                self.server.record_silence(&self.limit, self.left_at_start);
                done(connect_timed_out())
            }
            Stage::Waiting { .. } => done(connect_timed_out()),
            Stage::Sent { ticket, .. } => {
                let answer = ticket.late();
                if answer.unanswered.is_some() {
                    self.server.record_silence(&self.limit, self.left_at_start);
                }
                done(answer)
            }
            stage @ Stage::Done(_) => stage,
        }
    }

    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Exchanged> {
        loop {
            let next = match &mut self.stage {
                Stage::Opening(opening) => Pin::new(opening).poll(context).map(|opened| self.opened(opened)),
                Stage::Waiting { outcome, expiry } => match Pin::new(outcome).poll(context) {
                    Poll::Ready(outcome) => Poll::Ready(self.waited(outcome.ok())),
                    Poll::Pending => Pin::new(expiry).poll(context).map(|()| self.waited(None)),
                },
                Stage::Sent { ticket, is_fresh } => {
                    let (instance, is_fresh) = (ticket.instance(), *is_fresh);
                    let answer = ticket.poll(context);
                    answer.map(|answer| self.answered(answer, instance, is_fresh))
                }
                Stage::Done(answer) => return answer.take().map_or(Poll::Pending, Poll::Ready),
            };
            let stage = match next {
                Poll::Ready(stage) => stage,
                Poll::Pending if self.poll_limit(context).is_ready() => self.late(),
                Poll::Pending => return Poll::Pending,
            };
            self.move_to(stage);
        }
    }
}

impl Exchange for PipelinedExchange {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Exchanged> {
        // In a tokio task that has used up its budget no tokio future is ready, not even the timer. An executor that
        // polls something busy first would keep it so for ever.
        let unconstrained = tokio::task::unconstrained(std::future::poll_fn(|context| self.advance(context)));
        std::pin::pin!(unconstrained).poll(context)
    }

    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
        match self.stage {
            Stage::Sent { ticket, .. } => {
                if let Some(trial) = self.trial {
                    trial.leave_running();
                }
                ticket.abandon(self.limit.until())
            }
            Stage::Done(answer) => answer.and_then(|answer| answer.pending),
            Stage::Opening(_) | Stage::Waiting { .. } => None,
        }
    }
}

fn done(answer: Exchanged) -> Stage {
    Stage::Done(Some(answer))
}

fn no_background() -> Exchanged {
    not_sent(None, "the background thread could not be started, or failed")
}
