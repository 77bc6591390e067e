//! The wake-ups that a waiting process has received, and how far it trusts them.
//!
//! A process that releases the lock wakes the next one in the wait list. A wake-up is a hint: it comes late, twice,
//! from strangers, or not at all.

use std::time::Duration;

use super::lease::Now;

/// The shortest time from a wake-up that was in vain to the next one that counts. A process that can read the wait list
/// can wake its members as often as it likes.
const SHORTEST_GAP: Duration = Duration::from_millis(1);

/// After so many turns in a row without a wake-up a process assumes that wake-ups do not arrive, at other processes
/// either. A few such turns prove nothing, since a process sometimes looks by itself before its wake-up arrives.
const MOST_TURNS_WITHOUT_WAKE: u8 = 4;

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct WakeHistory {
    is_woken: bool,
    /// When a wake-up was last in vain: the same holder still held the lock.
    in_vain: Option<Duration>,
    /// How many turns in a row this process got in line without a wake-up.
    turns_without_wake: u8,
}

impl WakeHistory {
    /// Records that a wake-up has arrived. Returns how long it must not count yet.
    pub(super) fn record_wake(&mut self, now: Now) -> Duration {
        self.is_woken = true;
        let since = self.in_vain.map(|vain| now.instant.saturating_sub(vain));
        since.map_or(Duration::ZERO, |since| SHORTEST_GAP.saturating_sub(since))
    }

    /// Whether a wake-up has arrived since this process last found the lock held.
    pub(super) fn is_woken(&self) -> bool {
        self.is_woken
    }

    /// Whether that wake-up is as good as a look at the free lock: the last one was not in vain.
    pub(super) fn is_reliable(&self) -> bool {
        self.is_woken && self.in_vain.is_none()
    }

    /// Records that the lock was seen to be held, by the same holder as before or by another one.
    pub(super) fn record_holder(&mut self, is_same: bool, now: Now) {
        if !is_same {
            // The lock was free in between, and the other holder was quicker: the wake-up was true.
            self.in_vain = None;
        } else if self.is_woken {
            self.in_vain = Some(now.instant);
        }
        self.is_woken = false;
    }

    /// Records that the lock was granted to this process, which waited `in_line` for it or did not.
    pub(super) fn record_grant(&mut self, in_line: bool) {
        if self.is_woken {
            self.turns_without_wake = 0;
        } else if in_line {
            self.turns_without_wake = self.turns_without_wake.saturating_add(1);
        }
        self.is_woken = false;
        self.in_vain = None;
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
    fn wake_ups_arrive_until_several_turns_in_a_row_came_without_one() {
        let mut wakes = WakeHistory::default();
        for turn in 1..=MOST_TURNS_WITHOUT_WAKE {
            assert!(wakes.are_arriving(), "in turn {turn}");
            wakes.record_grant(true);
        }
        assert!(!wakes.are_arriving());
        wakes.record_grant(false);
        assert!(!wakes.are_arriving(), "nobody wakes a process that is not in line");
        wakes.record_wake(Now::default());
        wakes.record_grant(true);
        assert!(wakes.are_arriving());
    }
}
