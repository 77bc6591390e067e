//! Turns in the queue of a process.

use super::Mutant;
use super::suites::{QUEUE, interleaved};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "last-come-first-served",
        breaks: "L6",
        decision: "Turns come in the order of joining.",
        file: "queue/of_key.rs",
        from: "let first = self.line.pop_front();",
        to: "let first = self.line.pop_back();",
        suites: &[QUEUE, interleaved("a_crowd_is_served")],
    },
    Mutant {
        name: "turn-stored-without-an-order",
        breaks: "L1",
        decision: "Either the giver of a turn sees that its taker falls asleep, or the taker sees the turn.",
        file: "queue/waiter.rs",
        from: "self.turn.store(number, Ordering::SeqCst);",
        to: "self.turn.store(number, Ordering::Release);",
        suites: &[interleaved("a_turn_given_to_a_waiter_that_falls_asleep")],
    },
    Mutant {
        name: "turn-without-end",
        breaks: "L7",
        decision: "A turn ends if its caller does not move, also without a lease.",
        file: "queue/queues.rs",
        from: "now.instant.saturating_add(self.patience)",
        to: "Duration::MAX.max(now.instant)",
        suites: &[QUEUE],
    },
    Mutant {
        name: "only-the-first-steps-in",
        breaks: "L7",
        decision: "Any waiter may step in, since those ahead of it may not move either.",
        file: "protocol/turn_state.rs",
        from: "if now.instant >= self.ends.saturating_add(grace) {",
        to: "if grace.is_zero() && now.instant >= self.ends {",
        suites: &[QUEUE],
    },
    Mutant {
        name: "handed-over-for-a-whole-lease",
        breaks: "L7",
        decision: "A grant that was handed over waits for its taker no longer than a turn.",
        file: "queue/turn.rs",
        from: "now.instant + timeout.min(self.queues.patience)",
        to: "now.instant + timeout",
        suites: &[QUEUE],
    },
];
