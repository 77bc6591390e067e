//! Renews a lease by compare-and-set of the same grant with a higher renewal number. It never creates an item.
//!
//! A renewal extends a lease, or shortens it to a *reservation*. Invariant: the renewal number rises with every
//! *attempt*. So a watcher that has seen a number never sees it again with another meaning, even if replies were lost.
//!
//! ```text
//!  Start ► Writing ── stored ► Renewed          (item gone or another's ► Lost, deadline passed ► RanOut)
//!             ▲ └── another CAS, another instance, refused ► Reading ── own nonce ─┐
//!             └──────────────────────────────────────────────────────────────────────┘
//! ```

use smallvec::smallvec;

use super::grant::Grant;
use super::lease::{Now, ttl_of};
use super::machine::{Exchanged, Input, Output, RETRIES, lock_of};
use super::messages::{Record, Reply, Request, Unanswered};
use super::spec::Spec;

/// How a renewal ended, and the grant as it stands now. In `Failed` the grant's renewal number has risen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Renewed {
    /// The renewal is in the item.
    Renewed(Grant),
    /// The lease is over: the item is gone or another's.
    Lost,
    /// The lease is over: its deadline passed before it could be extended. The item may still be this grant's.
    RanOut,
    /// Nothing was learned. The old deadline stands, and the renewal may be tried again.
    Failed(Grant, Unanswered),
}

/// The lease that the item says after the renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Aim {
    /// The lease that the spec asks for, counted from now, or the longer one that the item says already.
    Extend,
    /// Only the timeout that the spec asks for, so that watchers wait no longer than that. The grant was
    /// [reserved](Grant::reserve) before, so nobody believes in more.
    Shorten,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RenewState {
    Ready,
    /// `[clock, compare-and-set]` is out.
    Writing,
    /// `[read]` is out.
    Reading,
    Done,
}

/// The machine. See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Renew {
    spec: Spec,
    grant: Grant,
    aim: Aim,
    state: RenewState,
    reads: u8,
}

impl Renew {
    /// Returns a machine that renews `grant` for `spec`.
    pub fn new(spec: Spec, grant: Grant) -> Renew {
        Renew::with_aim(Aim::Extend, spec, grant)
    }

    /// Returns a machine that shortens the lease in the item to the timeout of `spec`, for which `grant` was
    /// [reserved](Grant::reserve). The grant's deadline stays as it is.
    pub fn shorten(spec: Spec, grant: Grant) -> Renew {
        Renew::with_aim(Aim::Shorten, spec, grant)
    }

    fn with_aim(aim: Aim, spec: Spec, grant: Grant) -> Renew {
        Renew {
            spec,
            grant,
            aim,
            state: RenewState::Ready,
            reads: 0,
        }
    }

    /// Makes the next move.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "an input moves a machine once, and is used up"
    )]
    pub fn step(&mut self, now: Now, input: Input) -> Output<Renewed> {
        match (self.state, &input) {
            (RenewState::Ready, Input::Start) => self.write(now),

            (RenewState::Writing, Input::Exchanged(answered)) => match (answered.reply(1), answered.instance) {
                (Some(Reply::Stored(cas)), Some(instance)) => {
                    self.grant.cas = *cas;
                    self.grant.instance = instance;
                    match self.aim {
                        Aim::Extend => self.extend(now, answered),
                        Aim::Shorten => self.grant.lease = self.spec.timeout,
                    }
                    self.end(Renewed::Renewed(self.grant.clone()))
                }
                (Some(Reply::Missing), _) => self.end(Renewed::Lost),
                // A refused store may have deleted the item. A different CAS may come from the server's renumbering.
                (Some(Reply::Exists | Reply::Refused(_)), _) => self.read(),
                _ if answered.why_unanswered() == Unanswered::OtherInstance => self.read(),
                _ => self.fail(answered),
            },

            (RenewState::Reading, Input::Exchanged(answered)) => match (answered.reply(0), answered.instance) {
                (Some(Reply::Missing), _) => self.end(Renewed::Lost),
                (Some(Reply::Item { content, cas }), Some(instance)) => match lock_of(&self.spec.item, content) {
                    Some(record) if record.nonce == self.grant.nonce => {
                        self.grant.cas = *cas;
                        self.grant.instance = instance;
                        self.write(now)
                    }
                    _ => self.end(Renewed::Lost),
                },
                _ => self.fail(answered),
            },

            _ => self.end(Renewed::Failed(self.grant.clone(), Unanswered::NotSent)),
        }
    }

    fn write(&mut self, now: Now) -> Output<Renewed> {
        // The holder may already have given up a lease whose deadline has passed, so such a lease is not renewed.
        if self.grant.deadline.has_passed(now) {
            return self.end(Renewed::RanOut);
        }
        self.state = RenewState::Writing;
        self.grant.renewals += 1;
        let lease = match self.aim {
            // The grant may have been made for a longer timeout than its present holder's. Its lease does not get
            // shorter, so that an earlier deadline stays true whatever the outcome of this renewal.
            Aim::Extend => {
                self.grant.lease = self.grant.lease.max(self.spec.lease());
                self.grant.lease
            }
            // The grant keeps the longer lease until the shorter one is known to be stored, because the waiters of this
            // process watch by it.
            Aim::Shorten => self.spec.timeout,
        };
        self.grant.ttl = self.grant.ttl.max(ttl_of(lease));
        let record = Record {
            lease,
            renewal: self.grant.renewals,
            ..self.spec.record(self.grant.nonce, self.spec.lengths())
        };
        let replace = Request::Replace {
            record,
            ttl: self.grant.ttl,
            cas: self.grant.cas,
        };
        Output::Exchange {
            batch: smallvec![Request::ReadClock, replace],
            only_on: Some(self.grant.instance),
        }
    }

    fn read(&mut self) -> Output<Renewed> {
        self.reads += 1;
        if self.reads > RETRIES {
            return self.end(Renewed::Failed(self.grant.clone(), Unanswered::Contradicted));
        }
        self.state = RenewState::Reading;
        Output::Exchange {
            batch: smallvec![Request::Read],
            only_on: None,
        }
    }

    /// Extends the deadline and the end of the grant. Both the old and the new ones hold, since the server's expiry
    /// only moves forward; the later one counts.
    fn extend(&mut self, now: Now, answered: &Exchanged) {
        let end = answered.end_of(self.grant.lease, ttl_of(self.grant.lease));
        let deadline = end.of_holder(answered.sent, self.spec.timeout);
        self.grant.end = self.grant.end.or_later(end, now);
        self.grant.deadline = self.grant.deadline.or_later(deadline, now);
    }

    fn fail(&mut self, answered: &Exchanged) -> Output<Renewed> {
        self.end(Renewed::Failed(self.grant.clone(), answered.why_unanswered()))
    }

    fn end(&mut self, outcome: Renewed) -> Output<Renewed> {
        self.state = RenewState::Done;
        Output::Done(outcome)
    }
}
