//! One held lock: the grant, how it fares, and the turn in this process's queue that goes with it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::contender::unavailable;
use super::{Core, Counters, agent, blocking, tasks};
use crate::background;
use crate::error::{Error, Source};
use crate::lease::Now;
use crate::protocol::{End, Extended, Grant, Holding, Loss, Released, Renew, Renewed, Spec, Standing, Status, Watch};
use crate::queue::Turn;
use crate::token::Token;

/// A lock that was granted. Shared between its guard, the leases taken from it, and the agent.
pub(crate) struct Hold {
    core: Arc<Core>,
    spec: Spec,
    token: Token,
    /// Whether it is kept for a retry, and nobody runs under it.
    is_set_aside: bool,
    /// Whether its holder is done with it. The release may have to wait for a renewal yet.
    is_given_up: AtomicBool,
    state: Mutex<State>,
    /// Held while a renewal or the release is under way, so that they follow each other; never while reading `state`.
    exchanging: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    holding: Holding,
    turn: Option<Turn>,
    /// Why it was lost before it was released, if it was. [`Status::Released`] does not tell.
    lost: Option<Loss>,
}

const RAN_OUT: &str = "it ran out; give it a longer `timeout`, or `renew` it";
const RELEASED: &str = "it has been released";
const TAKEN: &str = "its item on the server is gone or another's";

impl Hold {
    /// A lock that was granted by the server, or handed over with the turn.
    #[inline]
    pub(crate) fn new(core: &Arc<Core>, spec: Spec, grant: Grant, turn: Option<Turn>) -> Arc<Hold> {
        Counters::count(&core.counters.acquired);
        Hold::of(core, spec, grant, turn, false)
    }

    #[inline]
    fn of(core: &Arc<Core>, spec: Spec, grant: Grant, turn: Option<Turn>, is_set_aside: bool) -> Arc<Hold> {
        let token = grant.token;
        Arc::new(Hold {
            core: Arc::clone(core),
            spec,
            token,
            is_set_aside,
            is_given_up: AtomicBool::new(false),
            state: Mutex::new(State {
                holding: Holding::new(grant),
                turn,
                lost: None,
            }),
            exchanging: tokio::sync::Mutex::new(()),
        })
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

    /// From now on whoever kept the lease finds it released.
    ///
    /// The release waits its turn behind a renewal that is under way. The holder, its body, is done before that.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// How much of the lease is left; zero once it is lost or released.
    pub(crate) fn remaining(&self) -> Duration {
        if self.is_given_up() {
            return Duration::ZERO;
        }
        let now = self.core().now();
        self.state().holding.remaining(now)
    }

    pub(crate) fn is_released(&self) -> bool {
        self.is_given_up() || self.state().holding.last_status() == Status::Released
    }

    /// The error that says how the lease was lost, or that it was released, if it is over.
    pub(crate) fn lost(&self) -> Option<Error> {
        let now = self.core().now();
        let mut state = self.state();
        match state.holding.status(now) {
            Status::Held if !self.is_given_up() => None,
            over => Some(self.not_held(over, &state)),
        }
    }

    /// Extends the lease to its full timeout from now.
    pub(crate) fn renew(&self) -> Result<(), Error> {
        self.renew_within(self.core().exchange_limit)
    }

    /// The same, with exchanges of at most `limit`.
    fn renew_within(&self, limit: Duration) -> Result<(), Error> {
        let _exchanging = self.exchange_alone();
        let grant = self.to_renew()?;
        let (renewed, source) = blocking::renew(self.core(), &self.spec, grant, limit);
        self.renewed(renewed, source)
    }

    /// The same without blocking the thread. Not to be dropped before its end: the number of an attempt must be kept.
    pub(super) async fn renew_unbroken(&self, limit: Duration) -> Result<(), Error> {
        let _exchanging = self.exchanging.lock().await;
        let grant = self.to_renew()?;
        let (renewed, source) = tasks::renew(
            self.core(),
            &self.spec.item,
            Renew::new(self.spec.clone(), grant),
            limit,
        )
        .await;
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
            Err(_) => background::block_on(self.exchanging.lock()),
        }
    }

