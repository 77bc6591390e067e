//! Numbers of turns.

/// Queues are spread over this many locks, so that distinct keys seldom meet. A power of two.
pub(super) const SHARDS: usize = 16;

/// Makes the numbers of turns. Each shard has its own, so that no two turns have the same number.
#[derive(Debug, Default)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// A number that no turn of any queue has had.
    pub(super) fn next(&mut self) -> u64 {
        self.0 += SHARDS as u64;
        self.0
    }
}
