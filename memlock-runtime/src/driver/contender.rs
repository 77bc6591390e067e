//! [`Contender`]: the head of a queue, which runs the machine against the server. It records what each step means for
//! the caller and for the waiters behind it. It makes no exchange and lets no time pass.

use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use smallvec::SmallVec;

use super::core::Core;
use super::errors::{
    CONTRADICTS, ClockBehind, NoToken, TIME_IS_OVER, TOO_SLOW, WRONG_NUMBERS, busy, text_cause, too_late, unavailable,
    unavailable_because,
};
use super::limits::CallLimits;
use super::waiting::Stopped;
use super::wake::WakeListener;
use crate::error::Source;
use crate::protocol::lease::Now;
use crate::protocol::{
    Acquire, Batch, Exchanged, Grant, Input, Nonce, Outcome, Output, Pending, Request, Spec, Unanswered, WaitListView,
    Watch,
};
use crate::queue::{Cleanup as _, Turn};

/// Which exchanges have failed since the server last answered.
#[derive(Debug, Clone, Copy, Default)]
struct FailedExchanges {
    /// An exchange that had enough time: the server is at fault.
    with_time: bool,
    /// An exchange that had hardly any time, because its call was over: that says nothing about the server.
    without_time: bool,
}

/// The head of a queue: see the top of this file.
pub(crate) struct Contender<'a> {
    core: &'a Arc<Core>,
    spec: &'a Spec,
    machine: Acquire<&'a Spec>,
    /// The nonces of writes without a reply that the background settles.
    settled: SmallVec<[Nonce; 2]>,
    turn: Option<Turn>,
    /// Why the last failed exchange failed.
    trouble: Option<Source>,
    /// Present while it waits in line for other processes that can wake it.
    listening: Option<WakeListener>,
    /// Whether it has warned that the server's answers contradict one another.
    has_warned: bool,
    limits: CallLimits,
    /// Whether it has waited for its turn.
    waited_in_queue: bool,
    /// Which exchanges have failed since the server last answered.
    failed: FailedExchanges,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(
        core: &'a Arc<Core>,
        spec: &'a Spec,
        mut turn: Turn,
        limits: CallLimits,
        waited_in_queue: bool,
    ) -> Contender<'a> {
        let read_first = core.must_read_first(spec.server, limits.began);
        Contender {
            core,
            spec,
            machine: Acquire::new(spec, turn.watch, read_first)
                .waiting_since(limits.began)
                .with_wait_list(core.me, turn.wait_list.take()),
            settled: SmallVec::new(),
            turn: Some(turn),
            trouble: None,
            listening: None,
            has_warned: false,
            limits,
            waited_in_queue,
            failed: FailedExchanges::default(),
        }
    }

    /// Runs the machine to its next output.
    pub(crate) fn step(&mut self, now: Now, input: Input) -> Output<Outcome> {
        self.machine.step(now, self.core.identity.nonce(), input)
    }

    /// Listens before an exchange that joins the wait list: from then on other processes may wake this one, and wake
    /// `waker`.
    pub(crate) fn listen_before(&mut self, batch: &Batch, waker: impl FnOnce() -> Waker) {
        if batch
            .iter()
            .any(|request| matches!(request, Request::StoreWaitList { .. }))
        {
            self.listen(waker);
        }
    }

    /// Listens for wake-ups by other processes, if this process has a socket for them. They wake `waker`.
    pub(crate) fn listen(&mut self, waker: impl FnOnce() -> Waker) {
        if let (Some(wake_socket), None) = (&self.core.wake_socket, &self.listening) {
            self.listening = Some(wake_socket.listen(&self.spec.item, waker()));
        }
    }

    /// Returns the listener for wake-ups by other processes, once this [listens](Self::listen).
    pub(crate) fn listening(&self) -> Option<&WakeListener> {
        self.listening.as_ref()
    }

    /// Records that a pause ended at `now`, by a wake-up or in time. Returns how much longer to pause: a wake-up may
    /// come too soon to count.
    pub(crate) fn record_pause(&mut self, now: Now) -> Duration {
        if !self.listening.as_ref().is_some_and(WakeListener::was_woken) {
            return Duration::ZERO;
        }
        let read_first = self.core.must_read_first(self.spec.server, now);
        self.machine.record_wake(now, read_first)
    }

    /// Records the outcome of an exchange that ended at `now`, and had `written` a record (see [`written_nonce`]).
    pub(crate) fn record_exchange(
        &mut self,
        exchanged: &mut Exchanged,
        written: Option<Nonce>,
        limit: Duration,
        now: Now,
    ) {
        if let (Some(pending), Some(nonce)) = (exchanged.pending.take(), written) {
            self.settle(nonce, Some(pending));
            self.settled.push(nonce);
        }
        let had_trouble = self.trouble.is_some();
        match exchanged.unanswered {
            Some(Unanswered::NotSent | Unanswered::Late) if self.had_no_time(limit, now) => {
                self.failed.without_time = true;
                // An earlier failure, with enough time, says more than that there was no time left.
                let source = exchanged.source.take().filter(|_| !limit.is_zero());
                self.trouble = self
                    .trouble
                    .take()
                    .or(source)
                    .or_else(|| Some(text_cause(TIME_IS_OVER)));
            }
            Some(unanswered @ (Unanswered::NotSent | Unanswered::Cut | Unanswered::Late | Unanswered::TooYoung)) => {
                self.failed.with_time |= unanswered != Unanswered::TooYoung;
                self.trouble = exchanged.source.take().or(self.trouble.take());
                // Waiters behind it return this error when their time is over: the lock is not busy.
                if let Some(turn) = &self.turn {
                    turn.set_trouble(Some(unavailable(
                        self.core,
                        self.spec,
                        unanswered,
                        self.trouble.clone(),
                    )));
                }
            }
            Some(Unanswered::OtherInstance | Unanswered::Contradicted) | None => {
                self.trouble = None;
                self.failed = FailedExchanges::default();
                if let (true, Some(turn)) = (had_trouble, &self.turn) {
                    turn.set_trouble(None);
                }
            }
        }
    }

    /// Returns whether an exchange that had `limit`, and failed at `now`, failed because its call was over.
    ///
    /// Half of an exchange's time or more is a fair chance. (Only the first exchange of a call has all of it, to the
    /// microsecond.) An exchange that had less, and failed before its limit, was refused.
    fn had_no_time(&self, limit: Duration, now: Now) -> bool {
        limit < self.core.exchange_limit / 2 && self.limits.are_over(now)
    }

    /// Returns whether no exchange since the server's last answer had enough time to judge the server by.
    fn never_had_time(&self, unanswered: Unanswered) -> bool {
        matches!(unanswered, Unanswered::NotSent | Unanswered::Late) && !self.failed.with_time
    }

    /// Before a pause of `length` from `now`: tells waiters whose time is over that the server has answered, and keeps the
    /// turn until the pause is over. Warns if the pause is due to answers that contradict one another.
    pub(crate) fn begin_pause(&mut self, length: Duration, now: Now) {
        if let Some(turn) = &self.turn {
            turn.pause(length, now);
        }
        if self.machine.is_slowed_down() && !mem::replace(&mut self.has_warned, true) {
            let (item, server) = (&self.spec.item, self.core.store.server_name(self.spec.server));
            tracing::warn!(
                target: "memlock", lock = %item, server, "asking for the lock less often now: {CONTRADICTS}"
            );
        }
    }

    /// Before an exchange at `now`: keeps the turn until the exchange is over. Returns whether it still has the turn.
    pub(crate) fn keep_turn(&self, now: Now) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.go_on(now))
    }

    /// Returns what is known of the wait list, if this process is to leave the list before its call ends with `outcome`:
    /// no caller of the process waits any more, and the process may end at once. Callers that ask meanwhile are told
    /// that the server has answered.
    ///
    /// The machine keeps its view. If the call's future is dropped before the process has left, or the server does not
    /// answer, the turn passes that view on, and the background leaves the list.
    pub(crate) fn leaving(&self, outcome: &Outcome, now: Now) -> Option<Box<WaitListView>> {
        let wait_list = self.machine.wait_list().filter(|wait_list| wait_list.must_leave())?;
        let turn = self.turn.as_ref()?;
        let is_leaving = match outcome {
            Outcome::Busy { .. } | Outcome::TooSlow | Outcome::ClockBehind(_) => turn.is_last(),
            // The callers behind it get the same error.
            Outcome::Refused(_) | Outcome::Untrustworthy | Outcome::NoToken(_) => true,
            // The server does not answer, or the process has its turn.
            Outcome::Unreachable(_) | Outcome::Granted(_) => false,
        };
        is_leaving.then(|| {
            turn.pause(Duration::ZERO, now);
            Box::new(wait_list.clone())
        })
    }

    /// Records what is known of the wait list after the attempt to leave it.
    pub(crate) fn record_leaving(&mut self, wait_list: Box<WaitListView>) {
        self.machine.replace_wait_list(wait_list);
    }

    /// Ends with `outcome` at `now`. Returns the grant, and the turn in which it is held.
    pub(crate) fn end(&mut self, outcome: Outcome, now: Now) -> Result<(Grant, Option<Turn>), Stopped> {
        let (item, waited) = (&self.spec.item, self.limits.waited(now));
        let (error, concerns_all) = match outcome {
            Outcome::Granted(grant) => {
                let mut turn = self.turn.take();
                if let Some(turn) = &mut turn {
                    turn.wait_list = self.machine.take_wait_list();
                    // No other holder is left to watch.
                    turn.watch = None;
                    turn.leased(grant.deadline.ends(), Watch::of_own(&grant, now));
                }
                return Ok((grant, turn));
            }
            Outcome::Busy { holder } => {
                let holder = holder.map(|holder| holder.to_string());
                (busy(item, holder, waited), false)
            }
            Outcome::Refused(refusal) => (unavailable_because(self.core, self.spec, Arc::new(refusal)), true),
            // The server answered whenever it had time to, and said that another caller holds the lock. So the lock is
            // busy: a function that runs unlocked if the server cannot be asked must not run beside that holder.
            Outcome::Unreachable(unanswered) if self.never_had_time(unanswered) && self.machine.is_held() => {
                let holder = self.machine.holder().map(ToString::to_string);
                (busy(item, holder, waited), false)
            }
            // Its turn came when its call was nearly over, so the server's answers to the callers before it count.
            Outcome::Unreachable(unanswered) if self.never_had_time(unanswered) && self.waited_in_queue => {
                let trouble = self.turn.as_ref().and_then(Turn::trouble);
                let is_stalled = self.turn.as_ref().is_some_and(Turn::is_stalled);
                let error = too_late(self.core, self.spec, trouble, is_stalled, waited);
                return Err(Stopped::Failed(error));
            }
            Outcome::Unreachable(unanswered) => {
                let error = unavailable(self.core, self.spec, unanswered, self.trouble.take());
                (error, unanswered != Unanswered::TooYoung && !self.failed.without_time)
            }
            Outcome::TooSlow => (unavailable_because(self.core, self.spec, text_cause(TOO_SLOW)), false),
            Outcome::ClockBehind(lag) => (
                unavailable_because(self.core, self.spec, Arc::new(ClockBehind(lag))),
                false,
            ),
            Outcome::Untrustworthy => (
                unavailable_because(self.core, self.spec, text_cause(WRONG_NUMBERS)),
                true,
            ),
            Outcome::NoToken(refusal) => (
                unavailable_because(self.core, self.spec, Arc::new(NoToken(refusal))),
                true,
            ),
        };
        if concerns_all && let Some(mut turn) = self.turn.take() {
            turn.wait_list = self.machine.take_wait_list();
            turn.fail_for_all(&error);
        }
        Err(Stopped::Failed(error))
    }

    fn settle(&self, nonce: Nonce, pending: Option<Box<dyn Pending>>) {
        Arc::clone(self.core).settle(&self.spec.item, nonce, self.spec.lease(), pending);
    }
}

impl Drop for Contender<'_> {
    /// However it ends, and even by a panic: settles the writes without a reply, and leaves what it has learned in the
    /// turn.
    fn drop(&mut self) {
        // It still has its turn, so it was dropped before its end. In a child that was forked meanwhile, all this is
        // the parent's.
        if self.turn.is_some() && self.core.is_inherited() {
            mem::forget(self.turn.take());
            mem::forget(self.listening.take());
            return;
        }
        for nonce in self.machine.outstanding() {
            if !self.settled.contains(nonce) {
                self.settle(*nonce, None);
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.watch = self.machine.watch();
            turn.wait_list = self.machine.take_wait_list();
        }
    }
}

/// Returns the nonce of the record that `batch` writes, if it writes one.
pub(crate) fn written_nonce(batch: &Batch) -> Option<Nonce> {
    batch.iter().find_map(|request| match request {
        Request::Add { record, .. } | Request::Replace { record, .. } => Some(record.nonce),
        _ => None,
    })
}
