//! Settling: a write got no reply, or its caller has gone. The server may have executed it, or may yet, and would leave
//! a lock that nobody holds. A request cannot be recalled, so the background goes on listening, and deletes what the
//! write left behind.

use std::sync::Arc;
use std::time::Duration;

use super::background_work::spawn;
use super::caller::Caller;
use super::core::Core;
use super::exchange::Routed;
use super::release::{clean, leave};
use crate::key::ItemName;
use crate::protocol::lease::ttl_of;
use crate::protocol::{Nonce, Pending, Released, Unanswered, WaitListView};
use crate::queue::Cleanup;

/// The pause after the first attempt that did not settle the write. It doubles each time up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// A write must be settled within 100 ms after the server is back.
const LONGEST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest pause if the server's answers contradict one another: asking it more often would not help.
const LONGEST_BACKOFF_IN_CIRCLES: Duration = Duration::from_secs(5);

/// How long after a process gave up waiting its place in line is kept. Other processes wait in vain for at most that
/// long, once.
const PLACE_KEPT: Duration = Duration::from_millis(5);

/// The longest pause between two looks for the item of a write whose reply is late.
const LONGEST_LOOK_BACKOFF: Duration = Duration::from_secs(1);

/// How long to wait for a late reply. A server that has not answered by then never will.
const LONGEST_LISTENING: Duration = Duration::from_secs(10 * 60);

impl Cleanup for Core {
    fn settle(self: Arc<Self>, item: &ItemName, nonce: Nonce, lease: Duration, pending: Option<Box<dyn Pending>>) {
        let write = UnsettledWrite {
            core: Arc::clone(&self),
            item: item.clone(),
            nonce,
            ttl: Duration::from_secs(ttl_of(lease).into()),
        };
        spawn(&self, write.settle(pending));
    }

    fn leave_line(self: Arc<Self>, item: &ItemName, view: Box<WaitListView>) {
        let (core, item) = (Arc::clone(&self), item.clone());
        spawn(&self, async move {
            let limit = core.each_exchange();
            leave(&core, Caller::Task, Routed::by(&core, &item), view, limit).await;
        });
    }

    fn expire_kept_place(self: Arc<Self>, item: &ItemName) {
        let (core, item) = (Arc::clone(&self), item.clone());
        spawn(&self, async move {
            let overdue = loop {
                core.clock.sleep_until(core.now().instant + PLACE_KEPT).await;
                if let Ok(overdue) = core.queues.take_overdue_place(&item, core.now()) {
                    break overdue;
                }
            };
            if let Some(view) = overdue {
                core.leave_line(&item, view);
            }
        });
    }
}

/// A write that is not settled yet.
struct UnsettledWrite {
    core: Arc<Core>,
    item: ItemName,
    nonce: Nonce,
    /// How long the item lives that it stores.
    ttl: Duration,
}

impl UnsettledWrite {
    /// Settles the write. With `pending`, its outcome may still arrive there.
    async fn settle(self, mut pending: Option<Box<dyn Pending>>) {
        let mut backoff = FIRST_BACKOFF;
        let mut longest_backoff = LONGEST_BACKOFF;
        let mut look_backoff = FIRST_BACKOFF;
        // Whether the server can no longer execute the write.
        let mut is_over = false;
        let mut next_look = self.now();
        // Until then the server may still have the item, or send the reply.
        let mut until = next_look + if pending.is_some() { LONGEST_LISTENING } else { self.ttl };
        loop {
            if let Some(open) = pending.take() {
                match open.wait(Duration::ZERO) {
                    // Reading finds the item, whatever the answer is. The write is over now, unless the connection
                    // failed, or was one too many. Then the server may still execute the write, and sends no reply.
                    Ok(answer) => {
                        is_over = answer.unanswered != Some(Unanswered::Late);
                        until = self.now() + self.ttl;
                    }
                    Err(open) => pending = Some(open),
                }
            }
            if pending.is_none() || self.now() >= next_look {
                match clean(&self.core, &self.item, self.nonce).await {
                    // The item was found and deleted. A write is executed once, so it is settled, even if its reply has
                    // not come yet.
                    Released::Released => return,
                    // The server may still execute the write. Its connection may stay silent for ever although the
                    // server is well, so this also looks for the item on another connection, less and less often.
                    Released::Gone | Released::Failed(_) if pending.is_some() => {
                        next_look = self.now() + look_backoff;
                        look_backoff = (look_backoff * 2).min(LONGEST_LOOK_BACKOFF);
                    }
                    Released::Gone if is_over => return,
                    Released::Gone => {
                        // No reply is expected any more, and the server may have been just about to execute the write.
                        is_over = true;
                        backoff = LONGEST_BACKOFF;
                    }
                    // Each attempt makes several exchanges, as fast as the server answers. They would go on until the
                    // item expires.
                    Released::Failed(Unanswered::Contradicted) if longest_backoff < LONGEST_BACKOFF_IN_CIRCLES => {
                        longest_backoff = LONGEST_BACKOFF_IN_CIRCLES;
                        tracing::warn!(
                            target: "memlock", lock = %self.item,
                            "cleaning up after a lost reply less often now: the server's answers contradict one another"
                        );
                    }
                    Released::Failed(_) => {}
                }
            }
            if self.now() > until {
                tracing::warn!(
                    target: "memlock", lock = %self.item,
                    "gave up cleaning up after a lost reply; the lock ends with its lease"
                );
                return;
            }
            self.core.clock.sleep_until(self.now() + backoff).await;
            backoff = (backoff * 2).min(longest_backoff);
        }
    }

    /// Returns the time on the monotonic clock.
    fn now(&self) -> Duration {
        self.core.now().instant
    }
}
