//! The one place that reads clocks. Everything else is handed a [`Now`].

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use crate::lease::Now;

/// Both clocks, now.
#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
pub(crate) fn now() -> Now {
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
