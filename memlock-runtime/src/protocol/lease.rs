//! Time, and how long a holder may believe in its lease. This is arithmetic only: the driver reads the clocks, and
//! passes in what they show.
//!
//! A process has several clocks, because each can be wrong in its own way: see [`Now`]. A *deadline* counts by whichever
//! has run furthest, and a *watch* (see [`super`]) by whichever has run least. So it is enough that one of them is
//! right: an error of another one can only end a lease early, and a watch late.

use std::ops::Add;
use std::time::Duration;

/// How far apart the *rates* of any two clocks may be: one part in this many. Real clocks need a tenth of it. This is
/// an assumption of the protocol, which its documentation states.
pub(super) const DRIFT: u32 = 1000;

/// An upper bound on the delay inside the server between its clock's tick and the command that reads the clock. The
/// longest that was measured is 97 ms, under a flood of connections.
pub(super) const TICK_DELAY: Duration = Duration::from_millis(150);

/// An item with a TTL of T seconds lives for at least T - 2: the server's clock is up to a second old, and is cut to
/// whole seconds.
pub(super) const TTL_GRAIN: Duration = Duration::from_secs(2);

/// How much longer than the lease the TTL is, in seconds: [`TTL_GRAIN`], [`TICK_DELAY`], and room for the lag of a
/// stalled server's clock. So a fresh process, which has no older reading to compare with, is safe just after a stall
/// of up to 3.5 s.
const TTL_RESERVE: u32 = 8;

/// The longest timeout of a lock: memcached reads a TTL of over 30 days as a date.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(29 * 24 * 3600);

/// How long a process may hand a lock from one of its threads to the next before it goes back to the server.
///
/// Meanwhile other processes wait. A dead holder's lock is taken over that much later, too, since the lease in the
/// item has to cover the last of these holders. A slice of 50 ms is some twenty times what going back to the server
/// costs at a round trip of a millisecond, so a longer one would gain next to nothing. It is no more than the default
/// `interval`, at which other processes look anyway.
const LONGEST_SLICE: Duration = Duration::from_millis(50);

/// The slice of a short timeout is this fraction of it.
const SLICE_FRACTION: u32 = 8;

/// How much longer the lease in the item is than its holder's timeout. The difference is for the holders to which the
/// lock is handed over inside the process.
fn slice_of(timeout: Duration) -> Duration {
    LONGEST_SLICE.min(timeout / SLICE_FRACTION)
}

/// The durations derived from a caller's `timeout`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseLengths {
    /// How long the lock may be handed over inside the process.
    pub(crate) slice: Duration,
    /// The lease that goes into the item: the timeout and the slice, since the last holder in this process has its
    /// whole timeout, too. A process that watches the item waits for all of them.
    pub(crate) lease: Duration,
    /// The TTL, in seconds.
    pub(crate) ttl: u32,
}

impl LeaseLengths {
    pub(crate) fn of(timeout: Duration) -> LeaseLengths {
        let slice = slice_of(timeout);
        let lease = timeout + slice;
        LeaseLengths {
            slice,
            lease,
            ttl: ttl_of(lease),
        }
    }
}

/// The expiry of the clock item, in Unix seconds: the largest that memcached takes. A meta get answers `t`, the seconds
/// left, so the server's clock shows this number less `t`. It is a date, 2038-01-19.
pub const CLOCK_ITEM_EXPIRY: u64 = 2_147_483_647;

/// The life of a clock item that has no date to expire at, in seconds: the longest that memcached does not take for a
/// date.
pub const CLOCK_ITEM_LIFE: u64 = 30 * 24 * 3600;

