//! One held lock: the grant, how it fares, and the turn in this process's queue that goes with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Core, Counters, agent, blocking, tasks};
use crate::error::{Error, Source};
use crate::lease::Now;
use crate::protocol::{Grant, Released, Renewed, Spec, Watch};
use crate::queue::Turn;
use crate::token::Token;

/// A lock that was granted. Shared between its guard, the leases taken from it, and the agent.
#[derive(Debug)]
pub(crate) struct Hold {
    core: Arc<Core>,
    spec: Spec,
    token: Token,
    state: Mutex<State>,
    /// Held while a renewal or the release is under way, so that they follow each other; never while reading `state`.
    exchanging: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    grant: Grant,
    status: Status,
    turn: Option<Turn>,
    /// Whether the last renewal got no reply: it may be executed yet, so the grant is not handed over.
    is_renewal_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Held,
    /// Once lost, always lost: a caller may already have acted on it. The reason is for people.
    Lost(&'static str),
    Released,
}

const RAN_OUT: &str = "it ran out; give it a longer `timeout`, or `renew` it";
const RELEASED: &str = "it has been released";
const TAKEN: &str = "its item on the server is gone or another's";

impl Hold {
    /// A lock that was granted by the server, or handed over with the turn.
    pub(crate) fn new(core: &Arc<Core>, spec: &Spec, grant: Grant, turn: Option<Turn>) -> Hold {
        Counters::count(&core.counters.acquired);
        let token = grant.token;
        let state = Mutex::new(State {
            grant,
            status: Status::Held,
            turn,
            is_renewal_open: false,
        });
        Hold {
            core: Arc::clone(core),
            spec: spec.clone(),
            token,
            state,
            exchanging: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// How much of the lease is left; zero once it is lost or released.
    pub(crate) fn remaining(&self) -> Duration {
        let now = self.core.now();
        let mut state = self.state();
        state.settle(now);
        match state.status {
            Status::Held => state.grant.deadline.remaining(now),
            Status::Lost(_) | Status::Released => Duration::ZERO,
        }
    }

    pub(crate) fn is_released(&self) -> bool {
        self.state().status == Status::Released
    }

    /// The error that says how the lease was lost, if it was.
    pub(crate) fn lost(&self) -> Option<Error> {
        let mut state = self.state();
        state.settle(self.core.now());
        match state.status {
            Status::Lost(reason) => Some(self.lost_because(reason)),
            Status::Held | Status::Released => None,
        }
    }

    /// Extends the lease to its full timeout from now.
    pub(crate) fn renew(&self) -> Result<(), Error> {
        self.renew_within(self.core.exchange_limit)
    }

    /// The same, with exchanges of at most `limit`.
    fn renew_within(&self, limit: Duration) -> Result<(), Error> {
        let _exchanging = self.exchange_alone();
        let grant = self.to_renew()?;
        let (renewed, source) = blocking::renew(&self.core, &self.spec, grant, limit);
        self.renewed(renewed, source)
    }

    /// The same without blocking the thread. Not to be dropped before its end: the number of an attempt must be kept.
    pub(super) async fn renew_unbroken(&self, limit: Duration) -> Result<(), Error> {
        let _exchanging = self.exchanging.lock().await;
        let grant = self.to_renew()?;
        let (renewed, source) = tasks::renew(&self.core, &self.spec, grant, limit).await;
        self.renewed(renewed, source)
    }

    /// The same. When the future is dropped, the renewal goes on.
    pub(crate) async fn renew_async(self: &Arc<Hold>, limit: Duration) -> Result<(), Error> {
        let hold = Arc::clone(self);
        agent::finish(async move { hold.renew_unbroken(limit).await }).await
    }

    /// Nobody else exchanges anything about this lock from now on.
    fn exchange_alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        match self.exchanging.try_lock() {
            Ok(alone) => alone,
            Err(_) => blocking::block_on(self.exchanging.lock()),
        }
    }

    /// What is to be renewed.
    fn to_renew(&self) -> Result<Grant, Error> {
        let mut state = self.state();
        state.settle(self.core.now());
        match state.status {
            Status::Held => Ok(state.grant.clone()),
            Status::Lost(reason) => Err(self.lost_because(reason)),
            Status::Released => Err(self.lost_because(RELEASED)),
        }
    }

    /// Takes note of what a renewal came to.
    fn renewed(&self, renewed: Renewed, source: Option<Source>) -> Result<(), Error> {
        let mut state = self.state();
        let before = state.status;
        match (renewed, before) {
            // Somebody has been told meanwhile that it is lost (or it was released), and acts on that.
            (_, Status::Lost(reason)) => Err(self.lost_because(reason)),
            (_, Status::Released) => Err(self.lost_because(RELEASED)),
            (Renewed::Renewed(grant), Status::Held) => {
                if let Some(turn) = &state.turn {
                    turn.leased(grant.deadline.ends(), Watch::of_own(&grant, self.core.now()));
                }
                state.grant = grant;
                state.is_renewal_open = false;
                Ok(())
            }
            (Renewed::Lost, Status::Held) => {
                state.status = Status::Lost(TAKEN);
                Err(self.lost_because(TAKEN))
            }
            (Renewed::RanOut, Status::Held) => {
                state.status = Status::Lost(RAN_OUT);
                Err(self.lost_because(RAN_OUT))
            }
            (Renewed::Failed(grant, damage), Status::Held) => {
                // The number of attempts has risen, and the CAS may have been read anew: both must be kept.
                state.grant = grant;
                state.is_renewal_open = true;
                Err(blocking::unavailable(&self.core, &self.spec.item, damage, source))
            }
        }
    }

    /// Renews when less than half of the timeout is left, with exchanges of at most `limit`. A failure is no error as
    /// long as the lease lasts.
    pub(crate) fn keep_at_least_half(&self, limit: Duration) -> Result<(), Error> {
        if self.has_half() {
            return Ok(());
        }
        unless_lost(self.renew_within(limit))
    }

    /// The same without blocking the thread.
    pub(crate) async fn keep_at_least_half_async(self: &Arc<Hold>, limit: Duration) -> Result<(), Error> {
        if self.has_half() {
            return Ok(());
        }
        unless_lost(self.renew_async(limit).await)
    }

    fn has_half(&self) -> bool {
        self.remaining() >= self.spec.timeout / 2
    }

    /// How long until it has to be looked at again by who keeps at least half: a quarter is left for the renewal to
    /// succeed in.
    pub(super) fn until_half(&self) -> Duration {
        self.spec.timeout / 4
    }

    /// Gives the lock up: to the next in this process's queue, else to the server. The first call does it; a failure is left
    /// to the agent, and hides nobody's result.
    pub(crate) fn release(&self) {
        self.release_within(self.core.exchange_limit);
    }

    /// The same, with exchanges of at most `limit`.
    pub(crate) fn release_within(&self, limit: Duration) {
        let _exchanging = self.exchange_alone();
        if let Some(ending) = self.end() {
            let released = blocking::release(&self.core, &self.spec, &ending.grant, ending.now, limit);
            ending.ended(&self.spec, released);
        }
    }

    /// The same without blocking the thread. When the future is dropped before it has begun, nothing is released; after
    /// that, it goes on.
    pub(crate) async fn release_async(&self, limit: Duration) {
        let _exchanging = self.exchanging.lock().await;
        if let Some(ending) = self.end() {
            let released = tasks::release(&self.core, &self.spec, &ending.grant, ending.now, limit).await;
            ending.ended(&self.spec, released);
        }
    }

    /// Ends the hold. `Some`: its item on the server is to be deleted.
    fn end(&self) -> Option<Ending> {
        let now = self.core.now();
        let (grant, mut turn, lost, is_renewal_open) = {
            let mut state = self.state();
            state.settle(now);
            let before = std::mem::replace(&mut state.status, Status::Released);
            let lost = match before {
                Status::Released => return None,
                Status::Held => None,
                Status::Lost(reason) => Some(reason),
            };
            (state.grant.clone(), state.turn.take(), lost, state.is_renewal_open)
        };
        if lost.is_none()
            && !is_renewal_open
            && let Some(mine) = turn.take()
        {
            turn = Some(mine.hand_over(&grant, now)?);
        }
        if let Some(reason) = lost {
            Counters::count(&self.core.counters.lost);
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, holder = %self.spec.label,
                "the lease ended before its holder was done: {reason}"
            );
        }
        (lost != Some(TAKEN)).then_some(Ending { grant, now, turn })
    }

    fn lost_because(&self, reason: &'static str) -> Error {
        Error::Lost {
            key: self.spec.item.to_string(),
            reason,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hold that was ended, while the server is told.
struct Ending {
    grant: Grant,
    now: Now,
    /// Passed on only when that is done: the next in this process would find the lock still held.
    turn: Option<Turn>,
}

impl Ending {
    fn ended(self, spec: &Spec, released: Released) {
        if let Released::Failed(damage) = released {
            tracing::warn!(
                target: "memlock", lock = %spec.item, ?damage,
                "the lock could not be released at once; it is tried again in the background"
            );
        }
        drop(self.turn);
    }
}

/// An error is one only where the lease is lost.
fn unless_lost(renewed: Result<(), Error>) -> Result<(), Error> {
    match renewed {
        Err(error) if error.is_lost() => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

impl State {
    /// Notices that the deadline has passed.
    fn settle(&mut self, now: Now) {
        if self.status == Status::Held && self.grant.deadline.has_passed(now) {
            self.status = Status::Lost(RAN_OUT);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
