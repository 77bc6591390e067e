//! Many threads at once, for a while.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::contestants::Lock;
use crate::measure::rate;

/// How long to wait until all threads have started.
const MUSTER: Duration = Duration::from_millis(10);

/// The result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    /// Acquisitions per second.
    pub(crate) rate: f64,
    /// Acquisitions by another thread than the holder before.
    pub(crate) handover_rate: f64,
    /// Holders that found another holder inside.
    pub(crate) violations: u64,
}

/// Lets all `threads` take the lock on one key again and again for as long as `window`.
pub(crate) fn on_one_key(threads: &mut [Box<dyn Lock>], window: Duration) -> Tally {
    let is_inside = AtomicBool::new(false);
    let last = AtomicUsize::new(usize::MAX);
    let [acquired, handovers, violations] = [const { AtomicU64::new(0) }; 3];
    all(threads, window, |me, lock, end| {
        let mut is_over = false;
        while !is_over {
            lock.locked(0, &mut || {
                if is_inside.swap(true, Ordering::AcqRel) {
                    violations.fetch_add(1, Ordering::Relaxed);
                }
                is_over = Instant::now() >= end;
                if !is_over {
                    // The lock is held: no other thread writes these.
                    acquired.store(acquired.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    if last.swap(me, Ordering::Relaxed) != me {
                        handovers.store(handovers.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    }
                }
                is_inside.store(false, Ordering::Release);
            });
        }
    });
    Tally {
        rate: rate(acquired.into_inner(), window),
        handover_rate: rate(handovers.into_inner(), window),
        violations: violations.into_inner(),
    }
}

/// The same on `keys` keys, which each thread goes through in an order of its own. Returns acquisitions per second.
pub(crate) fn on_many_keys(threads: &mut [Box<dyn Lock>], window: Duration, keys: u64) -> f64 {
    let acquired = AtomicU64::new(0);
    all(threads, window, |me, lock, end| {
        let mut of_this_thread = 0;
        for key in walk(me, keys) {
            if Instant::now() >= end {
                break;
            }
            lock.locked(key, &mut || of_this_thread += 1);
        }
        acquired.fetch_add(of_this_thread, Ordering::Relaxed);
    });
    rate(acquired.into_inner(), window)
}

/// Keys in an order that looks random, and that is another for each `walker`. It never ends.
pub(crate) fn walk(walker: usize, keys: u64) -> impl Iterator<Item = u64> {
    // Knuth's constants for a linear congruential generator; its upper bits are the good ones.
    let next = |state: &u64| {
        Some(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407),
        )
    };
    std::iter::successors(Some(walker as u64 + 1), next)
        .skip(1)
        .map(move |state| (state >> 33) % keys)
}

/// Runs `turns(thread, lock, end)` on all threads, from one moment on.
fn all(threads: &mut [Box<dyn Lock>], window: Duration, turns: impl Fn(usize, &mut dyn Lock, Instant) + Sync) {
    let start = Instant::now() + MUSTER;
    thread::scope(|scope| {
        for (me, lock) in threads.iter_mut().enumerate() {
            let turns = &turns;
            scope.spawn(move || {
                thread::sleep(start.saturating_duration_since(Instant::now()));
                turns(me, lock.as_mut(), start + window);
            });
        }
    });
}
