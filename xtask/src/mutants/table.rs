//! The faults. Each breaks one promise of `SAFETY.md` in the way in which somebody could break it by mistake; none is
//! caught by the compiler.
//!
//! Texts must fit the code exactly, and once. When the code changes so that one no longer fits, change it along: a fault
//! that cannot be made any more goes, and a new decision in the protocol brings one.

/// One deliberate fault.
#[derive(Debug)]
pub(super) struct Mutant {
    pub(super) name: &'static str,
    /// The promise that it breaks.
    pub(super) breaks: &'static str,
    /// What is wrong with the code then.
    pub(super) fault: &'static str,
    pub(super) edits: &'static [Edit],
    /// The tests, at least one of which must fail; and of each model or scenario that is named, its own.
    pub(super) suites: &'static [Suite],
}

/// One text replaced by another.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) file: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

/// Tests of one executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suite {
    /// The package that it belongs to.
    pub(super) package: &'static str,
    /// Where that is.
    pub(super) folder: &'static str,
    /// What tells cargo which executable.
    pub(super) target: &'static [&'static str],
    /// What their names contain.
    pub(super) filter: &'static str,
}

const fn unit(filter: &'static str) -> Suite {
    Suite {
        package: "memlock-runtime",
        folder: "memlock-runtime",
        target: &["--lib"],
        filter,
    }
}

const fn simulation(filter: &'static str) -> Suite {
    Suite {
        package: "memlock-runtime",
        folder: "memlock-runtime",
        target: &["--test", "simulation"],
        filter,
    }
}

const fn attributes(filter: &'static str) -> Suite {
    Suite {
        package: "memlock",
        folder: ".",
        target: &["--test", "attributes"],
        filter,
    }
}

const fn zlock(filter: &'static str) -> Suite {
    Suite {
        package: "memlock",
        folder: ".",
        target: &["--test", "zlock"],
        filter,
    }
}

/// Locked async functions as tasks.
const fn tasks(filter: &'static str) -> Suite {
    Suite {
        package: "memlock",
        folder: ".",
        target: &["--test", "tasks"],
        filter,
    }
}

/// Processes in line for one lock.
const fn line(filter: &'static str) -> Suite {
    Suite {
        package: "memlock-runtime",
        folder: "memlock-runtime",
        target: &["--test", "line"],
        filter,
    }
}

/// The queue's threads in many orders of their steps, in one scenario: it stops at the first order that breaks a promise.
const fn interleaved(filter: &'static str) -> Suite {
    Suite {
        package: INTERLEAVINGS,
        folder: "interleavings",
        target: &["--test", "queue"],
        filter,
    }
}

/// The package of the interleavings.
pub(super) const INTERLEAVINGS: &str = "memlock-interleavings";

/// The model checker, with one small model: it stops at the first state that breaks a promise.
const fn model(target: &'static [&'static str], filter: &'static str) -> Suite {
    Suite {
        package: MODEL,
        folder: "model",
        target,
        filter,
    }
}

/// The package of the models.
pub(super) const MODEL: &str = "memlock-model";

const CONTENDERS: &[&str] = &["--test", "contenders"];
const EXPIRY: &[&str] = &["--test", "expiry"];
const HANDOVER: &[&str] = &["--test", "handover"];
const LOST_STATE: &[&str] = &["--test", "lost_state"];
const REENTRY: &[&str] = &["--test", "reentry"];
const RESERVED: &[&str] = &["--test", "reservations"];
const TAKEOVER: &[&str] = &["--test", "takeover"];

const MODEL_WATCHED: Suite = model(HANDOVER, "a_lock_that_goes_round");
const MODEL_LATE_TAKER: Suite = model(HANDOVER, "what_is_handed_over");
const MODEL_LENGTHS: Suite = model(HANDOVER, "a_lease_does_not_shrink");
const MODEL_TAKEN_AWAY: Suite = model(HANDOVER, "a_turn_that_was_taken_away");
const MODEL_RENEWED: Suite = model(HANDOVER, "renewals_that_are_lost");
const MODEL_STOPPED: Suite = model(HANDOVER, "a_turn_goes_on");
const MODEL_LEAVING: Suite = model(HANDOVER, "who_leaves_the_line");
const MODEL_FLUSHED: Suite = model(HANDOVER, "a_flush_excuses");
const MODEL_256: Suite = model(HANDOVER, "after_256");
const MODEL_REENTRY: Suite = model(REENTRY, "a_lock_that_was_handed_over");
const MODEL_RESERVED: Suite = model(RESERVED, "nobody_is_let_in");
const MODEL_CLAIM_FOR_LESS: Suite = model(RESERVED, "a_claim_for_less");
const MODEL_RESTARTED: Suite = model(LOST_STATE, "a_cas_from_before_a_restart");
const MODEL_WAITER_RESTARTED: Suite = model(LOST_STATE, "a_cas_read_before_a_restart");
const MODEL_RACE: Suite = model(TAKEOVER, "a_take_over_races_a_renewal");
const MODEL_RENEWALS: Suite = model(TAKEOVER, "a_watcher_sees_each_renewal");
const MODEL_TWO_RESTARTS: Suite = model(LOST_STATE, "tokens_rise_across_two_restarts");
const MODEL_DRIFT: Suite = model(TAKEOVER, "clocks_that_run_apart");
const MODEL_STOPPED_SERVER: Suite = model(EXPIRY, "an_item_stored_by_a_clock");
const MODEL_UNREACHABLE: Suite = model(CONTENDERS, "two_lost_replies");
const MODEL_KEEPER: Suite = model(CONTENDERS, "what_is_left_behind");

const CROWD: Suite = interleaved("a_crowd_is_served");
const GIVEN_TO_LEAVER: Suite = interleaved("what_is_given_to_one_who_leaves");
const FALLS_ASLEEP: Suite = interleaved("a_turn_that_comes_to_one_who_falls_asleep");
const STEPS_IN_AND_HANGS: Suite = interleaved("one_who_steps_in_and_hangs");
const SENT_AWAY: Suite = interleaved("all_are_told");

const PROTOCOL: Suite = unit("protocol::");
const LEASE: Suite = unit("lease::");
const TOKEN: Suite = unit("token::");
const QUEUE: Suite = unit("queue::");
const RESERVATIONS: Suite = unit("driver::reservations::");
const DRIVER: Suite = unit("driver::");
const MEMCACHED: Suite = unit("memcached::");
const IN_MEMORY: Suite = unit("testing::");

