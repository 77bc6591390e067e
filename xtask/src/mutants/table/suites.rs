//! Where faults are made, and which tests are to catch them.

use super::Suite;

pub(super) const fn unit(filter: &'static str) -> Suite {
    Suite {
        package: "memlock-runtime",
        folder: "memlock-runtime",
        target: &["--lib"],
        filter,
    }
}

pub(super) const fn simulation(filter: &'static str) -> Suite {
    Suite {
        package: "memlock-runtime",
        folder: "memlock-runtime",
        target: &["--test", "simulation"],
        filter,
    }
}

pub(super) const fn attributes(filter: &'static str) -> Suite {
    Suite {
        package: "memlock",
        folder: ".",
        target: &["--test", "attributes"],
        filter,
    }
}

pub(super) const fn zlock(filter: &'static str) -> Suite {
    Suite {
        package: "memlock",
        folder: ".",
        target: &["--test", "zlock"],
        filter,
    }
}

/// Locked async functions as tasks.
pub(super) const fn tasks(filter: &'static str) -> Suite {
    Suite {
        package: "memlock",
        folder: ".",
        target: &["--test", "tasks"],
        filter,
    }
}

/// What goes on in the background, counted and listened to.
pub(super) const fn background(filter: &'static str) -> Suite {
    Suite {
        package: "memlock",
        folder: ".",
        target: &["--test", "background"],
        filter,
    }
}

/// Processes that fork, over a real server.
pub(super) const fn forks(filter: &'static str) -> Suite {
    Suite {
        package: "memlock-forks",
        folder: "checks/forks",
        target: &["--test", "forks", "--features", "server-tests"],
        filter,
    }
}

/// Processes in line for one lock.
pub(super) const fn line(filter: &'static str) -> Suite {
    Suite {
        package: "memlock-runtime",
        folder: "memlock-runtime",
        target: &["--test", "line"],
        filter,
    }
}

/// The queue's threads in many orders of their steps, in one scenario: it stops at the first order that breaks a
/// promise.
pub(super) const fn interleaved(filter: &'static str) -> Suite {
    Suite {
        package: INTERLEAVINGS,
        folder: "checks/interleavings",
        target: &["--test", "queue"],
        filter,
    }
}

/// The package of the interleavings.
pub(in crate::mutants) const INTERLEAVINGS: &str = "memlock-interleavings";

/// The model checker, with one small model: it stops at the first state that breaks a promise.
pub(super) const fn model(target: &'static [&'static str], filter: &'static str) -> Suite {
    Suite {
        package: MODEL,
        folder: "checks/model",
        target,
        filter,
    }
}

/// The package of the models.
pub(in crate::mutants) const MODEL: &str = "memlock-model";

pub(super) const CONTENDERS: &[&str] = &["--test", "contenders"];
pub(super) const EXPIRY: &[&str] = &["--test", "expiry"];
pub(super) const HANDOVER: &[&str] = &["--test", "handover"];
pub(super) const LOST_STATE: &[&str] = &["--test", "lost_state"];
pub(super) const REENTRY: &[&str] = &["--test", "reentry"];
pub(super) const RESERVED: &[&str] = &["--test", "reservations"];
pub(super) const TAKEOVER: &[&str] = &["--test", "takeover"];

