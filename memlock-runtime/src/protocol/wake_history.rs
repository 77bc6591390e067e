//! The wake-ups that a waiting process has received, and how far it trusts them.
//!
//! A process that releases the lock wakes the next one in the wait list. A wake-up is a hint: it comes late, twice,
//! from strangers, or not at all.

use std::time::Duration;

use super::lease::Now;

/// The shortest time from a wake-up that was in vain to the next one that counts. It is a limit because any process
/// that can read the wait list can wake its members as often as it likes.
const SHORTEST_GAP: Duration = Duration::from_millis(1);

/// After this many turns in a row without a wake-up a process assumes that wake-ups arrive neither here nor at other
/// processes. A few such turns prove nothing, since a process sometimes looks by itself before its wake-up arrives.
const MOST_TURNS_WITHOUT_WAKE: u8 = 4;

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct WakeHistory {
    is_woken: bool,
    /// When a wake-up was last in vain, because the same holder still held the lock.
    last_vain_wake: Option<Duration>,
    /// How many turns in a row came to this process in the list without a wake-up.
    turns_without_wake: u8,
}

impl WakeHistory {
    /// Records that a wake-up has arrived. Returns how long it must not count yet.
    pub(super) fn record_wake(&mut self, now: Now) -> Duration {
        self.is_woken = true;
        let since = self.last_vain_wake.map(|vain| now.instant.saturating_sub(vain));
        since.map_or(Duration::ZERO, |since| SHORTEST_GAP.saturating_sub(since))
    }

    /// Whether a wake-up has arrived since this process last found the lock held.
    pub(super) fn is_woken(&self) -> bool {
        self.is_woken
    }

    /// Whether a wake-up has arrived that is as good as a look at the free lock: the last one was not in vain.
    pub(super) fn is_reliable(&self) -> bool {
        self.is_woken && self.last_vain_wake.is_none()
    }

    /// Records that the lock was seen held. `is_same` says whether the holder is the same as before.
    pub(super) fn record_holder(&mut self, is_same: bool, now: Now) {
        if !is_same {
            // The lock was free in between, and the other holder was faster: the wake-up was not in vain.
            self.last_vain_wake = None;
        } else if self.is_woken {
            self.last_vain_wake = Some(now.instant);
        }
        self.is_woken = false;
    }

    /// Records that the lock was granted to this process. `was_listed` says whether it was in the wait list.
    pub(super) fn record_grant(&mut self, was_listed: bool) {
        if self.is_woken {
            self.turns_without_wake = 0;
        } else if was_listed {
            self.turns_without_wake = self.turns_without_wake.saturating_add(1);
        }
        self.is_woken = false;
        self.last_vain_wake = None;
    }

    /// Whether wake-ups arrive, as far as is known.
    pub(super) fn are_arriving(&self) -> bool {
        self.turns_without_wake < MOST_TURNS_WITHOUT_WAKE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_ups_count_as_not_arriving_after_several_turns_without_one() {
        let mut wakes = WakeHistory::default();
        for turn in 1..=MOST_TURNS_WITHOUT_WAKE {
            assert!(wakes.are_arriving(), "in turn {turn}");
            wakes.record_grant(true);
        }
        assert!(!wakes.are_arriving());
        wakes.record_grant(false);
        assert!(!wakes.are_arriving(), "nobody wakes a process that is not in the list");
        wakes.record_wake(Now::default());
        wakes.record_grant(true);
        assert!(wakes.are_arriving());
    }
}
