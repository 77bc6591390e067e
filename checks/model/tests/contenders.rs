//! Contenders with lost, late and repeated exchanges, with their commands in every order. No time passes: these
//! tests do not depend on how long anything takes.

use memlock_model::{Bounds, Reached, exhaust};

#[test]
fn a_lost_reply_grants_no_lock_twice_among_three() {
    let bounds = Bounds {
        attempts: vec![1, 1, 1],
        lost: 1,
        ..Bounds::calm("three contenders, a lost reply")
    };
    exhaust(bounds, &[Reached::Grant, Reached::FoundOwnLeftover, Reached::LateStore]);
}

#[test]
fn an_abandoned_write_is_cleaned_up_without_touching_a_later_grant() {
    let bounds = Bounds {
        attempts: vec![2, 1],
        lost: 1,
        keeper: true,
        ..Bounds::calm("the keeper beside its own process's next attempt")
    };
    exhaust(
        bounds,
        &[Reached::Cleaned, Reached::FoundOwnLeftover, Reached::LateStore],
    );
}

#[test]
fn two_lost_replies_and_one_exchange_that_is_not_sent() {
    let bounds = Bounds {
        lost: 2,
        unsent: 1,
        ..Bounds::calm("an unreachable server")
    };
    exhaust(bounds, &[Reached::Grant, Reached::GaveUp, Reached::LateStore]);
}

#[test]
fn an_exchange_that_is_executed_twice_grants_once() {
    let bounds = Bounds {
        attempts: vec![1, 1, 1],
        repeated: 1,
        ..Bounds::calm("repeated execution")
    };
    exhaust(bounds, &[Reached::LateStore, Reached::NothingToRelease]);
}

#[test]
fn tokens_rise_although_a_stores_number_is_drawn_before_its_data_has_come() {
    let bounds = Bounds {
        attempts: vec![1, 2],
        late_data: true,
        ..Bounds::calm("late data")
    };
    exhaust(bounds, &[Reached::Grant, Reached::Verification, Reached::Release]);
}

#[test]
fn a_renewal_without_reply_that_meets_a_renumbered_item() {
    let bounds = Bounds {
        renewals: vec![1],
        lost: 1,
        renumberings: 1,
        keeper: true,
        whole_batches: true,
        ..Bounds::calm("renumbered items")
    };
    exhaust(bounds, &[Reached::CasReadAnew, Reached::Cleaned, Reached::Renewal]);
}
