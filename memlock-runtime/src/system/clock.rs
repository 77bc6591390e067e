//! The only place that reads clocks. All other code is passed a [`Now`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::background::{Timer, either};
use crate::protocol::lease::Now;

/// The monotonic clock and the wall clock of the process. Tests can move them forward.
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

    /// Reads both clocks.
    pub(crate) fn now(&self) -> Now {
        #[cfg(test)]
        let now = self.stands_at.unwrap_or_else(now);
        #[cfg(not(test))]
        let now = now();
        let ahead = self.ahead.load(Ordering::Acquire);
        if ahead == 0 {
            return now;
        }
        let ahead = Duration::from_nanos(ahead);
        Now {
            instant: now.instant + ahead,
            wall: now.wall + ahead,
        }
    }

    /// Moves both clocks forward.
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

#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
fn now() -> Now {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // One origin for the process makes instants plain numbers. The added day keeps subtractions above zero.
    let origin = *ORIGIN.get_or_init(Instant::now);
    let instant = Instant::now().saturating_duration_since(origin) + Duration::from_secs(24 * 3600);
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Now { instant, wall }
}

/// Reads the wall clock, in Unix seconds.
pub(crate) fn unix_second() -> u64 {
    now().wall.as_secs()
}

/// Reads the monotonic clock, for limits on I/O.
#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
