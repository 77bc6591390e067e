//! [`ServerClock`]: what the readings of a server's clock prove about it.
//!
//! A server dates its items by a clock of whole seconds, which its timer sets about once a second. While the server is
//! stopped, the clock stands still. Then it may do one of two things, and a single reading does not tell which:
//!
//! * Its *process* was stopped. The next tick sets the clock right. An item that was stored before that tick expires too
//!   early, by as long as the clock stood still.
//! * Its *virtual machine* was paused. The clock goes on from where it stood, and items expire by that same clock.
//!
//! So of several readings the one counts by which the clock may be furthest on, until the clock has ticked between two
//! of them. A process that knew the server before a pause of its machine trusts it again about a second after.

use std::time::Duration;

use super::lease::{DRIFT, Now, TICK_DELAY, TTL_GRAIN};

/// An upper bound on what a server's clock would show if its timer were never late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    /// The clock shows no more than this, in Unix seconds,
    most: Duration,
    /// at this moment.
    at: Now,
    /// When the reading was received, on the monotonic clock.
    received: Duration,
}

impl Reading {
    /// What the server's clock would show at `now`, at the most.
    pub(super) fn shows_at_most(self, now: Now) -> Duration {
        // By the fastest of the process's clocks. The server's may be faster yet, by the drift.
        let passed = now.since(self.at);
        self.most + passed + passed / DRIFT
    }

    /// How far a clock that showed `second` at `now` has fallen behind.
    pub(super) fn lag_of(self, second: u64, now: Now) -> Duration {
        let usual = TTL_GRAIN + TICK_DELAY;
        self.shows_at_most(now)
            .saturating_sub(Duration::from_secs(second) + usual)
    }
}

/// A reading counts for one to two of these windows. If it were kept for ever, it would become useless as the two clocks
/// drift apart: every short lease would be refused.
const READING_WINDOW: Duration = Duration::from_secs(5 * 60);

/// A reading that took longer than this proves little, and would shorten every lease by that time. It counts only while
/// there is no other.
const SLOW_READING: Duration = Duration::from_secs(1);

/// How long it takes until the clock of a server that runs has ticked.
pub(super) const TICK: Duration = Duration::from_secs(1).saturating_add(TICK_DELAY);

/// The second that a server's clock showed, when it was asked for, and when it was received (on the monotonic clock).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ShownSecond {
    second: u64,
    sent: Now,
    received: Duration,
}

/// The best readings of the clock of one instance in the last 10 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ServerClock {
    window_began: Duration,
    current: Option<Reading>,
    previous: Option<Reading>,
    /// The last second that was shown.
    last: Option<ShownSecond>,
}

impl ServerClock {
    /// Records a clock reading that was asked for at `sent` and received at `received`.
    pub fn observe(&mut self, server_second: u64, sent: Now, received: Now) {
        if received.instant.saturating_sub(self.window_began) >= READING_WINDOW {
            self.previous = self.current.take();
            self.window_began = received.instant;
        }
        let shown = ShownSecond {
            second: server_second,
            sent,
            received: received.instant,
        };
        self.observe_tick(shown, received);
        let is_slow = received.since(sent) > SLOW_READING;
        if is_slow && self.best(received).is_some() {
            return;
        }
        let reading = Reading {
            // Unless the clock stood still, it is up to a second old, and cut to whole seconds.
            most: Duration::from_secs(server_second) + TTL_GRAIN + TICK_DELAY,
            // Not later, however late the reply is: it hides a part of the time for which the clock stood still.
            at: sent,
            received: received.instant,
        };
        self.current = further_on(self.current, Some(reading), received);
    }

    /// Draws the conclusion from a later second than the last one.
    ///
    /// The clock has ticked between the two, at some moment after the first was asked for. At that moment it was set to
    /// the second that it shows now, so it was less than a second further on. That bounds it from the moment when the
    /// first was asked for. It may have stood still since the tick, but for no longer than the time between the two.
    fn observe_tick(&mut self, shown: ShownSecond, now: Now) {
        let Some(last) = self.last else {
            self.last = Some(shown);
            return;
        };
        let has_ticked = shown.second > last.second;
        if has_ticked {
            let proven = Reading {
                most: Duration::from_secs(shown.second + 1),
                at: last.sent,
                received: shown.received,
            };
            let is_nearer = |best: Reading| proven.shows_at_most(now) < best.shows_at_most(now);
            // After a long time without a reading nothing is known, and this would tell only how long that was.
            if self.best(now).is_some_and(is_nearer) {
                (self.current, self.previous) = (Some(proven), None);
            }
        }
        // A smaller second is of a reply that was overtaken, or of a clock that was set back. Then it must tick first.
        let is_set_back = shown.second < last.second && shown.sent.instant >= last.received;
        let is_later = shown.second == last.second && shown.sent.instant > last.sent.instant;
        if has_ticked || is_set_back || is_later {
            self.last = Some(shown);
        }
    }

