//! Watching a lock, to take it over from a dead holder.

use super::Mutant;
use super::suites::{MODEL_RACE, PROTOCOL, QUEUE, TAKEOVER, model, simulation};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "watch-without-drift",
        breaks: "S1",
        decision: "A waiter watches for the whole lease and 0.2 % more, because two clocks may run apart.",
        file: "protocol/watch.rs",
        from: "watch_of(self.lease).saturating_sub",
        to: "self.lease.saturating_sub",
        suites: &[PROTOCOL, model(TAKEOVER, "clocks_that_run_apart")],
    },
    Mutant {
        name: "watch-by-the-fastest-clock",
        breaks: "S1",
        decision: "A watch counts by the slowest clock: the monotonic one may be slewed up by a twelfth.",
        file: "protocol/watch.rs",
        from: "now.shortest_since(self.since)",
        to: "now.since(self.since)",
        suites: &[
            PROTOCOL,
            simulation("one_clock_of_each"),
            model(TAKEOVER, "one_clock_of_each"),
        ],
    },
    Mutant {
        name: "watch-counted-from-the-request",
        breaks: "S1",
        decision: "A watch counts from the receipt of the first reading: the item may not be older.",
        file: "protocol/acquire/waiting.rs",
        from: "Watch::observe(self.watch, record, now)",
        to: "Watch::observe(self.watch, record, answered.sent)",
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "watch-goes-on-across-a-renewal",
        breaks: "S1",
        decision: "A watch begins anew when the lease was renewed.",
        file: "protocol/watch.rs",
        from: "(watch.nonce, watch.renewal) == (nonce, renewal)",
        to: "watch.nonce == nonce",
        suites: &[PROTOCOL, MODEL_RACE],
    },
    Mutant {
        name: "renewal-number-written-twice",
        breaks: "S1",
        decision: "Each attempt to renew writes a higher number, so that no two look the same to a watcher.",
        file: "protocol/renew.rs",
        from: "self.grant.renewals += 1;",
        to: "self.grant.renewals = 1;",
        suites: &[PROTOCOL, model(TAKEOVER, "a_watcher_sees_each_renewal")],
    },
    Mutant {
        name: "watch-lost-with-its-turn",
        breaks: "L1",
        decision: "A watch belongs to the process, and goes on when the caller that began it gives up.",
        file: "protocol/turn_state.rs",
        from: "            self.watch = watch;",
        to: "            let _ = watch;",
        suites: &[QUEUE],
    },
    Mutant {
        name: "waiter-stores-without-a-look",
        breaks: "S1",
        decision: "A waiter reads before it stores: a store that memcached refuses may delete the held item.",
        file: "protocol/acquire/mod.rs",
        from: "if then_look && (self.look_first || !is_woken) {",
        to: "if then_look && self.look_first {",
        suites: &[PROTOCOL],
    },
];
