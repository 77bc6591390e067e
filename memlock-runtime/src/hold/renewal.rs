//! Renewing a held lock: while its body runs, or when it is asked to.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::options::RenewPolicy;
use super::{HeldLock, HeldLockState};
use crate::driver::background_work;
use crate::driver::caller::Caller;
use crate::driver::contender::{unavailable_because, why};
use crate::driver::limits::ExchangeLimit;
use crate::driver::renew::renew;
use crate::error::{Error, Source};
use crate::protocol::{Extended, Grant, Renew, Renewed, Status, Watch};

/// Extends the lease of `hold` at each third of it, until it is released or lost, or the time of `renew` is over.
pub(super) fn keep_alive(hold: &Arc<HeldLock>, renew: Option<RenewPolicy>) {
    let limit = match renew {
        None => return,
        Some(RenewPolicy::Always) => None,
        Some(RenewPolicy::For(length)) => Some(length),
    };
    let began = hold.core().now();
    let clock = Arc::clone(&hold.core().clock);
    let third = hold.spec().timeout / 3;
    let kept = Arc::downgrade(hold);
    hold.run_meanwhile(async move {
        let mut due = began.instant + third;
        loop {
            clock.sleep_until(due).await;
            if limit.is_some_and(|limit| clock.now().since(began) >= limit) {
                return;
            }
            // The lease counts from here, too: a renewal that is held up does not delay the next one.
            let asked = clock.now().instant;
            match renew_once(&kept).await {
                Some(Ok(())) => due = asked + third,
                // The old deadline stands. There is time for several tries before it passes.
                Some(Err(())) => due = clock.now().instant + third / 8,
                None => return,
            }
        }
    });
}

/// Renews once. `None`: there is nothing left to renew.
async fn renew_once(hold: &Weak<HeldLock>) -> Option<Result<(), ()>> {
    let hold = hold.upgrade()?;
    if hold.is_released() {
        return None;
    }
    match hold.renew_unbroken(Caller::Task, hold.core().each_exchange()).await {
        Ok(()) => Some(Ok(())),
        Err(error) if error.is_lost() => {
            if !hold.is_released() {
                tracing::warn!(target: "memlock", %error, "a renewed lease is lost");
            }
            None
        }
        Err(_) => Some(Err(())),
    }
}

impl HeldLock {
    /// Extends the lease to its full timeout from now, within `limit`. When a task's future is dropped, the renewal goes on.
    pub(crate) async fn renew(self: &Arc<HeldLock>, caller: Caller, limit: ExchangeLimit) -> Result<(), Error> {
        self.core.check_process()?;
        match caller {
            Caller::Thread => self.renew_unbroken(caller, limit).await,
            Caller::Task => {
                let held = Arc::clone(self);
                background_work::finish(&self.core, async move { held.renew_unbroken(caller, limit).await }).await
            }
        }
    }

    /// The same. Must not be dropped before its end: the number of an attempt must be kept.
    async fn renew_unbroken(&self, caller: Caller, limit: ExchangeLimit) -> Result<(), Error> {
        let alone = self.exchange_alone(caller, limit).await;
        let _exchanging = alone.ok_or_else(|| self.under_way())?;
        let grant = self.to_renew()?;
        let machine = Renew::new(self.spec.clone(), grant);
        let (renewed, source) = renew(self.core(), caller, &self.spec, machine, limit).await;
        self.renewed(renewed, source)
    }

    /// The error of a renewal that could not begin within its limit.
    fn under_way(&self) -> Error {
        let source = "another exchange about this lock is under way, and has not been answered";
        let source = Source::from(Box::<dyn std::error::Error + Send + Sync>::from(source));
        unavailable_because(self.core(), &self.spec, source)
    }

    /// The grant to renew.
    pub(super) fn to_renew(&self) -> Result<Grant, Error> {
        let now = self.core().now();
        let mut state = self.state();
        match state.holding.status(now) {
            Status::Held => Ok(state.holding.grant().clone()),
            over => Err(self.not_held(over, &state)),
        }
    }

    /// Records the outcome of a renewal.
    pub(super) fn renewed(&self, renewed: Renewed, source: Option<Source>) -> Result<(), Error> {
        let mut state = self.state();
        match state.holding.renewed(renewed) {
            Extended::Yes => {
                state.trouble = None;
                let HeldLockState { holding, turn, .. } = &*state;
                if let Some(turn) = turn {
                    let grant = holding.grant();
                    turn.leased(grant.deadline.ends(), Watch::of_own(grant, self.core().now()));
                }
                Ok(())
            }
            Extended::Failed(unanswered) => {
                let source = source.unwrap_or_else(|| why(unanswered));
                // Only the first of several failures warns, while there is still time to act. The others follow soon and say the same.
                let is_first = state.trouble.replace(Arc::clone(&source)).is_none();
                let left = state.holding.remaining(self.core().now());
                drop(state);
                if is_first && !self.is_reservation {
                    tracing::warn!(
                        target: "memlock", lock = %self.spec.item, holder = %self.spec.label, error = %source, ?left,
                        "the lease could not be renewed"
                    );
                }
                Err(unavailable_because(self.core(), &self.spec, source))
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
    pub(crate) async fn keep_at_least_half(
        self: &Arc<HeldLock>,
        caller: Caller,
        limit: ExchangeLimit,
    ) -> Result<(), Error> {
        self.core.check_process()?;
        if self.has_half() {
            return Ok(());
        }
        let renewed = self.renew(caller, limit).await;
        self.unless_lost(renewed)
    }

    /// Passes on an error only if the lease is lost. The lease may also have ended while a renewal waited for a reply.
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

    /// How long [`keep_at_least_half`](Self::keep_at_least_half) is good for: the renewal then still has a quarter to succeed in.
    pub(crate) fn until_half(&self) -> Duration {
        self.spec.timeout / 4
    }
}
