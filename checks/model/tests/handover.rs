//! Threads of one process that hand the lock over among themselves in memory, and another process beside them.

use std::time::Duration;

use memlock_model::{Bounds, Reached, exhaust};

/// Steps for a lease of one second with a slice of 50 ms. The first step stays within the slice. After the second step
/// the first holder's lease is over, and the lease of a holder that took the lock over in between is not. After the
/// third all leases are over.
const WITHIN_THE_SLICE: [Duration; 3] = [
    Duration::from_millis(40),
    Duration::from_millis(965),
    Duration::from_millis(50),
];

/// Two threads of one process, and another process.
fn two_and_one(name: &'static str) -> Bounds {
    Bounds {
        attempts: vec![1, 1, 1],
        processes: vec![0, 0],
        whole_batches: true,
        ..Bounds::calm(name)
    }
}

/// Three threads of one process.
fn three(name: &'static str) -> Bounds {
    Bounds {
        attempts: vec![1, 1, 1],
        processes: vec![0, 0, 0],
        ..Bounds::calm(name)
    }
}

#[test]
fn a_lock_that_goes_round_is_not_taken_over_before_its_last_holders_lease_is_over() {
    let bounds = Bounds {
        steps: WITHIN_THE_SLICE.to_vec(),
        ..two_and_one("hand-over under a watch")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::TakeOver, Reached::StepIn]);
}

#[test]
fn a_lock_that_is_handed_over_is_kept_until_its_taker_comes_and_no_longer() {
    let bounds = Bounds {
        // Most of the grant that was handed over is gone when the taker comes, and then all of it.
        steps: vec![Duration::from_millis(600), Duration::from_millis(500)],
        keeper: true,
        ..two_and_one("a taker that comes late")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::Spent, Reached::TakeOver]);
}

#[test]
fn holders_that_ask_for_less_or_more_hand_over_within_one_grant() {
    let bounds = Bounds {
        timeouts: vec![Duration::from_secs(1), Duration::from_millis(400)],
        renewals: vec![0, 1],
        // The contender with the short lease renews the other's grant, once its own lease is nearly over.
        steps: vec![Duration::from_millis(350), Duration::from_millis(670)],
        ..two_and_one("different timeouts")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::Renewal, Reached::TakeOver]);
}

#[test]
fn a_lease_does_not_shrink_while_a_grant_goes_round() {
    let bounds = Bounds {
        attempts: vec![2, 1],
        processes: vec![0, 0],
        timeouts: vec![Duration::from_secs(1), Duration::from_millis(400)],
        renewals: vec![0, 1],
        ..Bounds::calm("a short lease between two long ones")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::Renewal]);
}

#[test]
fn a_turn_that_was_taken_away_within_the_slice_hands_nothing_over() {
    let bounds = Bounds {
        attempts: vec![2, 1, 1],
        timeouts: vec![
            Duration::from_secs(1),
            Duration::from_millis(10),
            Duration::from_secs(1),
        ],
        renewals: vec![0, 1],
        // The short lease is renewed after the first step. The reply arrives after the lease's old deadline, when
        // another contender has stepped in: the lease may be believed in, and the turn is gone.
        steps: vec![Duration::from_millis(6); 2],
        whole_batches: true,
        keeper: true,
        ..three("a turn taken away within the slice")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::TurnTakenAway, Reached::StepIn]);
}

#[test]
fn renewals_that_are_lost_and_late_keep_a_lock_from_being_handed_over() {
    let bounds = Bounds {
        attempts: vec![1, 1],
        processes: vec![0, 0],
        renewals: vec![1, 1],
        lost: 1,
        steps: vec![Duration::from_millis(970)],
        whole_batches: true,
        ..Bounds::calm("lost renewals on both sides of a hand-over")
    };
    let reached = [
        Reached::HandOver,
        Reached::Renewal,
        Reached::DoubtfulRelease,
        Reached::LateStore,
    ];
    exhaust(bounds, &reached);
}

