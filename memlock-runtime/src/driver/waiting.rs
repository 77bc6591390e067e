//! A caller that waits: for how long yet, and what it is to do meanwhile, whichever driver lets the time pass.

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::hold::Hold;
use crate::error::Error;
use crate::key::ItemName;
use crate::lease::Now;
use crate::protocol::Spec;
use crate::queue::{Place, Seen};

/// How much longer than its `wait` a caller may be kept, in every fault. It is also the least time that there is for the
/// one attempt of a caller who does not want to wait at all.
pub(crate) const WAIT_GRACE: Duration = Duration::from_millis(30);

/// How long a thread that is not the first in line leaves it to the first to step into the shoes of a holder whose lease
/// is over.
const FOR_THE_FIRST: Duration = Duration::from_millis(20);

/// Why an acquisition of one lock of several stopped.
pub(crate) enum Stopped {
    /// This lock cannot be had.
    Failed(Error),
    /// A lock that was acquired before it was lost meanwhile: all must be acquired again.
    CompanionLost,
}

/// How long an exchange may take for a caller who has been at it since `started`: no longer than it is willing to wait,
/// give or take a little.
pub(crate) fn limit(core: &Core, wait: Option<Duration>, grace: Duration, started: Now) -> Duration {
    let most = core.exchange_limit;
    wait.map_or(most, |wait| {
        let waited = core.now().instant.saturating_sub(started.instant);
        most.min(wait.saturating_add(grace).saturating_sub(waited))
    })
}

/// A caller that waits.
pub(super) struct Waiting<'a> {
    core: &'a Core,
    spec: &'a Spec,
    started: Now,
    pub(super) companions: &'a [Arc<Hold>],
    has_warned: bool,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(core: &'a Core, spec: &'a Spec, started: Now, companions: &'a [Arc<Hold>]) -> Waiting<'a> {
        Waiting {
            core,
            spec,
            started,
            companions,
            has_warned: false,
        }
    }

    /// How long `place`, which has just been looked at, has to wait from `now` until there may be something to find out there,
    /// if nobody wakes it before that.
    pub(super) fn until_next_look(&self, place: &Place, now: Now) -> Result<Duration, Stopped> {
        let Seen { is_first, leased_until } = place.seen();
        if is_first && leased_until.is_some_and(|until| now.instant >= until) {
            // It is to step in, however short its wait is.
            return Ok(Duration::ZERO);
        }
        let wait = self.spec.wait;
        let mut left = wait.map_or(Duration::MAX, |wait| wait.saturating_sub(self.waited(now)));
        // In this order: when the turn comes in between, it is news.
        if left.is_zero() && (place.is_next_soon() || place.has_news()) {
            // Who asks for a lock right after it was let go, maybe in the background, need not find it busy.
            left = self.limit();
        }
        if left.is_zero() {
            // Nobody may hold it, if the head is having trouble with the server.
            let holder = "another caller in this process".to_owned();
            let busy = || busy(&self.spec.item, Some(holder), self.waited(now));
            return Err(Stopped::Failed(place.trouble().unwrap_or_else(busy)));
        }
        if let Some(until) = leased_until {
            // A place that is not the first finds nothing to do then, and looks again a little later.
            let least = if is_first { Duration::ZERO } else { FOR_THE_FIRST };
            left = left.min(until.saturating_sub(now.instant).max(least));
        }
        place.sleeps_until(now.instant.saturating_add(left));
        Ok(left)
    }

    /// Warns when the wait is getting long by `now`; `length`, or less where it is to warn before that.
    pub(super) fn until_warning(&mut self, length: Duration, now: Now) -> Duration {
        let waited = self.waited(now);
        let patience = self.spec.timeout;
        if waited >= patience && !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, waiter = %self.spec.label, ?waited,
                "still waiting for the lock, for longer than its timeout; set `wait` to give up instead"
            );
        }
        if self.has_warned {
            length
        } else {
            length.min(patience.saturating_sub(waited))
        }
    }

    pub(super) fn now(&self) -> Now {
        self.core.now()
    }

    pub(super) fn waited(&self, now: Now) -> Duration {
        now.instant.saturating_sub(self.started.instant)
    }

    pub(super) fn limit(&self) -> Duration {
        limit(self.core, self.spec.wait, self.spec.grace, self.started)
    }
}

pub(crate) fn busy(item: &ItemName, holder: Option<String>, waited: Duration) -> Error {
    Error::Busy {
        key: item.as_str().to_owned(),
        holder,
        waited,
    }
}
