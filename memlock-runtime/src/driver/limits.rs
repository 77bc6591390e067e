//! [`CallLimits`]: how long a call may wait for other holders, and how long it may ask the server.
//!
//! `wait` limits the waiting for *other holders*. On top of it, the exchanges with the server have `exchange_timeout`,
//! connecting included: a server that takes 20 ms to answer is no less healthy because its caller does not want to
//! wait. So a call that began at `b` has two ends:
//!
//! | end of | at | from then on |
//! |---|---|---|
//! | waiting | `b + wait` | the call does not pause, and a lock that another caller holds is busy |
//! | asking | `b + wait + exchange_timeout` | no exchange of the call goes on |
//!
//! The end of asking holds for every key and connection of the call, and for renewing and releasing what it acquired.
//!
//! A call without `wait` has neither end. Each of its exchanges still has its own limit, and two failures in a row end
//! the call.

use std::time::Duration;

use crate::protocol::lease::Now;

/// How long the exchanges of a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangeLimit {
    /// The limit of each of them.
    each: Duration,
    /// Their common end, on the monotonic clock. `None`: they have none.
    ends: Option<Duration>,
}

impl ExchangeLimit {
    /// The limit of exchanges without a common end: those of a release after the body, and of the background.
    pub(crate) fn each(exchange_timeout: Duration) -> ExchangeLimit {
        ExchangeLimit {
            each: exchange_timeout,
            ends: None,
        }
    }

    /// The same limit for exchanges that begin at `now`, and together may take as long as one.
    pub(crate) fn as_for_one(self, now: Now) -> ExchangeLimit {
        let ends = now.instant.saturating_add(self.each);
        ExchangeLimit {
            ends: Some(self.ends.map_or(ends, |earlier| earlier.min(ends))),
            ..self
        }
    }

    /// Returns how long an exchange may take that begins at `now`. Calls `now` only if there is a common end.
    pub(crate) fn left(self, now: impl FnOnce() -> Now) -> Duration {
        self.until_end(now).map_or(self.each, |left| self.each.min(left))
    }

    /// Returns the time until the common end. `None`: there is none.
    pub(crate) fn until_end(self, now: impl FnOnce() -> Now) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_sub(now().instant))
    }

    /// Returns the time until `more` after the common end.
    pub(crate) fn until_after_end(self, more: Duration, now: Now) -> Duration {
        self.ends.map_or(Duration::MAX, |ends| {
            ends.saturating_add(more).saturating_sub(now.instant)
        })
    }
}

/// The two ends of a call: see the top of this file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    pub(crate) began: Now,
    /// How long to wait for other holders. `None`: for ever.
    pub(crate) wait: Option<Duration>,
    /// How long to ask the server.
    pub(crate) asking: ExchangeLimit,
}

impl CallLimits {
    pub(crate) fn new(began: Now, wait: Option<Duration>, exchange_timeout: Duration) -> CallLimits {
        let end = |wait: Duration| began.instant.saturating_add(wait).saturating_add(exchange_timeout);
        CallLimits {
            began,
            wait,
            asking: ExchangeLimit {
                each: exchange_timeout,
                ends: wait.map(end),
            },
        }
    }

    /// The limits of one attempt of the same call, which waits for no other holder. The end of asking stays.
    pub(crate) fn without_waiting(self) -> CallLimits {
        CallLimits {
            wait: Some(Duration::ZERO),
            ..self
        }
    }

    /// Returns how long the call has waited at `now`.
    pub(crate) fn waited(&self, now: Now) -> Duration {
        now.instant.saturating_sub(self.began.instant)
    }

    /// Returns how much longer it may wait for other holders.
    pub(crate) fn left_to_wait(&self, now: Now) -> Duration {
        self.wait
            .map_or(Duration::MAX, |wait| wait.saturating_sub(self.waited(now)))
    }

    /// Returns whether the time for asking is over.
    pub(crate) fn are_over(&self, now: Now) -> bool {
        self.asking.until_end(|| now).is_some_and(|left| left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCHANGE: Duration = Duration::from_millis(300);

    fn at(milliseconds: u64) -> Now {
        Now::at(Duration::from_secs(100) + Duration::from_millis(milliseconds))
    }

    #[test]
    fn several_exchanges_may_take_as_long_as_one() {
        let limit = ExchangeLimit::each(EXCHANGE).as_for_one(at(0));
        for (now, left) in [(0, 300), (100, 200), (300, 0), (1000, 0)] {
            assert_eq!(limit.left(|| at(now)), Duration::from_millis(left), "at {now}");
        }
        assert!(
            limit.as_for_one(at(200)).left(|| at(300)).is_zero(),
            "an earlier end stays"
        );
    }

    #[test]
    fn exchanges_have_their_own_time_after_the_wait() {
        let ms = Duration::from_millis;
        for (wait, now, left) in [
            (Some(0), 0, 300),
            (Some(0), 200, 100),
            (Some(0), 300, 0),
            (Some(1000), 600, 300),
            (Some(1000), 1000, 300),
            (Some(1000), 1100, 200),
            (Some(1000), 2000, 0),
            (None, 1_000_000, 300),
        ] {
            let limits = CallLimits::new(at(0), wait.map(ms), EXCHANGE);
            assert_eq!(limits.asking.left(|| at(now)), ms(left), "{wait:?} at {now}");
            assert_eq!(limits.are_over(at(now)), left == 0);
            let once = limits.without_waiting();
            assert_eq!(once.asking.left(|| at(now)), ms(left), "one attempt of the same call");
            assert!(once.left_to_wait(at(now)).is_zero());
        }
        let endless = CallLimits::new(at(0), Some(Duration::MAX), EXCHANGE);
        assert_eq!(endless.asking.left(|| at(0)), EXCHANGE);
    }
}