const PROTOCOL_RS: &str = "protocol/mod.rs";
const ACQUIRE: &str = "protocol/acquire.rs";
const RENEW: &str = "protocol/renew.rs";
const RELEASE: &str = "protocol/release.rs";
const LINE: &str = "protocol/line.rs";
const CALLS: &str = "protocol/calls.rs";
const HOLDING: &str = "protocol/holding.rs";
const AT_ONCE: Suite = unit("protocol::tests::at_once::");
const TURNS: &str = "protocol/turns.rs";
const WATCH_RS: &str = "protocol/watch.rs";
const LEASE_RS: &str = "lease.rs";
const TOKEN_RS: &str = "token.rs";
const ENDING: &str = "queue/ending.rs";
const OF_KEY: &str = "queue/of_key.rs";
const PLACE: &str = "queue/place.rs";
const WAITER: &str = "queue/waiter.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    // Until when a holder may believe.
    Mutant {
        name: "grant-counted-from-the-reply",
        breaks: "S1 S5",
        fault: "a grant is believed in from its reply on, and not from before its request left",
        edits: &[Edit {
            file: ACQUIRE,
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
        suites: &[LEASE, PROTOCOL, simulation("a_server_that_stands_still"), MODEL_STOPPED_SERVER],
    },
    Mutant {
        name: "clock-read-after-the-write",
        breaks: "S5",
        fault: "the server's clock is read after the add, and may have ticked in between",
        edits: &[
            Edit {
                file: ACQUIRE,
                from: "smallvec![Request::ReadClock, Request::Add { record, ttl }]",
                to: "smallvec![Request::Add { record, ttl }, Request::ReadClock]",
            },
            Edit {
                file: ACQUIRE,
                from: "\
                self.asked_clock(answered);
                self.read_line(answered, 2);
                match answered.reply(1) {",
                to: "\
                self.asked_clock(answered);
                self.read_line(answered, 2);
                match answered.reply(0) {",
            },
            Edit {
                file: "protocol/mod.rs",
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
            file: ACQUIRE,
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
            from: "(State::MakingClock { grant }, Input::Answered(_)) => self.give_back(&grant),",
            to: "(State::MakingClock { grant }, Input::Answered(_)) => self.check(now, grant),",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "failed-renewal-extends",
        breaks: "S5",
        fault: "a renewal without a reply extends the deadline",
        edits: &[Edit {
            file: RENEW,
            from: "self.end(Renewed::Failed(self.grant.clone(), answered.damage()))",
            to: "self.grant.deadline = answered.end_of(self.grant.lease).of_holder(answered.sent, self.spec.timeout);
        self.end(Renewed::Failed(self.grant.clone(), answered.damage()))",
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
            file: "memcached/record.rs",
            from: "record.lease.as_nanos().div_ceil(1000)",
            to: "record.lease.as_nanos() / 1000",
        }],
        suites: &[unit("memcached::record::")],
    },
    // Whose the item is.
    Mutant {
        name: "release-by-cas-alone",
        breaks: "S3",
        fault: "a release that has read the item deletes it, whoever's it is",
        edits: &[Edit {
            file: RELEASE,
            from: "Some(record) if record.nonce == self.nonce => self.delete(now, instance, *cas),",
            to: "Some(_) => self.delete(now, instance, *cas),",
        }],
        suites: &[PROTOCOL, MODEL_WATCHED],
    },
    Mutant {
        name: "renewal-by-cas-alone",
        breaks: "S3",
        fault: "a renewal that has read the item adopts it, whoever's it is",
        edits: &[Edit {
            file: RENEW,
            from: "Some(record) if record.nonce == self.grant.nonce => {",
            to: "Some(_) => {",
        }],
        suites: &[PROTOCOL, MODEL_FLUSHED],
    },
    Mutant {
        name: "name-by-its-hash-alone",
        breaks: "S3 S6",
        fault: "an item is taken for this lock's although the full name in it is another's",
        edits: &[Edit {
            file: "protocol/mod.rs",
            from: "Content::Lock(record) if record.full_name.as_ref() == item.full() => Some(record),",
            to: "Content::Lock(record) => Some(record),",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "take-over-on-another-instance",
        breaks: "S3",
        fault: "a CAS that was read before a restart takes over from a stranger after it",
        edits: &[Edit {
            file: ACQUIRE,
            from: "Request::Replace { record, ttl, cas }],
            Some(instance),",
            to: "Request::Replace { record, ttl, cas }],
            Some(instance).filter(|_| false),",
        }],
        suites: &[PROTOCOL, MODEL_WAITER_RESTARTED],
    },
    Mutant {
        name: "renewal-on-another-instance",
        breaks: "S3",
        fault: "a CAS from before a restart renews a stranger's item after it",
        edits: &[Edit {
            file: RENEW,
            from: "only_on: Some(self.grant.instance),",
            to: "only_on: None,",
        }],
        suites: &[PROTOCOL, MODEL_RESTARTED],
    },
    Mutant {
        name: "release-on-another-instance",
        breaks: "S3",
        fault: "a CAS from before a restart deletes a stranger's item after it",
        edits: &[Edit {
            file: RELEASE,
            from: "only_on: Some(instance),",
            to: "only_on: None,",
        }],
        suites: &[PROTOCOL, MODEL_RESTARTED],
    },
    Mutant {
        name: "give-back-on-another-instance",
        breaks: "S3",
        fault: "a grant that came too late is given back by deleting a stranger's item",
        edits: &[Edit {
            file: ACQUIRE,
            from: "exchange(smallvec![Request::Delete { cas: grant.cas }], Some(grant.instance))",
            to: "exchange(smallvec![Request::Delete { cas: grant.cas }], None)",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "clearing-on-another-instance",
        breaks: "S3",
        fault: "an attempt without a reply is cleared away by deleting a stranger's item",
        edits: &[Edit {
            file: ACQUIRE,
            from: "exchange(smallvec![Request::Delete { cas }], Some(instance))",
            to: "exchange(smallvec![Request::Delete { cas }], None)",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "renewal-does-not-look-after-a-restart",
        breaks: "L4",
        fault: "a renewal that meets another instance, where its item cannot be, does not notice the loss",
        edits: &[Edit {
            file: RENEW,
            from: "_ if answered.damage() == Damage::OtherInstance => self.read(),",
            to: "",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "release-does-not-look-after-a-restart",
        breaks: "L3",
        fault: "a release that meets another instance gives up, and leaves its item if it is there",
        edits: &[Edit {
            file: RELEASE,
            from: "None if answered.damage() == Damage::OtherInstance => self.read(),",
            to: "",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "release-does-not-look-after-the-deadline",
        breaks: "S3",
        fault: "a release is sent by its CAS alone although the item may be another's by now",
        edits: &[Edit {
            file: RELEASE,
            from: "(!grant.deadline.has_passed(now)).then_some((grant.instance, grant.cas))",
            to: "Some((grant.instance, grant.cas))",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "renewal-creates",
        breaks: "S1",
        fault: "a renewal that finds no item adds it again",
        edits: &[Edit {
            file: RENEW,
            from: "\
                (Some(Reply::Missing), _) => self.end(Renewed::Lost),
                // A refused",
            to: "\
                (Some(Reply::Missing), _) => {
                    self.grant.renewals += 1;
                    let add = Request::Add {
                        record: self.spec.record(self.grant.nonce, self.grant.renewals),
                        ttl: ttl_of(self.spec.lease()),
                    };
                    self.state = State::Writing;
                    Output::Exchange { batch: smallvec![Request::ReadClock, add], only_on: None }
                }
                // A refused",
        }],
        suites: &[PROTOCOL, MODEL_FLUSHED],
    },
    Mutant {
        name: "refused-renewal-ignored",
        breaks: "L4",
        fault: "a holder whose renewal was refused, which may have deleted its item, does not look",
        edits: &[Edit {
            file: RENEW,
            from: "(Some(Reply::Exists | Reply::Refused(_)), _) => self.read(),",
            to: "(Some(Reply::Exists), _) => self.read(),",
        }],
        suites: &[PROTOCOL],
    },
    // Fencing tokens.
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
    // Watching, to take over.
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
            file: ACQUIRE,
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
            file: ACQUIRE,
            from: "self.state = State::Pausing { then_look: true };",
            to: "self.state = State::Pausing { then_look: false };",
        }],
        suites: &[PROTOCOL],
    },
    // Writes without a reply, and nonces.
    Mutant {
        name: "ambiguous-taken-for-success",
        breaks: "S4",
        fault: "an add without a reply is a grant",
        edits: &[Edit {
            file: ACQUIRE,
            from: "                // Any other reply to an add is no proof of anything.\n",
            to: "                None if answered.damage().is_ambiguous() => self.stored(now, nonce, Cas::MIN, &answered),\n",
        }],
        suites: &[PROTOCOL, MODEL_UNREACHABLE],
    },
    Mutant {
        name: "own-item-taken-for-a-grant",
        breaks: "S4 S5",
        fault: "an add without a reply is a grant once its item has been read, however long after",
        edits: &[Edit {
            file: ACQUIRE,
            from: "return self.clear(record.nonce, *cas, instance);",
            to: "return self.stored(now, record.nonce, *cas, &answered);",
        }],
        suites: &[PROTOCOL, MODEL_UNREACHABLE],
    },
    Mutant {
        name: "ambiguous-taken-for-failure",
        breaks: "S4 L3",
        fault: "a write without a reply is forgotten",
        edits: &[Edit {
            file: ACQUIRE,
            from: "        if answered.damage().is_ambiguous() {
            self.outstanding.push(nonce);",
            to: "        if answered.damage().is_ambiguous() {",
        }],
        suites: &[PROTOCOL, MODEL_UNREACHABLE],
    },
    Mutant {
        name: "failed-give-back-forgotten",
        breaks: "L3",
        fault: "a grant that came too late, and could not be given back, is left there",
        edits: &[Edit {
            file: ACQUIRE,
            from: "if !matches!(answered.reply(0), Some(Reply::Deleted | Reply::Missing)) {",
            to: "if false {",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "short-grant-kept",
        breaks: "S5",
        fault: "a grant with hardly any time left is handed out, and not given back",
        edits: &[Edit {
            file: ACQUIRE,
            from: "if grant.deadline.remaining(now) >= self.spec().timeout / 2 {",
            to: "if true {",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "nonce-reused-by-a-take-over",
        breaks: "S3",
        fault: "a take-over keeps the nonce of the holder before: that one's late release frees it",
        edits: &[Edit {
            file: ACQUIRE,
            from: "self.take_over(fresh, *cas, instance)",
            to: "self.take_over(record.nonce, *cas, instance)",
        }],
        suites: &[PROTOCOL, MODEL_WATCHED],
    },
    Mutant {
        name: "nonce-reused-by-a-retry",
        breaks: "S3",
        fault: "an attempt has the nonce of one without a reply: whoever cleans up after that frees the lock",
        edits: &[Edit {
            file: ACQUIRE,
            from: "                        self.watch = None;
                        self.free(now, fresh, has_line)",
            to: "                        self.watch = None;
                        let fresh = self.outstanding.last().copied().unwrap_or(fresh);
                        self.free(now, fresh, has_line)",
        }],
        suites: &[PROTOCOL, MODEL_KEEPER],
    },
    Mutant {
        name: "nonces-repeat",
        breaks: "S3",
        fault: "all attempts of a process have the same nonce",
        edits: &[Edit {
            file: "driver/dice.rs",
            from: "OWN.set((count.wrapping_add(1), left - 1));",
            to: "OWN.set((count, left - 1));",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "threads-draw-the-same-nonces",
        breaks: "S3",
        fault: "two threads draw nonces from one stock",
        edits: &[Edit {
            file: "driver/dice.rs",
            from: "(count.fetch_add(NONCES, Ordering::Relaxed), NONCES)",
            to: "(count.fetch_add(1, Ordering::Relaxed), NONCES)",
        }],
        suites: &[unit("driver::dice::")],
    },
    Mutant {
        name: "write-sent-twice",
        breaks: "S4",
        fault: "a write goes out again when its connection turns out to be dead",
        edits: &[Edit {
            file: "memcached/node.rs",
            from: "if is_closed && pooled && !connection.progress.begun && !batch.iter().any(Request::writes) {",
            to: "if is_closed && pooled && !connection.progress.begun {",
        }],
        suites: &[MEMCACHED],
    },
    Mutant {
        name: "anothers-reply-counts",
        breaks: "S4",
        fault: "a reply is taken for the answer to a request although its opaque is another's",
        edits: &[Edit {
            file: "memcached/translate.rs",
            from: "Some(echoed) if echoed == opaque => {}",
            to: "Some(_) => {}",
        }],
        suites: &[unit("memcached::translate::")],
    },
    // The driver, the agent and the queue.
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
            from: "        agent::settle(core, &spec.item, grant.nonce, grant.lease, pending);",
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
            from: "                        agent::settle(core, &spec.item, nonce, spec.lease(), Some(pending));",
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
            file: "current.rs",
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
            file: "current.rs",
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
            file: "driver/agent.rs",
            from: "due = asked + third",
            to: "due = clock.now().instant + third",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "failed-settling-forgotten",
        breaks: "L3",
        fault: "cleaning up is tried once, and forgotten when the server cannot be asked",
        edits: &[Edit {
            file: "driver/agent.rs",
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
            file: "driver/waiting.rs",
            from: "most.min(wait.saturating_add(grace).saturating_sub(waited))",
            to: "most.min(wait.saturating_add(most).saturating_sub(waited))",
        }],
        suites: &[DRIVER],
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
            from: "Some(Wake(is_to_be_woken.then_some(next), sleeper))",
            to: "Some(Wake(is_to_be_woken.then_some(next).filter(|_| false), sleeper))",
        }],
        suites: &[QUEUE, GIVEN_TO_LEAVER],
    },
    Mutant {
        name: "lease-granted-while-it-falls-asleep",
        breaks: "L1",
        fault: "a lease that is granted after the first in line has looked, and before it sleeps, is not told to it",
        edits: &[Edit {
            file: PLACE,
            from: "            waiter.looks();\n",
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
    // Handing over inside a process.
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
            file: PROTOCOL_RS,
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
            file: PROTOCOL_RS,
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
            file: PROTOCOL_RS,
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
            file: PROTOCOL_RS,
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
            from: "if let Some(grant) = orphan {",
            to: "if let Some(grant) = orphan.filter(|_| false) {",
        }],
        suites: &[QUEUE, interleaved("a_grant_that_nobody_is_left_to_take")],
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
    // What only some orders of the threads' steps show.
    Mutant {
        name: "asked-before-it-is-told",
        breaks: "L1",
        fault: "who gives a turn asks whether its taker is awake before it tells it, who falls asleep in between",
        edits: &[Edit {
            file: WAITER,
            from: "\
        self.turn.store(number, Ordering::SeqCst);
        // Whoever is awake looks once more after it has said that it is not.
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
            to: "!self.was_called.load(Ordering::SeqCst)",
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
        let _ = self.verdict.set(verdict);
        self.wake();",
            to: "\
        self.wake();
        let _ = self.verdict.set(verdict);",
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
        // Under the lock: a turn that was given meanwhile is this one's to pass on, with the grant that came with it.
        let given = waiter.given();",
            to: "\
        let given = waiter.given();
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
            from: "was_first.then(|| self.oversleeper()).flatten()",
            to: "None.filter(|_| was_first)",
        }],
        suites: &[QUEUE, interleaved("a_lease_is_seen_by_whom")],
    },
    Mutant {
        name: "next-not-told-of-the-takers-lease",
        breaks: "L1",
        fault: "whoever becomes the first in line by a hand-over sleeps beyond the new holder's lease",
        edits: &[Edit {
            file: OF_KEY,
            from: "\
            self.turns.leased(until);
            self.oversleeper()",
            to: "\
            self.turns.leased(until);
            None",
        }],
        suites: &[QUEUE, STEPS_IN_AND_HANGS],
    },
    Mutant {
        name: "next-not-told-of-the-steppers-lease",
        breaks: "L1",
        fault: "whoever becomes the first in line by another's stepping in sleeps beyond that one's lease",
        edits: &[Edit {
            file: PLACE,
            from: "let sleeper = queue.oversleeper();",
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
            from: "shard.memories.remove(&self.item).unwrap_or_default();",
            to: "Memory::default();",
        }],
        suites: &[QUEUE, interleaved("what_was_seen_is_known")],
    },
    Mutant {
        name: "place-minded-once",
        breaks: "L5",
        fault: "a place that is kept again, after somebody has minded it, is minded no more",
        edits: &[Edit {
            file: ENDING,
            from: "        shard.minded.remove(item);\n",
            to: "",
        }],
        suites: &[QUEUE, interleaved("a_place_that_is_kept")],
    },
    // What the model has found worth a fault of its own.
    Mutant {
        name: "renewal-number-not-told",
        breaks: "S1",
        fault: "a renewal leaves the number in the item as it is: a watcher does not see it",
        edits: &[Edit {
            file: RENEW,
            from: "renewal: self.grant.renewals,",
            to: "renewal: 0,",
        }],
        suites: &[PROTOCOL, MODEL_RACE],
    },
    Mutant {
        name: "renewal-raises-the-token",
        breaks: "S2",
        fault: "a renewal has a token of its own: that of an inner function is not its outer one's",
        edits: &[Edit {
            file: RENEW,
            from: "                    self.grant.instance = instance;
                    match self.aim {",
            to: "                    self.grant.instance = instance;
                    self.grant.token = self.grant.token.next().unwrap_or(self.grant.token);
                    match self.aim {",
        }],
        suites: &[PROTOCOL, MODEL_REENTRY],
    },
    Mutant {
        name: "re-entry-without-a-renewal",
        breaks: "S5",
        fault: "who enters again believes in a whole timeout from then on, and the server knows nothing of it",
        edits: &[Edit {
            file: HOLDING,
            from: "self.remaining(now) >= timeout / 2",
            to: "{
            self.grant.deadline = crate::lease::Deadline::of_grant(now, timeout, crate::lease::ttl_of(timeout), None, None);
            true
        }",
        }],
        suites: &[DRIVER, MODEL_REENTRY],
    },
    Mutant {
        name: "belief-after-the-hand-over",
        breaks: "S1",
        fault: "whoever has handed a lock over goes on believing in it",
        edits: &[Edit {
            file: HOLDING,
            from: "Status::Held => self.grant.deadline.remaining(now),
            Status::Lost(_) | Status::Released => Duration::ZERO,",
            to: "Status::Held | Status::Released => self.grant.deadline.remaining(now),
            Status::Lost(_) => Duration::ZERO,",
        }],
        suites: &[DRIVER, MODEL_STOPPED],
    },
    Mutant {
        name: "youngest-server",
        breaks: "S2",
        fault: "a server grants in the second in which the one before it may have started",
        edits: &[Edit {
            file: "store.rs",
            from: "pub const YOUNGEST_SERVER: u64 = 4;",
            to: "pub const YOUNGEST_SERVER: u64 = 2;",
        }],
        suites: &[MODEL_TWO_RESTARTS],
    },
    Mutant {
        name: "request-dated-by-the-call",
        breaks: "L1",
        fault: "who stood in line counts its lease from when it joined, and takes the server for one whose clock lags",
        edits: &[Edit {
            file: "driver/blocking.rs",
            from: "            now = core.now();
            turn",
            to: "            turn",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "request-of-a-task-dated-by-the-call",
        breaks: "L1",
        fault: "the same for a task",
        edits: &[Edit {
            file: "driver/tasks.rs",
            from: "            now = core.now();
            turn",
            to: "            turn",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "re-entry-after-the-end",
        breaks: "S1",
        fault: "an inner function begins although the lease ended while its renewal waited for a reply",
        edits: &[Edit {
            file: "driver/hold.rs",
            from: "self.lost().map_or(Ok(()), Err)",
            to: "Ok(())",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "hold-given-up-twice",
        breaks: "S3",
        fault: "a hold that was released is released again by whoever asks next",
        edits: &[Edit {
            file: HOLDING,
            from: "match std::mem::replace(&mut self.status, Status::Released) {",
            to: "match self.status {",
        }],
        suites: &[DRIVER, MODEL_REENTRY],
    },
    Mutant {
        name: "grant-left-in-the-line",
        breaks: "L3",
        fault: "the grant that lies in a queue when the last who stood there leaves is gone with it",
        edits: &[Edit {
            file: TURNS,
            from: "(self.watch, self.handed.take().map(|grant| *grant))",
            to: "(self.watch, None)",
        }],
        suites: &[QUEUE, MODEL_LEAVING],
    },
    Mutant {
        name: "waiting-ends-by-itself",
        breaks: "L2",
        fault: "a caller that waits without a limit is told that the lock is busy",
        edits: &[Edit {
            file: ACQUIRE,
            from: "self.spec().wait.is_some_and(|wait| self.waited(now) >= wait)",
            to: "self.spec().wait.is_none_or(|wait| self.waited(now) >= wait)",
        }],
        suites: &[PROTOCOL, MODEL_REENTRY],
    },
    // What is done at once.
    Mutant {
        name: "another-lets-in-at-once",
        breaks: "L6",
        fault: "one who finds nobody in this process takes the lock at once, although others wait for it in other processes",
        edits: &[Edit {
            file: "queue/mod.rs",
            from: "        if memories.contains_key(item) {\n            return None;\n        }\n",
            to: "",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "lease-at-once-not-known",
        breaks: "L6",
        fault: "who joins behind one that was granted the lock at once does not know when to step in for it",
        edits: &[Edit {
            file: "queue/mod.rs",
            from: "        turns.granted(number, until, watch);\n",
            to: "        let _ = (until, watch);\n",
        }],
        suites: &[QUEUE, interleaved("a_lease_that_was_granted_at_once")],
    },
    Mutant {
        name: "left-at-once-before-those-who-wait",
        breaks: "L1",
        fault: "who ends its turn at once leaves those behind it in a queue that is gone",
        edits: &[Edit {
            file: "queue/of_key.rs",
            from: "self.turns.is_present(number) && self.waiting.is_empty() &&",
            to: "self.turns.is_present(number) &&",
        }],
        suites: &[QUEUE, interleaved("one_who_joins_while_the_lock_is_given_back")],
    },
    Mutant {
        name: "left-at-once-with-anothers-turn",
        breaks: "S3 L1",
        fault: "a holder whose turn was taken away ends that of who stepped in for it",
        edits: &[Edit {
            file: "queue/of_key.rs",
            from: "self.turns.is_present(number) && self.waiting.is_empty() &&",
            to: "self.waiting.is_empty() &&",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "left-at-once-without-a-look",
        breaks: "L5",
        fault: "who ends its turn at once never looks who stands in line",
        edits: &[Edit {
            file: "queue/turn.rs",
            from: "if self.standing.is_some() || self.is_to_look(grant.end.sent().instant, now) {",
            to: "if self.standing.is_some() {",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "deleted-at-once-whosever-it-is",
        breaks: "S3",
        fault: "what is deleted at once may be another's item",
        edits: &[Edit {
            file: "memory.rs",
            from: "is_some_and(|held| held.cas == cas)",
            to: "is_some()",
        }],
        suites: &[AT_ONCE],
    },
    Mutant {
        name: "deleted-at-once-on-another-instance",
        breaks: "S3",
        fault: "what is deleted at once may be an item of the server's next instance",
        edits: &[Edit {
            file: "in_process.rs",
            from: "self.at_once().filter(|state| state.items.instance() == only_on)",
            to: "self.at_once().filter(|_| only_on.pid > 0)",
        }],
        suites: &[AT_ONCE],
    },
    Mutant {
        name: "added-at-once-without-a-clock",
        breaks: "S5",
        fault: "what is added at once stands on a server that nobody has asked for its clock",
        edits: &[Edit {
            file: "memory.rs",
            from: "if self.out_of_memory || !self.has_clock_item(second) {",
            to: "if self.out_of_memory {",
        }],
        suites: &[AT_ONCE],
    },
    Mutant {
        name: "held-on-after-the-end",
        breaks: "S3",
        fault: "a lease that was kept says that it lasts, although its lock was released at once",
        edits: &[Edit {
            file: "driver/hold.rs",
            from: "        if has_ended {\n            holding.end(now);\n        }\n",
            to: "",
        }],
        suites: &[DRIVER, attributes("")],
    },
    Mutant {
        name: "put-aside-with-its-server",
        breaks: "L5",
        fault: "the place of a hold that is over keeps its locks, and their connections, alive",
        edits: &[Edit {
            file: "driver/hold.rs",
            from: "            *core = None;\n",
            to: "            let _ = core;\n",
        }],
        suites: &[DRIVER],
    },
    // Reservations.
    Mutant {
        name: "reservation-believed-in-for-longer",
        breaks: "S1 S5",
        fault: "who reserves goes on believing in the whole lease, and tells the server of a shorter one",
        edits: &[Edit {
            file: PROTOCOL_RS,
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
            file: PROTOCOL_RS,
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
            file: PROTOCOL_RS,
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
            file: PROTOCOL_RS,
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
                file: "driver/reservations.rs",
                from: "if owner != Owner::Process && owner != claimant {",
                to: "if owner != owner {",
            },
            Edit {
                file: "driver/reservations.rs",
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
            file: "driver/reservations.rs",
            from: "\
    end_in_time(&hold);
    agent",
            to: "    agent",
        }],
        suites: &[RESERVATIONS],
    },
    Mutant {
        name: "reservation-outlives-its-thread",
        breaks: "Z1",
        fault: "what is reserved for a thread stays when that ends",
        edits: &[Edit {
            file: "driver/reservations.rs",
            from: "self.0.iter().for_each(abandon);",
            to: "let _ = self.0.iter().map(abandon);",
        }],
        suites: &[RESERVATIONS],
    },
    Mutant {
        name: "reservation-made-later",
        breaks: "Z1",
        fault: "a renewal that is under way lets a retry that comes at once find nothing, and then wait for itself",
        edits: &[Edit {
            file: "held.rs",
            from: "background::block_on(lease.reserve(reserve, Owner::thread()));",
            to: "lease.reserve_in_background(reserve, Owner::thread());",
        }],
        suites: &[RESERVATIONS],
    },
    Mutant {
        name: "reserved-after-the-shutdown",
        breaks: "Z1",
        fault: "what ends in a conflict after a shutdown is reserved for a retry that cannot come",
        edits: &[Edit {
            file: "driver/reservations.rs",
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
            file: "driver/hold.rs",
            from: "lost.filter(|_| !self.is_set_aside)",
            to: "lost",
        }],
        suites: &[zlock("alone::")],
    },
    // Conflicts.
    Mutant {
        name: "conflict-releases",
        breaks: "Z1",
        fault: "a body that ends in a conflict gives its lock up",
        edits: &[Edit {
            file: "held.rs",
            from: "if !is_conflict || !self.owns {",
            to: "if is_conflict || !self.owns {",
        }],
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "conflict-of-a-task-releases",
        breaks: "Z1",
        fault: "the same for a task",
        edits: &[Edit {
            file: "held.rs",
            from: "Some(held.reserve())",
            to: "Some(held.release())",
        }],
        suites: &[zlock("alone_async::")],
    },
    Mutant {
        name: "contention-runs-the-body",
        breaks: "Z3",
        fault: "a body that had to wait runs, with what its caller has read before",
        edits: &[Edit {
            file: "zlock.rs",
            from: "\
        background::block_on(lease.reserve(zlock.reserve, owner));
        return Err(zlock.conflict(&asked, zlock.items.first(), holder));",
            to: "\
        let _ = (owner, holder);
        return Ok((lease, true));",
        }],
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "zlock-outlasts-its-wait",
        breaks: "L2",
        fault: "the first try of a zlock takes as long as an exchange may, however short the wait",
        edits: &[Edit {
            file: "zlock.rs",
            from: "grace: patience.map_or(most, |patience| most.min(patience)),",
            to: "grace: patience.map_or(most, |_| most),",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "transparent-conflict-missed",
        breaks: "Z3",
        fault: "a conflict below an error that passes on only its sources is not known",
        edits: &[Edit {
            file: "conflict.rs",
            from: "error.is::<HeldByAnother>() || error.is::<LastConflict>() || is_conflict_of_a_database(error)",
            to: "is_conflict_of_a_database(error)",
        }],
        suites: &[unit("conflict::")],
    },
    // Transactions.
    Mutant {
        name: "released-with-the-function",
        breaks: "Z2",
        fault: "a transaction's lock is given up when the function returns, before the commit",
        edits: &[Edit {
            file: "zlock.rs",
            from: "Ok((lease, self.zlock.scope.is_none()))",
            to: "Ok((lease, true))",
        }],
        suites: &[zlock("transactions::locks_are_held")],
    },
    Mutant {
        name: "waits-in-a-transaction",
        breaks: "Z2",
        fault: "a function waits for its lock while its caller's database transaction is open",
        edits: &[Edit {
            file: "zlock.rs",
            from: "\
        if zlock.scope.is_some() {
            return Err(got.met_by_another(&asked, item));
        }
        let holder = got.give_up();
        let lease = zlock.locks.acquire_all(zlock",
            to: "\
        let holder = got.give_up();
        let lease = zlock.locks.acquire_all(zlock",
        }],
        suites: &[zlock("transactions::inside_it_is")],
    },
    Mutant {
        name: "locks-taken-as-they-were-met",
        breaks: "Z2",
        fault: "a transaction takes its locks in the order in which it met them, and another in the reverse",
        edits: &[Edit {
            file: "scope.rs",
            from: "met.insert(place, lock);",
            to: "\
let _ = place;
                met.push(lock);",
        }],
        suites: &[zlock("transactions::while_it_waits")],
    },
    Mutant {
        name: "holds-while-it-waits",
        breaks: "Z2",
        fault: "a transaction waits for a lock and holds what comes after it",
        edits: &[Edit {
            file: "transaction.rs",
            from: "\
            self.release_all().await;
            if self.takes",
            to: "            if self.takes",
        }],
        suites: &[zlock("transactions::while_it_waits")],
    },
    Mutant {
        name: "run-again-after-ok",
        breaks: "Z2",
        fault: "a transaction that is committed is run again",
        edits: &[Edit {
            file: "transaction.rs",
            from: "            returned => Some(returned),",
            to: "\
            Ok(_) if attempt == 1 => None,
            returned => Some(returned),",
        }],
        suites: &[zlock("transactions::locks_are_held")],
    },
    Mutant {
        name: "panic-leaves-locks",
        breaks: "Z2",
        fault: "a closure that panics leaves its locks to the end of their leases",
        edits: &[Edit {
            file: "transaction.rs",
            from: "Releases::Here => held.iter().for_each(|hold| hold.release()),",
            to: "Releases::Here => held.into_iter().for_each(std::mem::forget),",
        }],
        suites: &[zlock("transactions::a_panic")],
    },
    Mutant {
        name: "dropped-transaction-leaves-locks",
        breaks: "Z2",
        fault: "a future that is dropped in between does",
        edits: &[Edit {
            file: "transaction.rs",
            from: "Releases::InBackground => drop(Rest(held)),",
            to: "Releases::InBackground => held.into_iter().for_each(std::mem::forget),",
        }],
        suites: &[zlock("transactions::a_future_that_is_dropped")],
    },
    Mutant {
        name: "conflict-gives-up-what-is-held",
        breaks: "Z2",
        fault: "a conflict about one of several keys releases those that the transaction holds",
        edits: &[Edit {
            file: "scope.rs",
            from: "\
            Ok(known) if lock.hold.is_none() && met[known].held().is_some() => None,
",
            to: "",
        }],
        suites: &[zlock("transactions::a_conflict_about")],
    },
    Mutant {
        name: "own-lock-waited-for",
        breaks: "Z2",
        fault: "a transaction waits for a lock that the function holds in which it runs",
        edits: &[Edit {
            file: "zlock.rs",
            from: "\
let found = current::find(self.zlock.outer, self.zlock.locks.core(), item);
        let is_there = found.is_some();
        self.holds.extend(found.map(|found| found.hold));",
            to: "\
let found = self
            .zlock
            .scope
            .as_ref()
            .and_then(|scope| scope.find(self.zlock.locks.core(), item));
        let is_there = found.is_some();
        self.holds.extend(found);",
        }],
        suites: &[zlock("transactions::what_an_outer")],
    },
    Mutant {
        name: "taken-after-the-shutdown",
        breaks: "Z2",
        fault: "a transaction takes its locks between two attempts although they were shut down",
        edits: &[Edit {
            file: "transaction.rs",
            from: "\
            lock.core.check_open()?;
",
            to: "",
        }],
        suites: &[zlock("transactions::nothing_is_taken")],
    },
    Mutant {
        name: "first-looks-as-seldom-as-the-others",
        breaks: "L6",
        fault: "nobody in line looks often, so that each hand-over takes a good part of what the holder took",
        edits: &[Edit {
            file: LINE,
            from: "        if self.is_first() {",
            to: "        if false {",
        }],
        suites: &[line("processes_that_come_back")],
    },
    Mutant {
        name: "others-look-as-often-as-the-first",
        breaks: "L6",
        fault: "who is far behind in line looks each interval",
        edits: &[Edit {
            file: LINE,
            from: "const LONGEST_PAUSE: u32 = 4;",
            to: "const LONGEST_PAUSE: u32 = 1;",
        }],
        suites: &[line("whoever_waits_for_a_long_time")],
    },
    Mutant {
        name: "called-look-as-often-as-others",
        breaks: "performance",
        fault: "who is called when its turn comes looks all the same as if it were not",
        edits: &[Edit {
            file: LINE,
            from: "let is_called = self.me.call.is_some() && self.calls.do_arrive();",
            to: "let is_called = false;",
        }],
        suites: &[line("whoever_waits_for_a_call")],
    },
    Mutant {
        name: "nobody-stands-back",
        breaks: "L6",
        fault: "who has just released the lock takes it again before those in line have looked",
        edits: &[Edit {
            file: LINE,
            from: "        if now.instant.saturating_sub(since) < self.grace(interval) {
            return true;",
            to: "        if now.instant.saturating_sub(since) < self.grace(interval) {
            return false;",
        }],
        suites: &[line("processes_that_come_back")],
    },
    Mutant {
        name: "the-dead-stay-in-line",
        breaks: "L1",
        fault: "who died in line is waited for at each hand-over",
        edits: &[Edit {
            file: LINE,
            from: "now.instant.saturating_sub(since) >= interval.saturating_mul(INTERVALS_UNTIL_DEAD)",
            to: "now.instant.saturating_sub(since) >= Duration::MAX",
        }],
        suites: &[line("the_dead_who_stand_in_line")],
    },
    Mutant {
        name: "the-dead-let-anyone-by",
        breaks: "L6",
        fault: "where the first in line does not come, who looks first has the lock",
        edits: &[Edit {
            file: LINE,
            from: "        each.saturating_mul(u32::try_from(self.ahead().count()).unwrap_or(u32::MAX))",
            to: "        each",
        }],
        suites: &[line("the_dead_who_stand_in_line")],
    },
    Mutant {
        name: "slow-once-dead-for-ever",
        breaks: "L6",
        fault: "who was passed once is taken out of the line whenever the one who passed it writes it",
        edits: &[
            Edit {
                file: LINE,
                from: "self.ahead().next() == Some(*passed));",
                to: "true);",
            },
            Edit {
                file: LINE,
                from: "*passed != nonce.process());",
                to: "true);",
            },
        ],
        suites: &[line("who_was_slow_once")],
    },
    Mutant {
        name: "holder-still-in-line",
        breaks: "L6",
        fault: "the holder, who stands in line until it has released the lock, is taken for the first there",
        edits: &[Edit {
            file: LINE,
            from: "            .filter(move |process| Some(*process) != holder)",
            to: "            .filter(move |process| Some(*process) != holder || true)",
        }],
        suites: &[line("processes_that_come_back")],
    },
    Mutant {
        name: "nobody-leaves-the-line",
        breaks: "L5",
        fault: "who has had the lock stays in line, and its item on the server",
        edits: &[Edit {
            file: LINE,
            from: "        if line == self.line {
            return None;",
            to: "        if line != self.line {
            return None;",
        }],
        suites: &[line("nobody_is_left_in_line")],
    },
    Mutant {
        name: "looks-in-vain",
        breaks: "performance",
        fault: "each release looks who stands in line",
        edits: &[Edit {
            file: LINE,
            from: "        None => now.instant.saturating_sub(granted.min(looked)) >= TURN,",
            to: "        None => granted.min(looked) < now.instant,",
        }],
        suites: &[line("who_is_alone")],
    },
    Mutant {
        name: "called-in-vain",
        breaks: "L6",
        fault: "who is called looks, and finds that it does not know of itself as the first in line",
        edits: &[Edit {
            file: LINE,
            from: "self.calls.is_called() || self.is_first()",
            to: "self.calls.is_called() && self.is_first()",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "looks-although-called",
        breaks: "performance",
        fault: "who is called reads that the lock is free before it adds",
        edits: &[Edit {
            file: CALLS,
            from: "self.is_called && self.in_vain.is_none()",
            to: "false",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "adds-whoever-calls",
        breaks: "S1",
        fault: "who is called in vain stores blindly each time, where a store that is refused deletes the lock",
        edits: &[Edit {
            file: CALLS,
            from: "self.is_called && self.in_vain.is_none()",
            to: "self.is_called",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "adds-although-short-of-memory",
        breaks: "S1",
        fault: "who is called stores blindly on a server that refuses stores, and deletes the lock under each",
        edits: &[Edit {
            file: ACQUIRE,
            from: "if then_look && (self.look_first || !is_called) {",
            to: "if then_look && !is_called {",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "heeds-each-call",
        breaks: "L6",
        fault: "a stranger who can read the line makes a waiter look as often as he likes",
        edits: &[Edit {
            file: CALLS,
            from: "const LEAST_DISTANCE: Duration = Duration::from_millis(1);",
            to: "const LEAST_DISTANCE: Duration = Duration::ZERO;",
        }],
        suites: &[line("calls_in_vain")],
    },
    Mutant {
        name: "counts-on-lost-calls",
        breaks: "performance",
        fault: "where no call arrives a process hands the lock over each time all the same, and the next polls for it",
        edits: &[Edit {
            file: CALLS,
            from: "const MOST_UNCALLED_TURNS: u8 = 4;",
            to: "const MOST_UNCALLED_TURNS: u8 = u8::MAX;",
        }],
        suites: &[line("short_sections_are_not_slowed_down_by_calls")],
    },
    Mutant {
        name: "goes-on-although-others-are-called",
        breaks: "performance",
        fault: "a process takes the lock again and again although others could have it at once",
        edits: &[Edit {
            file: LINE,
            from: "self.turn_began.filter(|_| !self.is_next_called())",
            to: "self.turn_began",
        }],
        suites: &[line("those_who_are_called")],
    },
    Mutant {
        name: "turn-without-end",
        breaks: "L6",
        fault: "a turn that is over between asking and being granted begins anew",
        edits: &[Edit {
            file: LINE,
            from: "self.turn_began.get_or_insert(now.instant);",
            to: "\
if !self.may_go_on(now) {
            self.turn_began = Some(now.instant);
        }",
        }],
        suites: &[line("sixteen_contenders")],
    },
    Mutant {
        name: "called-late",
        breaks: "performance",
        fault: "the next is called only when the release has been answered",
        edits: &[Edit {
            file: RELEASE,
            from: "let is_deleted_first = self.known.is_some();",
            to: "let is_deleted_first = false;",
        }],
        suites: &[line("those_who_are_called")],
    },
    Mutant {
        name: "place-given-up-each-time",
        breaks: "performance",
        fault: "who comes back at once each time leaves the line each time, and joins it again",
        edits: &[Edit {
            file: LINE,
            from: "let is_expected_back = self.comes_back && self.is_next_called();",
            to: "let is_expected_back = false;",
        }],
        suites: &[line("those_who_are_called")],
    },
    Mutant {
        name: "place-kept-for-ever",
        breaks: "L5",
        fault: "who was expected back and does not come stays in line, and the others wait for it at each hand-over",
        edits: &[Edit {
            file: LINE,
            from: "        !self.is_back_soon(now)
    }",
            to: "        self.is_back_soon(now) && false
    }",
        }],
        suites: &[line("who_is_expected_back"), unit("queue::")],
    },
    Mutant {
        name: "places-minded-one-by-one",
        breaks: "performance",
        fault: "each release that keeps a place sends for somebody to mind it",
        edits: &[Edit {
            file: ENDING,
            from: "is_to_be_minded = is_place_kept && shard.minded.insert(item.clone());",
            to: "\
shard.minded.insert(item.clone());
            is_to_be_minded = is_place_kept;",
        }],
        suites: &[QUEUE],
    },
    Mutant {
        name: "call-of-the-last-turn",
        breaks: "L6",
        fault: "who comes back heeds the call for the turn that it has had",
        edits: &[Edit {
            file: "doorbell.rs",
            from: "        self.waiters().missed.take_if(|missed| missed == item.as_str());
    }",
            to: "        self.waiters().missed.take_if(|_| item.as_str().is_empty());
    }",
        }],
        suites: &[unit("doorbell::")],
    },
    Mutant {
        name: "line-not-read-with-the-add",
        breaks: "performance",
        fault: "who has its turn does not know the line that it is to leave, and leaves it with more exchanges",
        edits: &[Edit {
            file: ACQUIRE,
            from: "if self.standing.as_ref().is_some_and(|standing| standing.waits_in_line()) {",
            to: "if false {",
        }],
        suites: &[line("those_who_are_called")],
    },
    Mutant {
        name: "who-is-called-sleeps-through",
        breaks: "L6",
        fault: "who can be called does not look by itself, so that a lost datagram keeps it from its turn",
        edits: &[Edit {
            file: LINE,
            from: "let longest = (held / fraction).clamp(shortest, interval.max(shortest));",
            to: "let longest = if self.me.call.is_some() { interval } else { shortest };",
        }],
        suites: &[line("lost_calls")],
    },
    Mutant {
        name: "kept-call-tree-keeps-the-lock",
        breaks: "L3",
        fault: "a body whose call tree is kept beyond its end does not release its lock",
        edits: &[Edit {
            file: "current.rs",
            from: "None => frame.lease().cloned(),",
            to: "None => None,",
        }],
        suites: &[attributes("whatever_its_body_has_kept")],
    },
    Mutant {
        name: "kept-lease-keeps-the-lock",
        breaks: "L3",
        fault: "a lease that is kept beyond its body keeps the lock from being released",
        edits: &[Edit {
            file: "guard.rs",
            from: "None => hold.release(),",
            to: "None => {}",
        }],
        suites: &[attributes("whatever_its_body_has_kept")],
    },
    Mutant {
        name: "name-that-is-no-key-is-sent",
        breaks: "S6",
        fault: "a name with a line break in it becomes a second command",
        edits: &[Edit {
            file: "memcached/command.rs",
            from: "if !is_key || key.is_empty()",
            to: "if key.is_empty()",
        }],
        suites: &[MEMCACHED],
    },
    Mutant {
        name: "another-instances-clock",
        breaks: "S5",
        fault: "readings of a server's clock count for the instance that replaced it",
        edits: &[Edit {
            file: "driver/mod.rs",
            from: "if known.instance != Some(instance) {",
            to: "if known.instance.is_none() {",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "anyone-may-call",
        breaks: "L6",
        fault: "a datagram without the secret wakes whoever waits for the lock that it names",
        edits: &[Edit {
            file: "doorbell.rs",
            from: "if u64::from_str_radix(secret, 16) != Ok(self.call.secret) {",
            to: "if u64::from_str_radix(secret, 16).is_err() {",
        }],
        suites: &[unit("doorbell::")],
    },
];
