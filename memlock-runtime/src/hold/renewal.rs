//! Renewing a held lock: again and again while its body runs, or once.

use std::sync::{Arc, Weak};

use super::options::RenewPolicy;
use super::{HeldLock, HeldLockState};
use crate::driver::background_work;
use crate::driver::caller::Caller;
use crate::driver::errors::{cause_of, unavailable_because};
use crate::driver::limits::ExchangeLimit;
use crate::driver::renew::renew;
use crate::error::{Error, Source};
use crate::protocol::{Extended, Grant, Renew, Renewed, Status, Watch};

/// Extends the lease of `held` whenever a third of it has passed, until the lock is released or lost, or the time of
/// `renew` is over.
pub(super) fn keep_alive(held: &Arc<HeldLock>, renew: Option<RenewPolicy>) {
    let limit = match renew {
        None => return,
        Some(RenewPolicy::Always) => None,
        Some(RenewPolicy::AtMost(length)) => Some(length),
    };
    let began = held.core().now();
    let clock = Arc::clone(&held.core().clock);
    let third = held.spec().timeout / 3;
    let weak = Arc::downgrade(held);
    held.run_while_held(async move {
        let mut due = began.instant + third;
        loop {
            clock.sleep_until(due).await;
            if limit.is_some_and(|limit| clock.now().since(began) >= limit) {
                return;
            }
            // The extended lease counts from here, too, so a slow renewal does not delay the next one.
            let asked = clock.now().instant;
            match renew_once(&weak).await {
                Some(true) => due = asked + third,
                // The old deadline stands. It leaves time for several more attempts.
                Some(false) => due = clock.now().instant + third / 8,
                None => return,
            }
        }
    });
}

/// Renews once, and returns whether that succeeded. `None`: the lock is released or lost.
async fn renew_once(held: &Weak<HeldLock>) -> Option<bool> {
    let held = held.upgrade()?;
    if held.is_released() {
        return None;
    }
    match held.renew_to_end(Caller::Task, held.core().each_exchange()).await {
        Ok(()) => Some(true),
        Err(error) if error.is_lost() => {
            if !held.is_released() {
                tracing::warn!(target: "memlock", %error, "the lease was lost although it is renewed");
            }
            None
        }
        Err(_) => Some(false),
    }
}

impl HeldLock {
    /// Extends the lease to its full timeout from now, within `limit`. If a task's future is dropped, the renewal goes
    /// on.
    pub(crate) async fn renew(self: &Arc<HeldLock>, caller: Caller, limit: ExchangeLimit) -> Result<(), Error> {
        match caller {
            Caller::Thread => self.renew_to_end(caller, limit).await,
            Caller::Task => {
                let held = Arc::clone(self);
                background_work::finish(&self.core, async move { held.renew_to_end(caller, limit).await }).await
            }
        }
    }

    /// As [`renew`](Self::renew). The future must not be dropped before its end, so that the number of the attempt is
    /// kept.
    async fn renew_to_end(&self, caller: Caller, mut limit: ExchangeLimit) -> Result<(), Error> {
        let exchanging = self.begin_exchanging(caller, &mut limit).await;
        let _exchanging = exchanging.ok_or_else(|| self.no_exchange_error())?;
        let grant = self.grant_to_renew()?;
        let machine = Renew::new(self.spec.clone(), grant);
        let (renewed, source) = renew(self.core(), caller, &self.spec, machine, limit).await;
        self.record_renewal(renewed, source)
    }

    /// Returns the error of a renewal that could not begin within its limit.
    fn no_exchange_error(&self) -> Error {
        let source = "another exchange about this lock is under way, and has not been answered";
        let source = Source::from(Box::<dyn std::error::Error + Send + Sync>::from(source));
        unavailable_because(self.core(), &self.spec, source)
    }

    /// Returns the grant, if the lock is still held.
    pub(super) fn grant_to_renew(&self) -> Result<Grant, Error> {
        let now = self.core().now();
        let mut state = self.state();
        match state.lease.status(now) {
            Status::Held => Ok(state.lease.grant().clone()),
            over => Err(self.lost_error(over, &state)),
        }
    }

    /// Records the outcome of a renewal.
    pub(super) fn record_renewal(&self, renewed: Renewed, source: Option<Source>) -> Result<(), Error> {
        let mut state = self.state();
        match state.lease.renewed(renewed) {
            Extended::Yes => {
                state.renewal_error = None;
                let HeldLockState { lease, turn, .. } = &*state;
                if let Some(turn) = turn {
                    let grant = lease.grant();
                    turn.leased(grant.deadline.ends(), Watch::of_own(grant, self.core().now()));
                }
                Ok(())
            }
            Extended::Failed(unanswered) => {
                let source = source.unwrap_or_else(|| cause_of(unanswered));
                // Only the first of several failures warns, since the others follow soon and say the same.
                let is_first = state.renewal_error.replace(Arc::clone(&source)).is_none();
                let left = state.lease.remaining(self.core().now());
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
                    state.renewal_error = source;
                }
                state.background_task = None;
                Err(self.lost_error(over, &state))
            }
        }
    }

    /// Renews the lock within `limit`, if less than half of its timeout is left. A failure is an error only if the
    /// lease has ended.
    pub(crate) async fn keep_at_least_half(
        self: &Arc<HeldLock>,
        caller: Caller,
        limit: ExchangeLimit,
    ) -> Result<(), Error> {
        let now = self.core().now();
        let has_half_left = self.state().lease.has_half_left(self.spec.timeout, now);
        if has_half_left {
            return Ok(());
        }
        match self.renew(caller, limit).await {
            Err(error) if error.is_lost() => Err(error),
            // The lease may also have ended while the renewal waited for a reply.
            Err(_) | Ok(()) => self.check(),
        }
    }
}
