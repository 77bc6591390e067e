//! `zlock`: the lock in front of a database that detects conflicts itself. Writers of one hot object wait before their
//! expensive work instead of losing it at commit.
//!
//! Alone, it does three things that `lock` does not:
//!
//! 1. It takes the reservation from its caller's earlier conflict.
//! 2. A body that ends in a conflict leaves its lock reserved for its caller's retry, for a moment.
//! 3. If another caller holds the lock, it does not run the body: what the caller has read of the database would be out
//!    of date by then. It waits for the lock, reserves it, and returns a conflict. The caller starts again with fresh
//!    data, and finds the lock reserved.
//!
//! In a transaction the lock belongs to the transaction, which holds it until its closure has returned. There it never
//! waits: see [`super`].

use std::sync::Arc;
use std::time::Duration;

use crate::call_tree::scope::{Scope, ScopeLock};
use crate::call_tree::{self, Frame};
use crate::driver::background_work;
use crate::driver::caller::Caller;
use crate::driver::core::Counters;
use crate::driver::inherited::in_this_process;
use crate::driver::waiting::Stopped;
use crate::error::{Error, OnUnavailable};
use crate::hold::HeldLock;
use crate::hold::body_locks::BodyLocks;
use crate::hold::held_set::HeldSet;
use crate::hold::lease::Lease;
use crate::hold::options::LockOptions;
use crate::key::ItemName;
use crate::locks::acquire::LockCall;

/// A call of a `zlock`.
pub(crate) struct Zlock<'a> {
    pub(crate) call: LockCall<'a>,
    /// In the order of their names, each once.
    pub(crate) items: &'a [ItemName],
    /// What to do if the server cannot be asked.
    pub(crate) policy: OnUnavailable,
    /// The frame of the body that called.
    pub(crate) outer: Option<&'a Arc<Frame>>,
}

/// Another caller holds the lock. Its label, if that is known.
struct OtherHolder(Option<String>);

