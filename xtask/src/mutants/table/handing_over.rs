//! Handing over inside a process.

use super::suites::{
    DRIVER, ENDING, FALLS_ASLEEP, HOLDING, LEASE, LEASE_RS, MODEL_256, MODEL_FLUSHED, MODEL_LATE_TAKER, MODEL_LENGTHS,
    MODEL_RENEWED, MODEL_STOPPED, MODEL_TAKEN_AWAY, MODEL_WATCHED, PROTOCOL, QUEUE, RENEW, TOKEN, TOKEN_RS, TURNS,
    WAITER, interleaved, simulation,
};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "hand-over-beyond-the-grants-end",
        breaks: "S1 S5",
        fault: "whoever a lock is handed over to believes in it for a whole timeout, whatever is left of the grant",
        edits: &[Edit {
            file: LEASE_RS,
            from: "length: timeout.min(self.remaining(began)),",
            to: "length: timeout,",
        }],
        suites: &[LEASE, QUEUE, MODEL_LATE_TAKER],
    },
    Mutant {
        name: "hand-over-that-the-grant-does-not-cover",
        breaks: "S5",
        fault: "a lock is handed over although less is left of the grant than the next holder's timeout",
        edits: &[Edit {
            file: "protocol/grant.rs",
            from: " && self.end.remaining(now) >= timeout",
            to: "",
        }],
        suites: &[QUEUE, DRIVER],
    },
    Mutant {
        name: "spent-grant-taken",
        breaks: "S5",
        fault: "a taker that was not running for long still takes what little is left",
        edits: &[Edit {
            file: "protocol/grant.rs",
            from: "if deadline.length() >= timeout / 2 =>",
            to: "if !deadline.length().is_zero() =>",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "slice-without-end",
        breaks: "L6",
        fault: "a process hands its lock over among its threads for as long as the grant lasts",
        edits: &[Edit {
            file: "protocol/grant.rs",
            from: "now.instant < self.slice_ends && ",
            to: "",
        }],
        suites: &[QUEUE, DRIVER],
    },
    Mutant {
        name: "lease-in-the-item-without-the-slice",
        breaks: "S1",
        fault: "the item tells the first holder's timeout alone, and others take over from those after it",
        edits: &[Edit {
            file: "protocol/spec.rs",
            from: "            lease: term.lease,
            renewal: 0,
",
            to: "            lease: self.timeout,
            renewal: 0,
",
        }],
        suites: &[PROTOCOL, simulation("holders_that_are_stopped"), MODEL_WATCHED],
    },
    Mutant {
        name: "lease-that-shrinks",
        breaks: "S5",
        fault: "a holder with a shorter timeout renews with a shorter lease, and the server's expiry moves back",
        edits: &[Edit {
            file: RENEW,
            from: "self.grant.lease = self.grant.lease.max(self.spec.lease());",
            to: "self.grant.lease = self.spec.lease();",
        }],
        suites: &[PROTOCOL, DRIVER, MODEL_LENGTHS],
    },
    Mutant {
        name: "token-handed-over",
        breaks: "S2",
        fault: "the next holder under a grant has the token of the one before",
        edits: &[Edit {
            file: TOKEN_RS,
            from: "Token(self.0 + 1)",
            to: "Token(self.0)",
        }],
        suites: &[TOKEN, DRIVER, MODEL_STOPPED],
    },
    Mutant {
        name: "hand-over-after-256",
        breaks: "S2",
        fault: "more are handed the lock under one grant than there are tokens before the next grant's",
        edits: &[Edit {
            file: TOKEN_RS,
            from: "let is_last = self.0.trailing_ones() >= u8::BITS;",
            to: "let is_last = false;",
        }],
        suites: &[TOKEN, DRIVER, MODEL_256],
    },
    Mutant {
        name: "lost-lock-handed-over",
        breaks: "S1",
        fault: "a holder that knows that its lease is lost hands it over",
        edits: &[Edit {
            file: HOLDING,
            from: "Status::Lost(Loss::Taken) => Some(End::Forget),
            Status::Lost(loss) => Some(End::Release(Some(loss))),",
            to: "Status::Lost(_) => Some(End::HandOver),",
        }],
        suites: &[DRIVER, MODEL_FLUSHED],
    },
    Mutant {
        name: "doubtful-lock-handed-over",
        breaks: "S4",
        fault: "a lock whose last renewal got no reply is handed over",
        edits: &[Edit {
            file: HOLDING,
            from: "self.is_renewal_open = true;",
            to: "self.is_renewal_open = false;",
        }],
        suites: &[DRIVER, MODEL_RENEWED],
    },
    Mutant {
        name: "hand-over-by-one-who-hung",
        breaks: "S1",
        fault: "a thread that hung, and whose turn another has by now, hands its lock to the next all the same",
        edits: &[Edit {
            file: TURNS,
            from: "self.is_present(number) && grant.may_be_handed_over",
            to: "grant.may_be_handed_over",
        }],
        suites: &[QUEUE, MODEL_TAKEN_AWAY],
    },
    Mutant {
        name: "taker-passed-over-has-the-turn",
        breaks: "S1",
        fault: "a taker that came too late takes the turn, and the grant, of the one that stepped in",
        edits: &[Edit {
            file: TURNS,
            from: "} else if given != self.present {",
            to: "} else if false {",
        }],
        suites: &[QUEUE, MODEL_STOPPED],
    },
    Mutant {
        name: "leaving-waiter-swallows-the-grant",
        breaks: "L3",
        fault: "a lock that is handed over to a waiter that leaves, and to nobody else, is never released",
        edits: &[Edit {
            file: ENDING,
            from: "if let Some(grant) = untaken {",
            to: "if let Some(grant) = untaken.filter(|_| false) {",
        }],
        suites: &[QUEUE, interleaved("a_grant_without_a_taker")],
    },
    Mutant {
        name: "stopped-taker-swallows-the-grant",
        breaks: "L3",
        fault: "a lock that was handed over to a taker that is stopped before it holds it is gone with its turn",
        edits: &[Edit {
            file: TURNS,
            from: "self.handed = untaken.map(|untaken| Box::new(untaken.into_grant()));",
            to: "drop(untaken);",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "waiter-counted-as-awake-for-good",
        breaks: "L1",
        fault: "a waiter that has stopped looking for its turn is still not woken for it",
        edits: &[Edit {
            file: WAITER,
            from: "self.is_awake.store(false, Ordering::SeqCst);",
            to: "",
        }],
        suites: &[QUEUE, FALLS_ASLEEP],
    },
];
