//! Reservations.

use super::suites::{MODEL_CLAIM_FOR_LESS, MODEL_RESERVED, PROTOCOL, RENEW, RESERVATIONS, zlock};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "reservation-believed-in-for-longer",
        breaks: "S1 S5",
        fault: "who reserves goes on believing in the whole lease, and tells the server of a shorter one",
        edits: &[Edit {
            file: "protocol/grant.rs",
            from: "let deadline = self.deadline.of_holder(now, length);",
            to: "\
let _ = length;
        let deadline = self.deadline;",
        }],
        suites: &[PROTOCOL, MODEL_RESERVED],
    },
    Mutant {
        name: "reservation-handed-over",
        breaks: "Z1",
        fault: "a reservation goes to the next in this process, and not to its caller",
        edits: &[Edit {
            file: "protocol/grant.rs",
            from: "\
            slice_ends: now.instant,
",
            to: "",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "reservation-lengthened-by-its-proof",
        breaks: "Z1",
        fault: "telling the server of a reservation makes it last longer",
        edits: &[Edit {
            file: RENEW,
            from: "Aim::Shorten => self.grant.lease = self.spec.timeout,",
            to: "\
Aim::Shorten => {
                            self.extend(now, &answered);
                            self.grant.lease = self.spec.timeout;
                        }",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "shorter-lease-told-before-it-is-stored",
        breaks: "S1",
        fault: "this process goes by the lease of a reservation although the server may not have heard of it",
        edits: &[Edit {
            file: RENEW,
            from: "\
Aim::Shorten => self.spec.timeout,
",
            to: "\
Aim::Shorten => {
                self.grant.lease = self.spec.timeout;
                self.grant.lease
            }
",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "ttl-that-shrinks",
        breaks: "S5",
        fault: "a claim for a shorter timeout has a shorter TTL, and moves the expiry back on which a deadline stands",
        edits: &[Edit {
            file: RENEW,
            from: "self.grant.ttl = self.grant.ttl.max(ttl_of(lease));",
            to: "self.grant.ttl = ttl_of(lease);",
        }],
        suites: &[PROTOCOL, MODEL_CLAIM_FOR_LESS],
    },
    Mutant {
        name: "claim-without-a-token",
        breaks: "S2",
        fault: "who claims a reservation has the token of the one who left it",
        edits: &[Edit {
            file: "protocol/grant.rs",
            from: "\
let token = self.token.next()?;
        (self.deadline",
            to: "\
let token = self.token;
        (self.deadline",
        }],
        suites: &[PROTOCOL, MODEL_RESERVED],
    },
    Mutant {
        name: "claim-however-late",
        breaks: "L1",
        fault: "a claim is let in whose proof came when its lease was over",
        edits: &[Edit {
            file: "protocol/grant.rs",
            from: "(self.deadline.remaining(now) >= timeout / 2).then_some(Grant { token, ..self })",
            to: "\
let _ = (timeout, now);
        Some(Grant { token, ..self })",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "anybody-claims",
        breaks: "Z1",
        fault: "a thread claims what is reserved for another, with data from before that one's turn",
        edits: &[
            Edit {
                file: "hold/reservation/mod.rs",
                from: "if owner != Owner::Process && owner != claimant {",
                to: "if owner != owner {",
            },
            Edit {
                file: "hold/reservation/mod.rs",
                from: ".is_some_and(|reservation| reservation.owner == Owner::Process || reservation.owner == claimant)",
                to: ".is_some_and(|reservation| reservation.owner == reservation.owner || reservation.owner == claimant)",
            },
        ],
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "reservation-without-end",
        breaks: "Z1",
        fault: "a reservation that nobody claims is left to the end of its lease, which others have to watch",
        edits: &[Edit {
            file: "hold/reservation/mod.rs",
            from: "\
        self.end_in_time(&hold);
        background_work",
            to: "        background_work",
        }],
        suites: &[RESERVATIONS],
    },
    Mutant {
        name: "reservation-outlives-its-thread",
        breaks: "Z1",
        fault: "what is reserved for a thread stays when that ends",
        edits: &[Edit {
            file: "hold/reservation/mod.rs",
            from: "for (reservations, hold) in &self.0 {",
            to: "for (reservations, hold) in self.0.iter().take(0) {",
        }],
        suites: &[RESERVATIONS],
    },
    Mutant {
        name: "reservation-made-later",
        breaks: "Z1",
        fault: "a renewal that is under way lets a retry that comes at once find nothing, and then wait for itself",
        edits: &[Edit {
            file: "attribute/held.rs",
            from: "on_thread::block_on(lease.reserve(&retry, Owner::thread()));",
            to: "lease.reserve_in_background(&retry, Owner::thread());",
        }],
        suites: &[RESERVATIONS],
    },
    Mutant {
        name: "reserved-after-the-shutdown",
        breaks: "Z1",
        fault: "what ends in a conflict after a shutdown is reserved for a retry that cannot come",
        edits: &[Edit {
            file: "hold/reservation/mod.rs",
            from: "if hold.core().is_shut_down.load(Ordering::Acquire) {",
            to: "if hold.core().is_shut_down.load(Ordering::Acquire) && false {",
        }],
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "reservation-counted-as-lost",
        breaks: "Z1",
        fault: "a reservation that nobody claims is warned of as a lease that ended before its holder was done",
        edits: &[Edit {
            file: "hold/release.rs",
            from: "lost.filter(|_| !self.is_set_aside)",
            to: "lost",
        }],
        suites: &[zlock("alone::")],
    },
];
