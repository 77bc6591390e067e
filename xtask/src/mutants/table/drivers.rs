//! The driver, the agent and the queue.

use super::suites::{
    CONTENDER, CROWD, DRIVER, ENDING, GIVEN_TO_LEAVER, HOLDING, IN_MEMORY, LIMITS, OF_KEY, PLACE, QUEUE, TURNS,
    background, interleaved, tasks, unit,
};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "late-write-not-settled",
        breaks: "L3",
        fault: "nobody cleans up after an acquisition whose reply came too late",
        edits: &[Edit {
            file: "driver/contender.rs",
            from: "self.settle(nonce, Some(pending));",
            to: "drop(pending);",
        }],
        suites: &[DRIVER, IN_MEMORY],
    },
    Mutant {
        name: "lost-release-forgotten",
        breaks: "L3",
        fault: "a release without a reply is not tried again in the background",
        edits: &[Edit {
            file: "driver/blocking.rs",
            from: "        Arc::clone(core).settle(&spec.item, grant.nonce, grant.lease, pending);",
            to: "        drop(pending);",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "abandoned-write-not-settled",
        breaks: "L3",
        fault: "nobody cleans up after an acquisition that was dropped under way",
        edits: &[Edit {
            file: "driver/tasks.rs",
            from: "                        Arc::clone(core).settle(&spec.item, nonce, spec.lease(), Some(pending));",
            to: "                        drop((nonce, pending));",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "abandoned-release-forgotten",
        breaks: "L3",
        fault: "a release that was dropped under way does not go on",
        edits: &[Edit {
            file: "driver/tasks.rs",
            from: "        grant: Some(grant),",
            to: "        grant: None,",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "task-keeps-the-frame",
        breaks: "S1",
        fault: "what a thread polls next is taken for the body that it has polled",
        edits: &[Edit {
            file: "call_tree/mod.rs",
            from: "            drop(CURRENT.try_with(|current| current.replace(before)));",
            to: "            drop(before);",
        }],
        suites: &[tasks("identity::")],
    },
    Mutant {
        name: "every-task-is-the-holder",
        breaks: "S1",
        fault: "a task that is polled inside of a synchronous body is taken for its holder",
        edits: &[Edit {
            file: "call_tree/mod.rs",
            from: "(current.task == task::try_id()).then(",
            to: "(current.task == current.task).then(",
        }],
        suites: &[tasks("identity::")],
    },
    Mutant {
        name: "renewals-counted-from-their-end",
        breaks: "L4",
        fault: "a renewal that was held up puts off the next one, until the lease is over",
        edits: &[Edit {
            file: "hold/renewal.rs",
            from: "due = asked + third",
            to: "due = clock.now().instant + third",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "renewals-outlive-their-lock",
        breaks: "L5",
        fault: "what renews a lock waits for the next third of its timeout, although it was released",
        edits: &[Edit {
            file: "hold/release.rs",
            from: "        self.meanwhile = None;
        let ending",
            to: "        std::mem::forget(self.meanwhile.take());
        let ending",
        }],
        suites: &[background("a_renewal_ends")],
    },
    Mutant {
        name: "reservations-outlive-their-claim",
        breaks: "L5",
        fault: "what waits for the end of a reservation goes on when it was claimed",
        edits: &[Edit {
            file: "hold/reservation/kept.rs",
            from: "        state.meanwhile = None;
        let turn",
            to: "        std::mem::forget(state.meanwhile.take());
        let turn",
        }],
        suites: &[background("a_reservation_leaves")],
    },
    Mutant {
        name: "renewals-of-a-lost-lock-go-on",
        breaks: "L5",
        fault: "what renews a lock goes on waiting when a renewal by its holder has found it lost",
        edits: &[Edit {
            file: "hold/renewal.rs",
            from: "                state.meanwhile = None;",
            to: "",
        }],
        suites: &[background("a_renewal_ends")],
    },
    Mutant {
        name: "failed-renewal-is-silent",
        breaks: "L4",
        fault: "nothing is said of a renewal that fails, before the lease is over",
        edits: &[Edit {
            file: "hold/renewal.rs",
            from: "if is_first && !self.is_set_aside {",
            to: "if is_first && self.is_set_aside {",
        }],
        suites: &[background("a_renewal_that_fails")],
    },
    Mutant {
        name: "every-failed-renewal-is-told",
        breaks: "L4",
        fault: "each retry of a renewal that fails says so",
        edits: &[Edit {
            file: "hold/renewal.rs",
            from: "if is_first && !self.is_set_aside {",
            to: "if is_first | !self.is_set_aside {",
        }],
        suites: &[background("a_renewal_that_fails")],
    },
    Mutant {
        name: "loss-without-its-cause",
        breaks: "L4",
        fault: "a lease that could not be renewed is said to have run out",
        edits: &[Edit {
            file: "hold/mod.rs",
            from: "(Loss::RanOut, None) => RAN_OUT.into(),",
            to: "(Loss::RanOut, _) => RAN_OUT.into(),",
        }],
        suites: &[background("a_renewal_that_fails")],
    },
    Mutant {
        name: "no-thread-for-renewals-is-silent",
        breaks: "L4",
        fault: "a lock that is to be renewed is acquired although nothing can renew it",
        edits: &[Edit {
            file: "locks/acquire.rs",
            from: "if order.renew.is_some() {",
            to: "if false {",
        }],
        suites: &[background("renewals_without_a_thread")],
    },
    Mutant {
        name: "failed-settling-forgotten",
        breaks: "L3",
        fault: "cleaning up is tried once, and forgotten when the server cannot be asked",
        edits: &[Edit {
            file: "driver/settle.rs",
            from: "Released::Failed(_) => {}",
            to: "Released::Failed(_) => return,",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "failed-renewals-not-counted",
        breaks: "S1",
        fault: "a hold forgets the number of a renewal that failed, and its next one writes it again",
        edits: &[Edit {
            file: HOLDING,
            from: "\
both must be kept.
                self.grant = grant;",
            to: "\
both must be kept.
                drop(grant);",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "exchange-outlasts-the-wait",
        breaks: "L2",
        fault: "each exchange takes its whole limit, however little the caller wanted to wait",
        edits: &[Edit {
            file: LIMITS,
            from: "self.until_end(now).map_or(self.each, |left| self.each.min(left))",
            to: "self.until_end(now).map_or(self.each, |_| self.each)",
        }],
        suites: &[unit("driver::limits::"), unit("all_exchanges_of_a_call")],
    },
    Mutant {
        name: "no-time-to-ask",
        breaks: "L2",
        fault: "who does not want to wait for others has no time to ask the server either, and a healthy one is unavailable",
        edits: &[Edit {
            file: LIMITS,
            from: "began.instant.saturating_add(wait).saturating_add(exchange_timeout)",
            to: "began.instant.saturating_add(wait).saturating_add(exchange_timeout / 10)",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "releases-outlast-the-call",
        breaks: "L2",
        fault: "what a call has acquired when it fails is released with a limit for each exchange, and without an end",
        edits: &[Edit {
            file: "locks/acquire.rs",
            from: "hold.release_within(asked.limits.asking);",
            to: "hold.release();",
        }],
        suites: &[unit("ends::")],
    },
    Mutant {
        name: "stuck-behind-a-renewal",
        breaks: "L2",
        fault: "who enters again, or claims a reservation, waits as long as another exchange about the lock hangs",
        edits: &[Edit {
            file: "hold/mod.rs",
            from: "match either(self.exchanging.lock(), Timer::after(left)).await {",
            to: "match either(self.exchanging.lock(), Timer::after(left * 100_000)).await {",
        }],
        suites: &[unit("who_needs_a_lock_about_which")],
    },
    Mutant {
        name: "busy-while-another-asks",
        breaks: "L2",
        fault: "who tries once behind one that asks a server which hangs is told that the lock is busy",
        edits: &[Edit {
            file: OF_KEY,
            from: "self.is_releasing || !self.is_answered && self.turns.leased_until().is_none()",
            to: "self.is_releasing",
        }],
        suites: &[unit("who_tries_once_behind_one")],
    },
    Mutant {
        name: "answer-kept-to-itself",
        breaks: "L1",
        fault: "who waits for nothing but the answer of the one before it is not woken by it",
        edits: &[Edit {
            file: OF_KEY,
            from: "filter(|waiter| waiter.notify_of_answer())",
            to: "filter(|waiter| waiter.notify_of_answer() && false)",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "trouble-forgotten-with-its-turn",
        breaks: "L2",
        fault: "what one came to grief on is forgotten when the next asks, and those behind are told that the lock is busy",
        edits: &[Edit {
            file: OF_KEY,
            from: "        self.is_answered = false;
        self.waiting",
            to: "        self.is_answered = false;
        self.trouble = None;
        self.waiting",
        }],
        suites: &[unit("who_tries_once_behind_one")],
    },
    Mutant {
        name: "held-lock-called-unavailable",
        breaks: "L2",
        fault: "a server that said that another holds the lock is unavailable because there is no time to ask it who",
        edits: &[Edit {
            file: CONTENDER,
            from: "if self.had_no_time(unanswered) && self.machine.is_held() =>",
            to: "if false && self.had_no_time(unanswered) && self.machine.is_held() =>",
        }],
        suites: &[unit("ends::")],
    },
    Mutant {
        name: "hung-server-called-busy",
        breaks: "L2",
        fault: "a server that hangs at the last look is taken for one that has no time, and the lock for held",
        edits: &[Edit {
            file: CONTENDER,
            from: "limit < self.core.exchange_limit / 2 && self.limits.are_over(now)",
            to: "self.limits.are_over(now)",
        }],
        suites: &[unit("ends::")],
    },
    Mutant {
        name: "late-turn-called-unavailable",
        breaks: "L2",
        fault: "who has its turn when its time is nearly over calls a server unavailable that has answered all before it",
        edits: &[Edit {
            file: CONTENDER,
            from: "if self.had_no_time(unanswered) && self.stood_in_line =>",
            to: "if false && self.had_no_time(unanswered) && self.stood_in_line =>",
        }],
        suites: &[unit("ends::")],
    },
    Mutant {
        name: "last-come-first-served",
        breaks: "L6",
        fault: "the turn goes to whoever came last",
        edits: &[Edit {
            file: OF_KEY,
            from: "self.waiting.pop_front()",
            to: "self.waiting.pop_back()",
        }],
        suites: &[QUEUE, CROWD],
    },
    Mutant {
        name: "turn-lost-with-its-place",
        breaks: "L1",
        fault: "a waiter that leaves just as it is given the turn takes it along, and all behind it wait for ever",
        edits: &[Edit {
            file: PLACE,
            from: "            self.queues.pass_on(&self.item, given, |_| ());\n",
            to: "",
        }],
        suites: &[QUEUE, GIVEN_TO_LEAVER],
    },
    Mutant {
        name: "wake-up-lost",
        breaks: "L1",
        fault: "a waiter is given the turn and not woken",
        edits: &[Edit {
            file: OF_KEY,
            from: "first: needs_wake_up.then_some(next),",
            to: "first: needs_wake_up.then_some(next).filter(|_| false),",
        }],
        suites: &[QUEUE, GIVEN_TO_LEAVER],
    },
    Mutant {
        name: "lease-granted-while-it-falls-asleep",
        breaks: "L1",
        fault: "a lease that is granted after the first in line has looked, and before it sleeps, is not told to it",
        edits: &[Edit {
            file: PLACE,
            from: "            waiter.observe_lease();\n",
            to: "",
        }],
        suites: &[QUEUE, interleaved("a_lease_that_is_renewed_and_made_shorter")],
    },
    Mutant {
        name: "busy-past-the-lease",
        breaks: "L1",
        fault: "who tries once finds a lock busy whose holder in the same process hangs past its lease, however often it tries",
        edits: &[Edit {
            file: "driver/waiting.rs",
            from: "if is_first && leased_until.is_some_and",
            to: "if false && is_first && leased_until.is_some_and",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "watch-lost-with-its-turn",
        breaks: "L1",
        fault: "what a waiter has seen of a dead holder is forgotten when it gives up",
        edits: &[Edit {
            file: TURNS,
            from: "            self.watch = watch;
        }
        self.handed",
            to: "            let _ = watch;
        }
        self.handed",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "ended-turn-passed-on",
        breaks: "L6",
        fault: "a thread that hung past its lease passes on the turn that another has by now",
        edits: &[Edit {
            file: ENDING,
            from: "queues.get_mut(item).filter(|queue| queue.turns.is_present(number)) else {",
            to: "queues.get_mut(item) else {",
        }],
        suites: &[QUEUE, interleaved("a_hand_over_races")],
    },
];
