//! The one place that reads clocks. Everything else is handed a [`Now`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::lease::Now;

/// The process's clocks, both of them; in tests, with a hand to move them forward.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// How far they have been moved, in nanoseconds.
    ahead: AtomicU64,
}

impl Clock {
    /// Both clocks, now.
    pub(crate) fn now(&self) -> Now {
        let now = now();
        let ahead = Duration::from_nanos(self.ahead.load(Ordering::Acquire));
        Now {
            instant: now.instant + ahead,
            wall: now.wall + ahead,
        }
    }

    /// Moves them forward.
    pub(crate) fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // Saturating at 584 years, and never back.
        let add = |ahead: u64| Some(ahead.saturating_add(by));
        let _ = self.ahead.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }
}

#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
fn now() -> Now {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // One origin for the process makes instants plain numbers. A day in hand keeps subtraction away from zero.
    let origin = *ORIGIN.get_or_init(Instant::now);
    let instant = Instant::now().saturating_duration_since(origin) + Duration::from_hours(24);
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Now { instant, wall }
}

/// The monotonic clock, for limits on I/O.
#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
