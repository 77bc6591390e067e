//! Numbers of turns.

/// Queues are spread over this many locks, so that distinct keys seldom meet. A power of two.
pub(super) const SHARDS: usize = 16;

/// Numbers of turns. Each part of the keys has its own, so that no two turns have the same.
#[derive(Debug, Default)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// A number that no turn has had, of whichever queue.
    pub(super) fn next(&mut self) -> u64 {
        self.0 += SHARDS as u64;
        self.0
    }
}
