//! Waiting for a condition instead of a length of time.

use std::thread;
use std::time::{Duration, Instant};

/// The pause between two checks of a condition: short compared with what the tests measure, long compared with the cost
/// of a check.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
///
/// If it does not hold within `limit`. `what` completes the sentence "waited … in vain for".
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let arrived = wait_for(limit, || condition().then_some(()));
    assert!(arrived.is_some(), "waited {limit:?} in vain for {what}");
}

/// Waits until `look` returns `Some`, and returns that. `None` if that does not happen within `limit`.
pub(crate) fn wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        // The condition is checked once more after the limit, in case this process did not get a processor for so long.
        let late = start.elapsed() >= limit;
        match look() {
            Some(found) => return Some(found),
            None if late => return None,
            None => thread::sleep(LOOK_EVERY),
        }
    }
}