impl Zlock<'_> {
    /// Acquires the locks, as a part of the caller's transaction if there is one. If the future is dropped, the
    /// background releases what it has acquired outside of a transaction.
    pub(crate) async fn acquire(&self) -> Result<BodyLocks, Error> {
        match call_tree::find_transaction(self.outer) {
            Some(scope) => self.acquire_in_transaction(&scope).await,
            None => self.acquire_alone().await,
        }
    }

    async fn acquire_alone(&self) -> Result<BodyLocks, Error> {
        let mut held = HeldSet::new(self.call.caller, self.call.limits.asking);
        let retry = self.call.locks.retry(self.call.options.reserve);
        for item in self.items {
            let Err(OtherHolder(holder)) = self.try_acquire_one(&mut held, item).await? else {
                continue;
            };
            // The call must not hold the others while it waits.
            held.release().await;
            // A release does not report that this process was forked meanwhile.
            self.call.core().check_process()?;
            let for_retry = LockOptions {
                timeout: Some(self.call.options.reserve),
                renew: None,
                ..*self.call.options
            };
            let now = self.call.core().now();
            match self.call.with(&for_retry).acquire_all_from(self.items, now).await {
                Ok(kept) => kept.reserve_within(&retry, Some(self.call.limits.asking)).await,
                // The first ones are lost as fast as the last is acquired: `reserve` is too short to keep them alive. The
                // retry finds nothing reserved, and is a new call.
                Err(error) if error.is_lost() => {}
                Err(error) => return Err(error),
            }
            let waited = self.call.limits.waited(self.call.core().now());
            return Err(conflict(self.items.first(), holder, waited));
        }
        Ok(BodyLocks::Own(held.acquired()?, Some(retry)))
    }

    async fn acquire_in_transaction(&self, scope: &Scope) -> Result<BodyLocks, Error> {
        let mut locks = Vec::new();
        for (place, item) in self.items.iter().enumerate() {
            let found = || call_tree::find_lock(self.outer, self.call.core(), item);
            // The transaction already holds it, or a function around the transaction does.
            if let Some(found) = found() {
                locks.push(found.held);
                continue;
            }
            let asking = scope.asking(item);
            let turn = self.begin_asking(&asking).await?;
            // Another function of the transaction may have got it meanwhile.
            if let Some(found) = found() {
                locks.push(found.held);
                continue;
            }
            let mut held = HeldSet::new(self.call.caller, self.call.limits.asking);
            let acquired = match turn {
                Some(_) => self.try_acquire_one(&mut held, item).await?,
                None => Err(OtherHolder(None)),
            };
            if let Err(OtherHolder(holder)) = acquired {
                // The transaction acquires this lock and the ones after it before its next attempt.
                for missing in &self.items[place..] {
                    self.record(scope, missing, None);
                }
                return Err(conflict(Some(item), holder, Duration::ZERO));
            }
            for lock in held.take().locks() {
                self.record(scope, item, Some(lock));
                locks.push(Arc::clone(lock));
            }
        }
        Ok(BodyLocks::Lent(Lease::new(locks)))
    }

    /// Waits while another function of the transaction asks for the same lock. `None`: that takes longer than an exchange
    /// may, perhaps because its future is not polled.
    async fn begin_asking<'b>(
        &self,
        asking: &'b tokio::sync::Mutex<()>,
    ) -> Result<Option<tokio::sync::MutexGuard<'b, ()>>, Error> {
        if let Ok(turn) = asking.try_lock() {
            return Ok(Some(turn));
        }
        let (core, caller) = (self.call.core(), self.call.caller);
        let limit = self.call.limits.asking.left(|| core.now());
        in_this_process(core, Box::pin(caller.lock_within(asking, limit))).await
    }

    /// Adds the lock on `item` to `held`, if it is reserved for this caller, or free. Waits for no other holder.
    async fn try_acquire_one(&self, held: &mut HeldSet, item: &ItemName) -> Result<Result<(), OtherHolder>, Error> {
        let once = self.call.without_waiting();
        let renew = self.call.options.renew;
        if let Some(claimed) = claim(&once, item).await? {
            held.add(claimed, renew);
            return Ok(Ok(()));
        }
        let now = once.core().now();
        let acquiring = held.acquire(once.core(), once.spec(item), once.limits, now, renew);
        match acquiring.await {
            Ok(()) => Ok(Ok(())),
            Err(Stopped::Failed(Error::Busy { holder, .. })) => {
                Counters::count(&once.core().counters.conflicts);
                Ok(Err(OtherHolder(holder)))
            }
            Err(Stopped::Failed(error)) => Err(once.count_error(error)),
            // Another caller has acquired one of the earlier locks.
            Err(Stopped::CompanionLost) => Ok(Err(OtherHolder(None))),
        }
    }

    /// Records a lock in the transaction, which holds `held` from now on.
    fn record(&self, scope: &Scope, item: &ItemName, held: Option<&Arc<HeldLock>>) {
        let lost = scope.record(ScopeLock {
            core: Arc::clone(self.call.core()),
            spec: self.call.spec(item),
            options: *self.call.options,
            policy: self.policy,
            held: held.map(Arc::clone),
        });
        if let Some(lost) = lost {
            lost.release_in_background();
        }
    }
}

fn conflict(item: Option<&ItemName>, holder: Option<String>, waited: Duration) -> Error {
    let key = item.map(|item| item.as_str().to_owned()).unwrap_or_default();
    Error::conflict(key, holder, waited)
}

/// Claims the reservation of `item`, if there is one for the caller. If a task's future is dropped, the claim goes on,
/// and then releases the lock.
async fn claim(call: &LockCall<'_>, item: &ItemName) -> Result<Option<Arc<HeldLock>>, Error> {
    let reservations = call.locks.reservations();
    if !reservations.is_reserved(item, call.caller) {
        return Ok(None);
    }
    let (spec, limit) = (call.spec(item), call.limits.asking);
    match call.caller {
        Caller::Thread => Ok(reservations.claim(Caller::Thread, &spec, limit).await),
        Caller::Task => {
            let reservations = Arc::clone(reservations);
            let claim = background_work::finish(call.core(), async move {
                let claimed = reservations.claim(Caller::Task, &spec, limit).await;
                // A set releases its lock if it is dropped, since its task no longer waits for it.
                Ok(HeldSet::of(claimed, Caller::Task))
            });
            Ok(claim.await?.take().locks().first().map(Arc::clone))
        }
    }
}
