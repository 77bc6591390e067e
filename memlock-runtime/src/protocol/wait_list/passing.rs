//! Members that do not come when it is their turn: they are dead, or slow.
//!
//! Members write nothing while they wait, so the list does not tell the dead from the living. Only the free lock does:
//! a living first member takes it within a short *grace*. If that is over, the process that looks next takes the lock
//! instead, and *marks* all members before itself as passed, in the batch that adds the lock. The lock is not left to a
//! marked member any more. So members that are dead at once cost one grace together, whoever waits behind them.
//!
//! Some of those before it may only have looked too seldom. They keep their places: a living member finds its mark when
//! it next reads the list, as it does whenever it sees another holder, and clears it. It is first again then. A member
//! that has not cleared its mark after [`INTERVALS_UNTIL_DEAD`] of the intervals that it states is removed, by any
//! process that has seen the mark for as long, together with all others of which that is true.

use std::mem;
use std::time::Duration;

use super::WaitListView;
use crate::protocol::lease::Now;
use crate::protocol::members::{Member, WaitList};
use crate::protocol::messages::{Instance, Request};

/// The shortest time for which a free lock is left to the first member, which may have to wait for a processor.
const SHORTEST_GRACE: Duration = Duration::from_millis(3);

/// The grace is this fraction of the last holder's time. It is longer than the pause of the first in line.
const GRACE_FRACTION: u32 = 8;

/// The grace is no longer than the first member's interval, or than this if the member states a longer one.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// How many members between the first and this one are left another [`SHORTEST_GRACE`] each, so that mostly the second
/// takes the lock if the first does not come, and not the process that happens to look. The number has a limit, so
/// however many are dead, they cost little more than one.
const MEMBERS_WITH_GRACE: u32 = 4;

/// After this many of its intervals a member that was passed is removed. A living one has looked by then.
const INTERVALS_UNTIL_DEAD: u32 = 6;

impl WaitListView {
    /// Records that the lock was seen free and the list was read. Returns whether to leave the lock to another process.
    pub(in crate::protocol) fn must_stand_back(&mut self, interval: Duration, now: Now) -> bool {
        let Some(first) = self.ahead().next().map(|member| member.process) else {
            return false;
        };
        let since = match self.left_to {
            Some((process, since)) if process == first => since,
            left_to => {
                if left_to.is_none() {
                    self.record_hold_end(now);
                }
                self.left_to = Some((first, now.instant));
                now.instant
            }
        };
        self.is_passing = now.instant.saturating_sub(since) >= self.grace(interval);
        !self.is_passing
    }

    /// Marks those before this process as passed, if it now takes the lock although they were to go first: a request
    /// for this instance only.
    pub(in crate::protocol) fn pass(&mut self, now: Now) -> Option<(Request, Instance)> {
        if !mem::take(&mut self.is_passing) {
            return None;
        }
        let passed: Vec<u64> = self.ahead().map(|member| member.process).collect();
        let mut list = self.remaining(now);
        for member in &mut list.0 {
            member.is_passed |= passed.contains(&member.process);
        }
        self.write(list, now)
    }

    /// How long this process leaves a free lock to those before it.
    pub(super) fn grace(&self, interval: Duration) -> Duration {
        let mut ahead = self.ahead();
        let Some(first) = ahead.next() else {
            return Duration::ZERO;
        };
        // A first member that looks less often than this process has no less of a chance.
        let longest = interval.max(first.interval.min(LONGEST_INTERVAL));
        let of_first = (self.last_hold / GRACE_FRACTION).clamp(SHORTEST_GRACE, longest.saturating_add(SHORTEST_GRACE));
        let others = u32::try_from(ahead.count()).unwrap_or(u32::MAX);
        of_first + SHORTEST_GRACE * others.min(MEMBERS_WITH_GRACE)
    }

    /// Records which members are marked in the list as passed, and how many are before this process.
    pub(super) fn record_passed(&mut self, now: Now) {
        let known_since = |member: &Member| {
            let known = self.passed.iter().find(|(process, _)| *process == member.process);
            (member.process, known.map_or(now.instant, |(_, since)| *since))
        };
        self.passed = self
            .others()
            .filter(|member| member.is_passed)
            .map(known_since)
            .collect();
        let ahead = self.is_in_line().then(|| self.ahead().count());
        self.pace.record(ahead, now);
    }

    /// The list without those that have been marked as passed for long, and so must be dead.
    pub(super) fn remaining(&self, now: Now) -> WaitList {
        let is_dead = |member: &Member| {
            let known = self.passed.iter().find(|(process, _)| *process == member.process);
            known.is_some_and(|(_, since)| {
                now.instant.saturating_sub(*since) >= member.interval.saturating_mul(INTERVALS_UNTIL_DEAD)
            })
        };
        WaitList(self.list.0.iter().filter(|member| !is_dead(member)).copied().collect())
    }
}
