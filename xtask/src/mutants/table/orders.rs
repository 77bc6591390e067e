//! What only some orders of the threads' steps show.

use super::suites::{
    ENDING, FALLS_ASLEEP, GIVEN_TO_LEAVER, OF_KEY, PLACE, QUEUE, SENT_AWAY, STEPS_IN_AND_HANGS, WAITER, interleaved,
};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "asked-before-it-is-told",
        breaks: "L1",
        fault: "who gives a turn asks whether its taker is awake before it tells it, who falls asleep in between",
        edits: &[Edit {
            file: WAITER,
            from: "\
        self.turn.store(number, Ordering::SeqCst);
        // A waiter that is awake looks once more after it has stored that it is not.
        !self.is_awake.load(Ordering::SeqCst)",
            to: "\
        let is_asleep = !self.is_awake.load(Ordering::SeqCst);
        self.turn.store(number, Ordering::SeqCst);
        is_asleep",
        }],
        suites: &[FALLS_ASLEEP],
    },
    Mutant {
        name: "turn-told-in-no-order",
        breaks: "L1",
        fault: "who gives a turn may read that its taker is awake before the taker can see the turn",
        edits: &[Edit {
            file: WAITER,
            from: "self.turn.store(number, Ordering::SeqCst);",
            to: "self.turn.store(number, Ordering::Release);",
        }],
        suites: &[FALLS_ASLEEP],
    },
    Mutant {
        name: "sleep-told-in-no-order",
        breaks: "L1",
        fault: "who falls asleep may read that it has no turn before others can see that it sleeps",
        edits: &[Edit {
            file: WAITER,
            from: "self.is_awake.store(false, Ordering::SeqCst);",
            to: "self.is_awake.store(false, Ordering::Release);",
        }],
        suites: &[FALLS_ASLEEP],
    },
    Mutant {
        name: "near-taken-for-awake",
        breaks: "L1",
        fault: "one that knows that its turn is near is not woken for it, whether it is awake or not",
        edits: &[Edit {
            file: WAITER,
            from: "!self.is_awake.load(Ordering::SeqCst)",
            to: "!self.was_woken_early.load(Ordering::SeqCst)",
        }],
        suites: &[FALLS_ASLEEP],
    },
    Mutant {
        name: "woken-before-it-is-told-why",
        breaks: "L2",
        fault: "who is sent away is woken first, finds nothing, and sleeps again",
        edits: &[Edit {
            file: WAITER,
            from: "\
        let _ = self.failure.set(failure);
        self.wake();",
            to: "\
        self.wake();
        let _ = self.failure.set(failure);",
        }],
        suites: &[SENT_AWAY],
    },
    Mutant {
        name: "turn-given-to-one-who-is-gone",
        breaks: "L1 L3",
        fault: "who leaves asks whether it has the turn before it takes itself out of the line: it is given the turn in between",
        edits: &[Edit {
            file: PLACE,
            from: "\
        let mut shard = self.queues.shard(&self.item);
        // Under the lock: if this waiter was given the turn meanwhile, it has to pass it on, with the grant that came
        // with it.
        let given = waiter.given_turn();",
            to: "\
        let given = waiter.given_turn();
        let mut shard = self.queues.shard(&self.item);",
        }],
        suites: &[GIVEN_TO_LEAVER],
    },
    Mutant {
        name: "lease-told-to-one-who-leaves",
        breaks: "L1",
        fault: "whoever becomes the first in line because the first leaves sleeps beyond a lease that only that one was told of",
        edits: &[Edit {
            file: OF_KEY,
            from: "was_first.then(|| self.first_asleep_past_lease()).flatten()",
            to: "None.filter(|_| was_first)",
        }],
        suites: &[QUEUE, interleaved("a_waiter_that_becomes_the_first")],
    },
    Mutant {
        name: "next-not-told-of-the-takers-lease",
        breaks: "L1",
        fault: "whoever becomes the first in line by a hand-over sleeps beyond the new holder's lease",
        edits: &[Edit {
            file: OF_KEY,
            from: "\
                (self.first_asleep_past_lease(), self.notify_of_answer())",
            to: "\
                (None, self.notify_of_answer())",
        }],
        suites: &[QUEUE, STEPS_IN_AND_HANGS],
    },
    Mutant {
        name: "next-not-told-of-the-steppers-lease",
        breaks: "L1",
        fault: "whoever becomes the first in line by another's stepping in sleeps beyond that one's lease",
        edits: &[Edit {
            file: PLACE,
            from: "let sleeper = queue.first_asleep_past_lease();",
            to: "let sleeper = None;",
        }],
        suites: &[QUEUE, STEPS_IN_AND_HANGS],
    },
    Mutant {
        name: "memory-lost-on-who-comes-late",
        breaks: "L1",
        fault: "one that comes too late for its turn, and is alone, does not know what the others have seen of a dead holder",
        edits: &[Edit {
            file: PLACE,
            from: "shard.remembered.remove(&self.item).unwrap_or_default();",
            to: "Remembered::default();",
        }],
        suites: &[QUEUE, interleaved("a_taker_that_comes_too_late_inherits")],
    },
    Mutant {
        name: "place-minded-once",
        breaks: "L5",
        fault: "a place that is kept again, after somebody has minded it, is minded no more",
        edits: &[Edit {
            file: ENDING,
            from: "        shard.expiring_places.remove(item);\n",
            to: "",
        }],
        suites: &[QUEUE, interleaved("a_kept_place")],
    },
];
