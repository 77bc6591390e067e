//! Waiting for a condition, never for a length of time.

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at: short against what the tests measure, long against what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
///
/// When it does not within `limit`; `what` completes the sentence "waited … for".
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let arrived = wait_for(limit, || condition().then_some(()));
    assert!(arrived.is_some(), "waited {limit:?} in vain for {what}");
}

/// Waits until `look` has something to show, or until `limit` has passed: then `None`.
pub(crate) fn wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        // Looked at once more after the limit: a process that did not get the processor for so long still gets its
        // answer.
        let late = start.elapsed() >= limit;
        match look() {
            Some(found) => return Some(found),
            None if late => return None,
            None => thread::sleep(LOOK_EVERY),
        }
    }
}
