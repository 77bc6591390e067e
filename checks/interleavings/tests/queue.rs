//! Every scenario, in many orders.

use memlock_interleavings::{check, scenarios};

macro_rules! checked {
    ($($scenario:ident)*) => { $(
        #[test]
        fn $scenario() {
            check(scenarios::$scenario);
        }
    )* };
}

checked! {
    a_crowd_is_served_in_the_order_of_arrival
    a_thread_and_a_task_take_turns

    a_turn_given_to_a_waiter_that_leaves_goes_to_the_next
    a_waiter_whose_time_is_over_takes_its_turn_or_passes_it_on
    a_grant_without_a_taker_is_released_once
    a_line_closes_behind_a_waiter_that_leaves
    a_turn_whose_owner_panics_is_passed_on

    a_turn_given_to_a_waiter_that_falls_asleep_wakes_it
    a_waiter_that_is_woken_early_and_gets_its_turn_meanwhile_is_served
    a_lease_granted_to_a_holder_that_hangs_wakes_the_first_waiter
    a_waiter_that_becomes_the_first_sees_the_lease
    a_lease_that_is_made_shorter_wakes_the_first_waiter
    a_lease_that_is_renewed_and_made_shorter_wakes_the_first_waiter

    all_waiters_are_dismissed_or_join_a_new_queue

    a_hand_over_races_the_first_waiter_that_steps_in
    a_taker_that_comes_too_late_is_the_first_again
    a_waiter_that_steps_in_and_hangs_is_replaced
    a_taker_that_comes_too_late_and_leaves_takes_nothing_with_it
    a_taker_that_comes_too_late_inherits_the_watch

    a_head_that_does_not_move_is_replaced_by_whoever_moves
    a_turn_that_is_not_taken_up_is_used_by_others_and_left_by_its_owner

    a_kept_place_always_expires
}
