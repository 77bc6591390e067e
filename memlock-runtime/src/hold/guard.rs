//! [`Guard`] and [`AsyncGuard`]: held locks without an attribute, which are released when the guard is dropped.

use std::ops::Deref;

use super::held_set::HeldSet;
use super::lease::Lease;

/// A held lock, released when this is dropped. Made by [`Locks::lock`](crate::Locks::lock).
///
/// A guard may be sent to another thread and dropped there. It takes no part in re-entrancy, which follows function
/// calls: a thread that holds a guard and asks for the same lock again waits for itself, until its own lease is over.
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct Guard {
    held: HeldSet,
}

impl Guard {
    pub(crate) fn new(held: HeldSet) -> Guard {
        Guard { held }
    }

    /// Releases the lock now. If that fails, memlock logs a warning, and tries again in the background.
    pub fn release(self) {}

    /// Returns the lease. It may be kept for longer than the guard.
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
/// If this is dropped, the background releases the lock soon; [`release`](Self::release) waits until the lock is
/// released. Otherwise this is like a [`Guard`].
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct AsyncGuard {
    held: HeldSet,
}

impl AsyncGuard {
    pub(crate) fn new(held: HeldSet) -> AsyncGuard {
        AsyncGuard { held }
    }

    /// Releases the lock, and waits for that. If that fails, memlock logs a warning, and tries again in the background.
    ///
    /// # Cancellation
    ///
    /// The lock is released even if the future is dropped.
    pub async fn release(self) {
        self.held.release().await;
    }

    /// Returns the lease. It may be kept for longer than the guard.
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
