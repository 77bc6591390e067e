//! The members of a lock's wait list. Plain data.

use std::net::SocketAddr;
use std::time::Duration;

use crate::text::secret::Secret;

/// One process that waits for a lock. This is a hint: nobody holds anything because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// The process, which is the upper half of its [nonces](super::Nonce::process).
    pub process: u64,
    /// How seldom it looks at most while it is the first, as it says itself, in whole milliseconds. Zero: it does not
    /// say.
    pub interval: Duration,
    /// Whether it did not take the free lock when it was its turn. Nobody leaves the lock to it until it clears this.
    pub is_passed: bool,
    /// Where another process wakes it when the lock has become free. `None`: it cannot be woken.
    pub wake: Option<WakeTarget>,
}

impl Member {
    /// Returns the process `process`, which has not been passed.
    pub const fn new(process: u64, wake: Option<WakeTarget>) -> Member {
        Member {
            process,
            interval: Duration::ZERO,
            is_passed: false,
            wake,
        }
    }

    /// Returns this member with another interval, rounded up to what a list can say.
    pub(super) fn with_interval(self, interval: Duration) -> Member {
        let milliseconds = interval.as_nanos().div_ceil(1_000_000);
        let milliseconds = u32::try_from(milliseconds).unwrap_or(u32::MAX);
        let interval = Duration::from_millis(milliseconds.into());
        Member { interval, ..self }
    }
}

/// Where a waiting process can be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WakeTarget {
    /// The address of its UDP socket.
    pub address: SocketAddr,
    /// Distinguishes a wake-up from a stranger's datagram. Every process that can read the server can read it.
    pub secret: Secret<u64>,
}

/// The processes that wait for a lock, in order: the first one goes first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WaitList(pub Vec<Member>);

impl WaitList {
    /// The most members that a list may have. Each has 20 to 90 bytes, and a waiting process reads the whole list
    /// several times before its turn. Further processes wait outside until a place becomes free.
    pub const LONGEST: usize = 256;
}
