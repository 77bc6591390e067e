//! Settling: a write got no reply, or its caller has gone. The server may have executed it, or may yet, and would leave a lock that
//! nobody holds. A request cannot be recalled, so the background goes on listening, and deletes what the write left behind.

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

/// When it first looks again after something that could not be settled; doubled each time up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// A write must be settled within 100 ms after the server is back.
const LONGEST_BACKOFF: Duration = Duration::from_millis(50);

/// The same where the server is there, and its answers contradict one another: asking it more often would not help.
const LONGEST_BACKOFF_IN_CIRCLES: Duration = Duration::from_secs(5);

/// After how long it looks whether a place in line is kept for somebody who has not come back. Others wait for him in vain for
/// that long at the most, once.
const PLACE_KEPT: Duration = Duration::from_millis(5);

/// The longest pause between two looks for the item of a write with a late reply.
const LONGEST_DISTANCE: Duration = Duration::from_secs(1);

/// For how long it listens for a late reply. A server that has not answered by then is not going to.
const LONGEST_LISTENING: Duration = Duration::from_secs(10 * 60);

impl Cleanup for Core {
    fn settle(self: Arc<Self>, item: &ItemName, nonce: Nonce, lease: Duration, pending: Option<Box<dyn Pending>>) {
        let settle = Settle {
            core: Arc::clone(&self),
            item: item.clone(),
            nonce,
            ttl: Duration::from_secs(ttl_of(lease).into()),
        };
        spawn(&self, settle.run(pending));
    }

    fn leave_line(self: Arc<Self>, item: &ItemName, standing: Box<WaitListView>) {
        let (core, item) = (Arc::clone(&self), item.clone());
        spawn(&self, async move {
            let limit = core.each_exchange();
            leave(
                &core,
                Caller::Task,
                Routed::by(&core, &item),
                Duration::MAX,
                standing,
                limit,
            )
            .await;
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
            if let Some(standing) = overdue {
                core.leave_line(&item, standing);
            }
        });
    }
}

/// A write to be settled.
struct Settle {
    core: Arc<Core>,
    item: ItemName,
    nonce: Nonce,
    /// How long an item lives that it makes.
    ttl: Duration,
}

impl Settle {
    async fn run(self, mut pending: Option<Box<dyn Pending>>) {
        let mut backoff = FIRST_BACKOFF;
        let mut longest_backoff = LONGEST_BACKOFF;
        let mut distance = FIRST_BACKOFF;
        // Whether the write can no longer be executed.
        let mut is_over = false;
        let mut next_look = self.now();
        // By then the server has forgotten the item.
        let mut until = next_look + if pending.is_some() { LONGEST_LISTENING } else { self.ttl };
        loop {
            if let Some(open) = pending.take() {
                match open.wait(Duration::ZERO) {
                    // Whatever it said, reading tells the rest. The write is over now, but where the connection failed
                    // or was one too many: then it may be executed yet, and no reply will come.
                    Ok(answer) => {
                        is_over = answer.unanswered != Some(Unanswered::Late);
                        until = self.now() + self.ttl;
                    }
                    Err(open) => pending = Some(open),
                }
            }
            if pending.is_none() || self.now() >= next_look {
                match clean(&self.core, &self.item, self.nonce).await {
                    // Seen and deleted: a write is executed once, so this one is settled, whatever is still to be heard.
                    Released::Released => return,
                    // It may be executed yet. Meanwhile the connection may be silent for ever, and the server be well: so
                    // it is not only listened for, but also looked for on another, at growing distances.
                    Released::Gone | Released::Failed(_) if pending.is_some() => {
                        next_look = self.now() + distance;
                        distance = (distance * 2).min(LONGEST_DISTANCE);
                    }
                    Released::Gone if is_over => return,
                    Released::Gone => {
                        // No reply is expected any more, and the server may have been just about to execute the write.
                        is_over = true;
                        backoff = LONGEST_BACKOFF;
                    }
                    // Each try is a handful of exchanges, which would go on as fast as the server answers until its item expires.
                    Released::Failed(Unanswered::Contradicted) if longest_backoff < LONGEST_BACKOFF_IN_CIRCLES => {
                        longest_backoff = LONGEST_BACKOFF_IN_CIRCLES;
                        tracing::warn!(
                            target: "memlock", lock = %self.item,
                            "cleaning up after a lost reply is tried less often now: the server's answers contradict one another"
                        );
                    }
                    Released::Failed(_) => {}
                }
            }
            if self.now() > until {
                tracing::warn!(target: "memlock", lock = %self.item, "gave up cleaning up after a lost reply; its lease ends it");
                return;
            }
            self.core.clock.sleep_until(self.now() + backoff).await;
            backoff = (backoff * 2).min(longest_backoff);
        }
    }

    /// On the monotonic clock.
    fn now(&self) -> Duration {
        self.core.now().instant
    }
}
