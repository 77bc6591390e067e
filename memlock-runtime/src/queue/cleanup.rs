//! What a queue leaves to the background.

use std::sync::Arc;
use std::time::Duration;

use crate::key::ItemName;
use crate::protocol::{Nonce, Pending, WaitListView};

/// Work for a lock that has to be done although no caller waits for it. No method blocks the caller.
pub(crate) trait Cleanup: std::fmt::Debug + Send + Sync {
    /// Finds out soon what became of a write under `nonce` of the lock in `item`, with a lease of `lease`, and deletes
    /// what the write left behind. With `pending`, the outcome of the write may still arrive there.
    fn settle(self: Arc<Self>, item: &ItemName, nonce: Nonce, lease: Duration, pending: Option<Box<dyn Pending>>);

    /// Removes this process soon from the line for the lock in `item`.
    fn leave_line(self: Arc<Self>, item: &ItemName, wait_list: Box<WaitListView>);

    /// Ensures that no place in the line for the lock in `item` is kept for long: asks for it soon
    /// ([`Queues::take_overdue_place`](super::Queues::take_overdue_place)), again and again until no place is kept any more.
    fn expire_kept_place(self: Arc<Self>, item: &ItemName);
}
