//! The types that all machines share: their inputs, their outputs, and the outcome of an exchange.

use std::fmt;
use std::time::Duration;

use super::lease::{Deadline, Now};
use super::messages::{Batch, Content, Instance, Record, Replies, Reply, Unanswered};
use super::server_clock::Reading;
use crate::error::Source;
use crate::key::ItemName;

/// How often a machine rereads an item that keeps changing, before it gives up for now.
pub(super) const RETRIES: u8 = 4;

/// The next thing that a machine asks of its driver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is moved per exchange; a box would cost more than the move"
)]
pub enum Output<T> {
    /// Send these requests on one connection, and step with the outcome.
    Exchange {
        /// The requests.
        batch: Batch,
        /// The only instance that may receive them. `None`: any.
        only_on: Option<Instance>,
    },
    /// Let time pass, and step with [`Input::Woke`].
    Pause(Pause),
    /// The machine has ended with this result.
    Done(T),
}

/// A range from which the length of a pause is drawn, with a uniform distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pause {
    /// At least this long.
    pub from: Duration,
    /// At most this long.
    pub to: Duration,
}

/// The event since a machine's last move.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is moved per exchange; a box would cost more than the move"
)]
pub enum Input {
    /// Begin.
    Start,
    /// The exchange that the machine asked for is over.
    Exchanged(Exchanged),
    /// The pause that the machine asked for is over.
    Woke,
}

/// The outcome of an exchange. The store makes it, the driver completes it, and the machine that asked for the exchange
/// reads it.
///
/// The replies answer the first requests, in order. There are fewer replies than requests exactly when something is
/// [`unanswered`](Self::unanswered).
#[derive(Debug, Default)]
pub struct Exchanged {
    /// The instance at the other end of the connection. `None`: no server was reached.
    pub instance: Option<Instance>,
    /// The replies, in the order of the requests.
    pub replies: Replies,
    /// What is known of the requests without a reply. `None`: every request has one.
    pub unanswered: Option<Unanswered>,
    /// The cause of that, for people to read.
    pub source: Option<Source>,
    /// After [`Unanswered::Late`]: the connection on which the missing replies may still arrive. `None`: it was not
    /// kept.
    pub pending: Option<Box<dyn Pending>>,
    /// The earliest moment at which the first byte may have left. The driver fills it in.
    pub sent: Now,
    /// When the replies arrived, if the driver has read the clocks then.
    pub received: Option<Now>,
    /// The best reading of this server's clock, this exchange's own included. The driver fills it in.
    pub best: Option<Reading>,
}

/// An exchange with late replies. A request cannot be recalled. The safe way is to keep listening until its outcome is
/// known, and then to undo it. Dropping this closes the connection.
pub trait Pending: Send + fmt::Debug {
    /// Listens for up to `limit`. With a limit of zero it takes what has arrived, and does not block.
    ///
    /// `Ok` is all of the outcome that can be learned: with [`Unanswered::Late`] nothing more will arrive, and the
    /// exchange may yet be executed. `Err` gives this back for another try.
    fn wait(self: Box<Self>, limit: Duration) -> Result<Exchanged, Box<dyn Pending>>;
}

impl Exchanged {
    pub(super) fn reply(&self, index: usize) -> Option<&Reply> {
        self.replies.get(index)
    }

    /// What is known of the request without a reply. If the store did not say, the worst case counts: late.
    pub(super) fn why_unanswered(&self) -> Unanswered {
        self.unanswered.unwrap_or(Unanswered::Late)
    }

    /// Returns the deadline of a lease of length `lease` that this exchange has written with `ttl`.
    pub(super) fn end_of(&self, lease: Duration, ttl: u32) -> Deadline {
        let most = self.best.map(|best| best.shows_at_most(self.sent));
        Deadline::of_grant(self.sent, lease, ttl, self.server_second(), most)
    }

    /// How far the server's clock has fallen behind.
    pub(super) fn clock_lag(&self) -> Duration {
        let lag = |(second, best): (u64, Reading)| best.lag_of(second, self.sent);
        self.server_second().zip(self.best).map(lag).unwrap_or_default()
    }

    /// The server's second, if the first request of the batch read it.
    pub(super) fn server_second(&self) -> Option<u64> {
        match self.reply(0) {
            Some(Reply::Clock(second)) => Some(*second),
            _ => None,
        }
    }
}

/// Returns the lock in `content`, if the item is that of the lock `item`. Where the item's name is shortened by a hash,
/// the full names are compared.
pub(super) fn lock_of<'a>(item: &ItemName, content: &'a Content) -> Option<&'a Record> {
    match content {
        Content::Lock(record) if record.full_name.as_ref() == item.full() => Some(record),
        Content::Lock(_) | Content::Foreign => None,
    }
}