#[test]
fn a_renewal_that_is_lost_beside_another_process() {
    let bounds = Bounds {
        renewals: vec![1],
        lost: 1,
        ..two_and_one("a lost renewal, a hand-over, and another process")
    };
    exhaust(
        bounds,
        &[Reached::HandOver, Reached::DoubtfulRelease, Reached::LateStore],
    );
}

#[test]
fn renewals_on_both_sides_of_a_hand_over_start_the_watch_again() {
    let bounds = Bounds {
        renewals: vec![1, 1],
        steps: vec![Duration::from_millis(45), Duration::from_millis(1010)],
        ..two_and_one("renewals on both sides of a hand-over")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::Renewal, Reached::TakeOver]);
}

#[test]
fn a_turn_goes_on_without_a_holder_or_a_taker_that_is_stopped() {
    let bounds = Bounds {
        renewals: vec![1],
        // The reply to a renewal arrives after the old deadline, and before the new one.
        steps: vec![Duration::from_millis(500), Duration::from_millis(510)],
        whole_batches: true,
        keeper: true,
        ..three("three waiting threads, stopped past their leases")
    };
    let reached = [
        Reached::HandOver,
        Reached::StepIn,
        Reached::TooLateForTheTurn,
        Reached::TurnTakenAway,
        Reached::Spent,
    ];
    exhaust(bounds, &reached);
}

#[test]
fn callers_that_lose_their_turn_while_they_ask_contend_with_those_that_step_in() {
    let bounds = Bounds {
        stalls: true,
        ..two_and_one("turns that end at any time")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::StepIn, Reached::TurnTakenAway]);
    let bounds = Bounds {
        attempts: vec![1, 1],
        processes: vec![0, 0],
        stalls: true,
        lost: 1,
        keeper: true,
        ..Bounds::calm("turns that end at any time, and a lost reply")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::StepIn, Reached::TurnTakenAway]);
    let bounds = Bounds {
        stalls: true,
        whole_batches: true,
        ..three("turns that end at any time, among three")
    };
    let reached = [
        Reached::HandOver,
        Reached::StepIn,
        Reached::TooLateForTheTurn,
        Reached::TurnTakenAway,
    ];
    exhaust(bounds, &reached);
}

#[test]
fn leaving_the_queue_passes_on_a_grant_that_was_handed_over() {
    let bounds = Bounds {
        attempts: vec![2, 1, 1],
        leaves: 2,
        keeper: true,
        ..three("leaving the queue")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::PassedOn, Reached::Cleaned]);
}

#[test]
fn a_flush_excuses_the_holders_of_one_grant_until_one_of_them_learns_of_it() {
    let bounds = Bounds {
        renewals: vec![1, 1],
        flushes: 1,
        ..two_and_one("a flush under a lock that is handed over")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::ExcusedBeliever, Reached::Loss]);
}

#[test]
fn a_restart_under_a_lock_that_is_handed_over() {
    let bounds = Bounds {
        renewals: vec![0, 1],
        lease: Duration::from_secs(4),
        steps: vec![Duration::from_secs(2)],
        restarts: 1,
        has_clock_item: false,
        ..two_and_one("a restart under a lock that is handed over")
    };
    exhaust(
        bounds,
        &[
            Reached::HandOver,
            Reached::ExcusedBeliever,
            Reached::Loss,
            Reached::TooYoung,
        ],
    );
}

#[test]
fn after_256_holders_the_lock_goes_back_to_the_server() {
    let bounds = Bounds {
        attempts: vec![3, 2],
        processes: vec![0, 0],
        // One more hand-over is allowed.
        handed_over_before: 254,
        whole_batches: true,
        ..Bounds::calm("more holders than a grant has tokens")
    };
    exhaust(bounds, &[Reached::HandOver, Reached::Release]);
}