pub(super) const MODEL_WATCHED: Suite = model(HANDOVER, "a_lock_that_goes_round");
pub(super) const MODEL_LATE_TAKER: Suite = model(HANDOVER, "what_is_handed_over");
pub(super) const MODEL_LENGTHS: Suite = model(HANDOVER, "a_lease_does_not_shrink");
pub(super) const MODEL_TAKEN_AWAY: Suite = model(HANDOVER, "a_turn_that_was_taken_away");
pub(super) const MODEL_RENEWED: Suite = model(HANDOVER, "renewals_that_are_lost");
pub(super) const MODEL_STOPPED: Suite = model(HANDOVER, "a_turn_goes_on");
pub(super) const MODEL_LEAVING: Suite = model(HANDOVER, "who_leaves_the_line");
pub(super) const MODEL_FLUSHED: Suite = model(HANDOVER, "a_flush_excuses");
pub(super) const MODEL_256: Suite = model(HANDOVER, "after_256");
pub(super) const MODEL_REENTRY: Suite = model(REENTRY, "a_lock_that_was_handed_over");
pub(super) const MODEL_RESERVED: Suite = model(RESERVED, "nobody_is_let_in");
pub(super) const MODEL_CLAIM_FOR_LESS: Suite = model(RESERVED, "a_claim_for_less");
pub(super) const MODEL_RESTARTED: Suite = model(LOST_STATE, "a_cas_from_before_a_restart");
pub(super) const MODEL_WAITER_RESTARTED: Suite = model(LOST_STATE, "a_cas_read_before_a_restart");
pub(super) const MODEL_RACE: Suite = model(TAKEOVER, "a_take_over_races_a_renewal");
pub(super) const MODEL_RENEWALS: Suite = model(TAKEOVER, "a_watcher_sees_each_renewal");
pub(super) const MODEL_TWO_RESTARTS: Suite = model(LOST_STATE, "tokens_rise_across_two_restarts");
pub(super) const MODEL_DRIFT: Suite = model(TAKEOVER, "clocks_that_run_apart");
pub(super) const MODEL_STOPPED_SERVER: Suite = model(EXPIRY, "an_item_stored_by_a_clock");
pub(super) const MODEL_LATE_DATA: Suite = model(CONTENDERS, "tokens_rise_although_a_stores");
pub(super) const MODEL_FLUSHED_BETWEEN: Suite = model(LOST_STATE, "tokens_rise_although_a_flush");
pub(super) const MODEL_UNREACHABLE: Suite = model(CONTENDERS, "two_lost_replies");
pub(super) const MODEL_KEEPER: Suite = model(CONTENDERS, "what_is_left_behind");

pub(super) const CROWD: Suite = interleaved("a_crowd_is_served");
pub(super) const GIVEN_TO_LEAVER: Suite = interleaved("a_turn_given_to_a_waiter_that_leaves");
pub(super) const FALLS_ASLEEP: Suite = interleaved("a_turn_given_to_a_waiter_that_falls_asleep");
pub(super) const STEPS_IN_AND_HANGS: Suite = interleaved("a_waiter_that_steps_in_and_hangs");
pub(super) const SENT_AWAY: Suite = interleaved("all_waiters_are_dismissed");

pub(super) const PROTOCOL: Suite = unit("protocol::");
pub(super) const LEASE: Suite = unit("lease::");
pub(super) const TOKEN: Suite = unit("token::");
pub(super) const QUEUE: Suite = unit("queue::");
pub(super) const RESERVATIONS: Suite = unit("hold::reservation::");
pub(super) const DRIVER: Suite = unit("locks::tests::");
pub(super) const MEMCACHED: Suite = unit("memcached::");
pub(super) const IN_MEMORY: Suite = unit("testing::");

pub(super) const ACQUIRE: &str = "protocol/acquire/mod.rs";
pub(super) const RENEW: &str = "protocol/renew.rs";
pub(super) const RELEASE: &str = "protocol/release.rs";
pub(super) const LINE: &str = "protocol/wait_list.rs";
pub(super) const CALLS: &str = "protocol/calls.rs";
pub(super) const HOLDING: &str = "protocol/lease_state.rs";
pub(super) const TURNS: &str = "protocol/turn_state.rs";
pub(super) const WATCH_RS: &str = "protocol/watch.rs";
pub(super) const LEASE_RS: &str = "protocol/lease.rs";
pub(super) const TOKEN_RS: &str = "protocol/token.rs";
pub(super) const ENDING: &str = "queue/ending.rs";
pub(super) const CONTENDER: &str = "driver/contender.rs";
pub(super) const LIMITS: &str = "driver/limits.rs";
pub(super) const OF_KEY: &str = "queue/of_key.rs";
pub(super) const PLACE: &str = "queue/place.rs";
pub(super) const WAITER: &str = "queue/waiter.rs";
