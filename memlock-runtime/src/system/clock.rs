//! The only place that reads clocks. All other code is passed a [`Now`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::background::{Timer, either};
use crate::protocol::lease::Now;

/// The clocks of the process. Tests can move them forward.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// How far they were moved, in nanoseconds.
    ahead: AtomicU64,
    /// Sleepers until some time on the clocks, which look again when the clocks are moved.
    sleepers: Mutex<Vec<Weak<dyn Sleeper>>>,
    /// Notifies tasks that sleep until some time on the clocks.
    moved: Notify,
    /// Where they stand, apart from being moved, in a test that must not depend on the machine's speed.
    #[cfg(test)]
    stands_at: Option<Now>,
}

/// A sleeper until some time on a [`Clock`].
pub(crate) trait Sleeper: fmt::Debug + Send + Sync {
    /// Called after the clock was moved.
    fn wake(&self);
}

impl Clock {
    /// Clocks that stand still unless a test moves them.
    #[cfg(test)]
    pub(crate) fn standing() -> Clock {
        Clock {
            stands_at: Some(now()),
            ..Clock::default()
        }
    }

    /// Reads the clocks.
    pub(crate) fn now(&self) -> Now {
        #[cfg(test)]
        let now = self.stands_at.unwrap_or_else(now);
        #[cfg(not(test))]
        let now = now();
        let ahead = self.ahead.load(Ordering::Acquire);
        if ahead == 0 {
            return now;
        }
        now + Duration::from_nanos(ahead)
    }

    /// Moves the clocks forward.
    pub(crate) fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // It saturates at 584 years, and never goes back.
        let add = |ahead: u64| Some(ahead.saturating_add(by));
        let _ = self.ahead.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        let sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sleepers
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|sleeper| sleeper.wake());
        self.moved.notify_waiters();
    }

    /// Waits until `due` on the monotonic clock, with a timer of the background thread.
    pub(crate) async fn sleep_until(&self, due: Duration) {
        loop {
            // Enabled before the clock is read, so that no move is missed.
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            let left = due.saturating_sub(self.now().instant);
            if left.is_zero() {
                return;
            }
            either(Timer::after(left), moved).await;
        }
    }

    /// Wakes `sleeper` whenever the clocks are moved from now on.
    pub(crate) fn wake_on_move(&self, sleeper: Weak<dyn Sleeper>) {
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        sleepers.retain(|sleeper| sleeper.strong_count() > 0);
        sleepers.push(sleeper);
    }
}

/// Keeps subtractions from what the clocks show above zero, also right after the machine has started.
const ORIGIN: Duration = Duration::from_secs(24 * 3600);

/// Reads the clocks. Each takes 20 to 40 ns through the vDSO, which knows all three since Linux 5.3. It takes a system
/// call, some 300 ns, on older systems and where a virtual machine's clock cannot be read that way.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn now() -> Now {
    use rustix::time::{ClockId, clock_gettime};

    let read = |clock| ORIGIN + Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    Now {
        boot: read(ClockId::Boottime),
        instant: read(ClockId::Monotonic),
        raw: read(ClockId::MonotonicRaw),
    }
}

/// Reads the clocks. `Instant` is `CLOCK_UPTIME_RAW` here, which is not slewed and stands still while the machine is
/// suspended. `CLOCK_MONOTONIC` is slewed, and runs on.
#[cfg(target_vendor = "apple")]
fn now() -> Now {
    use rustix::time::{ClockId, clock_gettime};

    let instant = ORIGIN + since_first_reading();
    Now {
        instant,
        raw: instant,
        boot: ORIGIN + Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default(),
    }
}

/// Reads the clocks. There is only `Instant`, and no clock that counts the time of a suspension except the wall clock.
/// Setting the wall clock forward ends leases early.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn now() -> Now {
    let instant = ORIGIN + since_first_reading();
    Now {
        instant,
        raw: instant,
        boot: since_epoch(),
    }
}

/// One origin for the process makes instants plain numbers.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
fn since_first_reading() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let first = *FIRST.get_or_init(Instant::now);
    Instant::now().saturating_duration_since(first)
}

/// Reads the wall clock.
#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
pub(crate) fn since_epoch() -> Duration {
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Reads the wall clock, in Unix seconds.
pub(crate) fn unix_second() -> u64 {
    since_epoch().as_secs()
}

/// Reads the monotonic clock, for limits on I/O.
#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn suspensions_are_counted_by_the_time_since_the_machine_started() {
        let uptime = || {
            let uptime = std::fs::read_to_string("/proc/uptime").expect("procfs");
            let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok());
            Duration::from_secs_f64(seconds.expect("a number"))
        };
        let (before, boot, after) = (uptime(), now().boot - ORIGIN, uptime());
        // It is cut to hundredths.
        let range = before..=after + Duration::from_millis(10);
        assert!(range.contains(&boot), "{boot:?} is not in {range:?}");
    }
}
