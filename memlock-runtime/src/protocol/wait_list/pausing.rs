//! How often a process looks while it waits in the list, or outside of it.

use std::time::Duration;

use super::WaitListView;
use crate::protocol::lease::Now;
use crate::protocol::machine::Pause;

/// The first member pauses for this fraction of the holder's time so far, which is the most that a hand-over adds.
const PAUSE_FRACTION_OF_FIRST: u32 = 12;

/// The shortest pause of the first member: the time that a system takes to let a thread sleep and to wake it.
const SHORTEST_PAUSE_OF_FIRST: Duration = Duration::from_micros(100);

/// The other members pause for this fraction. While a holder has the lock they only need to notice that it is another
/// one than before, and that they may be the first now. For the same reason a member pauses for at least this fraction
/// of the time until its turn, as far as it knows that time: if all before it die, that adds no more to its wait.
const PAUSE_FRACTION: u32 = 2;

/// The first member pauses for this fraction where it is woken when its turn comes. It still looks, since wake-ups get
/// lost, and a process that held the lock for only a moment wakes nobody.
const PAUSE_FRACTION_OF_WOKEN: u32 = 2;

/// The shortest pause of the other members.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);

/// The shortest pause of the other members where they are woken: they need not notice that they are the first now.
const SHORTEST_PAUSE_OF_WOKEN: Duration = Duration::from_millis(4);

/// The longest pause of the other members, in intervals. Four of them together look at most 40 times a second.
const LONGEST_PAUSE: u32 = 4;

/// The longest pause where they are woken. Four of them look less than 40 times a second, even in the first second.
const LONGEST_PAUSE_OF_WOKEN: u32 = 5;

/// The longest pause of a process that waits outside of a full list, in intervals. There are many such processes, and
/// each look reads a long list.
const LONGEST_PAUSE_OUTSIDE: u32 = 8;

impl WaitListView {
    /// Returns the next pause of this process, which is in the list.
    pub(in crate::protocol) fn next_pause(&self, interval: Duration, now: Now) -> Pause {
        let since = |since: Duration| now.instant.saturating_sub(since);
        let held = self.holder.map(|(_, seen)| since(seen)).unwrap_or_default();
        let is_woken = self.me.wake.is_some() && self.wakes.are_arriving();
        if self.is_first() {
            let (fraction, shortest) = if is_woken {
                (PAUSE_FRACTION_OF_WOKEN, SHORTEST_PAUSE)
            } else {
                (PAUSE_FRACTION_OF_FIRST, SHORTEST_PAUSE_OF_FIRST)
            };
            let longest = (held / fraction).clamp(shortest, interval.max(shortest));
            return pause_up_to(longest);
        }
        let (fraction, shortest, intervals) = if is_woken {
            (1, SHORTEST_PAUSE_OF_WOKEN, LONGEST_PAUSE_OF_WOKEN)
        } else {
            (PAUSE_FRACTION, SHORTEST_PAUSE, LONGEST_PAUSE)
        };
        let longest = interval.saturating_mul(intervals).max(shortest);
        let mut longest = (held / fraction)
            .max(self.until_turn() / PAUSE_FRACTION)
            .clamp(shortest, longest);
        if let Some((_, left)) = self.left_to {
            longest = longest.min(self.grace(interval).saturating_sub(since(left)));
        }
        pause_up_to(longest)
    }

    /// How long it takes until this process's turn, as far as is known.
    fn until_turn(&self) -> Duration {
        let others = u32::try_from(self.ahead().skip(1).count()).unwrap_or(u32::MAX);
        self.pace.turn.saturating_mul(others)
    }

    /// Returns the next pause of this process, which is not in the list, if it waits outside because the list is full.
    pub(in crate::protocol) fn pause_outside(&mut self, interval: Duration) -> Option<Pause> {
        self.waits_outside = self.has_found_full;
        let to = interval.saturating_mul(LONGEST_PAUSE_OUTSIDE);
        self.waits_outside.then_some(Pause { from: to / 2, to })
    }
}

fn pause_up_to(longest: Duration) -> Pause {
    let from = longest * 7 / 8;
    Pause { from, to: longest }
}
