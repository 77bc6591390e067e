//! [`HeldSet`]: the locks of one call. They are acquired in order, and kept alive while the call waits for the next
//! one.

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

/// The held locks of one call. Dropping this releases them: on this thread, or for a task in the background.
#[derive(Debug)]
pub(crate) struct HeldSet {
    lease: Lease,
    caller: Caller,
    /// The limit of the call, while it is under way. `None`: the releases together have the limit of one exchange.
    limit: Option<ExchangeLimit>,
}

impl HeldSet {
    /// An empty set, for a call that begins. Until the call has [all its locks](Self::acquired), dropping the set
    /// releases them within `limit`.
    pub(crate) fn new(caller: Caller, limit: ExchangeLimit) -> HeldSet {
        HeldSet {
            lease: Lease::new([]),
            caller,
            limit: Some(limit),
        }
    }

    /// The locks of a call that has all of them, in the order in which they were acquired.
    pub(crate) fn of(locks: impl IntoIterator<Item = Arc<HeldLock>>, caller: Caller) -> HeldSet {
        HeldSet {
            lease: Lease::new(locks),
            caller,
            limit: None,
        }
    }

    /// Acquires one more lock within `limits`, from `now` on, and keeps the others alive meanwhile. Afterwards `renew`
    /// says how long it is kept alive.
    pub(crate) async fn acquire(
        &mut self,
        core: &Arc<Core>,
        spec: Spec,
        limits: CallLimits,
        now: Now,
        renew: Option<RenewPolicy>,
    ) -> Result<(), Stopped> {
        let caller = self.caller;
        let earlier = Companions(self.lease.locks());
        let (grant, turn) = acquire_grant(core, caller, &spec, limits, now, &earlier).await?;
        let number = self.lease.locks().len();
        self.add(HeldLock::new(core, spec, grant, turn), renew);
        // The answer may have come just as these locks were shut down. Then the set releases what it has.
        core.check_not_shut_down().map_err(Stopped::Failed)?;
        // The earlier locks have aged while the call waited for this one.
        let earlier = Companions(&self.lease.locks()[..number]);
        match earlier.keep_alive(caller, limits.asking) {
            None => Ok(()),
            Some(keeping) => keeping.await.map(drop).map_err(|CompanionLost| Stopped::CompanionLost),
        }
    }

    /// Adds a lock that was claimed from a reservation. Afterwards `renew` says how long it is kept alive.
    pub(crate) fn add(&mut self, held: Arc<HeldLock>, renew: Option<RenewPolicy>) {
        keep_alive(&held, renew);
        self.lease.push(held);
    }

    /// Ends the call, which has all its locks. From now on the releases together have the limit of one exchange.
    pub(crate) fn acquired(mut self) -> Result<HeldSet, Error> {
        if self.lease.locks().is_empty() {
            return Err(Error::config("the call names no key: name at least one to lock"));
        }
        self.limit = None;
        Ok(self)
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Releases the locks, the last one first, like guards on a stack. If the future is dropped, the background
    /// releases the rest.
    pub(crate) async fn release(mut self) {
        let (caller, limit) = (self.caller, self.limit);
        self.lease.release(caller, limit).await;
    }

    /// Reserves the locks for a retry of the caller. If the future is dropped, the locks that are not reserved yet are
    /// released.
    ///
    /// The reservations are there when this returns, so that an immediate retry finds them.
    pub(crate) async fn reserve(self, retry: &Retry) {
        self.reserve_within(retry, None).await;
    }

    /// As [`reserve`](Self::reserve), but within the limit of a call that is still under way.
    pub(crate) async fn reserve_within(mut self, retry: &Retry, limit: Option<ExchangeLimit>) {
        self.lease.give_up();
        let Some(limit) = limit.or_else(|| self.lease.end_limit()) else {
            return;
        };
        while let Some(held) = self.lease.locks().first() {
            let reserved = retry.reservations.reserve(held, self.caller, retry.length, limit);
            reserved.await;
            self.lease.remove_first();
        }
    }

    /// As [`reserve`](Self::reserve), but without waiting. Everything that needs no waiting is done when this returns.
    pub(crate) fn reserve_in_background(self, retry: Retry) {
        let Some(core) = self.lease.locks().first().map(|held| Arc::clone(held.core())) else {
            return;
        };
        background_work::begin(&core, async move { self.reserve(&retry).await });
    }

    /// Takes the locks out, so that dropping this set releases nothing.
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

/// The locks that a caller holds while it waits for another one.
struct Companions<'a>(&'a [Arc<HeldLock>]);

impl KeepAlive for Companions<'_> {
    fn keep_alive(&self, caller: Caller, limit: ExchangeLimit) -> Option<KeepingAlive<'_>> {
        (!self.0.is_empty()).then(|| Box::pin(self.keep_at_least_half(caller, limit)) as KeepingAlive<'_>)
    }
}

impl Companions<'_> {
    /// Renews each lock of which less than half of the timeout is left. Returns how long that lasts.
    async fn keep_at_least_half(&self, caller: Caller, limit: ExchangeLimit) -> Result<Duration, CompanionLost> {
        let mut lasts = Duration::MAX;
        for companion in self.0 {
            let kept = companion.keep_at_least_half(caller, limit).await;
            kept.map_err(|_| CompanionLost)?;
            // After that time, a renewal still has a quarter of the timeout to succeed in.
            lasts = lasts.min(companion.spec().timeout / 4);
        }
        Ok(lasts)
    }
}