    /// What is to be renewed.
    fn to_renew(&self) -> Result<Grant, Error> {
        let now = self.core().now();
        let mut state = self.state();
        match state.holding.status(now) {
            Status::Held => Ok(state.holding.grant().clone()),
            over => Err(self.not_held(over, &state)),
        }
    }

    /// Takes note of what a renewal came to.
    fn renewed(&self, renewed: Renewed, source: Option<Source>) -> Result<(), Error> {
        let mut state = self.state();
        match state.holding.renewed(renewed) {
            Extended::Yes => {
                let State { holding, turn, .. } = &*state;
                if let Some(turn) = turn {
                    let grant = holding.grant();
                    turn.leased(grant.deadline.ends(), Watch::of_own(grant, self.core().now()));
                }
                Ok(())
            }
            Extended::Failed(damage) => Err(unavailable(self.core(), &self.spec.item, damage, source)),
            Extended::Over(over) => Err(self.not_held(over, &state)),
        }
    }

    /// Renews when less than half of the timeout is left, with exchanges of at most `limit`. A failure is no error as
    /// long as the lease lasts.
    pub(crate) fn keep_at_least_half(&self, limit: Duration) -> Result<(), Error> {
        if self.has_half() {
            return Ok(());
        }
        self.unless_lost(self.renew_within(limit))
    }

    /// The same without blocking the thread.
    pub(crate) async fn keep_at_least_half_async(self: &Arc<Hold>, limit: Duration) -> Result<(), Error> {
        if self.has_half() {
            return Ok(());
        }
        let renewed = self.renew_async(limit).await;
        self.unless_lost(renewed)
    }

    /// An error is one only where the lease is lost. It may have ended while a renewal waited for a reply.
    fn unless_lost(&self, renewed: Result<(), Error>) -> Result<(), Error> {
        match renewed {
            Err(error) if error.is_lost() => Err(error),
            Err(_) | Ok(()) => self.lost().map_or(Ok(()), Err),
        }
    }

    fn has_half(&self) -> bool {
        let now = self.core().now();
        self.state().holding.has_half(self.spec.timeout, now)
    }

    /// How long until it has to be looked at again by who keeps at least half: a quarter is left for the renewal to
    /// succeed in.
    pub(super) fn until_half(&self) -> Duration {
        self.spec.timeout / 4
    }

    /// Gives the lock up: to the next in this process's queue, else to the server. The first call does it; a failure is left
    /// to the agent, and hides nobody's result.
    pub(crate) fn release(&self) {
        self.release_within(self.core().exchange_limit);
    }

    /// The same, with exchanges of at most `limit`.
    pub(crate) fn release_within(&self, limit: Duration) {
        self.give_up();
        let _exchanging = self.exchange_alone();
        if let Some(mut ending) = self.end() {
            self.tell(&mut ending, limit);
        }
    }

    /// The same, of a hold that nobody else has: nobody can be reading or renewing it meanwhile.
    pub(crate) fn release_alone(&mut self) {
        let now = self.core.now();
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((end, mut ending)) = state.end(now)
            && self.wind_up_here(end, &mut ending)
        {
            self.tell(&mut ending, self.core().exchange_limit);
        }
    }

    /// Tells the server that the hold has ended.
    fn tell(&self, ending: &mut Ending, limit: Duration) {
        let Ending {
            grant, standing, now, ..
        } = ending;
        let released = blocking::release(self.core(), &self.spec, grant, standing, *now, limit);
        ending.told(&self.spec, released);
    }

    /// The same without blocking the thread. When the future is dropped before it has begun, nothing is released; after
    /// that, it goes on.
    pub(crate) async fn release_async(&self, limit: Duration) {
        self.give_up();
        let _exchanging = self.exchanging.lock().await;
        if let Some(ending) = self.end() {
            self.finish(ending, limit).await;
        }
    }

