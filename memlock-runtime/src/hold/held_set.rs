//! [`HeldSet`]: the locks of one call, one or several, acquired in order while those before are kept alive.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::HeldLock;
use super::lease::Lease;
use super::options::RenewPolicy;
use super::renewal::keep_alive;
use super::reservation::Retry;
use crate::driver::acquire::acquire_grant;
use crate::driver::background_work;
use crate::driver::caller::Caller;
use crate::driver::core::Core;
use crate::driver::limits::{CallLimits, ExchangeLimit};
use crate::driver::waiting::{CompanionLost, KeepAlive, KeepingAlive, Stopped};
use crate::error::Error;
use crate::protocol::Spec;
use crate::protocol::lease::Now;
use crate::system::on_thread;

/// Held locks. Dropping them releases them: on this thread, or in the background for a task.
#[derive(Debug)]
pub(crate) struct HeldSet {
    lease: Lease,
    caller: Caller,
    /// The limit of a call that is not over yet. `None`: each exchange has its own.
    limit: Option<ExchangeLimit>,
}

impl HeldSet {
    /// An empty set. Until the call has [all its locks](Self::acquired), dropping the set releases them within `limit`.
    pub(crate) fn new(caller: Caller, limit: ExchangeLimit) -> HeldSet {
        HeldSet {
            lease: Lease::new([]),
            caller,
            limit: Some(limit),
        }
    }

    /// Locks of a call that is over, in the order in which they were acquired.
    pub(crate) fn of(locks: impl IntoIterator<Item = Arc<HeldLock>>, caller: Caller) -> HeldSet {
        HeldSet {
            lease: Lease::new(locks),
            caller,
            limit: None,
        }
    }

    /// Acquires one more lock within `limits`, from `now` on, while the others are kept alive. Keeps it alive from then on as
    /// `renew` says.
    pub(crate) async fn acquire(
        &mut self,
        core: &Arc<Core>,
        spec: Spec,
        limits: CallLimits,
        now: Now,
        renew: Option<RenewPolicy>,
    ) -> Result<&Arc<HeldLock>, Stopped> {
        let earlier = self.lease.locks();
        let companions = Companions(earlier);
        let (grant, turn) = acquire_grant(core, self.caller, &spec, limits, now, &companions).await?;
        let held = HeldLock::new(core, spec, grant, turn);
        let number = earlier.len();
        self.add(held, renew);
        let (earlier, latest) = self.lease.locks().split_at(number);
        // Time has passed while this one was waited for.
        for aged in earlier {
            let kept = aged.keep_at_least_half(self.caller, limits.asking).await;
            kept.map_err(|_| Stopped::CompanionLost)?;
        }
        Ok(&latest[0])
    }

    /// Adds a lock that was claimed from a reservation. Keeps it alive from then on as `renew` says.
    pub(crate) fn add(&mut self, held: Arc<HeldLock>, renew: Option<RenewPolicy>) {
        keep_alive(&held, renew);
        self.lease.push(held);
    }

    /// The call has all its locks: from now on each release has the limit of one exchange.
    pub(crate) fn acquired(mut self) -> Result<HeldSet, Error> {
        if self.lease.locks().is_empty() {
            return Err(Error::config("no key to lock was given"));
        }
        self.limit = None;
        Ok(self)
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Releases the locks, the last one first, as guards on a stack are. The background releases those that are left when the future
    /// is dropped.
    pub(crate) async fn release(mut self) {
        let (caller, limit) = (self.caller, self.limit);
        self.lease.release(caller, limit).await;
    }

    /// Reserves the locks for a retry of the caller. A dropped future releases those that it has not reserved.
    ///
    /// The reservations are there when this returns, so that a retry that comes at once finds them.
    pub(crate) async fn reserve(self, retry: &Retry) {
        self.reserve_within(retry, None).await;
    }

    /// The same within the limit of a call that goes on.
    pub(crate) async fn reserve_within(mut self, retry: &Retry, limit: Option<ExchangeLimit>) {
        self.lease.give_up();
        while let Some(held) = self.lease.locks().first() {
            let limit = limit.unwrap_or_else(|| held.core().each_exchange());
            let reserved = retry.reservations.reserve(held, self.caller, retry.length, limit);
            reserved.await;
            self.lease.remove_first();
        }
    }

    /// The same without waiting. What can be done at once is done when this returns.
    pub(crate) fn reserve_in_background(self, retry: Retry) {
        let Some(core) = self.lease.locks().first().map(|held| Arc::clone(held.core())) else {
            return;
        };
        background_work::begin(&core, async move { self.reserve(&retry).await });
    }

    /// Takes the locks out. Dropping this set then releases nothing.
    pub(crate) fn take(&mut self) -> Lease {
        mem::replace(&mut self.lease, Lease::new([]))
    }
}

impl Drop for HeldSet {
    fn drop(&mut self) {
        let (mut lease, limit) = (self.take(), self.limit);
        let Some(first) = lease.locks().first() else {
            return;
        };
        match self.caller {
            Caller::Thread => on_thread::block_on(pin!(lease.release(Caller::Thread, limit))),
            Caller::Task => {
                lease.give_up();
                let core = Arc::clone(first.core());
                background_work::begin(&core, async move { lease.release(Caller::Task, None).await });
            }
        }
    }
}

/// Locks that a caller holds while it waits for another.
struct Companions<'a>(&'a [Arc<HeldLock>]);

impl KeepAlive for Companions<'_> {
    fn keep_alive(&self, caller: Caller, limit: ExchangeLimit) -> Option<KeepingAlive<'_>> {
        let Companions(companions) = self;
        (!companions.is_empty()).then(|| {
            Box::pin(async move {
                let mut kept = Duration::MAX;
                for companion in *companions {
                    companion
                        .keep_at_least_half(caller, limit)
                        .await
                        .map_err(|_| CompanionLost)?;
                    kept = kept.min(companion.until_half());
                }
                Ok(kept)
            }) as KeepingAlive<'_>
        })
    }
}
