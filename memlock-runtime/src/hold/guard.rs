//! What a holder has in its hands: [`Lease`], to ask how the lock fares, and [`Guard`], which releases it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::HeldLock;
use super::reservation::{Owner, Retry};
use crate::driver::background_work;
use crate::driver::limits::ExchangeLimit;
use crate::error::Error;
use crate::protocol::token::Token;

/// The lease of a held lock, or of several that were acquired at once: how long it lasts, and its fencing token.
///
/// Cheap to clone, and good to keep: it outlives the lock, and then says that it is over.
#[derive(Debug, Clone)]
pub struct Lease {
    /// At least one, in the order of their names on the server.
    holds: SmallVec<[Arc<HeldLock>; 1]>,
}

impl Lease {
    /// `None` where there is no lock.
    pub(crate) fn new(holds: SmallVec<[Arc<HeldLock>; 1]>) -> Option<Lease> {
        (!holds.is_empty()).then_some(Lease { holds })
    }

    /// Of one lock.
    pub(crate) fn of(hold: Arc<HeldLock>) -> Lease {
        Lease { holds: smallvec![hold] }
    }

    pub(crate) fn holds(&self) -> &[Arc<HeldLock>] {
        &self.holds
    }

    /// The fencing token; of several locks, that of the first by name (see [`tokens`](Self::tokens)).
    ///
    /// A resource that refuses tokens lower than the highest it has seen is never written by a stale holder.
    pub fn token(&self) -> Token {
        // `new` saw to it that there is one.
        self.holds[0].token()
    }

    /// Each lock's name, whole and as it is, and its fencing token. On the server a name of more than 200 bytes is shortened. It
    /// has no control characters, but a key that users choose may put characters in it that turn the direction of a text around.
    pub fn tokens(&self) -> impl Iterator<Item = (String, Token)> + '_ {
        self.holds
            .iter()
            .map(|hold| (hold.spec().item.whole().to_owned(), hold.token()))
    }

    /// Whether the holder may still believe in it. Once `false`, it stays so.
    ///
    /// It says what is known here and costs no round trip. The answer may be out of date as soon as it is given: a
    /// process may be stopped between asking and acting, which only a [`token`](Self::token) guards against.
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How much of it is left; of several, the least. Zero when it is over.
    pub fn remaining(&self) -> Duration {
        self.holds.iter().map(|hold| hold.remaining()).min().unwrap_or_default()
    }

    /// Extends it to its whole timeout from now, in one round trip (a lock).
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when it is over; [`Error::Unavailable`] when the server could not be asked, and the lease stands
    /// as it was.
    pub fn renew(&self) -> Result<(), Error> {
        self.holds.iter().try_for_each(|hold| hold.renew())
    }

    /// The same, without blocking the thread: for asynchronous bodies.
    ///
    /// # Errors
    ///
    /// As [`renew`](Self::renew).
    ///
    /// # Cancellation
    ///
    /// A renewal that is under way when the future is dropped goes on.
    pub async fn renew_async(&self) -> Result<(), Error> {
        for hold in &self.holds {
            hold.renew_async(hold.core().each_exchange()).await?;
        }
        Ok(())
    }

    /// An error once the lease is over, for a long body to stop with: `memlock::current().unwrap().check()?`.
    ///
    /// It is over when it was lost, and also when it was released: its guard was dropped, its body has returned or was dropped,
    /// its transaction has ended. So a task that a body has spawned, and that has outlived the body, learns that it runs
    /// unlocked.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], with the reason: how the lease was lost, or that it has been released.
    pub fn check(&self) -> Result<(), Error> {
        match self.holds.iter().find_map(|hold| hold.lost()) {
            Some(lost) => Err(lost),
            None => Ok(()),
        }
    }

    /// All of it is over now; the releases of several locks follow each other.
    fn give_up(&self) {
        self.holds.iter().for_each(|hold| hold.give_up());
    }

    /// Keeps the locks for a retry of `owner`, as `retry` says; this lease is over. What a dropped future leaves undone
    /// is to be given to [`release_in_background`](Self::release_in_background).
    pub(crate) async fn reserve(&self, retry: &Retry, owner: Owner) {
        self.reserve_within(retry, owner, self.holds[0].core().each_exchange())
            .await;
    }

    /// The same within `limit`, of a call that goes on.
    pub(crate) async fn reserve_within(&self, retry: &Retry, owner: Owner, limit: ExchangeLimit) {
        self.give_up();
        for hold in &self.holds {
            retry.reservations.reserve(hold, retry.length, owner, limit).await;
        }
    }

    /// The same without waiting for it; what can be done at once is done when it returns.
    pub(crate) fn reserve_in_background(&self, retry: &Retry, owner: Owner) {
        let lease = self.clone();
        let retry = retry.clone();
        background_work::begin(self.holds[0].core(), async move { lease.reserve(&retry, owner).await });
    }

    /// Gives them all up; there is nothing left in it then.
    pub(crate) fn release(&mut self) {
        self.give_up();
        // The last one first, as guards on a stack would.
        while let Some(mut hold) = self.holds.pop() {
            // Nearly always nobody else has it, and there is nobody to be kept out meanwhile.
            match Arc::get_mut(&mut hold) {
                Some(hold) => hold.release_alone(),
                None => hold.release(),
            }
        }
    }

    /// Releases without blocking the thread. What a dropped future leaves undone is to be given to
    /// [`release_in_background`](Self::release_in_background).
    pub(crate) async fn release_async(&self) {
        self.give_up();
        for hold in self.holds.iter().rev() {
            hold.release_async(hold.core().each_exchange()).await;
        }
    }

    /// Releases without waiting for it, where that is still to be done.
    pub(crate) fn release_in_background(&self) {
        let first = &self.holds[0];
        let lease = self.clone();
        background_work::begin(first.core(), async move { lease.release_async().await });
    }
}

/// A held lock, released when this is dropped. Made by [`Locks::lock`](crate::Locks::lock).
///
/// It may be sent to another thread and dropped there. It takes no part in re-entrancy, which follows function calls:
/// a thread that holds one and asks for the same lock again waits for itself, until its own lease is over.
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct Guard {
    lease: Lease,
}

impl Guard {
    pub(crate) fn new(lease: Lease) -> Guard {
        Guard { lease }
    }

    /// Releases the lock now. What goes wrong is logged, and cleaned up in the background.
    pub fn release(self) {}

    /// The lease, to keep.
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }
}

impl Deref for Guard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.lease.release();
    }
}

/// A held lock of an asynchronous caller. Made by [`LockRequest::acquire_async`](crate::LockRequest::acquire_async).
///
/// Dropping it releases the lock in the background, soon; [`release`](Self::release) waits until that is done. Otherwise it
/// is a [`Guard`].
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct AsyncGuard {
    lease: Lease,
}

impl AsyncGuard {
    pub(crate) fn new(lease: Lease) -> AsyncGuard {
        AsyncGuard { lease }
    }

    /// Releases the lock, and waits for that. What goes wrong is logged, and cleaned up in the background.
    ///
    /// # Cancellation
    ///
    /// The lock is released in any case.
    pub async fn release(self) {
        self.lease.release_async().await;
    }

    /// The lease, to keep.
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }
}

impl Deref for AsyncGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for AsyncGuard {
    fn drop(&mut self) {
        self.lease.release_in_background();
    }
}
