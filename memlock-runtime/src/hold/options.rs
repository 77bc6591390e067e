//! [`LockOptions`]: the options that attributes, guards and transactions share.

use std::time::Duration;

use crate::error::{Error, OnUnavailable};
use crate::protocol::lease::LONGEST_TIMEOUT;

/// How to acquire, hold and reserve a lock, as its user says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockOptions {
    /// The annotated function, `module::path::function`, for labels and messages; empty where there is none.
    pub(crate) function: &'static str,
    /// The lifetime of the lock. `None`: the default of the `Locks`.
    pub(crate) timeout: Option<Duration>,
    /// The longest pause between two looks at a held lock. `None`: the default of the `Locks`.
    pub(crate) interval: Option<Duration>,
    /// How long to wait for other holders. `None`: for ever.
    pub(crate) wait: Option<Duration>,
    /// How long the lease is kept alive. `None`: it is not.
    pub(crate) renew: Option<RenewPolicy>,
    /// What to do when the server cannot be asked. `None`: the default of the `Locks`, else what suits the return type.
    pub(crate) on_unavailable: Option<OnUnavailable>,
    /// How long a `zlock` stays reserved after a conflict.
    pub(crate) reserve: Duration,
}

/// How long a lease is kept alive while the body runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RenewPolicy {
    /// Until the body is done.
    Always,
    /// Until the body is done, at most this long after the lock was acquired.
    For(Duration),
}

/// How long a `zlock` stays reserved after a conflict, unless it says otherwise: as long as a transaction takes to be rolled
/// back and started again on a busy machine. It costs others nothing once the retry has come.
pub(crate) const RESERVE: Duration = Duration::from_secs(1);

impl LockOptions {
    /// The defaults, for `function`.
    pub(crate) const fn of(function: &'static str) -> LockOptions {
        LockOptions {
            function,
            timeout: None,
            interval: None,
            wait: None,
            renew: None,
            on_unavailable: None,
            reserve: RESERVE,
        }
    }

    /// Refuses durations that cannot be meant.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (option, length) in [("timeout", self.timeout), ("interval", self.interval)] {
            if let Some(length) = length {
                checked(option, length, LONGEST_TIMEOUT)?;
            }
        }
        Ok(())
    }
}

/// A duration that is neither nothing nor too much.
pub(crate) fn checked(what: &str, duration: Duration, most: Duration) -> Result<Duration, Error> {
    if duration.is_zero() {
        return Err(Error::config(format!("`{what}` is zero: give it a positive duration")));
    }
    if duration > most {
        return Err(Error::config(format!(
            "`{what}` is {duration:?}, and may be at most {most:?}"
        )));
    }
    Ok(duration)
}
