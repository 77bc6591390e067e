//! [`WorkCounter`]: how much work the background still has to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::system::background::{Timer, either};

/// Counts the releases and the settling that the background still has to do. Wakes callers that wait for the end.
#[derive(Debug, Default)]
pub(crate) struct WorkCounter {
    count: AtomicUsize,
    done: Notify,
}

impl WorkCounter {
    pub(crate) fn is_done(&self) -> bool {
        self.count() == 0
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until all work is done, for up to `limit`. Returns whether it is.
    pub(crate) async fn wait_until_done(&self, limit: Duration) -> bool {
        let all_done = async {
            loop {
                let mut done = std::pin::pin!(self.done.notified());
                // Enabled before the count is read, so that the end of the last work is not missed.
                done.as_mut().enable();
                if self.is_done() {
                    return;
                }
                done.await;
            }
        };
        either(all_done, Timer::after(limit)).await;
        self.is_done()
    }

    pub(super) fn begin_one(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn end_one(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_waiters();
        }
    }
}
