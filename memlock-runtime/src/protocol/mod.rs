//! The protocol: four state machines that wait for nothing, read no clock, draw no dice and know no socket.
//!
//! # Theory of operation
//!
//! A lock is an item on a memcached server. Whoever *adds* it holds the lock; the item says whose it is (a fresh random
//! nonce), and for how long its holder believes in it (the lease). The holder's own deadline is never later than the
//! lease counted from before its request left, so everyone else, counting the same length from when they first *saw*
//! the item, ends later. Three machines follow from that, and a fourth for courtesy:
//!
//! | machine | moves by | ends in |
//! |---|---|---|
//! | [`Acquire`] | `[clock, add, raise counter]`, and once refused: `read`, pause, `read`, …, then the same again or a take-over; in line, `read line` or `store line` along with them | a [`Grant`], or why not |
//! | [`Renew`] | `[clock, compare-and-set]` | a later deadline (of a *reservation*: a shorter lease in the item), `Lost`, or `Failed` (nothing learned; the old deadline stands) |
//! | [`Release`] | `compare-and-delete`, and sometimes `read line` or `store line` with it | `Released`, `Gone` (not ours any more), or `Failed` (to be tried again) |
//! | [`Leave`] | `read line`, `compare-and-set line` | nothing that anyone depends on |
//!
//! All take `step(now, input) -> Output` and say what to do next: make an exchange, pause, or stop. They are
//! `Clone + Eq + Hash`, so the same machines run in production, in a simulator and under a model checker.
//!
//! Rules that hold in all of them:
//!
//! * No reply is no success. A write without a reply is remembered by its nonce until reading the item has shown what
//!   became of it; it is never counted as done and never forgotten.
//! * Every cycle ends or pauses, whatever the server says: [`Release`], [`Renew`] and [`Leave`] read a few times and end; for
//!   [`Acquire`] see its file.
//! * The fencing token is the CAS of the server's counter, raised in the granting batch behind the store. Why it rises stands in
//!   `acquire.rs`.
//! * A CAS is used only on the instance that gave it (`only_on`): it restarts at 1 with the server. On another
//!   instance the item is read first, its nonce compared, and the CAS just read is used there.
//! * Another CAS is no proof of loss: servers before 1.6.24 renumber live items. Read, and compare the nonce.
//! * The lease in the item is longer than its holder's `timeout`, by a slice. While that lasts the lock may be handed over
//!   inside the process, without the server's knowing: each holder has a higher token and a deadline of its own, and no
//!   deadline is beyond the end of the lease in the item, which is all that anyone else goes by.
//! * A lease in the item gets shorter only in a reservation, and only after its holder has stopped believing in more; the TTL
//!   that goes with it does not.
//! * Who goes first among those who wait is told by another item, the [line](Standing). It is a hint: nothing is believed
//!   because of it, and where it is lost or wrong it costs time and nothing else.
//! * A contender that was refused never stores blindly. memcached deletes the item under a store that it refuses for
//!   lack of memory, even under an `add`; a waiter therefore reads until the item is gone, and only then adds. To be told by
//!   who deletes it is as good, for one `add`: whoever can tell it so can read the server, and delete the item himself.

mod acquire;
mod calls;
mod holding;
mod leave;
mod line;
mod release;
mod renew;
#[cfg(test)]
mod tests;
mod turns;
mod watch;

pub use acquire::{Acquire, Outcome};
pub use holding::{End, Extended, Holding, Loss, Status};
pub use leave::Leave;
pub use line::{Standing, is_to_look};
pub use release::{Release, Released};
pub use renew::{Renew, Renewed};
pub use turns::{Claim, Taken, Turns};
pub use watch::Watch;

use std::time::Duration;

use crate::key::ItemName;
use crate::label::Label;
use crate::lease::{Deadline, Now, Reading, Term};
use crate::store::{Batch, Cas, Content, Damage, Instance, Nonce, Record, Replies, Reply};
use crate::token::Token;

/// How often an item that changes under a machine's hands is read again before it gives up for now.
const RETRIES: u8 = 4;

/// What is to be locked, by whom, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The lock's item.
    pub item: ItemName,
    /// Who asks, for people.
    pub label: Label,
    /// How long a grant is to be believed in.
    pub timeout: Duration,
    /// The longest pause between two looks at a held lock by the process that is next. Those that stand in line behind it look up
    /// to four times as seldom.
    pub interval: Duration,
    /// How long to wait for other holders; `None` for ever. How long the server may take to answer is the driver's affair.
    pub wait: Option<Duration>,
}

impl Spec {
    fn term(&self) -> Term {
        Term::of(self.timeout)
    }

    /// The lease as the item tells it.
    pub(crate) fn lease(&self) -> Duration {
        self.term().lease
    }

    fn record(&self, nonce: Nonce, term: Term) -> Record {
        Record {
            nonce,
            lease: term.lease,
            renewal: 0,
            label: self.label.clone(),
            full_name: self.item.full().cloned(),
        }
    }
}

