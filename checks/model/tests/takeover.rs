//! A take-over that races its target's next event: a renewal, a release, an expiry with a third contender's add.

use std::time::Duration;

use memlock_model::{Bounds, Reached, exhaust};

/// A step for a lease of one second. After one step the lease is believed in, after two it has been watched out.
const MOST_OF_A_LEASE: Duration = Duration::from_millis(700);

fn watched(name: &'static str) -> Bounds {
    Bounds {
        renewals: vec![1],
        steps: vec![MOST_OF_A_LEASE; 2],
        whole_batches: true,
        ..Bounds::calm(name)
    }
}

#[test]
fn a_take_over_races_a_renewal_and_a_release() {
    let bounds = Bounds {
        attempts: vec![2, 1],
        ..watched("take-over, renewal, release")
    };
    let reached = [
        Reached::TakeOver,
        Reached::Renewal,
        Reached::Loss,
        Reached::RanOut,
        Reached::NothingToRelease,
    ];
    exhaust(bounds, &reached);
}

#[test]
fn a_take_over_meets_a_renewal_that_is_executed_late() {
    let bounds = Bounds {
        lost: 1,
        ..watched("take-over with a lost reply")
    };
    exhaust(bounds, &[Reached::TakeOver, Reached::Loss, Reached::LateStore]);
}

#[test]
fn a_watcher_sees_each_renewal_also_after_one_without_a_reply() {
    let bounds = Bounds {
        // Two renewals, so that a number written twice would deceive the watcher.
        renewals: vec![2],
        lost: 1,
        loses_only_renewals: true,
        ..watched("a lost renewal, and one more")
    };
    exhaust(bounds, &[Reached::TakeOver, Reached::Renewal, Reached::RanOut]);
}

#[test]
fn a_take_over_meets_a_renumbered_item() {
    let bounds = Bounds {
        renumberings: 1,
        ..watched("take-over of a renumbered item")
    };
    exhaust(bounds, &[Reached::TakeOver, Reached::CasReadAnew, Reached::Loss]);
}

#[test]
fn a_take_over_races_an_expiry_and_another_add() {
    let bounds = Bounds {
        attempts: vec![1, 1, 1],
        begins_after: vec![0, 0, 2],
        // Past the watch, and then past the TTL, with the exchanges from between the two still on their way.
        steps: vec![Duration::from_millis(9_500), Duration::from_secs(1)],
        whole_batches: true,
        ..Bounds::calm("expiry and a third")
    };
    exhaust(bounds, &[Reached::Expiry, Reached::TakeOver, Reached::NothingToRelease]);
}

#[test]
fn clocks_that_run_apart_by_a_thousandth_are_allowed_for() {
    exhaust(
        slow_holders_and_a_fast_watcher(),
        &[Reached::TakeOver, Reached::HandOver],
    );
}

#[test]
fn one_clock_of_each_process_may_be_wrong_by_far() {
    // The clocks that are slewed. The simulator has the other one wrong as well.
    let bounds = Bounds {
        name: "one clock of each process is off by a twelfth",
        skew: vec![-83_333, -83_333, 83_333],
        raw_skew: vec![-500, -500, 500],
        ..slow_holders_and_a_fast_watcher()
    };
    exhaust(bounds, &[Reached::TakeOver, Reached::HandOver]);
}

fn slow_holders_and_a_fast_watcher() -> Bounds {
    Bounds {
        attempts: vec![1, 1, 1],
        processes: vec![0, 0],
        renewals: Vec::new(),
        // At the end of the slice; then between the ends of the lease in the item by the fast clock and by the slow
        // one, so that a holder that took the lock over still believes; then past all of them.
        steps: vec![
            Duration::from_micros(49_900),
            Duration::from_micros(1_000_100),
            Duration::from_millis(5),
        ],
        skew: vec![-500, -500, 500],
        ..watched("slow holders and a fast watcher")
    }
}
