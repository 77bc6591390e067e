//! The vocabulary of scripts. Plain data, which knows neither the server nor the time.

use std::fmt;

/// A step of a script.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Requests that are sent in one batch, and their replies.
    Exchange(Vec<(Ask, Say)>),
    /// Something happens to the server.
    Event(Event),
}

/// A request. A key stands for the lock's item, and a number for the contender that writes its record. A CAS has the
/// name that the script gave it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    ReadClock,
    CreateClock,
    RaiseCounter,
    Add {
        key: String,
        who: u32,
        ttl: u32,
    },
    Replace {
        key: String,
        who: u32,
        ttl: u32,
        cas: &'static str,
    },
    Delete {
        key: String,
        cas: &'static str,
    },
    Read {
        key: String,
    },
}

impl Ask {
    /// The key of the lock that the request is about, if it is about one.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Ask::ReadClock | Ask::CreateClock | Ask::RaiseCounter => None,
            Ask::Add { key, .. } | Ask::Replace { key, .. } | Ask::Delete { key, .. } | Ask::Read { key } => Some(key),
        }
    }
}

/// The reply that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    /// A reading of the clock, which must obey the clock's laws.
    Clock,
    /// Stored. The new CAS has this name from here on, and must obey the law of CAS.
    Stored(&'static str),
    /// The counter was raised. Its CAS must obey the law of CAS.
    Raised,
    NotStored,
    Exists,
    Missing,
    Deleted,
    /// The record of this contender, under this known CAS.
    There(u32, &'static str),
    /// The record of this contender, under a CAS that no reply has told. It has this name from here on.
    Renumbered(u32, &'static str),
    /// A foreign value, under a CAS that no reply has told. It has this name from here on.
    Foreign(&'static str),
    /// Refused for lack of memory.
    Refused,
}

/// An event on the server that memlock does not cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time passes until the item of this key expires. The item is watched, and its TTL checked.
    Expiry(String),
    /// `flush_all`.
    Flush,
    /// The process is killed and another started.
    Restart,
    /// Memory is used up, and nothing may be evicted.
    Fill,
    /// There is memory again.
    Free,
    /// The clock item alone is lost.
    LoseClock,
    /// The lock's item alone is lost.
    Evict(String),
    /// The item gets another CAS by itself, as by slab moves before memcached 1.6.24.
    Renumber(String),
    /// Another client stores a foreign value under the lock's name.
    StoreForeign(String),
}

/// The CAS that no item ever has.
pub(crate) const NO_ITEMS: &str = "a CAS that no item has";

/// A TTL that outlasts every script.
const LONG: u32 = 60;

pub(crate) const READ_CLOCK: Ask = Ask::ReadClock;
pub(crate) const CREATE_CLOCK: Ask = Ask::CreateClock;

pub(crate) const RAISE_COUNTER: Ask = Ask::RaiseCounter;

pub(crate) fn add(key: impl Into<String>, who: u32) -> Ask {
    Ask::Add {
        key: key.into(),
        who,
        ttl: LONG,
    }
}

pub(crate) fn replace(key: impl Into<String>, who: u32, cas: &'static str) -> Ask {
    Ask::Replace {
        key: key.into(),
        who,
        ttl: LONG,
        cas,
    }
}

pub(crate) fn delete(key: impl Into<String>, cas: &'static str) -> Ask {
    Ask::Delete { key: key.into(), cas }
}

pub(crate) fn read(key: impl Into<String>) -> Ask {
    Ask::Read { key: key.into() }
}

impl Ask {
    /// The same store with another TTL, in seconds.
    pub(crate) fn living(mut self, seconds: u32) -> Ask {
        match &mut self {
            Ask::Add { ttl, .. } | Ask::Replace { ttl, .. } => *ttl = seconds,
            _ => panic!("only what is stored has a TTL"),
        }
        self
    }

    /// This request alone in a batch, with the expected reply.
    pub(crate) fn says(self, say: Say) -> Step {
        Step::Exchange(vec![(self, say)])
    }
}

/// Merges exchanges into one: all requests are sent in one batch.
pub(crate) fn together(steps: impl IntoIterator<Item = Step>) -> Step {
    let lines = steps.into_iter().flat_map(|step| match step {
        Step::Exchange(lines) => lines,
        Step::Event(event) => panic!("{event:?} is no request"),
    });
    Step::Exchange(lines.collect())
}

pub(crate) fn event(event: Event) -> Step {
    Step::Event(event)
}

/// Time passes until the item of `key` expires.
pub(crate) fn expiry(key: &str) -> Step {
    Step::Event(Event::Expiry(key.to_owned()))
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::ReadClock => write!(f, "read the clock"),
            Ask::CreateClock => write!(f, "create the clock item"),
            Ask::RaiseCounter => write!(f, "raise the counter"),
            Ask::Add { key, who, ttl } => write!(f, "add {key:?} by {who} for {ttl} s"),
            Ask::Replace { key, who, ttl, cas } => write!(f, "replace {key:?} by {who} for {ttl} s if it has {cas:?}"),
            Ask::Delete { key, cas } => write!(f, "delete {key:?} if it has {cas:?}"),
            Ask::Read { key } => write!(f, "read {key:?}"),
        }
    }
}
