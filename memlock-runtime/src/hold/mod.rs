//! One held lock: the grant, how it fares, and the turn in this process's queue that goes with it.

pub(crate) mod acquire;
pub(crate) mod guard;
pub(crate) mod renewal;
pub(crate) mod reservation;

use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, mem};

use crate::driver::contender::{unavailable_because, why};
use crate::driver::core::{Core, Counters};
use crate::driver::limits::ExchangeLimit;
use crate::driver::{background_work, blocking, tasks};
use crate::error::{Error, Source};
use crate::protocol::lease::Now;
use crate::protocol::token::Token;
use crate::protocol::{End, Extended, Grant, Holding, Loss, Released, Renew, Renewed, Spec, Standing, Status, Watch};
use crate::queue::Turn;
use crate::system::background::{self, Either, Timer, either};
use crate::system::on_thread;

/// A lock that was granted. Shared between its guard, the leases taken from it, and the background.
pub(crate) struct Hold {
    core: Arc<Core>,
    spec: Spec,
    token: Token,
    /// Whether it is kept for a retry, and nobody runs under it.
    is_set_aside: bool,
    /// Whether its holder is done with it. The release may have to wait for a renewal yet.
    is_given_up: AtomicBool,
    state: Mutex<HoldState>,
    /// Held while a renewal or the release is under way, so that they follow each other; never while reading `state`.
    exchanging: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct HoldState {
    holding: Holding,
    turn: Option<Turn>,
    /// Why it was lost before it was released, if it was. [`Status::Released`] does not tell.
    lost: Option<Loss>,
    /// What the last renewal failed on, unless one has succeeded since.
    trouble: Option<Source>,
    /// What is done in the background as long as it is held: renewing it, or waiting for a reservation's end. It ends with the
    /// hold, so that a hold with a long timeout that is released leaves nothing behind.
    meanwhile: Option<background::Task>,
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
            state: Mutex::new(HoldState {
                holding: Holding::new(grant),
                turn,
                lost: None,
                trouble: None,
                meanwhile: None,
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

    /// Runs `task` in the background, as long as the lock is held.
    pub(crate) fn run_meanwhile(&self, task: impl Future<Output = ()> + Send + 'static) {
        match background::spawn_owned(task) {
            Ok(task) => {
                let mut state = self.state();
                // Else it was released by another thread, and nobody would end the task.
                if state.holding.last_status() == Status::Held {
                    state.meanwhile = Some(task);
                }
            }
            Err(error) => tracing::error!(
                target: "memlock", lock = %self.spec.item, %error, "no thread for background work"
            ),
        }
    }

    /// How much of the lease is left; zero once it is lost or released.
    pub(crate) fn remaining(&self) -> Duration {
        if self.is_given_up() || self.core.is_inherited() {
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
        if let Err(inherited) = self.core.check_process() {
            return Some(inherited);
        }
        let now = self.core().now();
        let mut state = self.state();
        match state.holding.status(now) {
            Status::Held if !self.is_given_up() => None,
            over => Some(self.not_held(over, &state)),
        }
    }

    /// Extends the lease to its full timeout from now.
    pub(crate) fn renew(&self) -> Result<(), Error> {
        self.renew_within(self.core().each_exchange())
    }

    /// The same within `limit`.
    fn renew_within(&self, limit: ExchangeLimit) -> Result<(), Error> {
        self.core.check_process()?;
        let alone = self.exchange_alone(limit);
        let _exchanging = alone.ok_or_else(|| self.under_way())?;
        let grant = self.to_renew()?;
        let (renewed, source) = blocking::renew(self.core(), &self.spec, grant, limit);
        self.renewed(renewed, source)
    }

    /// The same without blocking the thread. Not to be dropped before its end: the number of an attempt must be kept.
    pub(crate) async fn renew_unbroken(&self, limit: ExchangeLimit) -> Result<(), Error> {
        let alone = self.exchange_alone_async(limit).await;
        let _exchanging = alone.ok_or_else(|| self.under_way())?;
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
    pub(crate) async fn renew_async(self: &Arc<Hold>, limit: ExchangeLimit) -> Result<(), Error> {
        self.core.check_process()?;
        let hold = Arc::clone(self);
        background_work::finish(&self.core, async move { hold.renew_unbroken(limit).await }).await
    }

    /// Nobody else exchanges anything about this lock from now on. `None`: somebody does, and `limit` was over before that.
    fn exchange_alone(&self, limit: ExchangeLimit) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if let Ok(alone) = self.exchanging.try_lock() {
            return Some(alone);
        }
        // A renewal in the background has limits of its own, and may have begun just now.
        match limit.until_end(|| self.core().now()) {
            Some(left) => on_thread::wait_for(self.exchanging.lock(), left),
            None => Some(on_thread::block_on(self.exchanging.lock())),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_exchanging(&self) -> bool {
        self.exchanging.try_lock().is_err()
    }

    /// The same without blocking the thread.
    async fn exchange_alone_async(&self, limit: ExchangeLimit) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let Some(left) = limit.until_end(|| self.core().now()) else {
            return Some(self.exchanging.lock().await);
        };
        if let Ok(alone) = self.exchanging.try_lock() {
            return Some(alone);
        }
        match either(self.exchanging.lock(), Timer::after(left)).await {
            Either::First(alone) => Some(alone),
            Either::Second(()) => None,
        }
    }

    /// The error of a renewal that could not begin before its limit was over.
    fn under_way(&self) -> Error {
        let source = "another exchange about this lock is under way, and has not been answered";
        let source = Source::from(Box::<dyn std::error::Error + Send + Sync>::from(source));
        unavailable_because(self.core(), &self.spec.item, source)
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
                state.trouble = None;
                let HoldState { holding, turn, .. } = &*state;
                if let Some(turn) = turn {
                    let grant = holding.grant();
                    turn.leased(grant.deadline.ends(), Watch::of_own(grant, self.core().now()));
                }
                Ok(())
            }
            Extended::Failed(damage) => {
                let source = source.unwrap_or_else(|| why(damage));
                // Said when the first of several fails: while something can still be done about it. The others follow soon, and
                // would say the same.
                let is_first = state.trouble.replace(Arc::clone(&source)).is_none();
                let left = state.holding.remaining(self.core().now());
                drop(state);
                if is_first && !self.is_set_aside {
                    tracing::warn!(
                        target: "memlock", lock = %self.spec.item, holder = %self.spec.label, error = %source, ?left,
                        "the lease could not be renewed"
                    );
                }
                Err(unavailable_because(self.core(), &self.spec.item, source))
            }
            Extended::Over(over) => {
                if source.is_some() {
                    state.trouble = source;
                }
                state.meanwhile = None;
                Err(self.not_held(over, &state))
            }
        }
    }

    /// Renews when less than half of the timeout is left, within `limit`. A failure is no error as long as the lease lasts.
    pub(crate) fn keep_at_least_half(&self, limit: ExchangeLimit) -> Result<(), Error> {
        self.core.check_process()?;
        if self.has_half() {
            return Ok(());
        }
        self.unless_lost(self.renew_within(limit))
    }

    /// The same without blocking the thread.
    pub(crate) async fn keep_at_least_half_async(self: &Arc<Hold>, limit: ExchangeLimit) -> Result<(), Error> {
        self.core.check_process()?;
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
    pub(crate) fn until_half(&self) -> Duration {
        self.spec.timeout / 4
    }

    /// Gives the lock up: to the next in this process's queue, else to the server. The first call does it; a failure is left
    /// to the background, and hides nobody's result.
    pub(crate) fn release(&self) {
        self.try_release(self.core().each_exchange());
    }

    /// The same within `limit`; what it has no time for is done in the background.
    pub(crate) fn release_within(self: &Arc<Hold>, limit: ExchangeLimit) {
        if !self.try_release(limit) {
            let hold = Arc::clone(self);
            background_work::begin(self.core(), async move {
                hold.release_async(hold.core().each_exchange()).await;
            });
        }
    }

    /// The same. `false`: nothing was done within `limit`, since another exchange is under way.
    fn try_release(&self, limit: ExchangeLimit) -> bool {
        self.give_up();
        if self.core.is_inherited() {
            // It is the parent's, which may be renewing it: the background thread that would end that is not here.
            return true;
        }
        let Some(_exchanging) = self.exchange_alone(limit) else {
            return false;
        };
        if let Some(mut ending) = self.end() {
            self.tell(&mut ending, limit);
        }
        true
    }

    /// The same, of a hold that nobody else has: nobody can be reading or renewing it meanwhile.
    pub(crate) fn release_alone(&mut self) {
        if self.core.is_inherited() {
            // As in `release_within`.
            return;
        }
        let now = self.core.now();
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((end, mut ending)) = state.end(now)
            && self.wind_up_here(end, &mut ending)
        {
            self.tell(&mut ending, self.core().each_exchange());
        }
    }

    /// Tells the server that the hold has ended.
    fn tell(&self, ending: &mut EndedHold, limit: ExchangeLimit) {
        let EndedHold {
            grant, standing, now, ..
        } = ending;
        let released = blocking::release(self.core(), &self.spec, grant, standing, *now, limit);
        ending.told(&self.spec, released);
    }

    /// The same without blocking the thread. When the future is dropped before it has begun, nothing is released; after
    /// that, it goes on.
    pub(crate) async fn release_async(&self, limit: ExchangeLimit) {
        self.give_up();
        if self.core.is_inherited() {
            return;
        }
        let _exchanging = self.exchanging.lock().await;
        if let Some(ending) = self.end() {
            self.finish(ending, limit).await;
        }
    }

    /// Tells the server that the hold has ended.
    async fn finish(&self, ending: EndedHold, limit: ExchangeLimit) {
        let mut unfinished = Unfinished(self.core(), ending);
        let EndedHold {
            grant, standing, now, ..
        } = &mut unfinished.1;
        let released = tasks::release(self.core(), &self.spec, grant, standing, *now, limit).await;
        unfinished.1.told(&self.spec, released);
    }

    /// Keeps the lock for a retry, for `length` from now, in another hold; this one is released. `None`: there is nothing to
    /// keep, or it is lost, and given up. Dropped before its end, it has done nothing, or the release goes on.
    ///
    /// What the server is to be told of that is left to [`shorten`](Self::shorten).
    pub(crate) async fn set_aside(&self, length: Duration, limit: ExchangeLimit) -> Option<Arc<Hold>> {
        self.give_up();
        if self.core.is_inherited() {
            return None;
        }
        let _exchanging = self.exchanging.lock().await;
        let now = self.core().now();
        let (end, mut ending) = self.state().end(now)?;
        if end == End::HandOver {
            let EndedHold { grant, turn, .. } = ending;
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
            self.finish(ending, limit).await;
        }
        None
    }

    /// Tells the server that this lock, which was set aside, lasts no longer than that. Where it does not hear of it, others
    /// wait for the lease that it was told before, if this process dies.
    pub(crate) async fn shorten(&self) {
        let _exchanging = self.exchanging.lock().await;
        let Ok(grant) = self.to_renew() else { return };
        if grant.lease <= self.spec.lease() {
            return;
        }
        let limit = self.core().each_exchange();
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

    /// Makes this lock, which was set aside, that of its caller's retry, which asks for `spec`, within `limit`. `None`: it came too
    /// late, or the server could not be asked; what was left is released, or is to be if there was no time for that. Not to be
    /// dropped before its end.
    pub(crate) async fn claim(&self, spec: &Spec, limit: ExchangeLimit) -> Option<Arc<Hold>> {
        // The server may just be told of the reservation, and not answer.
        let exchanging = self.exchange_alone_async(limit).await?;
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
        state.meanwhile = None;
        let turn = state.turn.take();
        Some(Hold::new(self.core(), spec.clone(), grant, turn))
    }

    /// Ends the hold. `Some`: its item on the server is to be deleted.
    fn end(&self) -> Option<EndedHold> {
        let now = self.core().now();
        let mut state = self.state();
        let (end, mut ending) = state.end(now)?;
        drop(state);
        self.wind_up_here(end, &mut ending).then_some(ending)
    }

    /// Does what is to be done in this process with what was taken out of the hold: hands it over, or counts the loss. Whether the
    /// server is to be told, too.
    fn wind_up_here(&self, end: End, ending: &mut EndedHold) -> bool {
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
            let reason = self.reason(loss, ending.trouble.as_ref());
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
    fn not_held(&self, over: Status, state: &HoldState) -> Error {
        let loss = match over {
            Status::Lost(loss) => Some(loss),
            Status::Held | Status::Released => state.lost,
        };
        match loss {
            Some(loss) => self.lost_because(loss, state.trouble.as_ref()),
            None => Error::lost(self.spec.item.as_str(), RELEASED, None),
        }
    }

    fn lost_because(&self, loss: Loss, trouble: Option<&Source>) -> Error {
        let source = trouble.filter(|_| loss == Loss::RanOut).map(Arc::clone);
        Error::lost(self.spec.item.as_str(), self.reason(loss, trouble), source)
    }

    /// Why it was lost, for people. `trouble` is what its last renewal failed on, if it did.
    fn reason(&self, loss: Loss, trouble: Option<&Source>) -> Cow<'static, str> {
        match (loss, trouble) {
            (Loss::RanOut, None) => RAN_OUT.into(),
            (Loss::RanOut, Some(trouble)) => {
                let server = self.core().store.server_of(&self.spec.item);
                format!("it could not be renewed: memcached server {server} is unavailable: {trouble}").into()
            }
            (Loss::Taken, _) => TAKEN.into(),
        }
    }

    fn state(&self) -> MutexGuard<'_, HoldState> {
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

impl HoldState {
    /// Ends the hold, and takes everything out of it. `None`: that was done before.
    fn end(&mut self, now: Now) -> Option<(End, EndedHold)> {
        let end = self.holding.end(now)?;
        self.lost = match end {
            End::HandOver => None,
            End::Release(lost) => lost,
            End::Forget => Some(Loss::Taken),
        };
        self.meanwhile = None;
        let ending = EndedHold {
            grant: self.holding.grant().clone(),
            standing: None,
            trouble: self.trouble.clone(),
            now,
            turn: self.turn.take(),
        };
        Some((end, ending))
    }
}

/// A hold that was ended, while the server is told.
struct EndedHold {
    grant: Grant,
    /// Where the release is to look who stands in line.
    standing: Option<Box<Standing>>,
    /// What the last renewal failed on.
    trouble: Option<Source>,
    now: Now,
    /// Passed on only when that is done: the next in this process would find the lock still held.
    turn: Option<Turn>,
}

/// The end of a hold, in the process where it began: a child that was forked meanwhile does not pass the turn on.
struct Unfinished<'a>(&'a Core, EndedHold);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.1.turn.is_some() && self.0.is_inherited() {
            mem::forget(self.1.turn.take());
        }
    }
}

impl EndedHold {
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

impl Drop for Hold {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nearly always its guard has released it, which needs neither clocks nor locks to be found out.
        if state.holding.last_status() == Status::Released {
            return;
        }
        if self.core.is_inherited() {
            // The lock, and the place in the queue, are the parent's.
            mem::forget(state.turn.take());
        } else {
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
        let guard = on_thread::block_on(locks.lock("k").acquire_async()).expect("it is free");
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
