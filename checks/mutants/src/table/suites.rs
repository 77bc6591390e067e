//! The tests that are to catch the faults.

use super::Suite;

/// Unit tests of the runtime.
pub(super) const fn unit(filter: &'static str) -> Suite {
    runtime(&["--lib"], filter)
}

/// Histories on virtual time, drawn by seeds.
pub(super) const fn simulation(filter: &'static str) -> Suite {
    runtime(&["--test", "simulation"], filter)
}

/// Processes in line for one lock, on virtual time.
pub(super) const fn line(filter: &'static str) -> Suite {
    runtime(&["--test", "line"], filter)
}

/// Guards of tasks, under several executors.
pub(super) const fn executors(filter: &'static str) -> Suite {
    runtime(&["--test", "tasks"], filter)
}

const fn runtime(target: &'static [&'static str], filter: &'static str) -> Suite {
    Suite {
        package: "memlock-runtime",
        folder: "memlock-runtime",
        target,
        filter,
    }
}

/// Annotated functions.
pub(super) const fn attributes(filter: &'static str) -> Suite {
    memlock(&["--test", "attributes"], filter)
}

/// `zlock` and transactions.
pub(super) const fn zlock(filter: &'static str) -> Suite {
    memlock(&["--test", "zlock"], filter)
}

/// Locks in the destructors of thread-locals. It has no test harness, and no names of tests.
pub(super) const LAST_MOMENTS: Suite = memlock(&["--test", "last_moments"], "");

/// Strangers on the threads of a work-stealing pool.
pub(super) const STRANGERS: Suite = memlock(&["--test", "strangers"], "");

/// Annotated async functions as tasks.
pub(super) const fn tasks(filter: &'static str) -> Suite {
    memlock(&["--test", "tasks"], filter)
}

/// The background work, counted and listened to.
pub(super) const fn background(filter: &'static str) -> Suite {
    memlock(&["--test", "background"], filter)
}

const fn memlock(target: &'static [&'static str], filter: &'static str) -> Suite {
    Suite {
        package: "memlock",
        folder: ".",
        target,
        filter,
    }
}

/// Processes that fork, with a real server.
pub(super) const fn forks(filter: &'static str) -> Suite {
    Suite {
        package: "memlock-forks",
        folder: "checks/forks",
        target: &["--test", "forks", "--features", "server-tests"],
        filter,
    }
}

/// One scenario of the queue's threads, in many orders of their steps. It stops at the first that breaks a promise.
pub(super) const fn interleaved(filter: &'static str) -> Suite {
    Suite {
        package: INTERLEAVINGS,
        folder: "checks/interleavings",
        target: &["--test", "queue"],
        filter,
    }
}

/// The package of the interleavings.
pub(crate) const INTERLEAVINGS: &str = "memlock-interleavings";

/// One small model. It stops at the first state that breaks a promise.
pub(super) const fn model(target: &'static [&'static str], filter: &'static str) -> Suite {
    Suite {
        package: MODEL,
        folder: "checks/model",
        target,
        filter,
    }
}

/// The package of the models.
pub(crate) const MODEL: &str = "memlock-model";

pub(super) const CONTENDERS: &[&str] = &["--test", "contenders"];
pub(super) const EXPIRY: &[&str] = &["--test", "expiry"];
pub(super) const HANDOVER: &[&str] = &["--test", "handover"];
pub(super) const LOST_STATE: &[&str] = &["--test", "lost_state"];
pub(super) const REENTRY: &[&str] = &["--test", "reentry"];
pub(super) const RESERVED: &[&str] = &["--test", "reservations"];
pub(super) const TAKEOVER: &[&str] = &["--test", "takeover"];

/// A lock that goes round between two processes.
pub(super) const MODEL_ROUND: Suite = model(HANDOVER, "a_lock_that_goes_round");
/// A holder that is stopped while its process goes on.
pub(super) const MODEL_STOPPED: Suite = model(HANDOVER, "a_turn_goes_on");
/// A take-over that races a renewal.
pub(super) const MODEL_RACE: Suite = model(TAKEOVER, "a_take_over_races_a_renewal");
/// Writes without a reply.
pub(super) const MODEL_LOST_REPLIES: Suite = model(CONTENDERS, "two_lost_replies");

/// The state machines.
pub(super) const PROTOCOL: Suite = unit("protocol::");
/// The deadlines' arithmetic.
pub(super) const LEASE: Suite = unit("protocol::lease::");
/// The tokens' arithmetic.
pub(super) const TOKEN: Suite = unit("protocol::token::");
/// The queue of a process.
pub(super) const QUEUE: Suite = unit("queue::");
/// The drivers, with locks in memory on virtual time.
pub(super) const LOCKS: Suite = unit("locks::tests::");
