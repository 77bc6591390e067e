//! [`Lease`]: the leases of held locks, as their holder sees them.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::HeldLock;
use crate::driver::caller::Caller;
use crate::driver::limits::ExchangeLimit;
use crate::error::Error;
use crate::protocol::token::Token;
use crate::system::on_thread;

/// The lease of a held lock, or of several locks of one call: how long it lasts, and its fencing token.
///
/// It is cheap to clone. It may outlive the lock, and then reports that it is over.
#[derive(Debug, Clone)]
pub struct Lease {
    /// In the order of their names on the server. A lease that its user sees has at least one.
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

    /// Returns the fencing token. For several locks, it is the token of the first by name (see
    /// [`tokens`](Self::tokens)).
    ///
    /// A stale holder cannot write to a resource that refuses tokens lower than the highest it has seen.
    pub fn token(&self) -> Token {
        self.locks[0].token()
    }

    /// Returns the name of each lock, unescaped, and its fencing token. On the server, a name of more than 200 bytes is
    /// shortened; here, one of more than 1000 bytes is replaced by its SHA-256. The name has no control characters, but
    /// a key that users choose may put characters in it that change the direction of a text.
    pub fn tokens(&self) -> impl Iterator<Item = (String, Token)> + '_ {
        self.locks
            .iter()
            .map(|held| (held.spec().item.whole().to_owned(), held.token()))
    }

    /// Returns whether the holder may still rely on the lease. Once this is `false`, it stays `false`.
    ///
    /// This is what the process knows, and costs no round trip. The answer may be out of date as soon as it is given:
    /// the process may be stopped between asking and acting. Only a [`token`](Self::token) guards against that.
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// Returns how much of the lease is left. For several locks, it is the shortest. Zero if the lease is over.
    pub fn remaining(&self) -> Duration {
        self.locks.iter().map(|held| held.remaining()).min().unwrap_or_default()
    }

    /// Extends the lease to the whole timeout from now, in one round trip for each lock.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the lease is over. [`Error::Unavailable`] if the server could not be asked; the lease stays
    /// as it was.
    pub fn renew(&self) -> Result<(), Error> {
        on_thread::block_on(self.renew_all(Caller::Thread))
    }

    /// As [`renew`](Self::renew), but without blocking the thread: for async bodies.
    ///
    /// # Errors
    ///
    /// As [`renew`](Self::renew).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, a renewal that is under way goes on.
    pub async fn renew_async(&self) -> Result<(), Error> {
        self.renew_all(Caller::Task).await
    }

    async fn renew_all(&self, caller: Caller) -> Result<(), Error> {
        // Checked once: a task's renewal ends with an error in a child that is forked meanwhile.
        self.locks[0].core().check_process()?;
        for held in &self.locks {
            held.renew(caller, held.core().each_exchange()).await?;
        }
        Ok(())
    }

    /// Returns an error once the lease is over, so that a long body can stop: `memlock::current().unwrap().check()?`.
    ///
    /// The lease is over if it was lost, or released: the guard was dropped, the body has returned or was dropped, or
    /// the transaction has ended. So a task that a body has spawned, and that outlives the body, learns that it runs
    /// unlocked.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], with the reason: how the lease was lost, or that the lock has been released.
    pub fn check(&self) -> Result<(), Error> {
        self.locks.iter().try_for_each(|held| held.check())
    }

    /// Gives all locks up at once, before they are released one by one.
    pub(super) fn give_up(&self) {
        self.locks.iter().for_each(|held| held.give_up());
    }

    /// Returns the limit of exchanges that end these locks: together they may take as long as one.
    pub(super) fn end_limit(&self) -> Option<ExchangeLimit> {
        let core = self.locks.first()?.core();
        let limit = core.each_exchange();
        // A single one needs no clock for that.
        Some(if self.locks.len() > 1 {
            limit.as_for_one(core.now())
        } else {
            limit
        })
    }

    /// Releases all locks, the last one first, within `limit`, or within that of one exchange. The background releases
    /// what does not fit.
    pub(super) async fn release(&mut self, caller: Caller, limit: Option<ExchangeLimit>) {
        self.give_up();
        let Some(limit) = limit.or_else(|| self.end_limit()) else {
            return;
        };
        while let Some(held) = self.locks.last() {
            held.release(caller, limit).await;
            self.locks.pop();
        }
    }
}
