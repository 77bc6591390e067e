//! What is known of one server of the list: its clock, and whether it is short of memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::protocol::Instance;
use crate::protocol::lease::Now;
use crate::protocol::server_clock::{Reading, ServerClock};

/// What is known of one server of the list.
#[derive(Debug, Default)]
pub(crate) struct KnownServer {
    clock: Mutex<KnownClock>,
    /// When the server last refused a store, in nanoseconds on the monotonic clock. Zero: never.
    refused: AtomicU64,
}

/// The clock of one instance of a server. After a restart it is another clock.
#[derive(Debug, Default)]
pub(crate) struct KnownClock {
    instance: Option<Instance>,
    clock: ServerClock,
}

impl KnownServer {
    /// Records a reading of the clock of `instance`, and returns the best reading of that clock so far.
    pub(crate) fn read_clock(&self, instance: Instance, second: u64, sent: Now, received: Now) -> Option<Reading> {
        let mut known = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if known.instance != Some(instance) {
            *known = KnownClock {
                instance: Some(instance),
                clock: ServerClock::default(),
            };
        }
        known.clock.observe(second, sent, received);
        known.clock.best(received)
    }

    /// Records that the server refused a store for lack of memory.
    pub(crate) fn record_refusal(&self, now: Now) {
        let nanos = u64::try_from(now.instant.as_nanos()).unwrap_or(u64::MAX);
        self.refused.store(nanos, Ordering::Relaxed);
    }

    /// Returns whether the server refused a store within the last [`MEMORY_CAUTION`].
    pub(crate) fn has_refused_lately(&self, now: Now) -> bool {
        let refused = Duration::from_nanos(self.refused.load(Ordering::Relaxed));
        !refused.is_zero() && now.instant.saturating_sub(refused) < MEMORY_CAUTION
    }
}

/// For how long contenders read before they add, after a server has refused a store for lack of memory.
pub(crate) const MEMORY_CAUTION: Duration = Duration::from_secs(60);
