//! Locks that are kept for a retry: told to the server as a short lease, claimed, given up, or left behind by a process
//! that ends.

use std::time::Duration;

use memlock_model::{Bounds, Reached, exhaust};

/// Two contenders. The first reserves once.
fn reserved_once(name: &'static str) -> Bounds {
    Bounds {
        reserves: vec![1],
        reserve: Duration::from_millis(300),
        whole_batches: true,
        ..Bounds::calm(name)
    }
}

#[test]
fn no_competitor_gets_a_reserved_lock_before_the_reservation_is_over() {
    let bounds = Bounds {
        // A reservation is over after the first step, and a lease that was not cut short after the second.
        steps: [301, 760].map(Duration::from_millis).to_vec(),
        deaths: 1,
        ..reserved_once("a reservation beside a watcher")
    };
    exhaust(
        bounds,
        &[
            Reached::Told,
            Reached::Claim,
            Reached::NoClaim,
            Reached::Death,
            Reached::TakeOver,
        ],
    );
}

#[test]
fn a_reservation_with_lost_or_late_replies_lasts_as_long_as_it_says() {
    let bounds = Bounds {
        steps: [301, 760].map(Duration::from_millis).to_vec(),
        lost: 2,
        loses_only_renewals: true,
        ..reserved_once("a reservation with lost replies")
    };
    let reached = [
        Reached::Told,
        Reached::Claim,
        Reached::NoClaim,
        Reached::CasReadAnew,
        Reached::DoubtfulRelease,
        Reached::TakeOver,
    ];
    exhaust(bounds, &reached);
}

#[test]
fn the_commands_of_a_reservation_and_of_a_take_over_come_in_every_order() {
    let bounds = Bounds {
        steps: [301, 800].map(Duration::from_millis).to_vec(),
        whole_batches: false,
        ..reserved_once("a reservation, command by command")
    };
    exhaust(bounds, &[Reached::Told, Reached::Claim, Reached::TakeOver]);
}

#[test]
fn a_thread_that_waits_behind_a_reservation_gets_the_turn_when_that_is_over() {
    let bounds = Bounds {
        attempts: vec![1, 1, 1],
        processes: vec![0, 0],
        steps: vec![Duration::from_millis(301)],
        keeper: true,
        ..reserved_once("a reservation before another thread's turn")
    };
    let reached = [
        Reached::HandOver,
        Reached::Claim,
        Reached::StepIn,
        Reached::TurnTakenAway,
        Reached::TakeOver,
    ];
    exhaust(bounds, &reached);
}

#[test]
fn a_claim_for_less_than_the_first_holder_had_moves_no_expiry_back() {
    let bounds = Bounds {
        attempts: vec![1],
        lease: Duration::from_secs(10),
        reserve: Duration::from_millis(900),
        claims_for: Some(Duration::from_millis(200)),
        // The server stands still during the first step. A short TTL that is dated by its old second is over with the
        // next tick.
        steps: vec![Duration::from_secs(9), Duration::from_millis(500)],
        stops: 1,
        ..reserved_once("a claim for less, by a clock that stood still")
    };
    exhaust(bounds, &[Reached::StoredByStaleClock, Reached::Told, Reached::Claim]);
}

#[test]
fn after_a_server_lost_a_reservation_others_get_higher_tokens() {
    let bounds = Bounds {
        lease: Duration::from_secs(4),
        reserve: Duration::from_millis(2500),
        steps: vec![Duration::from_secs(2)],
        restarts: 1,
        has_clock_item: false,
        ..reserved_once("a reservation across a restart")
    };
    exhaust(
        bounds,
        &[
            Reached::Told,
            Reached::Claim,
            Reached::NoClaim,
            Reached::Loss,
            Reached::ExcusedBeliever,
        ],
    );
}

#[test]
fn after_256_holders_a_reservation_goes_back_to_the_server() {
    let bounds = Bounds {
        reserves: vec![2],
        // One more holder is allowed.
        handed_over_before: 254,
        keeper: true,
        ..reserved_once("more claims than a grant has tokens")
    };
    exhaust(bounds, &[Reached::Claim, Reached::NoClaim, Reached::Release]);
}
