//! [`Lease`]: how held locks fare, for their holder to ask.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::HeldLock;
use crate::driver::caller::Caller;
use crate::driver::limits::ExchangeLimit;
use crate::error::Error;
use crate::protocol::token::Token;
use crate::system::on_thread;

/// The lease of a held lock, or of several that were acquired at once: how long it lasts, and its fencing token.
///
/// Cheap to clone, and good to keep: it outlives the lock, and then says that it is over.
#[derive(Debug, Clone)]
pub struct Lease {
    /// In the order of their names on the server. At least one, in a lease that its user sees.
    locks: SmallVec<[Arc<HeldLock>; 1]>,
}

impl Lease {
    pub(crate) fn new(locks: impl IntoIterator<Item = Arc<HeldLock>>) -> Lease {
        Lease {
            locks: locks.into_iter().collect(),
        }
    }

    pub(crate) fn locks(&self) -> &[Arc<HeldLock>] {
        &self.locks
    }

    pub(super) fn push(&mut self, held: Arc<HeldLock>) {
        self.locks.push(held);
    }

    pub(super) fn remove_first(&mut self) {
        self.locks.remove(0);
    }

    /// The fencing token; of several locks, that of the first by name (see [`tokens`](Self::tokens)).
    ///
    /// A resource that refuses tokens lower than the highest it has seen is never written by a stale holder.
    pub fn token(&self) -> Token {
        self.locks[0].token()
    }

    /// Each lock's name, whole and as it is, and its fencing token. On the server a name of more than 200 bytes is shortened. It
    /// has no control characters, but a key that users choose may put characters in it that turn the direction of a text around.
    pub fn tokens(&self) -> impl Iterator<Item = (String, Token)> + '_ {
        self.locks
            .iter()
            .map(|hold| (hold.spec().item.whole().to_owned(), hold.token()))
    }

    /// Whether the holder may still rely on it. Once `false`, it stays `false`.
    ///
    /// It says what is known here and costs no round trip. The answer may be out of date as soon as it is given: a
    /// process may be stopped between asking and acting, which only a [`token`](Self::token) guards against.
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How much of it is left; of several, the least. Zero when it is over.
    pub fn remaining(&self) -> Duration {
        self.locks.iter().map(|hold| hold.remaining()).min().unwrap_or_default()
    }

    /// Extends it to its whole timeout from now, in one round trip (a lock).
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when it is over; [`Error::Unavailable`] when the server could not be asked, and the lease stands
    /// as it was.
    pub fn renew(&self) -> Result<(), Error> {
        on_thread::block_on(self.renew_all(Caller::Thread))
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
        self.renew_all(Caller::Task).await
    }

    async fn renew_all(&self, caller: Caller) -> Result<(), Error> {
        for held in &self.locks {
            held.renew(caller, held.core().each_exchange()).await?;
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
        match self.locks.iter().find_map(|hold| hold.lost()) {
            Some(lost) => Err(lost),
            None => Ok(()),
        }
    }

    /// Marks all locks as given up, before their releases follow each other.
    pub(super) fn give_up(&self) {
        self.locks.iter().for_each(|held| held.give_up());
    }

    /// Releases all, the last one first. Without `limit` each exchange has its own.
    pub(super) async fn release(&mut self, caller: Caller, limit: Option<ExchangeLimit>) {
        self.give_up();
        while let Some(held) = self.locks.last() {
            let limit = limit.unwrap_or_else(|| held.core().each_exchange());
            held.release(caller, limit).await;
            self.locks.pop();
        }
    }
}
