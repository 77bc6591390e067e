//! What a process in line makes of calls, by which whoever releases the lock tells the next. They are hints: they come late,
//! twice, from strangers, or not at all.

use std::time::Duration;

use super::lease::Now;

/// The least time between two calls that one waiter heeds, once it was called in vain. Who can read the line can call it as
/// often as he likes.
const LEAST_DISTANCE: Duration = Duration::from_millis(1);

/// After so many turns to which nobody called it a process takes it that calls do not arrive, elsewhere either. Now and then one
/// looks by itself before it hears of its call.
const MOST_UNCALLED_TURNS: u8 = 4;

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Calls {
    is_woken: bool,
    /// When it was last called in vain: the lock was still held by the same holder.
    in_vain: Option<Duration>,
    /// How many turns in a row it had in line to which nobody called it.
    uncalled_turns: u8,
}

impl Calls {
    /// A call has come. Returns how long it is not to be heeded yet.
    pub(super) fn heard(&mut self, now: Now) -> Duration {
        self.is_woken = true;
        let since = self.in_vain.map(|vain| now.instant.saturating_sub(vain));
        since.map_or(Duration::ZERO, |since| LEAST_DISTANCE.saturating_sub(since))
    }

    /// Whether it is called, as far as it has not found the lock held since.
    pub(super) fn is_woken(&self) -> bool {
        self.is_woken
    }

    /// Whether that is as good as having seen that the lock is free: the last call was not in vain.
    pub(super) fn is_surely_called(&self) -> bool {
        self.is_woken && self.in_vain.is_none()
    }

    /// The lock was seen to be held, by the same holder as before or by another, which was as quick as this process.
    pub(super) fn saw_holder(&mut self, is_same: bool, now: Now) {
        if !is_same {
            self.in_vain = None;
        } else if self.is_woken {
            self.in_vain = Some(now.instant);
        }
        self.is_woken = false;
    }

    /// The lock was granted to this process, which stood in line for it or did not.
    pub(super) fn granted(&mut self, in_line: bool) {
        if self.is_woken {
            self.uncalled_turns = 0;
        } else if in_line {
            self.uncalled_turns = self.uncalled_turns.saturating_add(1);
        }
        self.is_woken = false;
        self.in_vain = None;
    }

    /// Whether calls arrive, as far as is known.
    pub(super) fn do_arrive(&self) -> bool {
        self.uncalled_turns < MOST_UNCALLED_TURNS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_arrive_until_several_turns_in_a_row_came_without_one() {
        let mut calls = Calls::default();
        for turn in 1..=MOST_UNCALLED_TURNS {
            assert!(calls.do_arrive(), "in turn {turn}");
            calls.granted(true);
        }
        assert!(!calls.do_arrive());
        calls.granted(false);
        assert!(!calls.do_arrive(), "who did not stand in line was not to be called");
        calls.heard(Now::default());
        calls.granted(true);
        assert!(calls.do_arrive());
    }
}
