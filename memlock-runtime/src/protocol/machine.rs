//! What all machines have in common: what they are told, and what they ask for.

use std::time::Duration;

use super::lease::{Deadline, Now, Reading};
use super::messages::{Batch, Content, Instance, Record, Replies, Reply, Unanswered};
use crate::key::ItemName;

/// How often an item that changes under a machine's hands is read again before it gives up for now.
pub(super) const RETRIES: u8 = 4;

/// What a machine wants done next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is moved per exchange; a box would cost more than the move"
)]
pub enum Output<T> {
    /// Send these on one connection, and step with what came of it.
    Exchange {
        /// The requests.
        batch: Batch,
        /// The only instance they are meant for.
        only_on: Option<Instance>,
    },
    /// Let time pass, and step with [`Input::Woke`].
    Pause(Pause),
    /// It is over.
    Done(T),
}

/// A window to draw the length of a pause from, evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pause {
    /// At least this long.
    pub from: Duration,
    /// At most this long.
    pub to: Duration,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is moved per exchange; a box would cost more than the move"
)]
pub enum Input {
    /// Begin.
    Start,
    /// The exchange asked for is over.
    Answered(Answered),
    /// The pause asked for is over.
    Woke,
}

/// What came of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answered {
    /// The instance at the other end, if one was reached.
    pub instance: Option<Instance>,
    /// The replies, in order.
    pub replies: Replies,
    /// What is known of the requests without a reply; `None` where there are none.
    pub unanswered: Option<Unanswered>,
    /// When the first byte could have left.
    pub sent: Now,
    /// The best reading of this server's clock, where this exchange read it, too.
    pub best: Option<Reading>,
}

impl Answered {
    pub(super) fn reply(&self, index: usize) -> Option<&Reply> {
        self.replies.get(index)
    }

    /// What is known of the request without a reply. A store that says nothing at all is taken at its worst.
    pub(super) fn unanswered(&self) -> Unanswered {
        self.unanswered.unwrap_or(Unanswered::Late)
    }

    /// Until when a lease of this length may be believed in that was written with this proof.
    pub(super) fn end_of(&self, lease: Duration, ttl: u32) -> Deadline {
        Deadline::of_grant(self.sent, lease, ttl, self.server_second(), self.best)
    }

    /// The server's second, if the first request of the batch read it.
    pub(super) fn server_second(&self) -> Option<u64> {
        match self.reply(0) {
            Some(Reply::Clock(second)) => Some(*second),
            _ => None,
        }
    }
}

/// The lock in an item, if the item is this lock's: a name shortened by hash is compared in full.
pub(super) fn lock_of<'a>(item: &ItemName, content: &'a Content) -> Option<&'a Record> {
    match content {
        Content::Lock(record) if record.full_name.as_ref() == item.full() => Some(record),
        Content::Lock(_) | Content::Foreign => None,
    }
}
