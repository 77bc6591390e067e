//! One batch over the pipe that all tasks share, from start to end, without blocking a thread. What a failure means is
//! decided as in `node`, of which this is the other half.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::node::{Node, failed};
use super::pipe::{NotTaken, Pipe, not_taken};
use super::transport::Limit;
use super::trouble::Trouble;
use crate::background::{self, Timer};
use crate::error::Source;
use crate::store::{Answer, Batch, Damage, Exchange, Instance, Pending, Request, YOUNGEST_SERVER};

/// What opening a pipe came to.
pub(super) type Opened = Result<Arc<Pipe>, Unopened>;

/// Why a pipe could not be opened, for all who wanted it. None of it sent a request.
#[derive(Debug, Clone)]
pub(super) enum Unopened {
    Failed(Source),
    TooYoung(Instance),
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Shared {
    node: Arc<Node>,
    batch: Batch,
    only_on: Option<Instance>,
    limit: Limit,
    /// Rings when the limit is over; wound up when there is something to wait for.
    timer: Option<Timer>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// A new pipe is being opened.
    Opening(oneshot::Receiver<Opened>),
    /// The batch was submitted.
    Sent {
        pipe: Arc<Pipe>,
        outcome: oneshot::Receiver<Answer>,
        /// Whether the pipe was opened for this batch: it was not closed while it was idle.
        is_fresh: bool,
    },
    /// Something definite.
    Over(Option<Answer>),
}

impl Shared {
    pub(super) fn begin(node: Arc<Node>, batch: Batch, only_on: Option<Instance>, limit: Limit) -> Shared {
        let mut shared = Shared {
            node,
            batch,
            only_on,
            limit,
            timer: None,
            stage: Stage::Over(None),
        };
        shared.stage = if limit.is_over() {
            shared.no_time()
        } else {
            match shared.node.pipe() {
                Some(pipe) => shared.submit(pipe, false),
                None => shared.open(),
            }
        };
        shared
    }

    fn open(&self) -> Stage {
        Stage::Opening(self.node.open_pipe(self.limit))
    }

    fn submit(&self, pipe: Arc<Pipe>, is_fresh: bool) -> Stage {
        if self.only_on.is_some_and(|wanted| wanted != pipe.instance()) {
            let trouble = Trouble::new("it was restarted: another instance answers");
            let answer = failed(Some(pipe.instance()), Damage::OtherInstance, trouble.into_source());
            return Stage::Over(Some(answer));
        }
        match pipe.submit(&self.batch, self.node.clock()) {
            Ok(outcome) => Stage::Sent {
                pipe,
                outcome,
                is_fresh,
            },
            Err(NotTaken::Retired) if !is_fresh => self.open(),
            Err(why) => Stage::Over(Some(not_taken(pipe.instance(), why))),
        }
    }

    fn no_time(&self) -> Stage {
        let trouble = Trouble::new("there was no time left to ask it");
        Stage::Over(Some(failed(None, Damage::NotSent, trouble.into_source())))
    }

    fn writes(&self) -> bool {
        self.batch.iter().any(Request::writes)
    }

    /// Whether the limit is over.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = &mut self.limit;
        let timer = self.timer.get_or_insert_with(|| Timer::after(limit.look()));
        Pin::new(timer).poll(context)
    }
}

