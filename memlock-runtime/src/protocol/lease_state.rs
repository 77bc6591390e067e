//! [`LeaseState`]: one holder's lease, from the grant until the holder gives it up.
//!
//! It makes the decisions of a `HeldLock`, which adds the clock and the synchronization. The `HeldLock` asks it before
//! each use of the grant, and records the outcomes of renewals in it.

use std::time::Duration;

use super::grant::Grant;
use super::lease::Now;
use super::messages::Unanswered;
use super::renew::Renewed;

/// Why a lease was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Its deadline passed. The item may still be there.
    RanOut,
    /// The item is gone, or another grant's.
    Taken,
    /// The process has given it back, since its holder was not done in time.
    GivenBack,
}

/// The status of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Its holder may believe in it.
    Held,
    /// Lost. This is final, since a caller may already have acted on the loss.
    Lost(Loss),
    /// The holder has given it up.
    Released,
}

/// The result of a renewal for its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extended {
    /// The lease was extended.
    Yes,
    /// Nothing was learned. The old deadline stands.
    Failed(Unanswered),
    /// The lease is not held any more, whatever the outcome of the renewal.
    Over(Status),
}

/// What must happen to a lease that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Hand it over in this process, if that is possible, else release it.
    HandOver,
    /// Release it. The reason is there if it was lost before.
    Release(Option<Loss>),
    /// Do nothing: the item is not this grant's any more.
    Forget,
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseState {
    grant: Grant,
    status: Status,
    /// Whether the last renewal got no reply. The server may still execute it, so the grant is not handed over.
    is_renewal_open: bool,
}

impl LeaseState {
    /// Returns the lease of a lock that was granted by the server, or handed over.
    pub fn new(grant: Grant) -> LeaseState {
        LeaseState {
            grant,
            status: Status::Held,
            is_renewal_open: false,
        }
    }

    /// The grant as it stands now, lost or not.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The last known status. This reads no clock, so the deadline may have passed since.
    pub fn last_status(&self) -> Status {
        self.status
    }

    /// The status at `now`. This notices that the deadline has passed.
    pub fn status(&mut self, now: Now) -> Status {
        if self.status == Status::Held && self.grant.deadline.has_passed(now) {
            self.status = Status::Lost(Loss::RanOut);
        }
        self.status
    }

    /// Records that the process gives the lock back although its holder is not done.
    pub fn give_back(&mut self) {
        if self.status == Status::Held {
            self.status = Status::Lost(Loss::GivenBack);
        }
    }

    /// How much of the lease is left. Zero once it is lost or released.
    pub fn remaining(&mut self, now: Now) -> Duration {
        match self.status(now) {
            Status::Held => self.grant.deadline.remaining(now),
            Status::Lost(_) | Status::Released => Duration::ZERO,
        }
    }

    /// Whether half of `timeout` is left. That is enough for a caller that enters again, or that waits for another lock
    /// meanwhile. With less, the lease is renewed first; if that fails, the caller goes on as long as the lease lasts.
    pub fn has_half_left(&mut self, timeout: Duration, now: Now) -> bool {
        self.remaining(now) >= timeout / 2
    }

    /// Records the outcome of a renewal of [`grant`](Self::grant).
    pub fn renewed(&mut self, renewed: Renewed) -> Extended {
        if self.status != Status::Held {
            // A caller may have learned meanwhile that the lease is lost or released, and act on that.
            return Extended::Over(self.status);
        }
        match renewed {
            Renewed::Renewed(grant) => {
                self.grant = grant;
                self.is_renewal_open = false;
                Extended::Yes
            }
            Renewed::Lost => self.lose(Loss::Taken),
            Renewed::RanOut => self.lose(Loss::RanOut),
            Renewed::Failed(grant, unanswered) => {
                // The renewal number has risen, and the CAS may have been read anew. Both must be kept.
                self.grant = grant;
                self.is_renewal_open = true;
                Extended::Failed(unanswered)
            }
        }
    }

    fn lose(&mut self, loss: Loss) -> Extended {
        self.status = Status::Lost(loss);
        Extended::Over(self.status)
    }

    /// Whether the lease is held at `now`, and no request is open that could still change the item.
    pub fn may_be_handed_over(&mut self, now: Now) -> bool {
        self.status(now) == Status::Held && !self.is_renewal_open
    }

    /// Gives the lease up. Returns `None` if it was given up before.
    pub fn end(&mut self, now: Now) -> Option<End> {
        let may_be_handed_over = self.may_be_handed_over(now);
        match std::mem::replace(&mut self.status, Status::Released) {
            Status::Released => None,
            Status::Lost(Loss::Taken) => Some(End::Forget),
            Status::Lost(loss) => Some(End::Release(Some(loss))),
            Status::Held if may_be_handed_over => Some(End::HandOver),
            Status::Held => Some(End::Release(None)),
        }
    }
}
