//! Holders that renew, or enter again.

use super::Mutant;
use super::suites::{LOCKS, REENTRY, background, model, tasks};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "renewals-counted-from-their-end",
        breaks: "L4",
        decision: "A renewal is due at each third of the lease, also after one that was held up.",
        file: "hold/renewal.rs",
        from: "due = asked + third",
        to: "due = clock.now().instant + third",
        suites: &[LOCKS],
    },
    Mutant {
        name: "renewals-outlive-their-lock",
        breaks: "L5",
        decision: "What renews a lock ends when the lock is released.",
        file: "hold/release.rs",
        from: "self.background_task = None;",
        to: "std::mem::forget(self.background_task.take());",
        suites: &[background("a_renewal_ends")],
    },
    Mutant {
        name: "re-entry-without-a-renewal",
        breaks: "S5",
        decision: "A caller that enters again has at least half of its timeout, which the server knows of.",
        file: "protocol/lease_state.rs",
        from: "self.remaining(now) >= timeout / 2",
        to: "!self.remaining(now).is_zero() && !timeout.is_zero()",
        suites: &[LOCKS],
    },
    Mutant {
        name: "lock-given-up-twice",
        breaks: "S3",
        decision: "A held lock is given up once, however many leases and guards share it.",
        file: "protocol/lease_state.rs",
        from: "match std::mem::replace(&mut self.status, Status::Released) {",
        to: "match self.status {",
        suites: &[LOCKS, model(REENTRY, "a_lock_that_was_handed_over")],
    },
    Mutant {
        name: "every-task-is-the-holder",
        breaks: "S1",
        decision: "The holder is the call tree: another task that is polled inside of the body does not belong to it.",
        file: "call_tree/mod.rs",
        from: "(current.task == task::try_id()).then(",
        to: "(current.task == current.task).then(",
        suites: &[tasks("identity::")],
    },
];
