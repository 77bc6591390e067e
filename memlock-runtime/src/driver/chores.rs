//! How much is still to be done in the background.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::system::background::{Timer, either};

/// What is still to be released or settled, for those who want to wait for it.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    count: AtomicUsize,
    done: Notify,
}

impl Chores {
    /// Whether nothing is left to do.
    pub(crate) fn are_done(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until nothing is left to do, for up to `limit`. Whether that is so.
    pub(crate) async fn wait(&self, limit: Duration) -> bool {
        let all_done = async {
            loop {
                let mut done = std::pin::pin!(self.done.notified());
                // Before the count is looked at, so that the last one's end is not missed.
                done.as_mut().enable();
                if self.are_done() {
                    return;
                }
                done.await;
            }
        };
        either(all_done, Timer::after(limit)).await;
        self.are_done()
    }
}

impl Chores {
    /// Counts one more.
    pub(super) fn begin(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// One is done.
    pub(super) fn end(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_waiters();
        }
    }
}
