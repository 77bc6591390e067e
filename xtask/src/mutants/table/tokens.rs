//! Fencing tokens.

use super::suites::{MODEL_RESTARTED, PROTOCOL, TOKEN, TOKEN_RS, unit};
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
        name: "young-server-grants",
        breaks: "S2",
        fault: "a server grants as soon as it is up: two runs of it may share a start second",
        edits: &[Edit {
            file: "memcached/handshake.rs",
            from: "if uptime < YOUNGEST_SERVER {",
            to: "if uptime < 2 {",
        }],
        suites: &[unit("memcached::handshake::")],
    },
];
