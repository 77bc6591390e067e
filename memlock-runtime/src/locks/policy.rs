//! The failure policy: whether a call that cannot acquire its lock returns the error, runs the body without the lock,
//! or panics.

use std::thread;

use super::Locks;
use crate::call_tree::lock_kind::LockKind;
use crate::driver::core::{Core, Counters};
use crate::error::{Error, OnUnavailable};

/// Whether the function's return type can carry a lock error. Without an `on_unavailable`, this decides what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reporting {
    /// `Result<_, E>` with `E: From<Error>`, or a function with `otherwise`.
    Yes,
    /// Anything else: if memcached cannot be asked, the body runs unlocked. Mistakes in the program panic.
    No,
}

/// Returns the failure policy of a call.
pub(crate) fn failure_policy(
    locks: &Locks,
    kind: LockKind,
    on_unavailable: Option<OnUnavailable>,
    reporting: Reporting,
) -> OnUnavailable {
    let by_type = match (kind, reporting) {
        // The database behind a `zlock` detects conflicts itself.
        (LockKind::Zlock, _) | (_, Reporting::No) => OnUnavailable::Unlocked,
        (LockKind::Lock | LockKind::Rlock, Reporting::Yes) => OnUnavailable::Error,
    };
    on_unavailable.or(locks.settings().on_unavailable).unwrap_or(by_type)
}

/// Applies the failure policy to an error of acquiring. `Ok`: the body runs without the lock.
///
/// # Panics
///
/// If the policy says so, and the thread does not unwind from a panic already.
#[track_caller]
pub(crate) fn apply_failure_policy(
    core: &Core,
    function: &str,
    policy: OnUnavailable,
    reporting: Reporting,
    error: Error,
) -> Result<(), Error> {
    match (&error, policy, reporting) {
        (Error::Unavailable { .. }, OnUnavailable::Panic, _)
        | (Error::Lost { .. }, OnUnavailable::Panic, Reporting::No)
            if !thread::panicking() =>
        {
            panic!("{function}: {error}")
        }
        (Error::Unavailable { .. }, OnUnavailable::Unlocked, _)
        | (
            Error::Unavailable { .. } | Error::Lost { .. },
            OnUnavailable::Unlocked | OnUnavailable::Error,
            Reporting::No,
        ) => {
            Counters::count(&core.counters.soft_runs);
            tracing::warn!(target: "memlock", function, %error, "running without the lock");
            Ok(())
        }
        _ => Err(error),
    }
}

/// Returns whether a function that cannot report `error` must run its body without the lock all the same: the thread
/// unwinds from a panic, and a second one would end the process. Then this logs the error.
pub(crate) fn must_not_panic(function: &str, error: &Error) -> bool {
    if !thread::panicking() {
        return false;
    }
    tracing::error!(
        target: "memlock", function, %error,
        "running without the lock: the error cannot be reported, and a panic is under way already"
    );
    true
}
