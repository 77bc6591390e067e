//! The one place that reads clocks. Everything else is handed a [`Now`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::background::{Timer, either};
use crate::protocol::lease::Now;

/// The process's clocks, both of them; in tests, with a hand to move them forward.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// How far they have been moved, in nanoseconds.
    ahead: AtomicU64,
    /// Who sleeps until some time on them, and is to look again when they were moved.
    sleepers: Mutex<Vec<Weak<dyn Sleeper>>>,
    /// The same for tasks.
    moved: Notify,
    /// Where they stand, but for being moved, in a test that no slow machine is to disturb.
    #[cfg(test)]
    stands_at: Option<Now>,
}

/// Somebody who sleeps until some time on a [`Clock`].
pub(crate) trait Sleeper: fmt::Debug + Send + Sync {
    /// The clock was moved.
    fn wake(&self);
}

impl Clock {
    /// Clocks that only a hand moves.
    #[cfg(test)]
    pub(crate) fn standing() -> Clock {
        Clock {
            stands_at: Some(now()),
            ..Clock::default()
        }
    }

    /// Both clocks, now.
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

    /// Moves them forward.
    pub(crate) fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // Saturating at 584 years, and never back.
        let add = |ahead: u64| Some(ahead.saturating_add(by));
        let _ = self.ahead.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        let sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sleepers
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|sleeper| sleeper.wake());
        self.moved.notify_waiters();
    }

    /// Waits until `due` on the monotonic clock, on the background thread.
    pub(crate) async fn sleep_until(&self, due: Duration) {
        loop {
            // Before the clock is looked at, so that no move is missed.
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            let left = due.saturating_sub(self.now().instant);
            if left.is_zero() {
                return;
            }
            either(Timer::after(left), moved).await;
        }
    }

    /// From now on `sleeper` is woken when the clocks are moved.
    pub(crate) fn wake_on_move(&self, sleeper: Weak<dyn Sleeper>) {
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        sleepers.retain(|sleeper| sleeper.strong_count() > 0);
        sleepers.push(sleeper);
    }
}

#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
fn now() -> Now {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // One origin for the process makes instants plain numbers. A day in hand keeps subtraction away from zero.
    let origin = *ORIGIN.get_or_init(Instant::now);
    let instant = Instant::now().saturating_duration_since(origin) + Duration::from_secs(24 * 3600);
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Now { instant, wall }
}

/// The monotonic clock, for limits on I/O.
#[allow(clippy::disallowed_methods, reason = "this is where clocks are read")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
