//! What all machines have in common: what they are told, and what they ask for.

use std::fmt;
use std::time::Duration;

use super::lease::{Deadline, Now, Reading};
use super::messages::{Batch, Content, Instance, Record, Replies, Reply, Unanswered};
use crate::error::Source;
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
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is moved per exchange; a box would cost more than the move"
)]
pub enum Input {
    /// Begin.
    Start,
    /// The exchange asked for is over.
    Exchanged(Exchanged),
    /// The pause asked for is over.
    Woke,
}

/// What came of an exchange: from the store that made it, through the driver, to the machine that asked for it. The replies are
/// those of the first requests, in order; there are fewer than requests exactly when something is [`unanswered`](Self::unanswered).
#[derive(Debug, Default)]
pub struct Exchanged {
    /// The instance at the other end of the connection. `None`: no server was reached.
    pub instance: Option<Instance>,
    /// The replies, in the order of the requests.
    pub replies: Replies,
    /// What is known of the requests without a reply. `None`: there are none.
    pub unanswered: Option<Unanswered>,
    /// Why they have no reply, for people.
    pub source: Option<Source>,
    /// After [`Unanswered::Late`]: the connection on which the missing replies may still come. `None`: it is not kept.
    pub pending: Option<Box<dyn Pending>>,
    /// When the first byte could have left. The driver fills it in.
    pub sent: Now,
    /// When the replies came, if the driver has read the clocks for them.
    pub received: Option<Now>,
    /// The best reading of this server's clock, if this exchange has read it, too. The driver fills it in.
    pub best: Option<Reading>,
}

/// An exchange with late replies. A request cannot be recalled: the only safe thing is to go on listening, so that whatever it did
/// can be undone. Dropping this closes the connection.
pub trait Pending: Send + fmt::Debug {
    /// Listens for up to `limit`. With a limit of zero it looks what has come, and does not block.
    ///
    /// `Ok` has all of the outcome that can be learned: with [`Unanswered::Late`] nothing more will be heard of the exchange, and it
    /// may be executed yet. `Err` gives this back to try again.
    fn wait(self: Box<Self>, limit: Duration) -> Result<Exchanged, Box<dyn Pending>>;
}

impl Exchanged {
    pub(super) fn reply(&self, index: usize) -> Option<&Reply> {
        self.replies.get(index)
    }

    /// What is known of the request without a reply. A store that says nothing at all is taken at its worst.
    pub(super) fn why_unanswered(&self) -> Unanswered {
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
