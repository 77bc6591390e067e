//! Until when a holder may believe in its lease.

use super::Mutant;
use super::suites::{EXPIRY, LEASE, MODEL_ROUND, PROTOCOL, TAKEOVER, model, simulation, unit};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "deadline-counted-from-the-reply",
        breaks: "S1 S5",
        decision: "A deadline counts from before the request left.",
        file: "protocol/acquire/storing.rs",
        from: "let end = answered.end_of(lengths.lease, lengths.ttl);",
        to: "use crate::protocol::lease::Deadline;
        let end = Deadline::of_grant(now, lengths.lease, lengths.ttl, answered.server_second(), answered.best);",
        suites: &[PROTOCOL, MODEL_ROUND, simulation("holders_that_are_stopped")],
    },
    Mutant {
        name: "server-clock-ignored",
        breaks: "S5",
        decision: "A deadline is not later than the server's clock allows, which may lag behind.",
        file: "protocol/lease.rs",
        from: "(Some(second), Some(best)) = (server_second, best)",
        to: "(Some(second), Some(best)) = (server_second.filter(|_| false), best)",
        suites: &[
            LEASE,
            simulation("a_server_that_stands_still"),
            model(EXPIRY, "an_item_stored_by_a_clock"),
        ],
    },
    Mutant {
        name: "deadline-by-the-slowest-clock",
        breaks: "S1",
        decision: "A deadline counts by the fastest clock: the monotonic one may be slewed down by a twelfth.",
        file: "protocol/lease.rs",
        from: "instant.max(raw) + suspended",
        to: "instant.min(raw) + suspended",
        suites: &[
            LEASE,
            simulation("one_clock_of_each"),
            model(TAKEOVER, "one_clock_of_each"),
        ],
    },
    Mutant {
        name: "suspension-not-counted",
        breaks: "S1",
        decision: "A deadline counts the time for which the machine was suspended, on top of the fastest clock.",
        file: "protocol/lease.rs",
        from: "instant.max(raw) + suspended",
        to: "instant.max(raw).max(boot.min(instant))",
        suites: &[LEASE, simulation("one_clock_of_each")],
    },
    Mutant {
        name: "slewed-clock-on-a-suspended-machine",
        breaks: "S1",
        decision: "A suspension is added to the fastest clock, and not only counted by a clock that may be slewed.",
        file: "protocol/lease.rs",
        from: "instant.max(raw) + suspended",
        to: "instant.max(raw).max(boot)",
        suites: &[LEASE, simulation("one_clock_of_each")],
    },
    Mutant {
        name: "deadline-by-the-wall-clock",
        breaks: "L4",
        decision: "The wall clock ends no lease: it can be set.",
        file: "system/clock.rs",
        from: "boot: read(ClockId::Boottime),",
        to: "boot: since_epoch(),",
        suites: &[unit("system::clock::")],
    },
    Mutant {
        name: "short-grant-kept",
        breaks: "S5",
        decision: "A grant with less than half of its timeout left is given back, and asked for again.",
        file: "protocol/acquire/storing.rs",
        from: "grant.deadline.remaining(now) >= self.spec().timeout / 2",
        to: "true",
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "failed-renewal-extends-the-deadline",
        breaks: "S5",
        decision: "A renewal without a reply leaves the deadline as it is.",
        file: "protocol/renew.rs",
        from: "self.end(Renewed::Failed(self.grant.clone(), answered.why_unanswered()))",
        to: "self.extend(answered.sent, answered);
        self.end(Renewed::Failed(self.grant.clone(), answered.why_unanswered()))",
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "ended-lease-renewed",
        breaks: "S1",
        decision: "A lease whose deadline has passed is not renewed: its holder may have given it up.",
        file: "protocol/renew.rs",
        from: "if self.grant.deadline.has_passed(now) {",
        to: "if false {",
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "lease-in-the-item-rounded-down",
        breaks: "S1",
        decision: "The lease in the item is not shorter than the one that its holder believes in.",
        file: "store/memcached/codec/record.rs",
        from: "record.lease.as_nanos().div_ceil(1000)",
        to: "record.lease.as_nanos() / 1000",
        suites: &[unit("codec::record::")],
    },
];