/// Returns the TTL for a clock item that is created in this Unix `second`, as the creator knows it.
///
/// As long as there is a date to expire at, the clock item expires then. Every such item shows the same clock, so the
/// lag of the server shows even if the item was lost in between. From 2037-12-20 on it lives for [`CLOCK_ITEM_LIFE`]
/// instead, and the first contender after that creates the next one. Such an item shows a clock that begins at
/// [`CLOCK_ITEM_EXPIRY`] less [`CLOCK_ITEM_LIFE`] with each item. That is enough, since only the differences of readings
/// count. A new item shows less than the one before, by which the process recognises it and forgets the readings of the
/// old one (`driver/known_server.rs`).
///
/// There is no other clock in memcached that a meta command reads: a date beyond this one is refused, an item without an
/// expiry has no `t`, and the time of the last access (`l`) starts again with every access.
pub(crate) fn clock_item_ttl(second: u64) -> u64 {
    if second < CLOCK_ITEM_EXPIRY - CLOCK_ITEM_LIFE {
        CLOCK_ITEM_EXPIRY
    } else {
        CLOCK_ITEM_LIFE
    }
}

/// A moment on each of a process's clocks, from origins of their own. No two of them are compared, only the lengths by
/// which they advance. The names in the table are those of Linux; `system/clock.rs` says what other systems have.
///
/// | clock | what can be wrong with it |
/// |---|---|
/// | `instant`, `CLOCK_MONOTONIC` | Its rate is set by whatever keeps the machine's time: chrony slews it by up to 8.3 % (`maxslewrate`). It stands still while the machine is suspended. |
/// | `raw`, `CLOCK_MONOTONIC_RAW` | Nobody corrects the rate of its oscillator, which is some 0.01 % off. It stands still while the machine is suspended. |
/// | `boot`, `CLOCK_BOOTTIME` | It is slewed along with `instant`. It counts the time of a suspension, by a clock that may know only whole seconds. |
///
/// While a virtual machine is paused from outside, all of them stand still, and nothing inside tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Now {
    /// The clock that timers go by.
    pub instant: Duration,
    /// The clock that is not slewed.
    pub raw: Duration,
    /// The clock that runs on while the machine is suspended.
    pub boot: Duration,
}

impl Now {
    /// The moment at which every clock shows `elapsed`: for tests, where they agree.
    pub fn at(elapsed: Duration) -> Now {
        Now {
            instant: elapsed,
            raw: elapsed,
            boot: elapsed,
        }
    }

    /// The longest time that can have passed since `earlier`.
    pub fn since(self, earlier: Now) -> Duration {
        let instant = self.instant.saturating_sub(earlier.instant);
        let raw = self.raw.saturating_sub(earlier.raw);
        let boot = self.boot.saturating_sub(earlier.boot);
        // `boot` runs as `instant` does, so the difference is the time of the suspensions. It is added, since a lease
        // may meet both: a clock that is slowed down, and a suspension. If the thread is stopped between the readings of
        // the two clocks, the result is longer by the stop, as if that moment had been read after it.
        let suspended = boot.saturating_sub(instant);
        instant.max(raw) + suspended
    }

    /// The shortest time that can have passed since `earlier`.
    pub fn shortest_since(self, earlier: Now) -> Duration {
        let instant = self.instant.saturating_sub(earlier.instant);
        let raw = self.raw.saturating_sub(earlier.raw);
        // Not `boot`, which never runs less than `instant`. Where it is the wall clock, setting it back would keep a
        // watch from ending.
        instant.min(raw)
    }
}

impl Add<Duration> for Now {
    type Output = Now;

    /// The moment after `length` by every clock.
    fn add(self, length: Duration) -> Now {
        Now {
            instant: self.instant + length,
            raw: self.raw + length,
            boot: self.boot + length,
        }
    }
}

/// Until when a holder may believe in its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deadline {
    sent: Now,
    length: Duration,
}

