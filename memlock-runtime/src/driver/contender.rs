//! The head of a queue, at work: what it makes of its machine's steps, whichever driver takes them. It lets no time pass and
//! makes no exchange.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use smallvec::SmallVec;

use super::waiting::{Stopped, Waiting, busy};
use super::{Core, Heard, agent, dice};
use crate::doorbell::Listening;
use crate::error::{Error, Source};
use crate::key::ItemName;
use crate::lease::Now;
use crate::protocol::{Acquire, Grant, Input, Outcome, Output, Spec, Watch};
use crate::queue::Turn;
use crate::store::{Batch, Damage, Nonce, Pending, Request};

/// The head of the queue, at work.
pub(super) struct Contender<'a> {
    core: &'a Arc<Core>,
    spec: &'a Spec,
    machine: Acquire<&'a Spec>,
    /// Nonces without a reply that the agent has been told of.
    settled: SmallVec<[Nonce; 2]>,
    turn: Option<Turn>,
    /// What the last failed exchange came to grief on.
    trouble: Option<Source>,
    /// While it waits in line for other processes, and can be called.
    listening: Option<Listening>,
    /// Whether an exchange failed that had less time than exchanges have: that is no verdict on the server.
    was_cut_short: bool,
}

impl<'a> Contender<'a> {
    pub(super) fn new(core: &'a Arc<Core>, spec: &'a Spec, mut turn: Turn, started: Now) -> Contender<'a> {
        let look_first = core.must_look_first(&spec.item, started);
        Contender {
            core,
            spec,
            machine: Acquire::new(spec, turn.watch, look_first)
                .waiting_since(started)
                .in_line(core.me, turn.standing.take()),
            settled: SmallVec::new(),
            turn: Some(turn),
            trouble: None,
            listening: None,
            was_cut_short: false,
        }
    }

    pub(super) fn step(&mut self, now: Now, input: Input) -> Output<Outcome> {
        self.machine.step(now, dice::nonce(self.core.me.process), input)
    }

    /// Before an exchange: who joins the line with it may be called right after, and then `waker` is woken.
    pub(super) fn listens_before(&mut self, batch: &Batch, waker: impl FnOnce() -> Waker) {
        if batch.iter().any(|request| matches!(request, Request::StoreLine { .. })) {
            self.listening(waker);
        }
    }

    /// What tells whether the lock has become free, where somebody may tell: then `waker` is woken.
    pub(super) fn listening(&mut self, waker: impl FnOnce() -> Waker) -> Option<&Listening> {
        if let (Some(doorbell), None) = (&self.core.doorbell, &self.listening) {
            self.listening = Some(doorbell.listen(&self.spec.item, waker()));
        }
        self.listening.as_ref()
    }

    /// After a pause: how long it is still to wait before it goes on, because it is called in vain.
    pub(super) fn until_call_counts(&mut self, now: Now) -> Duration {
        if !self.listening.as_ref().is_some_and(Listening::was_called) {
            return Duration::ZERO;
        }
        let look_first = self.core.must_look_first(&self.spec.item, now);
        self.machine.called(now, look_first)
    }

    /// Takes note of what an exchange met with that had a record `written` in it (see [`written_nonce`]).
    pub(super) fn heed(&mut self, heard: &mut Heard, written: Option<Nonce>, limit: Duration) {
        if let (Some(pending), Some(nonce)) = (heard.pending.take(), written) {
            self.settle(nonce, Some(pending));
            self.settled.push(nonce);
        }
        let had_trouble = self.trouble.is_some();
        match heard.answered.damage {
            Some(damage @ (Damage::NotSent | Damage::Cut | Damage::Late)) => {
                self.was_cut_short |= limit < self.core.exchange_limit;
                self.trouble = heard.source.take().or(self.trouble.take());
                if let Some(turn) = &self.turn {
                    turn.met(Some(unavailable(
                        self.core,
                        &self.spec.item,
                        damage,
                        self.trouble.clone(),
                    )));
                }
            }
            Some(Damage::TooYoung | Damage::OtherInstance) | None => {
                self.trouble = None;
                if let (true, Some(turn)) = (had_trouble, &self.turn) {
                    turn.met(None);
                }
            }
        }
    }

    /// What it came to: the grant, and the turn in which it is held.
    pub(super) fn end(
        &mut self,
        outcome: Outcome,
        waiting: &Waiting<'_>,
        now: Now,
    ) -> Result<(Grant, Option<Turn>), Stopped> {
        let item = &self.spec.item;
        let (error, is_everyones) = match outcome {
            Outcome::Granted(grant) => {
                let mut turn = self.turn.take();
                if let Some(turn) = &mut turn {
                    turn.standing = self.machine.take_standing();
                    // There is nobody to watch any more.
                    turn.watch = None;
                    turn.leased(grant.deadline.ends(), Watch::of_own(&grant, now));
                }
                return Ok((grant, turn));
            }
            Outcome::Busy { holder } => {
                let holder = holder.map(|holder| holder.to_string());
                (busy(item, holder, waiting.waited(now)), false)
            }
            Outcome::Refused(refusal) => (unavailable_because(self.core, item, Arc::new(refusal)), true),
            Outcome::Unreachable(damage) => {
                let error = unavailable(self.core, item, damage, self.trouble.take());
                (error, damage != Damage::TooYoung && !self.was_cut_short)
            }
            Outcome::TooSlow => (unavailable_because(self.core, item, text(TOO_SLOW)), false),
            Outcome::Untrustworthy => (unavailable_because(self.core, item, text(WRONG_CLOCK)), true),
        };
        if is_everyones && let Some(turn) = self.turn.take() {
            turn.fail_for_all(&error);
        }
        Err(Stopped::Failed(error))
    }

    fn settle(&self, nonce: Nonce, pending: Option<Box<dyn Pending>>) {
        agent::settle(self.core, &self.spec.item, nonce, self.spec.lease(), pending);
    }
}

impl Drop for Contender<'_> {
    /// However it ended, a panic included: no write without a reply is forgotten, and what was learned stays.
    fn drop(&mut self) {
        for nonce in self.machine.outstanding() {
            if !self.settled.contains(nonce) {
                self.settle(*nonce, None);
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.watch = self.machine.watch();
            turn.standing = self.machine.take_standing();
        }
    }
}

/// The nonce under which a batch creates an item, if it does.
pub(super) fn written_nonce(batch: &Batch) -> Option<Nonce> {
    batch.iter().find_map(|request| match request {
        Request::Add { record, .. } | Request::Replace { record, .. } => Some(record.nonce),
        _ => None,
    })
}

const TOO_SLOW: &str = "it answers so slowly that half of the lock's timeout is over before the lock is granted";
const WRONG_CLOCK: &str = "its clock is wrong: it claims to have started before 2026 or after 2094";

/// The error for a server that could not be asked.
pub(super) fn unavailable(core: &Core, item: &ItemName, damage: Damage, source: Option<Source>) -> Error {
    let source = source.unwrap_or_else(|| {
        text(match damage {
            Damage::TooYoung => "it started less than two seconds ago, and grants nothing yet",
            Damage::NotSent => "there was no time left to ask it",
            Damage::OtherInstance => "it was restarted meanwhile",
            Damage::Cut | Damage::Late => "it did not answer",
        })
    });
    unavailable_because(core, item, source)
}

fn unavailable_because(core: &Core, item: &ItemName, source: Source) -> Error {
    Error::Unavailable {
        key: item.as_str().to_owned(),
        server: core.store.server_of(item).to_owned(),
        source,
    }
}

/// A cause that is only a sentence.
fn text(sentence: &'static str) -> Source {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(sentence))
}
