//! How fast a process moves forward in the wait list.

use std::time::Duration;

use crate::protocol::lease::Now;

/// See the top of this file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Pace {
    /// When it last saw that it had moved, and how many were before it then.
    seen: Option<(Duration, usize)>,
    /// How long each of those before it took, as far as this process saw.
    pub(super) turn: Duration,
}

impl Pace {
    /// Records that `ahead` members are before the process, or that it is not in the list.
    pub(super) fn record(&mut self, ahead: Option<usize>, now: Now) {
        match (self.seen, ahead) {
            (Some((_, before)), Some(ahead)) if ahead == before => return,
            (Some((at, before)), Some(ahead)) if ahead < before => {
                let turns = u32::try_from(before - ahead).unwrap_or(u32::MAX);
                self.turn = now.instant.saturating_sub(at) / turns;
            }
            _ => {}
        }
        self.seen = ahead.map(|ahead| (now.instant, ahead));
    }
}