/// A proof of having been granted the lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Whose it is.
    pub nonce: Nonce,
    /// Who granted it.
    pub instance: Instance,
    /// The item's CAS, within that instance.
    pub cas: Cas,
    /// Until when its present holder may believe in it.
    pub deadline: Deadline,
    /// Until when any holder may, to whom it is handed over inside the process. No holder's deadline is beyond it.
    pub end: Deadline,
    /// The length of the lease that the item tells. It does not shrink while the grant lasts, whoever renews it, but in a
    /// reservation.
    pub lease: Duration,
    /// The TTL that goes with it, in seconds. It never shrinks while the grant lasts: so the server's expiry only moves forward,
    /// and a deadline that was believed in before a renewal holds after it.
    pub ttl: u32,
    /// When it is to go back to the server instead of to the next in this process, on the monotonic clock.
    pub slice_ends: Duration,
    /// The fencing token, which a renewal does not change, and a hand-over raises.
    pub token: Token,
    /// How many renewals have been attempted.
    pub renewals: u32,
}

/// What a server has said of a store, and of the counter that was raised behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stored {
    instance: Instance,
    /// The item's CAS.
    cas: Cas,
    /// The counter's.
    raised: Cas,
}

impl Stored {
    /// Whether the numbers alone show that nothing else was stored on the server between the two: they are neighbours. The
    /// item's was drawn when it was stored, or before.
    fn is_undisturbed(self) -> bool {
        self.cas.get().checked_add(1) == Some(self.raised.get())
    }
}

/// What becomes of a grant that was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Handed {
    /// The next holder's.
    Over(Grant),
    /// Too little of it is left. It is nobody's now, and is to be released.
    Spent(Grant),
}

impl Handed {
    /// The grant, whatever becomes of it.
    pub fn into_grant(self) -> Grant {
        match self {
            Handed::Over(grant) | Handed::Spent(grant) => grant,
        }
    }
}

impl Grant {
    /// The grant of what was stored under `nonce` for `spec`, where `stored` proves it, and the lease may be believed in
    /// until `end`. `None`: the server's numbers make no token.
    fn of_stored(spec: &Spec, term: Term, nonce: Nonce, stored: Stored, end: Deadline) -> Option<Grant> {
        let Stored { instance, cas, raised } = stored;
        // Raised after the store, it cannot have the lower number.
        let raised = Some(raised).filter(|raised| *raised > cas)?;
        let sent = end.sent();
        Some(Grant {
            nonce,
            instance,
            cas,
            deadline: end.of_holder(sent, spec.timeout),
            end,
            lease: term.lease,
            ttl: term.ttl,
            slice_ends: sent.instant + term.slice,
            token: Token::of_grant(instance, raised, 0)?,
            renewals: 0,
        })
    }

    /// Whether its holder may hand it over, instead of releasing it, to one who asks for `timeout`.
    pub fn may_be_handed_over(&self, timeout: Duration, now: Now) -> bool {
        now.instant < self.slice_ends && self.end.remaining(now) >= timeout && self.token.next().is_some()
    }

    /// Keeps it for a retry, for `length` from now at the most. From here on nobody believes in more: so an item that tells
    /// the shorter lease may be taken over after it, whether or not this process hears that it was written.
    #[must_use]
    pub fn reserve(self, length: Duration, now: Now) -> Grant {
        let deadline = self.deadline.of_holder(now, length);
        Grant {
            deadline,
            end: deadline,
            // It is kept for one caller, and passed on to no other in this process.
            slice_ends: now.instant,
            ..self
        }
    }

    /// Makes it, once it was renewed for `timeout`, that of the caller for whom it was reserved: another holder, with a higher
    /// token. `None`, and it is to be released: the proof came so late that the lease is half over, as with any grant, or
    /// there is no higher token.
    pub fn claim(self, timeout: Duration, now: Now) -> Option<Grant> {
        let token = self.token.next()?;
        (self.deadline.remaining(now) >= timeout / 2).then_some(Grant { token, ..self })
    }

    /// Takes it over from a holder that believes in it no more, for one who asks for `timeout` and begins now.
    ///
    /// It may have lain about since it was handed over, while its taker was not running. As with a grant that comes late
    /// from the server: a holder that is let in with little time left only loses its lease.
    #[must_use]
    pub fn hand_over(self, timeout: Duration, now: Now) -> Handed {
        let deadline = self.end.of_holder(now, timeout);
        match self.token.next() {
            Some(token) if deadline.length() >= timeout / 2 => Handed::Over(Grant {
                deadline,
                token,
                ..self
            }),
            _ => Handed::Spent(self),
        }
    }
}

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
    pub damage: Option<Damage>,
    /// When the first byte could have left.
    pub sent: Now,
    /// The best reading of this server's clock, where this exchange read it, too.
    pub best: Option<Reading>,
}

impl Answered {
    fn reply(&self, index: usize) -> Option<&Reply> {
        self.replies.get(index)
    }

    /// What is known of the request without a reply. A store that says nothing at all is taken at its worst.
    fn damage(&self) -> Damage {
        self.damage.unwrap_or(Damage::Late)
    }

    /// Until when a lease of this length may be believed in that was written with this proof.
    fn end_of(&self, lease: Duration, ttl: u32) -> Deadline {
        Deadline::of_grant(self.sent, lease, ttl, self.server_second(), self.best)
    }

    /// The server's second, if the first request of the batch read it.
    fn server_second(&self) -> Option<u64> {
        match self.reply(0) {
            Some(Reply::Clock(second)) => Some(*second),
            _ => None,
        }
    }
}

/// The lock in an item, if the item is this lock's: a name shortened by hash is compared in full.
fn lock_of<'a>(item: &ItemName, content: &'a Content) -> Option<&'a Record> {
    match content {
        Content::Lock(record) if record.full_name.as_ref() == item.full() => Some(record),
        Content::Lock(_) | Content::Foreign => None,
    }
}
