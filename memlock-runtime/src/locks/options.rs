//! How a lock is to be acquired.

use std::time::Duration;

use crate::error::Error;
use crate::hold::renewal::RenewPolicy;
use crate::protocol::lease::LONGEST_TIMEOUT;

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

/// How locks are to be acquired.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) function: &'static str,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) wait: Option<Duration>,
    pub(crate) renew: Option<RenewPolicy>,
}

impl Order {
    /// Refuses durations that cannot be meant.
    pub(crate) fn check(&self) -> Result<(), Error> {
        checked("timeout", self.timeout, LONGEST_TIMEOUT)?;
        checked("interval", self.interval, LONGEST_TIMEOUT)?;
        Ok(())
    }
}
