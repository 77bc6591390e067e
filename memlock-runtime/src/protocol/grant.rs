//! [`Grant`]: the proof that a lock was granted, and how it passes from holder to holder inside the process.

use std::time::Duration;

use super::lease::{Deadline, LeaseLengths, Now};
use super::messages::{Cas, Instance, Nonce};
use super::spec::Spec;
use super::token::Token;

/// A proof that the lock was granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The grant's identity.
    pub nonce: Nonce,
    /// The instance that granted it.
    pub instance: Instance,
    /// The item's CAS on that instance.
    pub cas: Cas,
    /// The deadline of its present holder.
    pub deadline: Deadline,
    /// The deadline for all holders together to which it is handed over inside the process. No holder's deadline is
    /// beyond this.
    pub end: Deadline,
    /// The length of the lease in the item. It does not shrink while the grant lasts, whichever holder renews it,
    /// except in a reservation.
    pub lease: Duration,
    /// The TTL that goes with it, in seconds. It never shrinks while the grant lasts. So the server's expiry only moves
    /// forward, and a deadline from before a renewal still holds after it.
    pub ttl: u32,
    /// The end of the slice, on the monotonic clock. From then on the lock goes back to the server instead of to the
    /// next holder in this process.
    pub slice_ends: Duration,
    /// The fencing token. A renewal keeps it, and a hand-over raises it.
    pub token: Token,
    /// How many renewals have been attempted.
    pub renewals: u32,
}

/// The server's numbers for a store, and for the counter that was raised behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stored {
    pub(super) instance: Instance,
    /// The item's CAS.
    pub(super) cas: Cas,
    /// The counter's CAS.
    pub(super) raised: Cas,
}

impl Stored {
    /// Whether the two numbers are neighbours, which shows that the server stored nothing else between the two. The
    /// item's number was drawn when the item was stored, or before.
    pub(super) fn is_undisturbed(self) -> bool {
        self.cas.get().checked_add(1) == Some(self.raised.get())
    }
}

/// The result of taking over a grant that was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Handed {
    /// The grant. It is the next holder's now.
    Over(Grant),
    /// Too little of the lease is left, or there is no higher token. The grant has no holder now, and must be released.
    Spent(Grant),
}

impl Handed {
    /// Returns the grant in either case.
    pub fn into_grant(self) -> Grant {
        match self {
            Handed::Over(grant) | Handed::Spent(grant) => grant,
        }
    }
}

impl Grant {
    /// Returns the grant of the item that was stored under `nonce` for `spec`. `stored` is the proof, and `end` is the
    /// deadline of the lease. `None`: the server's numbers make no token.
    pub(super) fn of_stored(
        spec: &Spec,
        lengths: LeaseLengths,
        nonce: Nonce,
        stored: Stored,
        end: Deadline,
    ) -> Option<Grant> {
        let Stored { instance, cas, raised } = stored;
        // The counter was raised after the store, so its number cannot be the lower one.
        let raised = Some(raised).filter(|raised| *raised > cas)?;
        let sent = end.sent();
        Some(Grant {
            nonce,
            instance,
            cas,
            deadline: end.of_holder(sent, spec.timeout),
            end,
            lease: lengths.lease,
            ttl: lengths.ttl,
            slice_ends: sent.instant + lengths.slice,
            token: Token::of_grant(instance, raised, 0)?,
            renewals: 0,
        })
    }

    /// Whether its holder may hand it over to a caller that asks for `timeout`, instead of releasing it.
    pub fn may_be_handed_over(&self, timeout: Duration, now: Now) -> bool {
        now.instant < self.slice_ends && self.end.remaining(now) >= timeout && self.token.next().is_some()
    }

    /// Keeps the grant for a retry, for at most `length` from now. From here on nobody believes in more. So once the
    /// item says the shorter lease it may be taken over after that lease, even if this process does not learn that the
    /// item was written.
    #[must_use]
    pub fn reserve(self, length: Duration, now: Now) -> Grant {
        let deadline = self.deadline.of_holder(now, length);
        Grant {
            deadline,
            end: deadline,
            // The grant is kept for one caller, and is not handed over to another one in this process.
            slice_ends: now.instant,
            ..self
        }
    }

    /// Gives the grant to the caller for which it was reserved, after it was renewed for `timeout`. That caller is
    /// another holder, with a higher token. `None`: the grant must be released. Either the proof came so late that, as
    /// with any such grant, less than half of `timeout` is left, or there is no higher token.
    pub fn claim(self, timeout: Duration, now: Now) -> Option<Grant> {
        let token = self.token.next()?;
        (self.deadline.remaining(now) >= timeout / 2).then_some(Grant { token, ..self })
    }

    /// Passes the grant from a holder that believes in it no longer to a caller that asks for `timeout` and begins now.
    ///
    /// The grant may have waited since it was handed over, because that caller was not running. With too little time
    /// left it is [spent](Handed::Spent): as with a grant that arrives late from the server, a holder that is let in
    /// with little time left only loses its lease.
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
