//! How long a call may take, and asking a server that does not answer.

use super::Mutant;
use super::suites::{LOCKS, PROTOCOL, REENTRY, executors, model, unit};

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
        name: "each-release-has-its-own-limit",
        breaks: "L2",
        decision: "The releases of one call together take no longer than one exchange.",
        file: "hold/lease.rs",
        from: "if self.locks.len() > 1 {",
        to: "if self.locks.len() > 9 {",
        suites: &[unit("the_locks_of_a_call_are_released")],
    },
    Mutant {
        name: "granted-after-the-shutdown",
        breaks: "L8",
        decision: "After the shutdown nothing is acquired, by callers that have waited neither.",
        file: "driver/core.rs",
        from: "if self.is_shut_down() { Err(shut_down()) } else { Ok(()) }",
        to: "Ok(())",
        suites: &[executors("shutdown_")],
    },
    Mutant {
        name: "given-back-and-believed-in",
        breaks: "L8",
        decision: "A lock that is given back at a shutdown is lost to its holder.",
        file: "driver/core.rs",
        from: "self.has_given_back.store(true, Ordering::SeqCst);",
        to: "",
        suites: &[executors("shutdown_")],
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
