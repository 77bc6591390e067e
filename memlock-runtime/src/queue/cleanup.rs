//! What a queue leaves to the background.

use std::sync::Arc;
use std::time::Duration;

use crate::key::ItemName;
use crate::protocol::{Nonce, Pending, WaitListView};

/// What must happen for a lock although no caller waits for it.
pub(crate) trait Cleanup: std::fmt::Debug + Send + Sync {
    /// Finds out what became of a write under `nonce` of the lock in `item`, whose lease is `lease`, and deletes what it left
    /// behind, soon, without keeping the caller. With `pending` its outcome can still be heard.
    fn settle(self: Arc<Self>, item: &ItemName, nonce: Nonce, lease: Duration, pending: Option<Box<dyn Pending>>);

    /// Takes this process out of the line for the lock in `item`, soon, without keeping the caller.
    fn leave_line(self: Arc<Self>, item: &ItemName, standing: Box<WaitListView>);

    /// Sees to it that no place in the line for the lock in `item` is kept for long: asks for it soon ([`Queues::overdue`](super::Queues::overdue)),
    /// until there is nothing to mind any more.
    fn mind_place(self: Arc<Self>, item: &ItemName);
}