    /// Tells the server that the hold has ended.
    async fn finish(&self, mut ending: Ending, limit: Duration) {
        let Ending {
            grant, standing, now, ..
        } = &mut ending;
        let released = tasks::release(self.core(), &self.spec, grant, standing, *now, limit).await;
        ending.told(&self.spec, released);
    }

    /// Keeps the lock for a retry, for `length` from now, in another hold; this one is released. `None`: there is nothing to
    /// keep, or it is lost, and given up. Dropped before its end, it has done nothing, or the release goes on.
    ///
    /// What the server is to be told of that is left to [`shorten`](Self::shorten).
    pub(super) async fn set_aside(&self, length: Duration) -> Option<Arc<Hold>> {
        self.give_up();
        let _exchanging = self.exchanging.lock().await;
        let now = self.core().now();
        let (end, mut ending) = self.state().end(now)?;
        if end == End::HandOver {
            let Ending { grant, turn, .. } = ending;
            let grant = grant.reserve(length, now);
            if let Some(turn) = &turn {
                turn.leased(grant.deadline.ends(), Watch::of_own(&grant, now));
            }
            let spec = Spec {
                timeout: length,
                ..self.spec.clone()
            };
            return Some(Hold::of(self.core(), spec, grant, turn, true));
        }
        if self.wind_up_here(end, &mut ending) {
            self.finish(ending, self.core().exchange_limit).await;
        }
        None
    }

    /// Tells the server that this lock, which was set aside, lasts no longer than that. Where it does not hear of it, others
    /// wait for the lease that it was told before, if this process dies.
    pub(super) async fn shorten(&self) {
        let _exchanging = self.exchanging.lock().await;
        let Ok(grant) = self.to_renew() else { return };
        if grant.lease <= self.spec.lease() {
            return;
        }
        let limit = self.core().exchange_limit;
        let (renewed, source) = tasks::renew(
            self.core(),
            &self.spec.item,
            Renew::shorten(self.spec.clone(), grant),
            limit,
        )
        .await;
        // Lost or not, whoever claims it learns that.
        let _ = self.renewed(renewed, source);
    }

    /// Makes this lock, which was set aside, that of its caller's retry, which asks for `spec`. `None`: it came too late, or the
    /// server could not be asked; what was left is released. Not to be dropped before its end.
    pub(super) async fn claim(&self, spec: &Spec) -> Option<Arc<Hold>> {
        let limit = self.core().exchange_limit;
        let exchanging = self.exchanging.lock().await;
        if let Ok(grant) = self.to_renew() {
            let (renewed, source) =
                tasks::renew(self.core(), &self.spec.item, Renew::new(spec.clone(), grant), limit).await;
            if self.renewed(renewed, source).is_ok()
                && let Some(claimed) = self.claimed(spec)
            {
                return Some(claimed);
            }
        }
        drop(exchanging);
        self.release_async(limit).await;
        None
    }

    fn claimed(&self, spec: &Spec) -> Option<Arc<Hold>> {
        let now = self.core().now();
        let mut state = self.state();
        let grant = state.holding.grant().clone().claim(spec.timeout, now)?;
        state.holding.end(now)?;
        let turn = state.turn.take();
        Some(Hold::new(self.core(), spec.clone(), grant, turn))
    }

    /// Ends the hold. `Some`: its item on the server is to be deleted.
    fn end(&self) -> Option<Ending> {
        let now = self.core().now();
        let mut state = self.state();
        let (end, mut ending) = state.end(now)?;
        drop(state);
        self.wind_up_here(end, &mut ending).then_some(ending)
    }

