//! [`LockOptions`]: the options that attributes, guards and transactions share.

use std::time::Duration;

use crate::error::call_site::CallSite;
use crate::error::{Error, OnUnavailable};
use crate::protocol::lease::LONGEST_TIMEOUT;

/// How to acquire, hold and reserve a lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockOptions {
    /// The annotated function or the request, for labels and messages.
    pub(crate) site: CallSite,
    /// The lifetime of the lock. `None`: the default of the `Locks`.
    pub(crate) timeout: Option<Duration>,
    /// The longest pause between two looks at a held lock. `None`: the default of the `Locks`.
    pub(crate) interval: Option<Duration>,
    /// How long to wait for other holders. `None`: for ever.
    pub(crate) wait: Option<Duration>,
    /// How long the lease is kept alive. `None`: it is not renewed.
    pub(crate) renew: Option<RenewPolicy>,
    /// What to do if the server cannot be asked. `None`: the default of the `Locks`, or else of the return type.
    pub(crate) on_unavailable: Option<OnUnavailable>,
    /// How long a `zlock` stays reserved after a conflict.
    pub(crate) reserve: Duration,
}

/// How long a lease is kept alive while the body runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RenewPolicy {
    /// Until the body is done.
    Always,
    /// Until the body is done, but at most this long after the lock was acquired.
    AtMost(Duration),
}

/// How long a `zlock` stays reserved after a conflict by default: as long as a busy machine takes to roll a transaction
/// back and start it again. Other callers do not wait for the rest of it once the retry has come.
pub(crate) const RESERVE: Duration = Duration::from_secs(1);

impl LockOptions {
    /// The defaults, for `function`, whose attribute is where this is called. For a request, it is empty.
    #[track_caller]
    pub(crate) const fn of(function: &'static str) -> LockOptions {
        LockOptions {
            site: CallSite::of(function),
            timeout: None,
            interval: None,
            wait: None,
            renew: None,
            on_unavailable: None,
            reserve: RESERVE,
        }
    }

    /// Checks the durations.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a `timeout` or `interval` that is zero, or too long.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (option, length) in [("timeout", self.timeout), ("interval", self.interval)] {
            if let Some(length) = length {
                check_duration(option, length, LONGEST_TIMEOUT)?;
            }
        }
        Ok(())
    }
}

/// Returns an error that names `what` if `duration` is zero, or longer than `most`.
pub(crate) fn check_duration(what: &str, duration: Duration, most: Duration) -> Result<(), Error> {
    if duration.is_zero() {
        return Err(Error::config(format!("`{what}` is zero: use a positive duration")));
    }
    if duration > most {
        return Err(Error::config(format!("`{what}` is {duration:?}: use at most {most:?}")));
    }
    Ok(())
}
