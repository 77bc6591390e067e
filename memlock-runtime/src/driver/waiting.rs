//! [`Waiting`]: how long a caller still waits, and what falls due meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::caller::{Alarm, Caller};
use super::core::Core;
use super::errors::too_late;
use super::limits::{CallLimits, ExchangeLimit};
use crate::error::Error;
use crate::protocol::Spec;
use crate::protocol::lease::Now;
use crate::queue::Place;

/// How much longer than its own limit a caller waits in the queue for the answer to the head: both may have begun at
/// the same moment, with the same limits.
const ANSWER_GRACE: Duration = Duration::from_millis(20);

/// Why an acquisition of one lock of several stopped.
pub(crate) enum Stopped {
    /// This lock could not be acquired.
    Failed(Error),
    /// A lock that the call already held was lost meanwhile, so all must be acquired again.
    CompanionLost,
}

/// A lock was lost while its holder waited for another.
#[derive(Debug)]
pub(crate) struct CompanionLost;

/// A renewal of companions.
pub(crate) type KeepingAlive<'a> = Pin<Box<dyn Future<Output = Result<Duration, CompanionLost>> + Send + 'a>>;

/// The locks that a caller holds while it waits for another.
pub(crate) trait KeepAlive: Sync {
    /// Keeps the locks alive, with exchanges within `limit`, and returns how long that lasts. `None`: there are none.
    fn keep_alive(&self, caller: Caller, limit: ExchangeLimit) -> Option<KeepingAlive<'_>>;
}

/// A caller that waits for a lock.
pub(crate) struct Waiting<'a> {
    core: &'a Core,
    caller: Caller,
    spec: &'a Spec,
    limits: CallLimits,
    companions: &'a dyn KeepAlive,
    pub(super) alarm: Alarm,
    has_warned: bool,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(
        core: &'a Core,
        caller: Caller,
        spec: &'a Spec,
        limits: CallLimits,
        companions: &'a dyn KeepAlive,
    ) -> Waiting<'a> {
        Waiting {
            core,
            caller,
            spec,
            limits,
            companions,
            alarm: Alarm::new(caller),
            has_warned: false,
        }
    }

    /// Returns how long the caller can rest at `place` from `now`, unless it is woken before. Returns an error if its
    /// time is over.
    pub(crate) fn until_next_look(&self, place: &Place, now: Now) -> Result<Duration, Stopped> {
        let until_look = place.until_next_look(now);
        if until_look.is_zero() {
            // The caller steps in, even if its own time is over.
            return Ok(Duration::ZERO);
        }
        let mut left = self.limits.left_to_wait(now);
        if left.is_zero() {
            // In this order, so that a turn that comes in between counts as a notification.
            let outlook = place.outlook();
            if place.is_notified() {
                return Ok(Duration::ZERO);
            }
            if outlook.is_open {
                // No holder is known. The head is asking the server on behalf of all, or the holder is just releasing:
                // that takes as long as an exchange, and is not waiting for a holder.
                left = self.limits.asking.left(|| now);
            }
            if left.is_zero() && outlook.is_open && outlook.trouble.is_none() {
                left = self.limits.asking.until_after_end(ANSWER_GRACE, now);
            }
            if left.is_zero() {
                let (is_stalled, waited) = (outlook.is_open, self.limits.waited(now));
                return Err(Stopped::Failed(too_late(
                    self.core,
                    self.spec,
                    outlook.trouble,
                    is_stalled,
                    waited,
                )));
            }
        }
        left = left.min(until_look);
        place.announce_sleep(now.instant.saturating_add(left));
        Ok(left)
    }

    /// Keeps the companions alive, and warns if the wait has become long. Returns `length`, or less if either is due
    /// again sooner.
    pub(crate) async fn until_due(&mut self, length: Duration, now: Now) -> Result<Duration, Stopped> {
        let length = self.until_warning(length, now);
        let Some(keeping) = self.companions.keep_alive(self.caller, self.limits.asking) else {
            return Ok(length);
        };
        let kept = keeping.await.map_err(|CompanionLost| Stopped::CompanionLost)?;
        Ok(length.min(kept))
    }

    /// Warns if the wait has become long by `now`. Returns `length`, or less if the warning is due sooner.
    fn until_warning(&mut self, length: Duration, now: Now) -> Duration {
        let waited = self.limits.waited(now);
        let patience = self.spec.timeout;
        if waited >= patience && !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, waiter = %self.spec.label, ?waited,
                "still waiting for the lock, for longer than its timeout; use `wait` to give up instead"
            );
        }
        if self.has_warned {
            length
        } else {
            length.min(patience.saturating_sub(waited))
        }
    }

    pub(crate) fn core(&self) -> &'a Core {
        self.core
    }
}
