//! Handing a lock over inside a process.

use super::Mutant;
use super::suites::{
    HANDOVER, LEASE, LOCKS, MODEL_ROUND, MODEL_STOPPED, PROTOCOL, QUEUE, interleaved, model, simulation,
};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "item-without-the-slice",
        breaks: "S1",
        decision: "The lease in the item covers the slice, in which the lock may go to holders after the first.",
        file: "protocol/spec.rs",
        from: "lease: lengths.lease,",
        to: "lease: self.timeout,",
        suites: &[PROTOCOL, MODEL_ROUND, simulation("holders_that_are_stopped")],
    },
    Mutant {
        name: "hand-over-beyond-the-grants-end",
        breaks: "S1 S5",
        decision: "No holder's deadline is later than the end of the grant.",
        file: "protocol/lease.rs",
        from: "length: timeout.min(self.remaining(began)),",
        to: "length: timeout,",
        suites: &[LEASE, QUEUE, model(HANDOVER, "what_is_handed_over")],
    },
    Mutant {
        name: "slice-without-end",
        breaks: "L6",
        decision: "A grant goes back to the server when its slice is over, so that other processes get their turn.",
        file: "protocol/grant.rs",
        from: "now.instant < self.slice_ends && ",
        to: "",
        suites: &[QUEUE, LOCKS],
    },
    Mutant {
        name: "lost-lock-handed-over",
        breaks: "S1",
        decision: "A lock that is known to be lost is not handed over.",
        file: "protocol/lease_state.rs",
        from: "Status::Lost(Loss::Taken) => Some(End::Forget),",
        to: "Status::Lost(Loss::Taken) => Some(End::HandOver),",
        suites: &[LOCKS, model(HANDOVER, "a_flush_excuses")],
    },
    Mutant {
        name: "doubtful-lock-handed-over",
        breaks: "S4",
        decision: "A lock whose last renewal had no reply is not handed over, because the renewal may be executed yet.",
        file: "protocol/lease_state.rs",
        from: "self.is_renewal_open = true;",
        to: "self.is_renewal_open = false;",
        suites: &[LOCKS, model(HANDOVER, "renewals_that_are_lost")],
    },
    Mutant {
        name: "hand-over-after-the-turn",
        breaks: "S1",
        decision: "A caller that has lost its turn hands nothing over.",
        file: "protocol/turn_state.rs",
        from: "self.is_present(number) && grant.may_be_handed_over",
        to: "grant.may_be_handed_over",
        suites: &[QUEUE, model(HANDOVER, "a_turn_that_was_taken_away")],
    },
    Mutant {
        name: "belief-after-the-hand-over",
        breaks: "S1",
        decision: "A holder that has handed the lock over does not believe in it any more.",
        file: "protocol/lease_state.rs",
        from: "Status::Lost(_) | Status::Released => Duration::ZERO,",
        to: "Status::Released => self.grant.deadline.remaining(now),
            Status::Lost(_) => Duration::ZERO,",
        suites: &[LOCKS, MODEL_STOPPED],
    },
    Mutant {
        name: "untaken-grant-forgotten",
        breaks: "L3",
        decision: "A grant that was handed over, and that nobody is left to take, is released.",
        file: "protocol/turn_state.rs",
        from: "(self.watch, self.handed.take().map(|grant| *grant))",
        to: "(self.watch, None)",
        suites: &[
            QUEUE,
            model(HANDOVER, "who_leaves_the_line"),
            interleaved("a_grant_without_a_taker"),
        ],
    },
];
