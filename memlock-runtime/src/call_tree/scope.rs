//! [`Scope`]: the locks that the functions of one transaction have asked for so far, and which of them it holds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::driver::caller::Caller;
use crate::driver::core::Core;
use crate::error::OnUnavailable;
use crate::error::call_site::CallSite;
use crate::hold::HeldLock;
use crate::hold::held_set::HeldSet;
use crate::hold::options::LockOptions;
use crate::key::{ByItem, ItemName};
use crate::protocol::Spec;

/// The locks of one transaction, and the number of its current attempt.
#[derive(Debug)]
pub(crate) struct Scope {
    attempt: AtomicU32,
    /// In the order in which they are acquired: see [`ScopeLock::order`].
    locks: Mutex<Vec<ScopeLock>>,
    /// A mutex for each lock that was asked for, which a function locks while it asks.
    asking: Mutex<ByItem<Arc<tokio::sync::Mutex<()>>>>,
}

/// A lock that a function of the transaction has asked for.
#[derive(Debug, Clone)]
pub(crate) struct ScopeLock {
    pub(crate) core: Arc<Core>,
    pub(crate) spec: Spec,
    pub(crate) options: LockOptions,
    /// What to do when its server cannot be asked.
    pub(crate) policy: OnUnavailable,
    /// `None` while it is not held.
    pub(crate) held: Option<Arc<HeldLock>>,
}

impl ScopeLock {
    /// Returns the lock's place in the order in which all transactions wait for locks. A waiting transaction holds only
    /// earlier locks, so no two wait for each other. Locks of one name on two lists of servers are ordered by their
    /// server.
    fn order(&self) -> (&ItemName, &str) {
        (&self.spec.item, self.core.store.server_name(self.spec.server))
    }

    /// Returns the held lock, while its lease lasts.
    pub(crate) fn valid(&self) -> Option<&Arc<HeldLock>> {
        self.held.as_ref().filter(|held| !held.remaining().is_zero())
    }
}

impl Scope {
    pub(crate) fn new() -> Scope {
        Scope {
            attempt: AtomicU32::new(0),
            locks: Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// Returns the number of the current attempt, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    /// Counts one more attempt, and returns its number.
    pub(crate) fn begin_attempt(&self) -> u32 {
        self.attempt.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the lock on `item`, and the function that asked for it, if the transaction holds it and its lease lasts.
    pub(crate) fn find(&self, core: &Arc<Core>, item: &ItemName) -> Option<(Arc<HeldLock>, CallSite)> {
        let locks = self.lock();
        let is_wanted = |lock: &&ScopeLock| Arc::ptr_eq(&lock.core, core) && lock.spec.item == *item;
        let lock = locks.iter().find(is_wanted)?;
        Some((Arc::clone(lock.valid()?), lock.options.site))
    }

    /// Returns the mutex that a function locks while it asks for the lock on `item`. Of two functions that ask at once,
    /// the second waits for the answer to the first, and shares the lock. The server would tell it that the lock is held.
    pub(crate) fn asking(&self, item: &ItemName) -> Arc<tokio::sync::Mutex<()>> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(asking.entry(item.clone()).or_default())
    }

    /// Records `lock`, held or not. A lock whose lease lasts is not replaced by one that is not held. If this returns a
    /// lock, `lock` has taken its place, and the caller must release it.
    pub(crate) fn record(&self, lock: ScopeLock) -> Option<Arc<HeldLock>> {
        let mut locks = self.lock();
        match locks.binary_search_by(|other| other.order().cmp(&lock.order())) {
            Ok(known) if lock.held.is_none() && locks[known].valid().is_some() => None,
            Ok(known) => std::mem::replace(&mut locks[known], lock).held,
            Err(place) => {
                locks.insert(place, lock);
                None
            }
        }
    }

    /// Returns all locks, in the order in which they are acquired.
    pub(crate) fn locks(&self) -> Vec<ScopeLock> {
        self.lock().clone()
    }

    /// Takes out the held locks, in order, for `caller` to release.
    pub(crate) fn take_held(&self, caller: Caller) -> HeldSet {
        let mut locks = self.lock();
        HeldSet::of(locks.iter_mut().filter_map(|lock| lock.held.take()), caller)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ScopeLock>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
