//! Locks that are reserved for a retry.

use super::Mutant;
use super::suites::{PROTOCOL, RESERVED, model, unit, zlock};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "conflict-releases-the-lock",
        breaks: "Z1",
        decision: "A body that ends in a conflict leaves its lock reserved for its caller's retry.",
        file: "hold/body_locks.rs",
        from: "BodyLocks::Own(held, Some(retry)) if is_conflict => held.reserve(&retry).await,",
        to: "BodyLocks::Own(held, Some(_)) if is_conflict => held.release().await,",
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "reservation-for-anybody",
        breaks: "Z1",
        decision: "A thread's reservation is for that thread: another has data from before the first one's turn.",
        file: "hold/reservation/mod.rs",
        from: "Caller::Thread => Owner::Thread(thread::current().id()),",
        to: "Caller::Thread => Owner::Process,",
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "reservation-without-end",
        breaks: "Z1",
        decision: "A reservation that nobody claims is released when its time is over.",
        file: "hold/reservation/mod.rs",
        from: "self.end_on_time(&reserved);",
        to: "",
        suites: &[unit("hold::reservation::")],
    },
    Mutant {
        name: "reservation-believed-in-for-longer",
        breaks: "S1 S5",
        decision: "A process stops believing in more than the reservation before it tells the server.",
        file: "protocol/grant.rs",
        from: "let deadline = self.deadline.of_holder(now, length);",
        to: "let _ = length;
        let deadline = self.deadline;",
        suites: &[PROTOCOL, model(RESERVED, "nobody_is_let_in")],
    },
];
