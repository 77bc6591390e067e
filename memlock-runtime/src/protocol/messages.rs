//! What a machine asks of a server, and what it is answered: requests, replies, items. Plain data.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::label::Label;
use crate::text::secret::Secret;
use crate::text::shown::Shown;

/// memcached's version number of an item: proof that it has not changed. Never zero, which memcached uses for "none".
pub type Cas = NonZeroU64;

/// One run of a server process. A CAS means something only within the instance that gave it: it restarts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    /// When the server started, in Unix seconds by its own clock (`time - uptime`, constant for the process).
    pub start: u64,
    /// Its process id, which tells apart two instances that started within one second.
    pub pid: u32,
}

/// The random identity of one attempt to be granted a lock, written in the item. Fresh for every attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonce(pub u128);

impl Nonce {
    /// The process whose attempt it is, or was when it was drawn: its upper half. For hints only.
    pub fn process(self) -> u64 {
        let upper = self.0 >> 64;
        // Its lower half is gone.
        u64::try_from(upper).unwrap_or_default()
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What the item of a held lock says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Whose grant it is.
    pub nonce: Nonce,
    /// How long the grant may be believed in, from before it was asked for: what a watching waiter waits out.
    pub lease: Duration,
    /// How many times a renewal has been *attempted*. The same number is never written twice under one nonce.
    pub renewal: u32,
    /// Who the holder is, for people.
    pub label: Label,
    /// The whole name of the lock, where the item's own is shortened.
    pub full_name: Option<Arc<str>>,
}

/// What stands in a lock's item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// A grant.
    Lock(Record),
    /// Something that this version cannot read. It is never taken over or deleted, only waited out.
    Foreign,
}

/// One process in line for a lock. All that it says is a hint: nobody holds anything because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// The process: the upper half of its [nonces](Nonce::process).
    pub process: u64,
    /// How to tell it that the lock has become free, where it wants to be told.
    pub wake: Option<WakeTarget>,
}

/// Where a process in line can be told that the lock has become free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WakeTarget {
    /// Of its UDP socket.
    pub address: SocketAddr,
    /// What tells a call from a stranger's datagram. Whoever can read the server can read it.
    pub secret: Secret<u64>,
}

/// Who stands in line for a lock, the first first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WaitList(pub Vec<Member>);

impl WaitList {
    /// How many may stand in it. Those beyond wait without: so many processes are seldom on one key.
    pub const LONGEST: usize = 64;
}

/// One command about one lock: whose item it is goes with the batch. Its reply is named behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Read the server's clock: [`Reply::Clock`], or [`Reply::Missing`] where the clock item is not there.
    ReadClock,
    /// Create the clock item: [`Reply::Stored`] or [`Reply::NotStored`].
    CreateClock,
    /// Store if nothing is there: [`Reply::Stored`] or [`Reply::NotStored`].
    Add {
        /// What it is to say.
        record: Record,
        /// Seconds until the server forgets it.
        ttl: u32,
    },
    /// Store if the item still has this CAS: [`Reply::Stored`], [`Reply::Exists`] (another CAS) or
    /// [`Reply::Missing`]. Never creates.
    Replace {
        /// What it is to say.
        record: Record,
        /// Seconds until the server forgets it.
        ttl: u32,
        /// The CAS it must have.
        cas: Cas,
    },
    /// Raise the server's counter, which is created where it is missing: [`Reply::Raised`]. It has no data block, so the server
    /// executes it as a whole at its place in the batch.
    RaiseCounter,
    /// Delete if the item still has this CAS: [`Reply::Deleted`], [`Reply::Exists`] or [`Reply::Missing`].
    Delete {
        /// The CAS it must have.
        cas: Cas,
    },
    /// Read: [`Reply::Item`] or [`Reply::Missing`].
    Read,
    /// Read who stands in line for the lock: [`Reply::WaitList`] or [`Reply::Missing`]. The line's item is beside the lock's, on
    /// the same server.
    ReadLine,
    /// Store who stands in line: without a CAS as [`Add`](Self::Add), with one as [`Replace`](Self::Replace).
    StoreLine {
        /// Who is to stand in line.
        line: WaitList,
        /// Seconds until the server forgets it.
        ttl: u32,
        /// The CAS that the line must have; `None`: there must be none.
        cas: Option<Cas>,
    },
    /// Delete the line if it still has this CAS: as [`Delete`](Self::Delete).
    DeleteLine {
        /// The CAS that the line must have.
        cas: Cas,
    },
}

impl Request {
    /// Whether it may change what is known of locks. Losing the reply to such a request leaves an outcome to be settled. How
    /// often the counter was raised matters to nobody.
    pub fn writes(&self) -> bool {
        !matches!(
            self,
            Request::ReadClock | Request::RaiseCounter | Request::Read | Request::ReadLine
        )
    }
}

/// A parsed, checked answer to one [`Request`]. Anything else that a server says is a fault.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The server's clock, in Unix seconds.
    Clock(u64),
    /// Stored, under this CAS.
    Stored(Cas),
    /// The counter was raised, and this is its CAS now: above that of every item which the server had stored before.
    Raised(Cas),
    /// Not stored: something is there.
    NotStored,
    /// Another CAS: the item was changed since (or renumbered by the server).
    Exists,
    /// No such item.
    Missing,
    /// Deleted.
    Deleted,
    /// The item and its CAS.
    Item {
        /// What it says. Boxed, so that the replies that come with every lock stay small.
        content: Box<Content>,
        /// Its CAS.
        cas: Cas,
    },
    /// Who stands in line, and the CAS of that item.
    WaitList {
        /// The first in line first. Nobody, where the item cannot be read.
        line: WaitList,
        /// Its CAS.
        cas: Cas,
    },
    /// The server said in so many words that it did not do this (out of memory, for one). Beware: a *refused store*
    /// may have deleted the item that was there, as memcached does on running out of memory.
    Refused(Refusal),
}

/// The server's own words for a refusal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Refusal(pub Arc<str>);

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusal").field(&Shown::new(&self.0)).finish()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused: {}", Shown::new(&self.0))
    }
}

impl std::error::Error for Refusal {}

/// What is known of the requests of a batch that got no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unanswered {
    /// Nothing was sent: none of them was or will be executed.
    NotSent,
    /// Nothing was sent, because the connection leads to another instance than the one the batch was meant for.
    OtherInstance,
    /// Nothing was sent: the server started less than [`YOUNGEST_SERVER`] ago, and nothing is granted so early.
    TooYoung,
    /// They were sent. Each may or may not have been executed; none will be from now on (the server closed).
    Cut,
    /// They were sent. Each may or may not have been executed, or may yet be.
    Late,
    /// There are none: all were answered, and the answers contradict one another, so that nothing comes of asking again. No store
    /// says so; a machine ends with it.
    Contradicted,
}

impl Unanswered {
    /// Whether requests may have been executed without an answer.
    pub fn is_ambiguous(self) -> bool {
        matches!(self, Unanswered::Cut | Unanswered::Late)
    }
}

/// The uptime, in seconds as `stats` reports it (it begins at 2), below which a server is not used: 38 of 40 instant
/// restarts shared a start second with their predecessor, and two instances that grant must not, or their tokens could.
pub const YOUNGEST_SERVER: u64 = 4;

/// The requests of one exchange: one to four. What grants a lock has three, and a fourth only for a process in line.
pub type Batch = SmallVec<[Request; 3]>;

/// The replies of one exchange.
pub type Replies = SmallVec<[Reply; 3]>;
