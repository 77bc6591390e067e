//! Reservations: locks that are kept for a retry. Their holder's database met a conflict. The holder comes back with fresh data in a
//! moment, and goes before all others.
//!
//! A reservation is a held lock of its own, in nobody's hands. It ends when its owner claims it, when the owner's thread ends, or
//! when its time is over. It is then released at once, so that the lease in the item matters only if the process dies.

mod kept;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
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
    /// The next caller in this process: an asynchronous caller comes back on any thread, maybe in another task. If another caller
    /// comes first, with data from before the conflict, its database detects that.
    Process,
}

impl Owner {
    /// The caller that is asking here.
    pub(crate) fn of(caller: Caller) -> Owner {
        match caller {
            Caller::Thread => Owner::Thread(thread::current().id()),
            Caller::Task => Owner::Process,
        }
    }
}

/// The reservations of one `Locks`. There is one for a key at the most, since there is one turn.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    by_item: Mutex<HashMap<ItemName, Reservation>>,
}

#[derive(Debug)]
struct Reservation {
    hold: Arc<HeldLock>,
    owner: Owner,
}

impl Reservations {
    fn by_item(&self) -> MutexGuard<'_, HashMap<ItemName, Reservation>> {
        self.by_item.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in `hold`, for `owner`. The caller must release what is returned: a reservation that was there before and has lost its
    /// turn, or `hold` itself once these locks are shut down.
    fn put(&self, hold: &Arc<HeldLock>, owner: Owner) -> Option<Arc<HeldLock>> {
        let mut by_item = self.by_item();
        // Under the lock: `shutdown` sets the flag before it takes out all reservations.
        if hold.core().is_shut_down.load(Ordering::Acquire) {
            return Some(Arc::clone(hold));
        }
        let reservation = Reservation {
            hold: Arc::clone(hold),
            owner,
        };
        let replaced = by_item.insert(hold.spec().item.clone(), reservation);
        replaced.map(|replaced| replaced.hold)
    }

    /// Takes out the reservation of `item`, if `claimant` may claim it.
    fn take(&self, item: &ItemName, claimant: Owner) -> Option<Arc<HeldLock>> {
        let mut by_item = self.by_item();
        let owner = by_item.get(item)?.owner;
        if owner != Owner::Process && owner != claimant {
            return None;
        }
        by_item.remove(item).map(|reservation| reservation.hold)
    }

    /// Takes out the reservation that is `hold`. Returns whether it was still there.
    fn remove(&self, hold: &Arc<HeldLock>) -> bool {
        let mut by_item = self.by_item();
        let item = &hold.spec().item;
        let is_there = by_item
            .get(item)
            .is_some_and(|reservation| Arc::ptr_eq(&reservation.hold, hold));
        if is_there {
            by_item.remove(item);
        }
        is_there
    }

    /// Ends all, at once.
    pub(crate) fn abandon(&self) {
        let all = std::mem::take(&mut *self.by_item());
        for reservation in all.into_values() {
            reservation.hold.release_in_background();
        }
    }

    /// Reserves the lock of `hold` for a retry of its caller, for `length` from now. Whatever becomes of it, `hold` is released.
    ///
    /// The reservation is there when this returns, so that a retry that comes at once finds it. What the server has to be told
    /// goes on in the background. It waits only while a renewal is under way, or, within `limit`, for a release where there is
    /// nothing to reserve.
    /// A thread's reservation must be made on that thread. A dropped future may have left `hold` as it was.
    pub(crate) async fn reserve(
        self: &Arc<Reservations>,
        hold: &Arc<HeldLock>,
        caller: Caller,
        length: Duration,
        limit: ExchangeLimit,
    ) {
        let owner = Owner::of(caller);
        let Some(hold) = hold.reserve(caller, length, limit).await else {
            return;
        };
        let core = Arc::clone(hold.core());
        if let Some(over) = self.put(&hold, owner) {
            over.release_in_background();
        }
        if let Owner::Thread(_) = owner {
            self.end_with_this_thread(&hold);
        }
        self.end_in_time(&hold);
        background_work::begin(&core, async move { hold.shorten().await });
    }

    /// The lock that was reserved for a retry of `claimant`, for a caller that asks for it as `spec` says, within `limit`. `None`:
    /// there is no such reservation, it is over, or the server could not be asked. Must not be dropped before its end.
    pub(crate) async fn claim(&self, caller: Caller, spec: &Spec, limit: ExchangeLimit) -> Option<Arc<HeldLock>> {
        let reserved = self.take(&spec.item, Owner::of(caller))?;
        let claimed = reserved.claim(caller, spec, limit).await;
        if claimed.is_none() && !reserved.is_released() {
            // Its call has no time left for that.
            reserved.release_in_background();
        }
        claimed
    }

    /// Whether `caller` could claim a reservation of `item`.
    pub(crate) fn is_reserved(&self, item: &ItemName, caller: Caller) -> bool {
        let claimant = Owner::of(caller);
        let by_item = self.by_item();
        by_item
            .get(item)
            .is_some_and(|reservation| reservation.owner == Owner::Process || reservation.owner == claimant)
    }

    /// Releases `hold` when its lease is over, if it has not been claimed.
    fn end_in_time(self: &Arc<Reservations>, hold: &Arc<HeldLock>) {
        let clock = Arc::clone(&hold.core().clock);
        let due = clock.now().instant + hold.remaining();
        // Until then they are there, also when the last `Locks` is dropped.
        let (reservations, reserved) = (Arc::clone(self), Arc::downgrade(hold));
        hold.run_meanwhile(async move {
            clock.sleep_until(due).await;
            reservations.abandon_one(&reserved);
        });
    }

    fn end_with_this_thread(self: &Arc<Reservations>, hold: &Arc<HeldLock>) {
        // On a thread that is already ending, the reservation ends with its time.
        let _ = MINE.try_with(|mine| {
            let Mine(mine) = &mut *mine.borrow_mut();
            mine.retain(|(_, hold)| hold.strong_count() > 0);
            mine.push((Arc::downgrade(self), Arc::downgrade(hold)));
        });
    }

    fn abandon_one(&self, hold: &Weak<HeldLock>) {
        if let Some(hold) = hold.upgrade()
            && !hold.core().is_inherited()
            && self.remove(&hold)
        {
            hold.release_in_background();
        }
    }
}

/// Where locks are kept for a retry after a conflict, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub(crate) reservations: Arc<Reservations>,
    pub(crate) length: Duration,
}

thread_local! {
    /// The reservations of this thread.
    static MINE: RefCell<Mine> = const { RefCell::new(Mine(Vec::new())) };
}

/// Abandons what is reserved for a thread, when that ends.
struct Mine(Vec<(Weak<Reservations>, Weak<HeldLock>)>);

impl Drop for Mine {
    fn drop(&mut self) {
        for (reservations, hold) in &self.0 {
            if let Some(reservations) = reservations.upgrade() {
                reservations.abandon_one(hold);
            }
        }
    }
}