impl Deadline {
    /// Returns the deadline of a lease of length `lease`. Its request left at `sent`, with a TTL of `ttl` seconds.
    ///
    /// It is the earliest of three moments:
    ///
    /// * `lease` from before the request left;
    /// * the shortest life that such a TTL can have;
    /// * the expiry by the server's clock, where the same batch read that clock *before* the write and earlier readings
    ///   show that it would have shown no more than `most` at `sent`. This bound is for a server that was stopped: it dates an item by a clock that
    ///   stood still, so the item expires too early by as long as the server was stopped.
    pub(crate) fn of_grant(
        sent: Now,
        lease: Duration,
        ttl: u32,
        server_second: Option<u64>,
        most: Option<Duration>,
    ) -> Deadline {
        let ttl = Duration::from_secs(u64::from(ttl));
        let margin = TTL_GRAIN + TICK_DELAY + ttl / DRIFT;
        let mut length = lease.min(ttl.saturating_sub(margin));
        if let (Some(second), Some(most)) = (server_second, most) {
            let expiry = Duration::from_secs(second) + ttl.saturating_sub(ttl / DRIFT);
            length = length.min(expiry.saturating_sub(most));
        }
        Deadline { sent, length }
    }

    /// Returns the deadline of one holder under a grant with this deadline: the holder's `timeout` from `began`, and
    /// never beyond the grant's.
    ///
    /// Whenever the result has not passed, the grant's deadline has not passed either, whatever the clocks did since:
    /// the longest times that can have passed before `began` and since add up to no less than that of the whole.
    pub(crate) fn of_holder(self, began: Now, timeout: Duration) -> Deadline {
        Deadline {
            sent: began,
            length: timeout.min(self.remaining(began)),
        }
    }

    /// This deadline or `other`, whichever has more left at `now`.
    pub(crate) fn or_later(self, other: Deadline, now: Now) -> Deadline {
        if other.remaining(now) > self.remaining(now) {
            other
        } else {
            self
        }
    }

    /// The time that is left. Zero: the deadline has passed.
    pub fn remaining(self, now: Now) -> Duration {
        self.length.saturating_sub(now.since(self.sent))
    }

    /// Whether the deadline has passed: its holder must not believe in the lease any more.
    pub fn has_passed(self, now: Now) -> bool {
        self.remaining(now).is_zero()
    }

    /// The moment when the deadline passes at the latest, on the monotonic clock.
    pub fn ends(self) -> Duration {
        self.sent.instant + self.length
    }

    /// The moment that it counts from: when the request left, or when the lock was handed over.
    pub fn sent(self) -> Now {
        self.sent
    }

    /// The length of the lease from that moment.
    pub fn length(self) -> Duration {
        self.length
    }
}

/// The TTL for a lease, in seconds. The item must outlive every belief in the lease. Beyond that the TTL only removes
/// what nobody needs, since a watching waiter takes over as soon as the lease has run out. The drift is added because
/// at a lease of days a thousandth of it is more than the fixed reserve.
pub(crate) fn ttl_of(lease: Duration) -> u32 {
    let whole = watch_of(lease);
    let seconds = whole.as_secs() + u64::from(whole.subsec_nanos() > 0);
    // At most 29 days: `LONGEST_TIMEOUT` is checked where a timeout is set.
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX - TTL_RESERVE);
    seconds + TTL_RESERVE
}