    /// The best reading.
    pub fn best(&self, now: Now) -> Option<Reading> {
        let counts = |reading: &Reading| now.instant.saturating_sub(reading.received) < 2 * READING_WINDOW;
        further_on(self.previous.filter(counts), self.current.filter(counts), now)
    }
}

/// Returns the reading by which the server's clock may be further on at `now`. By that reading an item's expiry may be
/// nearer.
fn further_on(one: Option<Reading>, other: Option<Reading>, now: Now) -> Option<Reading> {
    match (one, other) {
        (Some(one), Some(other)) if one.shows_at_most(now) >= other.shows_at_most(now) => Some(one),
        (one, other) => other.or(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::lease::{Deadline, ttl_of};

    const SERVER: u64 = 1_800_000_000;

    fn at(seconds: f64) -> Now {
        Now::at(Duration::from_secs_f64(1000.0 + seconds))
    }

    /// How long a lease of `timeout` lasts whose request left at `sent`, when the server's clock showed `second`.
    fn granted(clock: &ServerClock, timeout: f64, second: u64, sent: f64) -> f64 {
        let timeout = Duration::from_secs_f64(timeout);
        let most = clock.best(at(sent)).map(|best| best.shows_at_most(at(sent)));
        Deadline::of_grant(at(sent), timeout, ttl_of(timeout), Some(second), most)
            .length()
            .as_secs_f64()
    }

    #[test]
    fn a_lagging_server_clock_ends_the_deadline_as_much_earlier() {
        let mut clock = ServerClock::default();
        clock.observe(SERVER, at(0.0), at(0.0));
        // The server stood still for 7 s: ten seconds later its clock shows only three more.
        let length = granted(&clock, 5.0, SERVER + 3, 10.0);
        let expected = 14.0 - 7.0 - 2.0 - 0.15 - 0.014 - 0.01;
        assert!((length - expected).abs() < 1e-6, "{length}");
    }

    #[test]
    fn a_reading_counts_from_its_request_however_late_the_reply_is() {
        let mut clock = ServerClock::default();
        clock.observe(SERVER, at(0.0), at(0.9));
        // The same stop of 7 s. If the reading counted from its reply, it would hide 0.9 s of the stop.
        let length = granted(&clock, 5.0, SERVER + 3, 10.0);
        let expected = 14.0 - 7.0 - 2.0 - 0.15 - 0.014 - 0.01;
        assert!((length - expected).abs() < 1e-6, "{length}");
    }

    #[test]
    fn a_punctual_server_clock_leaves_the_whole_timeout() {
        for timeout in [0.2, 1.0, 30.0, 3600.0, 86_400.0, 29.0 * 86_400.0] {
            let mut clock = ServerClock::default();
            clock.observe(SERVER + 1, at(0.0), at(0.001));
            clock.observe(SERVER + 100, at(99.999), at(100.0));
            let length = granted(&clock, timeout, SERVER + 100, 99.999);
            assert!((length - timeout).abs() < 1e-9, "{length} of {timeout}");
        }
    }

    #[test]
    fn a_clock_that_was_not_read_for_long_leaves_the_whole_timeout() {
        for gap in [1.0, 250.0, 500.0, 599.0, 601.0, 1440.0, 86_400.0] {
            let mut clock = ServerClock::default();
            clock.observe(SERVER, at(0.0), at(0.001));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
            let second = SERVER + gap as u64;
            clock.observe(second, at(gap), at(gap + 0.001));
            let length = granted(&clock, 30.0, second, gap);
            assert!((length - 30.0).abs() < 1e-9, "{length} after {gap} s");
        }
    }

    #[test]
    fn a_clock_that_stood_still_and_runs_again_is_trusted_after_a_tick() {
        for pause in [10, 500] {
            let mut clock = ServerClock::default();
            clock.observe(SERVER, at(0.0), at(0.001));
            // The machine was paused, and its clock goes on from where it stood.
            let seconds = f64::from(pause);
            clock.observe(SERVER + 1, at(seconds + 1.0), at(seconds + 1.001));
            let length = granted(&clock, 30.0, SERVER + 1, seconds + 1.0);
            assert!(
                length < 28.0,
                "it may be a clock that stood still, and has not ticked yet: {length}"
            );
            clock.observe(SERVER + 2, at(seconds + 2.1), at(seconds + 2.101));
            let length = granted(&clock, 30.0, SERVER + 2, seconds + 2.1);
            assert!((length - 30.0).abs() < 1e-9, "{length} after a pause of {pause} s");
        }
    }

    #[test]
    fn a_first_reading_that_was_slow_to_arrive_shortens_no_lease_after_a_tick() {
        let mut clock = ServerClock::default();
        clock.observe(SERVER + 20, at(0.0), at(20.0));
        assert!(granted(&clock, 10.0, SERVER + 20, 20.0) < 5.0);
        clock.observe(SERVER + 20, at(20.1), at(20.101));
        assert!(granted(&clock, 10.0, SERVER + 20, 20.1) < 5.0);
        clock.observe(SERVER + 21, at(21.2), at(21.201));
        assert!((granted(&clock, 10.0, SERVER + 21, 21.2) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_clock_that_was_set_back_is_trusted_after_a_tick() {
        let mut clock = ServerClock::default();
        clock.observe(SERVER + 1000, at(0.0), at(0.001));
        clock.observe(SERVER, at(1.0), at(1.001));
        clock.observe(SERVER + 1, at(2.0), at(2.001));
        assert!((granted(&clock, 10.0, SERVER + 1, 2.0) - 10.0).abs() < 1e-9);
        // A reply that has overtaken another proves nothing.
        let mut clock = ServerClock::default();
        clock.observe(SERVER + 10, at(0.0), at(1.0));
        let before = clock.best(at(2.0));
        clock.observe(SERVER, at(0.5), at(1.1));
        assert_eq!(clock.best(at(2.0)), before);
    }

    #[test]
    fn two_stops_as_long_as_each_other_do_not_look_like_a_clock_that_runs() {
        // A reading right after each of two stops of 7 s, before the tick. In between, the clock was right. The two are
        // in step with this process's clock, and both of them 7 s late.
        for between in [0.0, 2.0, 50.0] {
            let mut clock = ServerClock::default();
            clock.observe(SERVER, at(0.0), at(0.001));
            clock.observe(SERVER, at(7.0), at(7.001));
            let later = 7.0 + between + 7.0;
            let second = SERVER + 7 + f64_floor(between);
            clock.observe(second, at(later), at(later + 0.001));
            let best = clock.best(at(later)).expect("a reading");
            let truth = Duration::from_secs(SERVER) + Duration::from_secs_f64(later);
            assert!(best.shows_at_most(at(later)) >= truth, "{between}: {best:?}");
        }
    }

    fn f64_floor(seconds: f64) -> u64 {
        Duration::from_secs_f64(seconds).as_secs()
    }

    #[test]
    fn readings_are_forgotten_after_ten_minutes() {
        let mut clock = ServerClock::default();
        clock.observe(SERVER + 1000, at(0.0), at(0.0));
        let shows = |clock: &ServerClock, now| clock.best(at(now)).expect("a reading").shows_at_most(at(now)).as_secs();
        clock.observe(SERVER + 1001, at(301.0), at(301.0));
        assert!(shows(&clock, 301.0) > SERVER + 1300);
        clock.observe(SERVER + 1002, at(602.0), at(602.0));
        assert!(
            shows(&clock, 602.0) < SERVER + 1400,
            "the first reading no longer counts"
        );
    }

    #[test]
    fn a_stale_reading_never_outranks_a_fresh_one_that_was_slow_to_arrive() {
        // The first reading is asked for at 0 and answered at once, but received only at 0.9. It still bounds the clock
        // by the time at which it was asked for. A later reading, of a clock that has stood still since, must not
        // replace it.
        let mut clock = ServerClock::default();
        clock.observe(SERVER, at(0.0), at(0.9));
        let before = clock.best(at(0.9)).expect("a reading");
        clock.observe(SERVER, at(0.91), at(0.92));
        assert_eq!(clock.best(at(0.9)), Some(before));
        clock.observe(SERVER + 30, at(20.0), at(30.0));
        let shows = |reading: Reading| reading.shows_at_most(at(30.0));
        assert!(
            clock.best(at(30.0)).is_some_and(|best| shows(best) <= shows(before)),
            "a reading that took 10 s must not count"
        );
    }
}
