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
];
