//! Leases on a server with a clock that counts in seconds, ticks late, and stands still while the server is stopped.

use std::time::Duration;

use memlock_model::{Bounds, Reached, exhaust};

#[test]
fn an_item_stored_by_a_clock_that_stood_still_is_not_believed_in() {
    let bounds = Bounds {
        lease: Duration::from_secs(2),
        // Longer than the TTL of such a lease: an item that is stored by the old second is gone with the next tick.
        steps: vec![Duration::from_secs(12)],
        stops: 1,
        ..Bounds::calm("a stop longer than the TTL")
    };
    let reached = [
        Reached::StoredByStaleClock,
        Reached::TooLate,
        Reached::Expiry,
        Reached::Grant,
    ];
    exhaust(bounds, &reached);
}

#[test]
fn a_clock_that_ticked_late_before_the_stop_shortens_the_margin_and_no_more() {
    let bounds = Bounds {
        lease: Duration::from_secs(2),
        // The largest possible error of a reading. An item that is stored after the first step has little left to live.
        // Half of a lease is believed in, and that is over before the item is.
        first_second_is_old: Duration::from_millis(1900),
        steps: vec![Duration::from_millis(7800), Duration::from_millis(1500)],
        // The second contender finds what the first has stored.
        begins_after: vec![0, 1],
        stops: 1,
        late_ticks: true,
        whole_batches: true,
        ..Bounds::calm("late ticks")
    };
    exhaust(bounds, &[Reached::StoredByStaleClock, Reached::Grant, Reached::Expiry]);
}

#[test]
fn a_process_that_never_read_the_clock_is_safe_after_a_short_stop() {
    let bounds = Bounds {
        lease: Duration::from_secs(2),
        steps: vec![Duration::from_millis(3500), Duration::from_millis(1900)],
        stops: 1,
        has_baseline: false,
        whole_batches: true,
        ..Bounds::calm("a stop of 3.5 s")
    };
    exhaust(
        bounds,
        &[Reached::StoredByStaleClock, Reached::Grant, Reached::TakeOver],
    );
}
