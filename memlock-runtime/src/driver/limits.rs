//! How long a call may take: the end of its waiting, and the end of its asking.
//!
//! `wait` bounds the waiting for *other holders*. Asking the server has `exchange_timeout` of its own on top, connecting
//! included: a server that needs 20 ms for an answer is no less healthy because its caller does not want to wait. So a call
//! that began at `b` has two ends:
//!
//! | end | when | what is over then |
//! |---|---|---|
//! | of waiting | `b + wait` | a lock that another holds is busy; nothing pauses beyond it |
//! | of asking | `b + wait + exchange_timeout` | no exchange lasts beyond it, however many the call makes: for several keys, on a new connection, to renew or to give back what it acquired |
//!
//! A call without `wait` has neither. Each of its exchanges still has its own limit, and two that fail in a row end it.

use std::time::Duration;

use crate::protocol::lease::Now;

/// How long the exchanges of a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangeLimit {
    /// Each of them.
    each: Duration,
    /// When all are over, on the monotonic clock. `None`: they have no common end.
    ends: Option<Duration>,
}

impl ExchangeLimit {
    /// Exchanges that have no common end: of a release after the body, and of what goes on in the background.
    pub(crate) fn each(exchange_timeout: Duration) -> ExchangeLimit {
        ExchangeLimit {
            each: exchange_timeout,
            ends: None,
        }
    }

    /// How long an exchange may take that begins at `now`. The clock is read only where that matters.
    pub(crate) fn left(self, now: impl FnOnce() -> Now) -> Duration {
        self.until_end(now).map_or(self.each, |left| self.each.min(left))
    }

    /// How long it is until all are over. `None`: they have no common end.
    pub(crate) fn until_end(self, now: impl FnOnce() -> Now) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_sub(now().instant))
    }

    /// How long it is until `more` than all are over.
    pub(crate) fn until_after_end(self, more: Duration, now: Now) -> Duration {
        self.ends.map_or(Duration::MAX, |ends| {
            ends.saturating_add(more).saturating_sub(now.instant)
        })
    }
}

/// The two ends of a call: see the module's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    pub(crate) began: Now,
    /// How long to wait for other holders; `None`: for ever.
    pub(crate) wait: Option<Duration>,
    /// How long the server may be asked.
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

    /// One attempt within the same call, which waits for no other holder. Asking ends with the call.
    pub(crate) fn without_waiting(self) -> CallLimits {
        CallLimits {
            wait: Some(Duration::ZERO),
            ..self
        }
    }

    pub(crate) fn waited(&self, now: Now) -> Duration {
        now.instant.saturating_sub(self.began.instant)
    }

    /// How long it may wait yet for other holders.
    pub(crate) fn left_to_wait(&self, now: Now) -> Duration {
        self.wait
            .map_or(Duration::MAX, |wait| wait.saturating_sub(self.waited(now)))
    }

    /// Whether the time for asking is over.
    pub(crate) fn are_over(&self, now: Now) -> bool {
        self.asking.until_end(|| now).is_some_and(|left| left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCHANGE: Duration = Duration::from_millis(300);

    fn at(milliseconds: u64) -> Now {
        let instant = Duration::from_secs(100) + Duration::from_millis(milliseconds);
        Now { instant, wall: instant }
    }

    #[test]
    fn asking_has_time_of_its_own_beyond_the_wait() {
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
