//! Holders that enter again, and renew for that when less than half of their lease is left.

use std::time::Duration;

use memlock_model::{Bounds, Reached, exhaust};

#[test]
fn entering_again_does_not_extend_the_lease() {
    let bounds = Bounds {
        reentries: vec![1],
        // Less than half of the lease is left after the first step, and nothing after the second.
        steps: vec![Duration::from_millis(600), Duration::from_millis(460)],
        lost: 1,
        whole_batches: true,
        ..Bounds::calm("entering again")
    };
    let reached = [
        Reached::Reentry,
        Reached::RenewedReentry,
        Reached::NoReentry,
        Reached::TakeOver,
        Reached::LateStore,
    ];
    exhaust(bounds, &reached);
}

#[test]
fn a_lock_that_was_handed_over_is_entered_again_and_handed_on() {
    let bounds = Bounds {
        attempts: vec![1, 1, 1],
        processes: vec![0, 0],
        reentries: vec![0, 1],
        timeouts: vec![Duration::from_secs(1), Duration::from_millis(400)],
        steps: vec![Duration::from_millis(250)],
        whole_batches: true,
        ..Bounds::calm("entering again after a hand-over")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::Reentry, Reached::RenewedReentry]);
}

#[test]
fn renewing_to_enter_again_notices_a_flush() {
    let bounds = Bounds {
        reentries: vec![1],
        steps: vec![Duration::from_millis(600)],
        flushes: 1,
        whole_batches: true,
        ..Bounds::calm("entering again after a flush")
    };
    exhaust(bounds, &[Reached::ExcusedBeliever, Reached::Loss, Reached::NoReentry]);
}
