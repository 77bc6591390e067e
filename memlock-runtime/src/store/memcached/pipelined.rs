//! One batch over the pipe that all tasks share, from start to end, without blocking a thread. What a failure means is
//! decided as in `node`, of which this is the other half.

use std::future::Future as _;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::answers::{closes_every_connection, never_opened, no_time, not_sent, other_instance, unopened};
use super::failure::ConnectError;
use super::health::{Admission, News, Trial};
use super::link::pipe::Pipe;
use super::link::ticket::Ticket;
use super::node::{Node, Opened};
use super::socket::transport::Limit;
use crate::key::ItemName;
use crate::protocol::{Batch, Instance, Request, Unanswered};
use crate::store::{Answer, Exchange, Pending};
use crate::system::background::{self, Timer};
use crate::system::clock;

/// How many pipes a batch is offered to before it is given up. Each may be retired by other callers' bad luck before the
/// batch gets to it, and each costs a connection.
const MOST_PIPES: u8 = 4;

/// A batch on its way.
#[derive(Debug)]
pub(crate) struct Shared {
    node: Arc<Node>,
    item: ItemName,
    batch: Batch,
    only_on: Option<Instance>,
    limit: Limit,
    /// Rings when the limit is over; wound up when there is something to wait for.
    timer: Option<Timer>,
    /// How many pipes were asked for.
    pipes: u8,
    /// Where it goes ahead alone, since the server does not answer.
    trial: Option<Trial>,
    /// What was left of the limit when it began to wait for the server.
    had: Duration,
    stage: Stage,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives in a box")]
enum Stage {
    /// A new pipe is being opened.
    Opening(oneshot::Receiver<Opened>),
    /// The pipe is open, the server does not answer, and another caller tries it: until this is told or the timer rings.
    Waiting { told: oneshot::Receiver<News>, over: Timer },
    /// The batch was submitted.
    Sent {
        ticket: Ticket,
        /// Whether the pipe was opened for this batch: it was not closed while it was idle.
        is_fresh: bool,
    },
    /// Something definite, until it is told.
    Over(Option<Answer>),
}

impl Shared {
    pub(crate) fn begin(
        node: Arc<Node>,
        item: ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Limit,
    ) -> Shared {
        let mut shared = Shared {
            node,
            item,
            batch,
            only_on,
            limit,
            timer: None,
            pipes: 0,
            trial: None,
            had: limit.left(),
            stage: Stage::Over(None),
        };
        let stage = if limit.is_over() {
            over(no_time())
        } else {
            shared.go_ahead()
        };
        shared.move_to(stage);
        shared
    }

    fn go_ahead(&mut self) -> Stage {
        match self.node.pipe() {
            Some(pipe) => self.submit(&pipe, false),
            None => self.open(),
        }
    }

    fn move_to(&mut self, stage: Stage) {
        self.stage = stage;
        if let Stage::Over(_) = self.stage {
            self.trial = None;
        }
    }

    fn open(&mut self) -> Stage {
        self.pipes += 1;
        self.had = self.limit.left();
        Stage::Opening(self.node.open_pipe(self.limit))
    }

    fn submit(&mut self, pipe: &Arc<Pipe>, is_fresh: bool) -> Stage {
        if self.only_on.is_some_and(|wanted| wanted != pipe.instance()) {
            return over(other_instance(pipe.instance()));
        }
        if let Some(waiting) = self.enter() {
            return waiting;
        }
        self.had = self.limit.left();
        match pipe.submit(&self.batch, self.node.names(&self.item)) {
            Ok(Some(submitted)) => {
                let ticket = Ticket::new(Arc::clone(pipe), submitted);
                Stage::Sent { ticket, is_fresh }
            }
            // Between its opening and now others may have met with failure on it.
            Ok(None) if self.pipes < MOST_PIPES => self.open(),
            Ok(None) => over(closes_every_connection(Some(pipe.instance()))),
            Err(text) => over(not_sent(Some(pipe.instance()), text)),
        }
    }

    /// Whether it has to wait before it may send anything to a server that does not answer.
    fn enter(&mut self) -> Option<Stage> {
        if self.trial.is_some() || self.node.health.answers() {
            return None;
        }
        let now = clock::instant();
        match self.node.health.enter(now, self.limit.until()) {
            Admission::Free => None,
            Admission::Trial(trial) => {
                self.trial = Some(trial);
                None
            }
            Admission::Wait(told, over) => {
                let over = Timer::after(over.saturating_duration_since(now));
                Some(Stage::Waiting { told, over })
            }
        }
    }