impl Exchange for Shared {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        loop {
            match &mut self.stage {
                Stage::Opening(opened) => {
                    self.stage = match Pin::new(opened).poll(context) {
                        Poll::Ready(Ok(Ok(pipe))) => self.submit(pipe, true),
                        Poll::Ready(Ok(Err(Unopened::Failed(source)))) => {
                            Stage::Over(Some(failed(None, Damage::NotSent, source)))
                        }
                        Poll::Ready(Ok(Err(Unopened::TooYoung(instance)))) => Stage::Over(Some(too_young(instance))),
                        // Who opened it for all had less time, or there is no background thread.
                        Poll::Ready(Err(_)) if !self.limit.look().is_zero() && background::handle().is_ok() => {
                            self.open()
                        }
                        Poll::Ready(Err(_)) => self.no_time(),
                        Poll::Pending => match self.poll_limit(context) {
                            Poll::Ready(()) => self.no_time(),
                            Poll::Pending => return Poll::Pending,
                        },
                    };
                }
                Stage::Sent {
                    pipe,
                    outcome,
                    is_fresh,
                } => {
                    let instance = pipe.instance();
                    let answer = match Pin::new(outcome).poll(context) {
                        Poll::Ready(Ok(answer)) => answer,
                        Poll::Ready(Err(_)) => {
                            let trouble = Trouble::new("the background thread failed");
                            failed(Some(instance), Damage::Late, trouble.into_source())
                        }
                        Poll::Pending => {
                            if self.poll_limit(context).is_pending() {
                                return Poll::Pending;
                            }
                            return Poll::Ready(self.late());
                        }
                    };
                    let is_fresh = *is_fresh;
                    let damage = answer.fault.as_ref().map(|fault| fault.damage);
                    if let Some(Damage::Cut | Damage::NotSent | Damage::Late) = damage {
                        self.node.forget(instance);
                    }
                    // Closed while it was idle. Reading twice does no harm, nor does what was never sent.
                    let is_harmless = damage == Some(Damage::NotSent) || damage == Some(Damage::Cut) && !self.writes();
                    if is_harmless && !is_fresh {
                        self.stage = self.open();
                        continue;
                    }
                    return Poll::Ready(answer);
                }
                Stage::Over(answer) => return answer.take().map_or(Poll::Pending, Poll::Ready),
            }
        }
    }

    fn abandon(mut self: Box<Self>) -> Option<Box<dyn Pending>> {
        self.outstanding()
    }
}

impl Shared {
    /// The limit is over and the outcome is not there.
    fn late(&mut self) -> Answer {
        let Stage::Sent { pipe, .. } = &self.stage else {
            return failed(
                None,
                Damage::NotSent,
                Trouble::new("there was no time left to ask it").into_source(),
            );
        };
        // The next batch is to try another connection.
        pipe.retire();
        let trouble = Trouble::new("it does not answer (no reply within the limit)");
        let mut answer = failed(Some(pipe.instance()), Damage::Late, trouble.into_source());
        answer.pending = self.outstanding();
        answer
    }

    /// Of a batch that was sent, and writes: what to listen to.
    fn outstanding(&mut self) -> Option<Box<dyn Pending>> {
        let writes = self.writes();
        match std::mem::replace(&mut self.stage, Stage::Over(None)) {
            Stage::Sent { outcome, .. } if writes => Some(Box::new(Outstanding(outcome))),
            _ => None,
        }
    }
}

/// A batch that nobody waits for any more, and whose outcome still comes over its pipe.
#[derive(Debug)]
struct Outstanding(oneshot::Receiver<Answer>);

impl Pending for Outstanding {
    fn wait(mut self: Box<Self>, limit: std::time::Duration) -> Result<Answer, Box<dyn Pending>> {
        use oneshot::error::TryRecvError::{Closed, Empty};
        if !limit.is_zero()
            && let Ok(handle) = background::handle()
        {
            let first = background::either(&mut self.0, Timer::after(limit));
            if let background::Either::First(Ok(answer)) = handle.block_on(first) {
                return Ok(answer);
            }
        }
        match self.0.try_recv() {
            Ok(answer) => Ok(answer),
            Err(Empty) => Err(self),
            Err(Closed) => {
                let trouble = Trouble::new("the background thread failed");
                Ok(failed(None, Damage::Cut, trouble.into_source()))
            }
        }
    }
}

pub(super) fn too_young(instance: Instance) -> Answer {
    let trouble = Trouble::new(format!(
        "it has just started, and grants nothing before an uptime of {YOUNGEST_SERVER} s"
    ));
    failed(Some(instance), Damage::TooYoung, trouble.into_source())
}