    /// Does what is to be done in this process with what was taken out of the hold: hands it over, or counts the loss. Whether the
    /// server is to be told, too.
    fn wind_up_here(&self, end: End, ending: &mut Ending) -> bool {
        let lost = match end {
            End::HandOver => {
                if let Some(turn) = ending.turn.take() {
                    ending.turn = turn.hand_over(&ending.grant, ending.now);
                    if ending.turn.is_none() {
                        return false;
                    }
                }
                None
            }
            End::Release(lost) => lost,
            End::Forget => Some(Loss::Taken),
        };
        if let Some(loss) = lost.filter(|_| !self.is_set_aside) {
            let reason = loss.reason();
            Counters::count(&self.core().counters.lost);
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, holder = %self.spec.label,
                "the lease ended before its holder was done: {reason}"
            );
        }
        if end == End::Forget {
            return false;
        }
        let granted = ending.grant.end.sent().instant;
        if let Some(turn) = &mut ending.turn {
            ending.standing = turn.looks(granted, self.core().me, ending.now);
        }
        true
    }

    /// The error of a use of a hold that is `over`.
    fn not_held(&self, over: Status, state: &State) -> Error {
        let loss = match over {
            Status::Lost(loss) => Some(loss),
            Status::Held | Status::Released => state.lost,
        };
        self.lost_because(loss.map_or(RELEASED, Loss::reason))
    }

    fn lost_because(&self, reason: &'static str) -> Error {
        Error::Lost {
            key: self.spec.item.as_str().to_owned(),
            reason,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("lock", &self.spec.item)
            .field("token", &self.token)
            .field("is_released", &self.is_released())
            .finish_non_exhaustive()
    }
}

impl State {
    /// Ends the hold, and takes everything out of it. `None`: that was done before.
    fn end(&mut self, now: Now) -> Option<(End, Ending)> {
        let end = self.holding.end(now)?;
        self.lost = match end {
            End::HandOver => None,
            End::Release(lost) => lost,
            End::Forget => Some(Loss::Taken),
        };
        let ending = Ending {
            grant: self.holding.grant().clone(),
            standing: None,
            now,
            turn: self.turn.take(),
        };
        Some((end, ending))
    }
}

/// A hold that was ended, while the server is told.
struct Ending {
    grant: Grant,
    /// Where the release is to look who stands in line.
    standing: Option<Box<Standing>>,
    now: Now,
    /// Passed on only when that is done: the next in this process would find the lock still held.
    turn: Option<Turn>,
}

impl Ending {
    fn told(&mut self, spec: &Spec, released: Released) {
        if let Released::Failed(damage) = released {
            tracing::warn!(
                target: "memlock", lock = %spec.item, ?damage,
                "the lock could not be released at once; it is tried again in the background"
            );
        }
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.standing.is_none()) {
            turn.standing = self.standing.take_if(|standing| standing.has_others());
        }
        self.turn = None;
    }
}

impl Loss {
    /// For people.
    fn reason(self) -> &'static str {
        match self {
            Loss::RanOut => RAN_OUT,
            Loss::Taken => TAKEN,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nearly always its guard has released it, which needs neither clocks nor locks to be found out.
        if state.holding.last_status() != Status::Released {
            self.release_alone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Locks;

    #[test]
    fn a_lease_is_over_before_its_release_has_waited_for_a_renewal() {
        let (locks, _server) = Locks::in_memory();
        let guard = background::block_on(locks.lock("k").acquire_async()).expect("it is free");
        let lease = guard.lease();
        let [hold] = lease.holds() else { panic!("one lock") };
        let renewing = hold.exchanging.try_lock().expect("nothing is under way");
        drop(guard);
        assert!(locks.lock("k").try_acquire().is_err(), "it is not released yet");
        assert!(!lease.is_valid() && lease.remaining().is_zero());
        let error = lease.check().expect_err("its holder is done");
        assert!(error.is_lost() && error.to_string().contains(RELEASED), "{error}");
        assert!(hold.is_released(), "nobody enters it again");
        drop(renewing);
        assert!(locks.flush(Duration::from_mins(1)));
        assert!(locks.lock("k").try_acquire().is_ok());
    }

    #[test]
    fn what_holders_show_of_themselves_is_short() {
        let (locks, _server) = Locks::in_memory();
        let key = format!("\u{1b}\u{202e}{}", "x".repeat(40_000));
        let request = locks.lock(key.as_str());
        let asked = format!("{request:?}");
        let guard = request.acquire().expect("it is free");
        for shown in [asked, format!("{guard:?} {:?} {locks:?}", guard.lease())] {
            assert!(shown.len() < 1000, "{} bytes", shown.len());
            assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
        }
    }
}
