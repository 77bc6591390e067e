//! The locks of one transaction: those that its functions have met so far, and those of them that it holds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::driver::caller::Caller;
use crate::driver::core::Core;
use crate::error::OnUnavailable;
use crate::hold::HeldLock;
use crate::hold::held_set::HeldSet;
use crate::hold::options::LockOptions;
use crate::key::ItemName;
use crate::protocol::Spec;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Scope {
    attempt: AtomicU32,
    /// In the order in which they are taken: see [`Met::order`].
    met: Mutex<Vec<Met>>,
}

/// A lock that a transaction has met.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    pub(crate) core: Arc<Core>,
    pub(crate) spec: Spec,
    pub(crate) options: LockOptions,
    /// What to do when its server cannot be asked.
    pub(crate) policy: OnUnavailable,
    /// `None` while it is not held.
    pub(crate) hold: Option<Arc<HeldLock>>,
}

impl Met {
    /// All transactions wait for locks in this order, and hold only earlier ones meanwhile: so none waits for another that
    /// waits for it. Locks of one name on two lists of servers are told apart by the server.
    fn order(&self) -> (&ItemName, &str) {
        (&self.spec.item, self.core.store.server_name(self.spec.server))
    }

    /// The lock, while its lease lasts.
    pub(crate) fn held(&self) -> Option<&Arc<HeldLock>> {
        self.hold.as_ref().filter(|hold| !hold.remaining().is_zero())
    }
}

impl Scope {
    pub(crate) fn new() -> Scope {
        Scope {
            attempt: AtomicU32::new(0),
            met: Mutex::default(),
        }
    }

    /// The number of the present attempt, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_attempt(&self) -> u32 {
        self.attempt.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The lock on `item`, if the transaction holds it and its lease lasts.
    pub(crate) fn find(&self, core: &Arc<Core>, item: &ItemName) -> Option<Arc<HeldLock>> {
        let met = self.met();
        let found = met
            .iter()
            .find(|met| Arc::ptr_eq(&met.core, core) && met.spec.item == *item)?;
        found.held().cloned()
    }

    /// Notes a lock that was met, held or not. What is held stays so. What is returned was held before, and is to be released.
    pub(crate) fn meet(&self, lock: Met) -> Option<Arc<HeldLock>> {
        let mut met = self.met();
        match met.binary_search_by(|other| other.order().cmp(&lock.order())) {
            Ok(known) if lock.hold.is_none() && met[known].held().is_some() => None,
            Ok(known) => {
                let before = std::mem::replace(&mut met[known], lock);
                before.hold
            }
            Err(place) => {
                met.insert(place, lock);
                None
            }
        }
    }

    /// All that was met, in the order in which it is taken.
    pub(crate) fn all(&self) -> Vec<Met> {
        self.met().clone()
    }

    /// Takes out what is held, in order, for `caller` to release.
    pub(crate) fn take_held(&self, caller: Caller) -> HeldSet {
        let mut met = self.met();
        HeldSet::of(met.iter_mut().filter_map(|met| met.hold.take()), caller)
    }

    fn met(&self) -> MutexGuard<'_, Vec<Met>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
