//! [`BodyLocks`]: the locks under which an annotated body runs, and how they end.

use super::held_set::HeldSet;
use super::lease::Lease;
use super::reservation::Retry;
use crate::system::on_thread;

/// The locks of a body. Dropping them releases the body's own.
#[derive(Debug)]
pub(crate) enum BodyLocks {
    /// None: it runs unlocked.
    None,
    /// Those of a function around it, or of its transaction, which outlast it.
    Lent(Lease),
    /// Its own, and where they are kept for a retry after a conflict. `None`: they are not.
    Own(HeldSet, Option<Retry>),
}

impl BodyLocks {
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match self {
            BodyLocks::None => None,
            BodyLocks::Lent(lease) => Some(lease),
            BodyLocks::Own(held, _) => Some(held.lease()),
        }
    }

    /// Whether the body releases them at its end.
    pub(crate) fn are_own(&self) -> bool {
        matches!(self, BodyLocks::Own(..))
    }

    /// Ends the body's own locks: releases them, or after a conflict reserves them for its caller's retry. A dropped future releases
    /// those that it has not reserved.
    pub(crate) async fn end(self, is_conflict: bool) {
        match self {
            BodyLocks::Own(held, Some(retry)) if is_conflict => held.reserve(&retry).await,
            BodyLocks::Own(held, _) => held.release().await,
            BodyLocks::None | BodyLocks::Lent(_) => {}
        }
    }

    /// The same on a thread, which waits.
    pub(crate) fn end_here(self, is_conflict: bool) {
        on_thread::block_on(self.end(is_conflict));
    }

    /// The same without waiting. What can be done at once is done when this returns.
    pub(crate) fn end_in_background(self, is_conflict: bool) {
        match self {
            BodyLocks::Own(held, Some(retry)) if is_conflict => held.reserve_in_background(retry),
            // A task's locks are released in the background when they are dropped.
            locks => drop(locks),
        }
    }
}
