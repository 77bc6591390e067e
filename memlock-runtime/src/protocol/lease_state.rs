//! One hold on a lock, from the grant until it is given up: how long its holder believes in it, and what becomes of it.
//!
//! It is what decides in the driver's `HeldLock`, without its clock and its locks. Whoever drives it asks it before each use of
//! the grant, and tells it what renewals came to.

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
    /// The item is gone or another's.
    Taken,
}

/// How a hold fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It may be believed in.
    Held,
    /// Once lost, always lost: a caller may already have acted on it.
    Lost(Loss),
    /// It was given up.
    Released,
}

/// What a renewal came to for its hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extended {
    /// The lease was extended.
    Yes,
    /// Nothing was learned, and the old deadline stands.
    Failed(Unanswered),
    /// It is not held any more, whatever the renewal came to.
    Over(Status),
}

/// What is to become of a hold that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// It may be handed over in this process, if that is possible; else it is to be released.
    HandOver,
    /// It is to be released, and was lost before that for this reason, if it was.
    Release(Option<Loss>),
    /// Its item is not its own any more: there is nothing to be done.
    Forget,
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseState {
    grant: Grant,
    status: Status,
    /// Whether the last renewal got no reply: it may be executed yet, so the grant is not handed over.
    is_renewal_open: bool,
}

impl LeaseState {
    /// A lock that was granted by the server, or handed over.
    pub fn new(grant: Grant) -> LeaseState {
        LeaseState {
            grant,
            status: Status::Held,
            is_renewal_open: false,
        }
    }

    /// The grant as it now stands, lost or not.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// How it fared when it was last asked about.
    pub fn last_status(&self) -> Status {
        self.status
    }

    /// How it fares: notices that the deadline has passed.
    pub fn status(&mut self, now: Now) -> Status {
        if self.status == Status::Held && self.grant.deadline.has_passed(now) {
            self.status = Status::Lost(Loss::RanOut);
        }
        self.status
    }

    /// How much of the lease is left; zero once it is lost or released.
    pub fn remaining(&mut self, now: Now) -> Duration {
        match self.status(now) {
            Status::Held => self.grant.deadline.remaining(now),
            Status::Lost(_) | Status::Released => Duration::ZERO,
        }
    }

    /// Whether as much is left as one who enters again, or waits for another lock meanwhile, is to find. Otherwise it is to
    /// be renewed first; a failure of that is none as long as the lease lasts.
    pub fn has_half(&mut self, timeout: Duration, now: Now) -> bool {
        self.remaining(now) >= timeout / 2
    }

    /// Takes note of what a renewal of [`grant`](Self::grant) came to.
    pub fn renewed(&mut self, renewed: Renewed) -> Extended {
        if self.status != Status::Held {
            // Somebody has been told meanwhile that it is lost (or it was released), and acts on that.
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
                // The number of attempts has risen, and the CAS may have been read anew: both must be kept.
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

    /// Whether it is held at `now`, and nothing is under way that could still change what the server has.
    pub fn may_be_handed_over(&mut self, now: Now) -> bool {
        self.status(now) == Status::Held && !self.is_renewal_open
    }

    /// Gives it up. `None` when it was given up before.
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
