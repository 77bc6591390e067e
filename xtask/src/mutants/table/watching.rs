//! Watching, to take over.

use super::suites::{MODEL_DRIFT, MODEL_RACE, MODEL_RENEWALS, MODEL_WATCHED, PROTOCOL, RENEW, WATCH_RS, simulation};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "watch-too-short",
        breaks: "S1",
        fault: "a waiter takes over after half of the lease",
        edits: &[Edit {
            file: WATCH_RS,
            from: "watch_of(self.lease).saturating_sub",
            to: "(watch_of(self.lease) / 2).saturating_sub",
        }],
        suites: &[PROTOCOL, simulation("holders_that_are_stopped"), MODEL_WATCHED],
    },
    Mutant {
        name: "watch-without-drift",
        breaks: "S1",
        fault: "a waiter's clock is trusted to run as fast as the holder's",
        edits: &[Edit {
            file: WATCH_RS,
            from: "watch_of(self.lease).saturating_sub",
            to: "self.lease.saturating_sub",
        }],
        suites: &[PROTOCOL, MODEL_DRIFT],
    },
    Mutant {
        name: "watch-from-the-sending",
        breaks: "S1",
        fault: "a waiter watches from before its first look left: before the item was there, maybe",
        edits: &[Edit {
            file: "protocol/acquire/waiting.rs",
            from: "Watch::observe(self.watch, record, now)",
            to: "Watch::observe(self.watch, record, answered.sent)",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "watch-ignores-renewals",
        breaks: "S1",
        fault: "a waiter takes over although the lease was renewed meanwhile",
        edits: &[Edit {
            file: WATCH_RS,
            from: "(watch.nonce, watch.renewal) == (nonce, renewal)",
            to: "watch.nonce == nonce",
        }],
        suites: &[PROTOCOL, MODEL_RACE],
    },
    Mutant {
        name: "watch-ignores-whose-it-is",
        breaks: "S1",
        fault: "a waiter takes over from a holder that it has watched only the predecessor of",
        edits: &[Edit {
            file: WATCH_RS,
            from: "(watch.nonce, watch.renewal) == (nonce, renewal)",
            to: "watch.renewal == renewal",
        }],
        suites: &[PROTOCOL, simulation("in_fine_weather"), MODEL_RACE],
    },
    Mutant {
        name: "renewal-number-written-twice",
        breaks: "S1",
        fault: "only renewals that had a reply count: two that differ look the same to a watcher",
        edits: &[
            Edit {
                file: RENEW,
                from: "        self.grant.renewals += 1;\n",
                to: "",
            },
            Edit {
                file: RENEW,
                from: "renewal: self.grant.renewals,",
                to: "renewal: self.grant.renewals + 1,",
            },
            Edit {
                file: RENEW,
                from: "                    match self.aim {\n                        Aim::Extend => self.extend",
                to: "                    self.grant.renewals += 1;
                    match self.aim {\n                        Aim::Extend => self.extend",
            },
        ],
        suites: &[PROTOCOL, MODEL_RENEWALS],
    },
    Mutant {
        name: "waiter-stores-blindly",
        breaks: "S1",
        fault: "a waiter adds instead of reading: a store that memcached refuses deletes the held item",
        edits: &[Edit {
            file: "protocol/acquire/waiting.rs",
            from: "self.state = AcquireState::Pausing { then_look: true };
        let window",
            to: "self.state = AcquireState::Pausing { then_look: false };
        let window",
        }],
        suites: &[PROTOCOL],
    },
];
