//! [`BodyLocks`]: the locks under which an annotated body runs, and how they end.

use super::held_set::HeldSet;
use super::lease::Lease;
use super::reservation::Retry;

/// The locks of a body. Dropping them releases the locks that are the body's own.
#[derive(Debug)]
pub(crate) enum BodyLocks {
    /// The body runs unlocked.
    None,
    /// The locks of a function or a transaction around the body, which outlast the body.
    Lent(Lease),
    /// The body's own locks, and how they are reserved for a retry after a conflict. `None`: they are not reserved.
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

    /// Returns whether the locks end with the body.
    pub(crate) fn are_own(&self) -> bool {
        matches!(self, BodyLocks::Own(..))
    }

    /// Ends the body's own locks: releases them, or after a conflict reserves them for the caller's retry. If the
    /// future is dropped, the locks that are not reserved yet are released.
    pub(crate) async fn end(self, is_conflict: bool) {
        match self {
            BodyLocks::Own(held, Some(retry)) if is_conflict => held.reserve(&retry).await,
            BodyLocks::Own(held, _) => held.release().await,
            BodyLocks::None | BodyLocks::Lent(_) => {}
        }
    }

    /// As [`end`](Self::end), but without waiting. Everything that needs no waiting is done when this returns.
    pub(crate) fn end_in_background(self, is_conflict: bool) {
        match self {
            BodyLocks::Own(held, Some(retry)) if is_conflict => held.reserve_in_background(retry),
            // The background releases the dropped locks of a task.
            locks => drop(locks),
        }
    }
}
