//! Fencing tokens.

use super::Mutant;
use super::suites::{CONTENDERS, LOCKS, LOST_STATE, MODEL_STOPPED, PROTOCOL, TOKEN, model, simulation};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "token-without-the-servers-start",
        breaks: "S2",
        decision: "A token begins with the server's start, because the server's CAS begins anew at a restart.",
        file: "protocol/token.rs",
        from: "(start << 32).checked_add(stores)?",
        to: "(start >> 63).checked_add(stores)?",
        suites: &[TOKEN, model(LOST_STATE, "a_cas_from_before_a_restart")],
    },
    Mutant {
        name: "token-from-the-items-cas",
        breaks: "S2",
        decision: "A token is made from the counter's CAS: the item's may be drawn before the item's data comes.",
        file: "protocol/grant.rs",
        from: "token: Token::of_grant(instance, raised, 0)?,",
        to: "token: Token::of_grant(instance, cas, 0)?,",
        suites: &[
            PROTOCOL,
            simulation("tokens_rise_where"),
            model(CONTENDERS, "tokens_rise_although_a_stores"),
        ],
    },
    Mutant {
        name: "disturbed-grant-not-verified",
        breaks: "S2",
        decision: "A grant beside which the server stored something else stands only if its item is still there.",
        file: "protocol/acquire/storing.rs",
        from: "if stored.is_undisturbed() || !self.has_enough_left(&grant, now) {",
        to: "if true {",
        suites: &[PROTOCOL, model(LOST_STATE, "tokens_rise_although_a_flush")],
    },
    Mutant {
        name: "young-server-grants",
        breaks: "S2",
        decision: "A young server grants nothing, so two runs of it that grant never share a start second.",
        file: "protocol/messages.rs",
        from: "pub const YOUNGEST_SERVER: u64 = 4;",
        to: "pub const YOUNGEST_SERVER: u64 = 2;",
        suites: &[model(LOST_STATE, "tokens_rise_across_two_restarts")],
    },
    Mutant {
        name: "token-kept-by-a-hand-over",
        breaks: "S2",
        decision: "Each holder under one grant, by a hand-over or a claim, has a higher token than the one before.",
        file: "protocol/token.rs",
        from: "Token(self.0 + 1)",
        to: "Token(self.0)",
        suites: &[TOKEN, MODEL_STOPPED],
    },
    Mutant {
        name: "hand-over-after-256-holders",
        breaks: "S2",
        decision: "A grant has 256 holders at the most: the next token may be another grant's.",
        file: "protocol/token.rs",
        from: "let is_last = self.0.trailing_ones() >= u8::BITS;",
        to: "let is_last = false;",
        suites: &[TOKEN, LOCKS],
    },
];
