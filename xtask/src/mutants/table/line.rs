//! WaitListView in line between processes.

use super::suites::{ACQUIRE, CALLS, ENDING, LINE, PROTOCOL, QUEUE, RELEASE, line, unit};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "first-looks-as-seldom-as-the-others",
        breaks: "L6",
        fault: "nobody in line looks often, so that each hand-over takes a good part of what the holder took",
        edits: &[Edit {
            file: LINE,
            from: "        if self.is_first() {",
            to: "        if false {",
        }],
        suites: &[line("processes_that_come_back")],
    },
    Mutant {
        name: "others-look-as-often-as-the-first",
        breaks: "L6",
        fault: "who is far behind in line looks each interval",
        edits: &[Edit {
            file: LINE,
            from: "const LONGEST_PAUSE: u32 = 4;",
            to: "const LONGEST_PAUSE: u32 = 1;",
        }],
        suites: &[line("whoever_waits_for_a_long_time")],
    },
    Mutant {
        name: "called-look-as-often-as-others",
        breaks: "performance",
        fault: "who is called when its turn comes looks all the same as if it were not",
        edits: &[Edit {
            file: LINE,
            from: "let is_woken = self.me.call.is_some() && self.calls.do_arrive();",
            to: "let is_woken = false;",
        }],
        suites: &[line("whoever_waits_for_a_call")],
    },
    Mutant {
        name: "nobody-stands-back",
        breaks: "L6",
        fault: "who has just released the lock takes it again before those in line have looked",
        edits: &[Edit {
            file: LINE,
            from: "        if now.instant.saturating_sub(since) < self.grace(interval) {
            return true;",
            to: "        if now.instant.saturating_sub(since) < self.grace(interval) {
            return false;",
        }],
        suites: &[line("processes_that_come_back")],
    },
    Mutant {
        name: "the-dead-stay-in-line",
        breaks: "L1",
        fault: "who died in line is waited for at each hand-over",
        edits: &[Edit {
            file: LINE,
            from: "now.instant.saturating_sub(since) >= interval.saturating_mul(INTERVALS_UNTIL_DEAD)",
            to: "now.instant.saturating_sub(since) >= Duration::MAX",
        }],
        suites: &[line("the_dead_who_stand_in_line")],
    },
    Mutant {
        name: "the-dead-let-anyone-by",
        breaks: "L6",
        fault: "where the first in line does not come, who looks first has the lock",
        edits: &[Edit {
            file: LINE,
            from: "        each.saturating_mul(u32::try_from(self.ahead().count()).unwrap_or(u32::MAX))",
            to: "        each",
        }],
        suites: &[line("the_dead_who_stand_in_line")],
    },
    Mutant {
        name: "slow-once-dead-for-ever",
        breaks: "L6",
        fault: "who was passed once is taken out of the line whenever the one who passed it writes it",
        edits: &[
            Edit {
                file: LINE,
                from: "self.ahead().next() == Some(*passed));",
                to: "true);",
            },
            Edit {
                file: LINE,
                from: "*passed != nonce.process());",
                to: "true);",
            },
        ],
        suites: &[line("who_was_slow_once")],
    },
    Mutant {
        name: "holder-still-in-line",
        breaks: "L6",
        fault: "the holder, who stands in line until it has released the lock, is taken for the first there",
        edits: &[Edit {
            file: LINE,
            from: "            .filter(move |process| Some(*process) != holder)",
            to: "            .filter(move |process| Some(*process) != holder || true)",
        }],
        suites: &[line("processes_that_come_back")],
    },
    Mutant {
        name: "nobody-leaves-the-line",
        breaks: "L5",
        fault: "who has had the lock stays in line, and its item on the server",
        edits: &[Edit {
            file: LINE,
            from: "        if line == self.line {
            return None;",
            to: "        if line != self.line {
            return None;",
        }],
        suites: &[line("nobody_is_left_in_line")],
    },
    Mutant {
        name: "looks-in-vain",
        breaks: "performance",
        fault: "each release looks who stands in line",
        edits: &[Edit {
            file: "protocol/release.rs",
            from: "        None => now.instant.saturating_sub(granted.min(looked)) >= TURN,",
            to: "        None => granted.min(looked) < now.instant,",
        }],
        suites: &[line("who_is_alone")],
    },
    Mutant {
        name: "called-in-vain",
        breaks: "L6",
        fault: "who is called looks, and finds that it does not know of itself as the first in line",
        edits: &[Edit {
            file: LINE,
            from: "self.calls.is_woken() || self.is_first()",
            to: "self.calls.is_woken() && self.is_first()",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "looks-although-called",
        breaks: "performance",
        fault: "who is called reads that the lock is free before it adds",
        edits: &[Edit {
            file: CALLS,
            from: "self.is_woken && self.in_vain.is_none()",
            to: "false",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "adds-whoever-calls",
        breaks: "S1",
        fault: "who is called in vain stores blindly each time, where a store that is refused deletes the lock",
        edits: &[Edit {
            file: CALLS,
            from: "self.is_woken && self.in_vain.is_none()",
            to: "self.is_woken",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "adds-although-short-of-memory",
        breaks: "S1",
        fault: "who is called stores blindly on a server that refuses stores, and deletes the lock under each",
        edits: &[Edit {
            file: ACQUIRE,
            from: "if then_look && (self.look_first || !is_woken) {",
            to: "if then_look && !is_woken {",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "heeds-each-call",
        breaks: "L6",
        fault: "a stranger who can read the line makes a waiter look as often as he likes",
        edits: &[Edit {
            file: CALLS,
            from: "const LEAST_DISTANCE: Duration = Duration::from_millis(1);",
            to: "const LEAST_DISTANCE: Duration = Duration::ZERO;",
        }],
        suites: &[line("calls_in_vain")],
    },
    Mutant {
        name: "counts-on-lost-calls",
        breaks: "performance",
        fault: "where no call arrives a process hands the lock over each time all the same, and the next polls for it",
        edits: &[Edit {
            file: CALLS,
            from: "            self.uncalled_turns = self.uncalled_turns.saturating_add(1);\n",
            to: "",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "goes-on-although-others-are-called",
        breaks: "performance",
        fault: "a process takes the lock again and again although others could have it at once",
        edits: &[Edit {
            file: LINE,
            from: "self.turn_began.filter(|_| !self.is_next_called())",
            to: "self.turn_began",
        }],
        suites: &[line("those_who_are_called")],
    },
    Mutant {
        name: "turn-without-end",
        breaks: "L6",
        fault: "a turn that is over between asking and being granted begins anew",
        edits: &[Edit {
            file: LINE,
            from: "self.turn_began.get_or_insert(now.instant);",
            to: "\
if !self.may_go_on(now) {
            self.turn_began = Some(now.instant);
        }",
        }],
        suites: &[line("sixteen_contenders")],
    },
    Mutant {
        name: "called-late",
        breaks: "performance",
        fault: "the next is called only when the release has been answered",
        edits: &[Edit {
            file: RELEASE,
            from: "let is_deleted_first = self.known.is_some();",
            to: "let is_deleted_first = false;",
        }],
        suites: &[line("those_who_are_called")],
    },
    Mutant {
        name: "place-given-up-each-time",
        breaks: "performance",
        fault: "who comes back at once each time leaves the line each time, and joins it again",
        edits: &[Edit {
            file: LINE,
            from: "let is_expected_back = self.comes_back && self.is_next_called();",
            to: "let is_expected_back = false;",
        }],
        suites: &[line("those_who_are_called")],
    },
    Mutant {
        name: "place-kept-for-ever",
        breaks: "L5",
        fault: "who was expected back and does not come stays in line, and the others wait for it at each hand-over",
        edits: &[Edit {
            file: LINE,
            from: "        !self.is_back_soon(now)
    }",
            to: "        self.is_back_soon(now) && false
    }",
        }],
        suites: &[line("who_is_expected_back"), unit("queue::")],
    },
    Mutant {
        name: "places-minded-one-by-one",
        breaks: "performance",
        fault: "each release that keeps a place sends for somebody to mind it",
        edits: &[Edit {
            file: ENDING,
            from: "starts_expiry = is_place_kept && shard.expiring_places.insert(item.clone());",
            to: "\
shard.expiring_places.insert(item.clone());
            starts_expiry = is_place_kept;",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "call-of-the-last-turn",
        breaks: "L6",
        fault: "who comes back heeds the call for the turn that it has had",
        edits: &[Edit {
            file: "driver/wake/mod.rs",
            from: "        self.waiters().missed.take_if(|missed| missed == item.as_str());
    }",
            to: "        self.waiters().missed.take_if(|_| item.as_str().is_empty());
    }",
        }],
        suites: &[unit("driver::wake::")],
    },
    Mutant {
        name: "strangers-are-called-each-time",
        breaks: "L6",
        fault: "an address that never answered gets a datagram for each release",
        edits: &[Edit {
            file: "driver/wake/addresses.rs",
            from: "if now < self.strangers_from {",
            to: "if now < Duration::ZERO {",
        }],
        suites: &[unit("driver::wake::")],
    },
    Mutant {
        name: "any-number-is-an-answer",
        breaks: "L6",
        fault: "who forges an answer makes any address known",
        edits: &[Edit {
            file: "driver/wake/addresses.rs",
            from: "if number != self.number(address) {",
            to: "if number == u64::MAX {",
        }],
        suites: &[unit("driver::wake::")],
    },
    Mutant {
        name: "an-answer-counts-for-ever",
        breaks: "L6",
        fault: "an address that answered once gets all datagrams, whoever has it now",
        edits: &[Edit {
            file: "driver/wake/addresses.rs",
            from: "answered.is_some_and(|answered| now.saturating_sub(*answered) < KNOWN_FOR)",
            to: "answered.is_some()",
        }],
        suites: &[unit("driver::wake::")],
    },
    Mutant {
        name: "loopback-of-another-machine",
        breaks: "L6",
        fault: "an address on loopback that another machine wrote is called on this one",
        edits: &[Edit {
            file: "driver/wake/addresses.rs",
            from: "|| !is_reached_from(self.own, address.ip())",
            to: "",
        }],
        suites: &[unit("driver::wake::")],
    },
    Mutant {
        name: "two-calls-for-a-release",
        breaks: "L6",
        fault: "a release calls again when the line has changed since it called",
        edits: &[Edit {
            file: "driver/core.rs",
            from: "was_woken || self.call(",
            to: "was_woken | self.call(",
        }],
        suites: &[unit("locks::tests::calling::")],
    },
    Mutant {
        name: "line-not-read-with-the-add",
        breaks: "performance",
        fault: "who has its turn does not know the line that it is to leave, and leaves it with more exchanges",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "if self.standing.as_ref().is_some_and(|standing| standing.waits_in_line()) {",
            to: "if false {",
        }],
        suites: &[line("those_who_are_called")],
    },
    Mutant {
        name: "who-is-called-sleeps-through",
        breaks: "L6",
        fault: "who can be called does not look by itself, so that a lost datagram keeps it from its turn",
        edits: &[Edit {
            file: LINE,
            from: "let longest = (held / fraction).clamp(shortest, interval.max(shortest));",
            to: "let longest = if self.me.call.is_some() { interval } else { shortest };",
        }],
        suites: &[line("lost_calls")],
    },
];