    /// After the wait for another caller's trial.
    fn waited(&mut self, news: Option<News>) -> Stage {
        match news {
            // A trial that it was given is handed on.
            _ if self.limit.look().is_zero() => return over(never_opened()),
            Some(News::Failed(why)) => return over(unopened(why)),
            Some(News::Trial(trial)) => self.trial = Some(trial),
            Some(News::Answers) | None => {}
        }
        self.go_ahead()
    }

    /// After the opening of a pipe.
    fn opened(&mut self, opened: Result<Opened, oneshot::error::RecvError>) -> Stage {
        let is_over = self.limit.look().is_zero();
        match opened {
            // It was opened, and this future was not polled in time.
            Ok(Ok(_)) if is_over => over(no_time()),
            Ok(Ok(pipe)) => self.submit(&pipe, true),
            // Whoever came at the last moment to one that was given up has time left.
            Ok(Err(ConnectError::TimedOut)) if !is_over => self.open(),
            Ok(Err(why)) => over(unopened(why)),
            Err(_) if !is_over && self.pipes < MOST_PIPES && background::handle().is_ok() => self.open(),
            Err(_) => over(no_background()),
        }
    }

    /// After the outcome on a pipe.
    fn answered(&mut self, answer: Answer, instance: Instance, is_fresh: bool) -> Stage {
        let unanswered = answer.fault.as_ref().map(|fault| fault.unanswered);
        if let Some(Unanswered::Cut | Unanswered::NotSent) = unanswered {
            self.node.forget(instance);
        }
        if let Some(Unanswered::Late) = unanswered {
            self.limit.look();
            self.node.was_silent(&self.limit, self.had);
        }
        // Closed while it was idle. Reading twice does no harm, nor does what was never sent.
        let writes = self.batch.iter().any(Request::writes);
        let is_harmless = unanswered == Some(Unanswered::NotSent) || unanswered == Some(Unanswered::Cut) && !writes;
        if is_harmless && !is_fresh && !self.limit.look().is_zero() {
            return self.open();
        }
        over(answer)
    }

    /// Whether the limit is over.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = &mut self.limit;
        let timer = self.timer.get_or_insert_with(|| Timer::beside_task(limit.look()));
        Pin::new(timer).poll(context)
    }

    /// After the limit.
    fn late(&mut self) -> Stage {
        let stage = mem::replace(&mut self.stage, Stage::Over(None));
        self.limit.look();
        match stage {
            Stage::Opening(_) => {
                self.node.was_silent(&self.limit, self.had);
                over(never_opened())
            }
            Stage::Waiting { .. } => over(never_opened()),
            Stage::Sent { ticket, .. } => {
                let answer = ticket.late();
                if answer.fault.is_some() {
                    self.node.was_silent(&self.limit, self.had);
                }
                over(answer)
            }
            stage @ Stage::Over(_) => stage,
        }
    }

    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        loop {
            let next = match &mut self.stage {
                Stage::Opening(opening) => Pin::new(opening).poll(context).map(|opened| self.opened(opened)),
                Stage::Waiting { told, over } => match Pin::new(told).poll(context) {
                    Poll::Ready(news) => Poll::Ready(self.waited(news.ok())),
                    Poll::Pending => Pin::new(over).poll(context).map(|()| self.waited(None)),
                },
                Stage::Sent { ticket, is_fresh } => {
                    let (instance, is_fresh) = (ticket.instance(), *is_fresh);
                    let answer = ticket.poll(context);
                    answer.map(|answer| self.answered(answer, instance, is_fresh))
                }
                Stage::Over(answer) => return answer.take().map_or(Poll::Pending, Poll::Ready),
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

impl Exchange for Shared {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        // In a task of tokio's that has used up its turn, what is of tokio's would not say that it is ready, not even the
        // timer: and an executor that polls something busy first would keep it so for ever.
        let unconstrained = tokio::task::unconstrained(std::future::poll_fn(|context| self.advance(context)));
        std::pin::pin!(unconstrained).poll(context)
    }

    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
        match self.stage {
            Stage::Sent { ticket, .. } => {
                if let Some(trial) = self.trial {
                    trial.leave();
                }
                ticket.abandon(self.limit.until())
            }
            Stage::Over(answer) => answer.and_then(|answer| answer.pending),
            Stage::Opening(_) | Stage::Waiting { .. } => None,
        }
    }
}

fn over(answer: Answer) -> Stage {
    Stage::Over(Some(answer))
}

fn no_background() -> Answer {
    not_sent(None, "the background thread could not be started, or failed")
}
