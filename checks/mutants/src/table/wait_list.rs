//! The wait list of the processes for one lock, and wake-ups.

use super::Mutant;
use super::suites::{line, unit};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "first-looks-as-seldom-as-the-others",
        breaks: "L6",
        decision: "The first in line looks often, so that a hand-over takes a small part of the holder's time.",
        file: "protocol/wait_list.rs",
        from: "if self.is_first() {",
        to: "if false {",
        suites: &[line("processes_that_come_back")],
    },
    Mutant {
        name: "nobody-stands-back",
        breaks: "L6",
        decision: "A process that has just released the lock lets the first in line go before it.",
        file: "protocol/wait_list.rs",
        from: "now.instant.saturating_sub(since) < self.grace(interval)",
        to: "now.instant.saturating_sub(since) < Duration::ZERO",
        suites: &[line("processes_that_come_back")],
    },
    Mutant {
        name: "the-dead-stay-in-line",
        breaks: "L1",
        decision: "A process that does not come for its turn is taken out of the line after some intervals.",
        file: "protocol/wait_list.rs",
        from: "now.instant.saturating_sub(since) >= interval.saturating_mul(INTERVALS_UNTIL_DEAD)",
        to: "now.instant.saturating_sub(since) >= Duration::MAX",
        suites: &[line("dead_processes_in_line")],
    },
    Mutant {
        name: "nobody-leaves-the-line",
        breaks: "L5",
        decision: "A process that has had the lock leaves the line, and the last one deletes its item.",
        file: "protocol/wait_list.rs",
        from: "if list == self.list {",
        to: "if list != self.list {",
        suites: &[line("nobody_is_left_in_line")],
    },
    Mutant {
        name: "lost-wake-up-waited-for",
        breaks: "L6",
        decision: "A wake-up is a hint: the first in line looks by itself, too, because datagrams are lost.",
        file: "protocol/wait_list.rs",
        from: "let longest = (held / fraction).clamp(shortest, interval.max(shortest));",
        to: "let longest = if self.me.wake.is_some() { interval } else { (held / fraction).max(shortest) };",
        suites: &[line("lost_wake_ups")],
    },
    Mutant {
        name: "anybody-wakes",
        breaks: "L6",
        decision: "A datagram wakes a waiter only with the secret that stands in the line.",
        file: "driver/wake/mod.rs",
        from: "if u64::from_str_radix(secret, 16) != Ok(*self.target.secret.expose()) {",
        to: "if u64::from_str_radix(secret, 16).is_err() {",
        suites: &[unit("driver::wake::")],
    },
];
