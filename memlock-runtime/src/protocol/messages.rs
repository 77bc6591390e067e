//! The requests of the machines, the server's replies, and the contents of items. Plain data.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::label::Label;
use super::members::WaitList;
use crate::text::shown::Shown;

/// memcached's version number of an item. The same number proves that the item has not changed. It is never zero, which
/// memcached uses for "none".
pub type Cas = NonZeroU64;

/// One run of a server process. A CAS is meaningful only on the instance that gave it: in another one it restarts at 1.
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
    /// The process that drew the nonce: the nonce's upper half. For hints only.
    pub fn process(self) -> u64 {
        let upper = self.0 >> 64;
        // The shift has removed the lower half, so this never fails.
        u64::try_from(upper).unwrap_or_default()
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The content of a held lock's item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// The grant's identity.
    pub nonce: Nonce,
    /// How long a holder may believe in the grant, counted from before the request left. A watching waiter waits as
    /// long.
    pub lease: Duration,
    /// How many renewals have been *attempted*. The same number is never written twice under one nonce.
    pub renewal: u32,
    /// The holder, for people to read.
    pub label: Label,
    /// The full name of the lock, where the item's own name is shortened.
    pub full_name: Option<Arc<str>>,
}

/// What a lock's item may contain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// A grant.
    Lock(Record),
    /// Something that this version cannot read. A contender waits until it is gone, and never takes it over or deletes
    /// it.
    Foreign,
}

/// One command about one lock. The item's name is passed along with the batch. Each variant names its replies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Read the server's clock: [`Reply::Clock`], or [`Reply::Missing`] where there is no clock item.
    ReadClock,
    /// Create the clock item: [`Reply::Stored`] or [`Reply::NotStored`].
    CreateClock,
    /// Store if nothing is there: [`Reply::Stored`] or [`Reply::NotStored`].
    Add {
        /// The content to store.
        record: Record,
        /// Seconds until the server forgets it.
        ttl: u32,
    },
    /// Store if the item still has this CAS: [`Reply::Stored`], [`Reply::Exists`] (another CAS) or
    /// [`Reply::Missing`]. Never creates.
    Replace {
        /// The content to store.
        record: Record,
        /// Seconds until the server forgets it.
        ttl: u32,
        /// The CAS it must have.
        cas: Cas,
    },
    /// Raise the server's counter, which is created where it is missing: [`Reply::Raised`]. The command has no data
    /// block, so the server executes it as a whole, at its place in the batch.
    RaiseCounter,
    /// Delete if the item still has this CAS: [`Reply::Deleted`], [`Reply::Exists`] or [`Reply::Missing`].
    Delete {
        /// The CAS it must have.
        cas: Cas,
    },
    /// Read: [`Reply::Item`] or [`Reply::Missing`].
    Read,
    /// Read the wait list: [`Reply::WaitList`] or [`Reply::Missing`]. Its item is beside the lock's, on the same
    /// server.
    ReadWaitList,
    /// Store the wait list: without a CAS as [`Add`](Self::Add), with one as [`Replace`](Self::Replace).
    StoreWaitList {
        /// The list to store.
        line: WaitList,
        /// Seconds until the server forgets it.
        ttl: u32,
        /// The CAS that the list must have. `None`: there must be no list.
        cas: Option<Cas>,
    },
    /// Delete the wait list if it still has this CAS: as [`Delete`](Self::Delete).
    DeleteWaitList {
        /// The CAS that the list must have.
        cas: Cas,
    },
}

impl Request {
    /// Whether it may change a lock, a wait list or the clock item. If such a request gets no reply, its outcome must
    /// be settled. The counter is left out, since nothing depends on how often it was raised.
    pub fn writes(&self) -> bool {
        !matches!(
            self,
            Request::ReadClock | Request::RaiseCounter | Request::Read | Request::ReadWaitList
        )
    }
}

/// A parsed and checked answer to one [`Request`]. Anything else that a server sends is an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The server's clock, in Unix seconds.
    Clock(u64),
    /// Stored, under this CAS.
    Stored(Cas),
    /// The counter was raised. This is its CAS now, which is above that of every item that the server had stored
    /// before.
    Raised(Cas),
    /// Not stored: an item is there already.
    NotStored,
    /// The item has another CAS: it was changed since, or the server renumbered it.
    Exists,
    /// No such item.
    Missing,
    /// Deleted.
    Deleted,
    /// The item and its CAS.
    Item {
        /// The content. Boxed, so that the replies to every lock's batch stay small.
        content: Box<Content>,
        /// Its CAS.
        cas: Cas,
    },
    /// The wait list, and the CAS of its item.
    WaitList {
        /// The members. The list is empty if the item's content cannot be read.
        line: WaitList,
        /// Its CAS.
        cas: Cas,
    },
    /// The server said explicitly that it did not execute the request, for example because it is out of memory. A
    /// *refused store* may still have deleted the item that was there, as memcached does when it runs out of memory.
    Refused(Refusal),
}

/// A refusal, in the server's own words.
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
    /// Nothing was sent, because the connection leads to another instance than the batch was meant for.
    OtherInstance,
    /// Nothing was sent: the server started less than [`YOUNGEST_SERVER`] ago, and nothing is granted so early.
    TooYoung,
    /// They were sent. Each may or may not have been executed; none will be from now on, since the server has closed
    /// the connection.
    Cut,
    /// They were sent. Each may have been executed, may yet be, or never will.
    Late,
    /// All were answered, and the answers contradict one another, so asking again is useless. A machine ends with this;
    /// no store reports it.
    Contradicted,
}

impl Unanswered {
    /// Whether requests may have been executed without an answer.
    pub fn is_ambiguous(self) -> bool {
        matches!(self, Unanswered::Cut | Unanswered::Late)
    }
}

/// The uptime in seconds, as `stats` reports it (it begins at 2), below which a server is not used. 38 of 40 instant
/// restarts shared a start second with their predecessor. Two instances that grant must not share one, or their tokens
/// might collide.
pub const YOUNGEST_SERVER: u64 = 4;

/// The requests of one exchange, one to four. A granting batch has three, and a fourth only for a process in the wait
/// list.
pub type Batch = SmallVec<[Request; 3]>;

/// The replies of one exchange.
pub type Replies = SmallVec<[Reply; 3]>;
