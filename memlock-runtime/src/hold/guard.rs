//! Guards: held locks without an attribute, released when they are dropped.

use std::ops::Deref;

use super::held_set::HeldSet;
use super::lease::Lease;

/// A held lock, released when this is dropped. Made by [`Locks::lock`](crate::Locks::lock).
///
/// It may be sent to another thread and dropped there. It takes no part in re-entrancy, which follows function calls:
/// a thread that holds one and asks for the same lock again waits for itself, until its own lease is over.
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct Guard {
    held: HeldSet,
}

impl Guard {
    pub(crate) fn new(held: HeldSet) -> Guard {
        Guard { held }
    }

    /// Releases the lock now. A failure is logged, and the background cleans up after it.
    pub fn release(self) {}

    /// The lease, to keep.
    pub fn lease(&self) -> Lease {
        self.held.lease().clone()
    }
}

impl Deref for Guard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        self.held.lease()
    }
}

/// A held lock of an asynchronous caller. Made by [`LockRequest::acquire_async`](crate::LockRequest::acquire_async).
///
/// Dropping it releases the lock in the background, soon; [`release`](Self::release) waits until that is done. Otherwise it
/// is a [`Guard`].
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct AsyncGuard {
    held: HeldSet,
}

impl AsyncGuard {
    pub(crate) fn new(held: HeldSet) -> AsyncGuard {
        AsyncGuard { held }
    }

    /// Releases the lock, and waits for that. A failure is logged, and the background cleans up after it.
    ///
    /// # Cancellation
    ///
    /// The lock is released in any case.
    pub async fn release(self) {
        self.held.release().await;
    }

    /// The lease, to keep.
    pub fn lease(&self) -> Lease {
        self.held.lease().clone()
    }
}

impl Deref for AsyncGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        self.held.lease()
    }
}