/// How long a waiter must have watched an unchanged lease before it may take the lock over: the lease's length by the
/// waiter's clock, and twice the drift that [`DRIFT`] allows between two clocks, each of which may be off by half.
pub(crate) fn watch_of(lease: Duration) -> Duration {
    lease + lease * 2 / DRIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Now {
        let elapsed = Duration::from_secs_f64(1000.0 + seconds);
        Now {
            boot: elapsed + Duration::from_secs(4000),
            ..Now::at(elapsed)
        }
    }

    fn length(deadline: Deadline) -> f64 {
        deadline.length().as_secs_f64()
    }

    /// The moment `seconds` on, by which each of the clocks has run ahead of that by so much.
    fn apart(seconds: f64, instant: f64, raw: f64, boot: f64) -> Now {
        Now {
            instant: at(seconds + instant).instant,
            raw: at(seconds + raw).raw,
            boot: at(seconds + boot).boot,
        }
    }

    #[test]
    fn a_deadline_counts_from_before_the_request_left_and_by_the_fastest_clock() {
        let deadline = Deadline::of_grant(
            at(0.0),
            Duration::from_secs(30),
            ttl_of(Duration::from_secs(30)),
            None,
            None,
        );
        assert_eq!(deadline.length(), Duration::from_secs(30));
        assert_eq!(deadline.remaining(at(10.0)), Duration::from_secs(20));
        for (now, what) in [
            (apart(30.0, -2.5, 0.0, -2.5), "a clock that is slewed down"),
            (apart(30.0, 0.0, -2.5, 0.0), "an oscillator that is slow"),
            (apart(10.0, 0.0, 0.0, 20.0), "a suspended machine"),
            (
                apart(20.0, -1.0, 0.0, 9.0),
                "a suspended machine with a clock that is slewed down",
            ),
            (
                apart(30.0, 0.0, 0.0, -900.0),
                "a wall clock that was set back, for want of another",
            ),
        ] {
            assert!(deadline.has_passed(now), "{what}");
        }
        assert_eq!(
            deadline.remaining(apart(20.0, -1.0, -1.0, 8.0)),
            Duration::from_secs(2),
            "no more than the longest time that can have passed"
        );
    }

    #[test]
    fn a_holders_deadline_is_never_beyond_the_grants_whatever_the_clocks_do() {
        let seconds = Duration::from_secs;
        let grant = Deadline::of_grant(at(0.0), seconds(10), ttl_of(seconds(10)), None, None);
        let errors = [-3.0, 0.0, 3.0]
            .iter()
            .flat_map(|raw| [-3.0, 0.0, 3.0].map(|boot| (*raw, boot)));
        for timeout in [1, 5, 10, 60].map(seconds) {
            for before in errors.clone() {
                for since in errors.clone() {
                    let own = grant.of_holder(apart(2.0, 0.0, before.0, before.1), timeout);
                    assert!(own.length() <= timeout);
                    for second in 2..12 {
                        let now = apart(f64::from(second), 0.0, before.0 + since.0, before.1 + since.1);
                        assert!(
                            own.remaining(now) <= grant.remaining(now),
                            "{timeout:?} {before:?} {since:?}"
                        );
                    }
                }
            }
        }
        let own = grant.of_holder(at(2.0), seconds(5));
        assert_eq!(
            own.remaining(at(3.0)),
            seconds(4),
            "it counts from the moment when its holder began"
        );
    }

    #[test]
    fn the_slice_is_a_small_part_of_the_timeout() {
        assert_eq!(slice_of(Duration::from_secs(30)), Duration::from_millis(50));
        assert_eq!(slice_of(Duration::from_millis(80)), Duration::from_millis(10));
    }

    #[test]
    fn a_short_ttl_ends_the_deadline_two_seconds_early() {
        let deadline = Deadline::of_grant(at(0.0), Duration::from_secs(30), 10, None, None);
        assert!((length(deadline) - (10.0 - 2.0 - 0.15 - 0.01)).abs() < 1e-9);
    }

    #[test]
    fn the_ttl_outlives_the_lease_at_every_length() {
        for seconds in [0.05, 0.5, 1.0, 5.0, 30.0, 3600.0, 86_400.0, 29.0 * 86_400.0] {
            let lease = Duration::from_secs_f64(seconds);
            let ttl = ttl_of(lease);
            let deadline = Deadline::of_grant(at(0.0), lease, ttl, None, None);
            assert_eq!(
                deadline.length(),
                lease,
                "the TTL bound cuts a lease of {seconds} s short"
            );
            assert!(ttl < 30 * 86_400);
        }
    }
}
