//! Reservations: after a conflict in its database, a caller retries with fresh data. Until then its lock is reserved,
//! so that the retry goes before all others.
//!
//! A reservation is a held lock of its own, under which no body runs. It ends when its owner claims it, when the
//! owner's thread ends, or when its time is over. It is then released at once, so the lease in the item matters only if
//! the process dies.

mod reserved_lock;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::HeldLock;
use crate::driver::background_work;
use crate::driver::caller::Caller;
use crate::driver::limits::ExchangeLimit;
use crate::key::ItemName;
use crate::protocol::Spec;

/// The caller that may claim a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A synchronous caller's thread.
    Thread(ThreadId),
    /// The next asynchronous caller in this process, since a task may come back on any thread, or as another task. If a
    /// caller with data from before the conflict comes first, its database detects that.
    Process,
}

impl Owner {
    /// Returns the owner of a reservation that `caller` makes on this thread.
    pub(crate) fn of(caller: Caller) -> Owner {
        match caller {
            Caller::Thread => Owner::Thread(thread::current().id()),
            Caller::Task => Owner::Process,
        }
    }
}

/// The reservations of one `Locks`: at most one for each key, since there is one turn.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    by_item: Mutex<HashMap<ItemName, Reservation>>,
}

#[derive(Debug)]
struct Reservation {
    lock: Arc<HeldLock>,
    owner: Owner,
}

impl Reservations {
    fn by_item(&self) -> MutexGuard<'_, HashMap<ItemName, Reservation>> {
        self.by_item.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `lock`, for `owner`. The caller must release the lock that is returned: an older reservation, which has
    /// lost its turn, or `lock` itself if these locks are shut down.
    fn add(&self, lock: &Arc<HeldLock>, owner: Owner) -> Option<Arc<HeldLock>> {
        let mut by_item = self.by_item();
        // While `by_item` is locked: `shutdown` sets the flag before it takes all reservations out.
        if lock.core().is_shut_down() {
            return Some(Arc::clone(lock));
        }
        let reservation = Reservation {
            lock: Arc::clone(lock),
            owner,
        };
        let replaced = by_item.insert(lock.spec().item.clone(), reservation);
        replaced.map(|replaced| replaced.lock)
    }

    /// Takes out the reservation of `item`, if `claimant` may claim it.
    fn take(&self, item: &ItemName, claimant: Owner) -> Option<Arc<HeldLock>> {
        self.take_if(item, |reservation| reservation.is_for(claimant))
    }

    /// Takes out the reservation of `item`, if it fulfils `condition`.
    fn take_if(&self, item: &ItemName, condition: impl FnOnce(&Reservation) -> bool) -> Option<Arc<HeldLock>> {
        let mut by_item = self.by_item();
        condition(by_item.get(item)?)
            .then(|| by_item.remove(item))?
            .map(|reservation| reservation.lock)
    }

    /// Ends all reservations at once.
    pub(crate) fn abandon(&self) {
        let all = std::mem::take(&mut *self.by_item());
        for reservation in all.into_values() {
            reservation.lock.release_in_background();
        }
    }

    /// Reserves `held` for a retry of `caller`, for `length` from now. In any case `held` itself is released.
    ///
    /// The reservation is there when this returns, so that an immediate retry finds it. The background tells the
    /// server. This waits only for a renewal that is under way, and for a release if there is nothing to reserve, both
    /// within `limit`. A thread's reservation must be made on that thread. If the future is dropped, `held` may be as
    /// it was.
    pub(crate) async fn reserve(
        self: &Arc<Reservations>,
        held: &Arc<HeldLock>,
        caller: Caller,
        length: Duration,
        limit: ExchangeLimit,
    ) {
        let owner = Owner::of(caller);
        let Some(reserved) = held.reserve(caller, length, limit).await else {
            return;
        };
        let core = Arc::clone(reserved.core());
        if let Some(unwanted) = self.add(&reserved, owner) {
            unwanted.release_in_background();
        }
        if let Owner::Thread(_) = owner {
            self.end_with_thread(&reserved);
        }
        self.end_on_time(&reserved);
        background_work::begin(&core, async move { reserved.shorten().await });
    }

    /// Claims the lock that is reserved for `caller`, which asks for `spec`, within `limit`. `None`: there is no such
    /// reservation, it is over, or the server could not be asked. The future must not be dropped before its end.
    pub(crate) async fn claim(&self, caller: Caller, spec: &Spec, limit: ExchangeLimit) -> Option<Arc<HeldLock>> {
        let reserved = self.take(&spec.item, Owner::of(caller))?;
        let claimed = reserved.claim(caller, spec, limit).await;
        if claimed.is_none() && !reserved.is_released() {
            // The call has no time left to release it.
            reserved.release_in_background();
        }
        claimed
    }

    /// Returns whether `caller` can claim a reservation of `item`.
    pub(crate) fn is_reserved(&self, item: &ItemName, caller: Caller) -> bool {
        let claimant = Owner::of(caller);
        self.by_item()
            .get(item)
            .is_some_and(|reservation| reservation.is_for(claimant))
    }

    /// Releases `reserved` when its lease is over, unless it has been claimed.
    fn end_on_time(self: &Arc<Reservations>, reserved: &Arc<HeldLock>) {
        let clock = Arc::clone(&reserved.core().clock);
        let due = clock.now().instant + reserved.remaining();
        // The task keeps the reservations, even if the last `Locks` is dropped meanwhile.
        let (reservations, lock) = (Arc::clone(self), Arc::downgrade(reserved));
        reserved.run_while_held(async move {
            clock.sleep_until(due).await;
            reservations.release_unclaimed(&lock);
        });
    }

    /// Releases `reserved` when this thread ends, unless it has been claimed.
    fn end_with_thread(self: &Arc<Reservations>, reserved: &Arc<HeldLock>) {
        // On a thread that is already ending, the reservation ends when its time is over.
        let _ = THREAD_RESERVATIONS.try_with(|of_thread| {
            let ThreadReservations(locks) = &mut *of_thread.borrow_mut();
            locks.retain(|(_, lock)| lock.strong_count() > 0);
            locks.push((Arc::downgrade(self), Arc::downgrade(reserved)));
        });
    }

    /// Releases the reserved `lock`, unless it has been claimed, or belongs to the parent of a forked child.
    fn release_unclaimed(&self, lock: &Weak<HeldLock>) {
        if let Some(lock) = lock.upgrade()
            && !lock.core().is_inherited()
            && let Some(lock) = self.take_if(&lock.spec().item, |reservation| Arc::ptr_eq(&reservation.lock, &lock))
        {
            lock.release_in_background();
        }
    }
}

impl Reservation {
    fn is_for(&self, claimant: Owner) -> bool {
        self.owner == Owner::Process || self.owner == claimant
    }
}

/// Where locks are reserved for a retry after a conflict, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub(crate) reservations: Arc<Reservations>,
    pub(crate) length: Duration,
}

thread_local! {
    /// The locks that are reserved for this thread.
    static THREAD_RESERVATIONS: RefCell<ThreadReservations> = const { RefCell::new(ThreadReservations(Vec::new())) };
}

/// The locks that are reserved for one thread. They are released when the thread ends.
struct ThreadReservations(Vec<(Weak<Reservations>, Weak<HeldLock>)>);

impl Drop for ThreadReservations {
    fn drop(&mut self) {
        for (reservations, lock) in &self.0 {
            if let Some(reservations) = reservations.upgrade() {
                reservations.release_unclaimed(lock);
            }
        }
    }
}
