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

    what_is_given_to_one_who_leaves_goes_to_the_next
    one_whose_time_is_over_takes_its_turn_or_passes_it_on
    a_grant_that_nobody_is_left_to_take_is_released_once
    a_line_closes_behind_one_who_leaves
    a_turn_whose_owner_panics_is_passed_on

    a_turn_that_comes_to_one_who_falls_asleep_wakes_it
    one_who_is_called_early_and_has_its_turn_meanwhile_is_served
    a_lease_that_is_granted_to_one_who_hangs_wakes_the_first_in_line
    a_lease_is_seen_by_whom_the_first_in_line_leaves_it_to
    a_lease_that_is_made_shorter_wakes_the_first_in_line
    a_lease_that_is_renewed_and_made_shorter_wakes_the_first_in_line

    all_are_told_or_stand_in_a_new_queue

    a_hand_over_races_the_first_in_line_who_steps_in
    a_taker_that_comes_too_late_is_the_first_again
    one_who_steps_in_and_hangs_is_stepped_in_for
    a_taker_that_comes_too_late_and_leaves_takes_nothing_along
    what_was_seen_is_known_to_one_that_comes_too_late

    a_place_that_is_kept_is_always_minded

}
