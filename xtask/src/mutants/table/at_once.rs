//! What is done at once.

use super::suites::{AT_ONCE, DRIVER, QUEUE, attributes, interleaved};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "another-lets-in-at-once",
        breaks: "L6",
        fault: "one who finds nobody in this process takes the lock at once, although others wait for it in other processes",
        edits: &[Edit {
            file: "queue/mod.rs",
            from: "        if memories.contains_key(item) {\n            return None;\n        }\n",
            to: "",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "lease-at-once-not-known",
        breaks: "L6",
        fault: "who joins behind one that was granted the lock at once does not know when to step in for it",
        edits: &[Edit {
            file: "queue/mod.rs",
            from: "        turns.granted(number, until, watch);\n",
            to: "        let _ = (until, watch);\n",
        }],
        suites: &[QUEUE, interleaved("a_lease_that_was_granted_at_once")],
    },
    Mutant {
        name: "left-at-once-before-those-who-wait",
        breaks: "L1",
        fault: "who ends its turn at once leaves those behind it in a queue that is gone",
        edits: &[Edit {
            file: "queue/of_key.rs",
            from: "self.turns.is_present(number) && self.waiting.is_empty() &&",
            to: "self.turns.is_present(number) &&",
        }],
        suites: &[QUEUE, interleaved("one_who_joins_while_the_lock_is_given_back")],
    },
    Mutant {
        name: "left-at-once-with-anothers-turn",
        breaks: "S3 L1",
        fault: "a holder whose turn was taken away ends that of who stepped in for it",
        edits: &[Edit {
            file: "queue/of_key.rs",
            from: "self.turns.is_present(number) && self.waiting.is_empty() &&",
            to: "self.waiting.is_empty() &&",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "left-at-once-without-a-look",
        breaks: "L5",
        fault: "who ends its turn at once never looks who stands in line",
        edits: &[Edit {
            file: "queue/turn.rs",
            from: "if self.standing.is_some() || self.is_to_look(grant.end.sent().instant, now) {",
            to: "if self.standing.is_some() {",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "deleted-at-once-whosever-it-is",
        breaks: "S3",
        fault: "what is deleted at once may be another's item",
        edits: &[Edit {
            file: "memory.rs",
            from: "is_some_and(|held| held.cas == cas)",
            to: "is_some()",
        }],
        suites: &[AT_ONCE],
    },
    Mutant {
        name: "deleted-at-once-on-another-instance",
        breaks: "S3",
        fault: "what is deleted at once may be an item of the server's next instance",
        edits: &[Edit {
            file: "in_process.rs",
            from: "self.at_once().filter(|state| state.items.instance() == only_on)",
            to: "self.at_once().filter(|_| only_on.pid > 0)",
        }],
        suites: &[AT_ONCE],
    },
    Mutant {
        name: "added-at-once-without-a-clock",
        breaks: "S5",
        fault: "what is added at once stands on a server that nobody has asked for its clock",
        edits: &[Edit {
            file: "memory.rs",
            from: "if self.out_of_memory || !self.has_clock_item(second) {",
            to: "if self.out_of_memory {",
        }],
        suites: &[AT_ONCE],
    },
    Mutant {
        name: "held-on-after-the-end",
        breaks: "S3",
        fault: "a lease that was kept says that it lasts, although its lock was released at once",
        edits: &[Edit {
            file: "driver/hold.rs",
            from: "        if has_ended {\n            holding.end(now);\n        }\n",
            to: "",
        }],
        suites: &[DRIVER, attributes("")],
    },
    Mutant {
        name: "put-aside-with-its-server",
        breaks: "L5",
        fault: "the place of a hold that is over keeps its locks, and their connections, alive",
        edits: &[Edit {
            file: "driver/hold.rs",
            from: "            *core = None;\n",
            to: "            let _ = core;\n",
        }],
        suites: &[DRIVER],
    },
];
