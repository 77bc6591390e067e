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

/// The clock of one instance of a server. After a restart it is another clock, and it may be one after the clock item was
/// lost or has expired (see [`clock_item_ttl`](crate::protocol::lease::clock_item_ttl)).
#[derive(Debug, Default)]
pub(crate) struct KnownClock {
    instance: Option<Instance>,
    clock: ServerClock,
    /// The highest reading, and when it was first received, on the monotonic clock.
    highest: (u64, Duration),
}

impl KnownServer {
    /// Records a reading of the clock of `instance`, and returns the best reading of that clock so far.
    pub(crate) fn read_clock(&self, instance: Instance, second: u64, sent: Now, received: Now) -> Option<Reading> {
        let mut known = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let (highest, since) = known.highest;
        // A clock may stand still, but it does not go back. A reading that was asked for earlier may only be late.
        let is_another = second < highest && sent.instant >= since;
        if known.instance != Some(instance) || is_another {
            *known = KnownClock {
                instance: Some(instance),
                ..KnownClock::default()
            };
        }
        if second > known.highest.0 {
            known.highest = (second, received.instant);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::lease::{CLOCK_ITEM_EXPIRY, CLOCK_ITEM_LIFE};

    const INSTANCE: Instance = Instance { start: 7, pid: 7 };

    fn at(second: u64) -> Now {
        Now::at(Duration::from_secs(second))
    }

    #[test]
    fn the_readings_of_a_clock_item_that_is_gone_do_not_count() {
        let (server, fresh) = (KnownServer::default(), KnownServer::default());
        let last = CLOCK_ITEM_EXPIRY - 1;
        server.read_clock(INSTANCE, last, at(100), at(100));
        let first = CLOCK_ITEM_EXPIRY - CLOCK_ITEM_LIFE;
        let best = server.read_clock(INSTANCE, first, at(101), at(101));
        assert_eq!(best, fresh.read_clock(INSTANCE, first, at(101), at(101)));
        // The same lag as before is noticed.
        assert_eq!(server.read_clock(INSTANCE, first, at(105), at(105)), {
            fresh.read_clock(INSTANCE, first, at(105), at(105))
        });
    }

    #[test]
    fn a_lagging_clock_and_a_late_reading_are_not_another_clock() {
        let server = KnownServer::default();
        let best = server.read_clock(INSTANCE, 1000, at(100), at(100));
        assert_eq!(
            server.read_clock(INSTANCE, 1000, at(100), at(100)),
            best,
            "it stands still"
        );
        let later = server.read_clock(INSTANCE, 1010, at(110), at(112));
        let late = server.read_clock(INSTANCE, 1005, at(111), at(112));
        assert_eq!(later, late, "it was asked for before the other was received");
    }
}
