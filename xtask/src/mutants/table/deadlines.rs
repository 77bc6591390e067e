//! Until when a holder may believe.

use super::suites::{
    ACQUIRE, LEASE, LEASE_RS, MODEL_RACE, MODEL_STOPPED_SERVER, MODEL_WATCHED, PROTOCOL, RENEW, simulation, unit,
};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "grant-counted-from-the-reply",
        breaks: "S1 S5",
        fault: "a grant is believed in from its reply on, and not from before its request left",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "        let end = answered.end_of(term.lease, term.ttl);
",
            to: "\
        let answered = &Answered { sent: now, ..answered.clone() };
        let end = answered.end_of(term.lease, term.ttl);
",
        }],
        suites: &[PROTOCOL, simulation("holders_that_are_stopped"), MODEL_WATCHED],
    },
    Mutant {
        name: "renewal-counted-from-the-reply",
        breaks: "S1 S5",
        fault: "the same for a renewal",
        edits: &[Edit {
            file: RENEW,
            from: "        let end = answered.end_of(self.grant.lease, ttl_of(self.grant.lease));
",
            to: "\
        let answered = &Answered { sent: now, ..answered.clone() };
        let end = answered.end_of(self.grant.lease, ttl_of(self.grant.lease));
",
        }],
        suites: &[PROTOCOL, MODEL_RACE],
    },
    Mutant {
        name: "no-server-clock",
        breaks: "S5",
        fault: "a server whose clock lags is believed to keep an item for its whole TTL",
        edits: &[Edit {
            file: LEASE_RS,
            from: "(Some(second), Some(best)) = (server_second, best)",
            to: "(Some(second), Some(best)) = (server_second.filter(|_| false), best)",
        }],
        suites: &[
            LEASE,
            PROTOCOL,
            simulation("a_server_that_stands_still"),
            MODEL_STOPPED_SERVER,
        ],
    },
    Mutant {
        name: "clock-read-after-the-write",
        breaks: "S5",
        fault: "the server's clock is read after the add, and may have ticked in between",
        edits: &[
            Edit {
                file: "protocol/acquire/storing.rs",
                from: "            Request::ReadClock,
            Request::Add { record, ttl },
            // Behind",
                to: "            Request::Add { record, ttl },
            Request::ReadClock,
            // Behind",
            },
            Edit {
                file: ACQUIRE,
                from: "\
                self.asked_clock(answered);
                self.read_line(answered, 3);
                match answered.reply(1) {",
                to: "\
                self.asked_clock(answered);
                self.read_line(answered, 3);
                match answered.reply(0) {",
            },
            Edit {
                file: "protocol/machine.rs",
                from: "\
        match self.reply(0) {
            Some(Reply::Clock(second)) => Some(*second),
            _ => None,
        }",
                to: "\
        self.replies.iter().find_map(|reply| match reply {
            Reply::Clock(second) => Some(*second),
            _ => None,
        })",
            },
        ],
        suites: &[PROTOCOL, MODEL_STOPPED_SERVER],
    },
    Mutant {
        name: "missing-clock-not-asked-for-again",
        breaks: "S5",
        fault: "who found no clock waits without a reading of it, and does not notice that the server has stood still",
        edits: &[Edit {
            file: "protocol/acquire/waiting.rs",
            from: "        if answered.server_second().is_none() {
            self.clock_asked = None;",
            to: "        if answered.server_second().is_none() {
            self.clock_asked = self.clock_asked.take();",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "server-clock-from-the-reply",
        breaks: "S5",
        fault: "a reading of the server's clock is dated by its reply: a slow one hides a lag",
        edits: &[Edit {
            file: LEASE_RS,
            from: "ahead: nanos(Duration::from_secs(server_second)) - nanos(sent.instant),",
            to: "ahead: nanos(Duration::from_secs(server_second)) - nanos(received.instant),",
        }],
        suites: &[LEASE],
    },
    Mutant {
        name: "ttl-without-its-grain",
        breaks: "S5",
        fault: "the TTL is believed to the second, although it may be two seconds shorter",
        edits: &[Edit {
            file: LEASE_RS,
            from: "lease.min(ttl.saturating_sub(margin))",
            to: "lease.min(ttl)",
        }],
        suites: &[LEASE],
    },
    Mutant {
        name: "ttl-without-reserve",
        breaks: "S5",
        fault: "the server is told a TTL that ends with the lease",
        edits: &[Edit {
            file: LEASE_RS,
            from: "    seconds + TTL_RESERVE\n",
            to: "    seconds\n",
        }],
        suites: &[LEASE],
    },
    Mutant {
        name: "deadline-by-the-monotonic-clock-alone",
        breaks: "S1",
        fault: "a machine that was suspended wakes up and believes in its lease still",
        edits: &[Edit {
            file: LEASE_RS,
            from: "instant.max(wall)",
            to: "instant",
        }],
        suites: &[LEASE],
    },
    Mutant {
        name: "no-clock-is-good-enough",
        breaks: "S5",
        fault: "a grant stands on the TTL alone although the clock item could be made",
        edits: &[Edit {
            file: ACQUIRE,
            from: "(AcquireState::MakingClock { grant }, Input::Answered(_)) => self.give_back(&grant),",
            to: "(AcquireState::MakingClock { grant }, Input::Answered(_)) => self.check(now, *grant),",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "failed-renewal-extends",
        breaks: "S5",
        fault: "a renewal without a reply extends the deadline",
        edits: &[Edit {
            file: RENEW,
            from: "self.end(Renewed::Failed(self.grant.clone(), answered.unanswered()))",
            to: "self.grant.deadline = answered.end_of(self.grant.lease, self.grant.ttl).of_holder(answered.sent, self.spec.timeout);
        self.end(Renewed::Failed(self.grant.clone(), answered.unanswered()))",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "ended-lease-revived",
        breaks: "S1",
        fault: "a renewal brings a lease back to life that its holder may have given up",
        edits: &[Edit {
            file: RENEW,
            from: "if self.grant.deadline.has_passed(now) {",
            to: "if false {",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "lease-written-rounded-down",
        breaks: "S1",
        fault: "the item tells a shorter lease than its holder believes in",
        edits: &[Edit {
            file: "store/memcached/codec/record.rs",
            from: "record.lease.as_nanos().div_ceil(1000)",
            to: "record.lease.as_nanos() / 1000",
        }],
        suites: &[unit("memcached::codec::record::")],
    },
];
