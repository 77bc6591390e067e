//! How long a call may take, and asking a server that does not answer.

use super::Mutant;
use super::suites::{LOCKS, PROTOCOL, REENTRY, model, unit};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "exchange-outlasts-the-call",
        breaks: "L2",
        decision: "All exchanges of a call end together, `exchange_timeout` after its `wait`.",
        file: "driver/limits.rs",
        from: "self.until_end(now).map_or(self.each, |left| self.each.min(left))",
        to: "self.until_end(now).map_or(self.each, |_| self.each)",
        suites: &[unit("driver::limits::"), unit("all_exchanges_of_a_call")],
    },
    Mutant {
        name: "no-time-to-ask",
        breaks: "L2",
        decision: "A call may ask the server for `exchange_timeout`, however short its `wait`.",
        file: "driver/limits.rs",
        from: "began.instant.saturating_add(wait).saturating_add(exchange_timeout)",
        to: "began.instant.saturating_add(wait).saturating_add(exchange_timeout / 10)",
        suites: &[LOCKS],
    },
    Mutant {
        name: "endless-wait-ends",
        breaks: "L2",
        decision: "A call without `wait` waits for other holders for ever, and is never told that the lock is busy.",
        file: "protocol/acquire/waiting.rs",
        from: "self.spec().wait.is_some_and(|wait| self.waited(now) >= wait)",
        to: "self.spec().wait.is_none_or(|wait| self.waited(now) >= wait)",
        suites: &[PROTOCOL, model(REENTRY, "a_lock_that_was_handed_over")],
    },
    Mutant {
        name: "silent-server-tried-by-all",
        breaks: "L5",
        decision: "One caller at a time tries a server that does not answer.",
        file: "store/memcached/health.rs",
        from: "Some((_, expiry)) if expiry > now => {",
        to: "Some((_, expiry)) if expiry < now => {",
        suites: &[unit("memcached::health::")],
    },
];
