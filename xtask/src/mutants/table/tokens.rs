//! Fencing tokens.

use super::suites::{
    ACQUIRE, MODEL_FLUSHED_BETWEEN, MODEL_LATE_DATA, MODEL_RESTARTED, PROTOCOL, TOKEN, TOKEN_RS, simulation, unit,
};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "token-is-the-cas",
        breaks: "S2",
        fault: "the token leaves out when the server started: it falls at a restart",
        edits: &[Edit {
            file: TOKEN_RS,
            from: "(start << 32).checked_add(stores)?",
            to: "(start >> 63).checked_add(stores)?",
        }],
        suites: &[TOKEN, PROTOCOL, MODEL_RESTARTED],
    },
    Mutant {
        name: "token-from-the-items-cas",
        breaks: "S2",
        fault: "the token is made of the item's CAS, which the server may have drawn before its data came",
        edits: &[Edit {
            file: "protocol/grant.rs",
            from: "token: Token::of_grant(instance, raised, 0)?,",
            to: "token: Token::of_grant(instance, Some(cas).filter(|_| raised > cas)?, 0)?,",
        }],
        suites: &[PROTOCOL, simulation("tokens_rise_where"), MODEL_LATE_DATA],
    },
    Mutant {
        name: "counter-raised-before-the-store",
        breaks: "S2",
        fault: "the counter is raised before the add: others may be granted the lock, and release it, between the two",
        edits: &[
            Edit {
                file: "protocol/acquire/storing.rs",
                from: "            Request::Add { record, ttl },
            // Behind the store: see the module's head.
            Request::RaiseCounter
",
                to: "            Request::RaiseCounter,
            Request::Add { record, ttl }
",
            },
            Edit {
                file: ACQUIRE,
                from: "                self.read_line(answered, 3);
                match answered.reply(1) {",
                to: "                self.read_line(answered, 3);
                let mut turned = answered.clone();
                if turned.replies.len() > 2 {
                    turned.replies.swap(1, 2);
                }
                let answered = &turned;
                match answered.reply(1) {",
            },
            Edit {
                file: "protocol/grant.rs",
                from: "Some(raised).filter(|raised| *raised > cas)?",
                to: "raised",
            },
        ],
        suites: &[simulation("tokens_rise_where"), MODEL_LATE_DATA],
    },
    Mutant {
        name: "grant-not-verified",
        breaks: "S2",
        fault: "a grant stands although its item was lost, and another's stored and numbered, before it was numbered itself",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "if stored.is_undisturbed() || !self.has_enough_left(&grant, now) {",
            to: "if true {",
        }],
        suites: &[PROTOCOL, MODEL_FLUSHED_BETWEEN],
    },
    Mutant {
        name: "unnumbered-grant-forgotten",
        breaks: "L3",
        fault: "a lock that was stored, and whose number did not come, is left there",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "                self.outstanding.push(nonce);
                return self.lost_write(now, answered, |acquire| acquire.look(now));",
            to: "                return self.lost_write(now, answered, |acquire| acquire.look(now));",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "unnumbered-grant-kept",
        breaks: "L3",
        fault: "a lock for which the server refused a number is left there",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "return self.delete_own(nonce, cas, instance, Some(refusal.clone()));",
            to: "return self.end(Outcome::NoToken(refusal.clone()));",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "token-without-the-hand-over",
        breaks: "S2",
        fault: "hand-overs under one grant have the same token",
        edits: &[Edit {
            file: TOKEN_RS,
            from: ".checked_add(u64::from(sequence))?",
            to: "",
        }],
        suites: &[TOKEN],
    },
    Mutant {
        name: "server-that-cannot-release",
        breaks: "L3",
        fault: "a server is used whose `md` compares with 0, so that no lock is ever released there",
        edits: &[Edit {
            file: "store/memcached/codec/handshake.rs",
            from: "const OLDEST_VERSION: [u32; 3] = [1, 6, 13];",
            to: "const OLDEST_VERSION: [u32; 3] = [1, 6, 10];",
        }],
        suites: &[unit("memcached::codec::handshake::")],
    },
    Mutant {
        name: "young-server-grants",
        breaks: "S2",
        fault: "a server grants as soon as it is up: two runs of it may share a start second",
        edits: &[Edit {
            file: "store/memcached/codec/handshake.rs",
            from: "if uptime < YOUNGEST_SERVER {",
            to: "if uptime < 2 {",
        }],
        suites: &[unit("memcached::codec::handshake::")],
    },
];
