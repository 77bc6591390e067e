//! A proof of having been granted a lock, and what may become of it inside the process.

use std::time::Duration;

use super::lease::{Deadline, LeaseLengths, Now};
use super::messages::{Cas, Instance, Nonce};
use super::spec::Spec;
use super::token::Token;

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
pub(super) struct Stored {
    pub(super) instance: Instance,
    /// The item's CAS.
    pub(super) cas: Cas,
    /// The counter's.
    pub(super) raised: Cas,
}

impl Stored {
    /// Whether the numbers alone show that nothing else was stored on the server between the two: they are neighbours. The
    /// item's was drawn when it was stored, or before.
    pub(super) fn is_undisturbed(self) -> bool {
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
    pub(super) fn of_stored(
        spec: &Spec,
        term: LeaseLengths,
        nonce: Nonce,
        stored: Stored,
        end: Deadline,
    ) -> Option<Grant> {
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
