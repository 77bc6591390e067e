//! The outcomes that a run of the checker has reached, counted by transitions. A model in which nothing happens keeps
//! every promise, so each model names the outcomes that it must reach. The counts are not part of any state.

use std::sync::atomic::{AtomicU64, Ordering};

/// Something worth reaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// A contender learned that it has the lock.
    Grant,
    /// A contender took over an item after it had watched its whole lease, and learned of it.
    TakeOver,
    /// A contender learned of its grant so late that it gave the grant back.
    TooLate,
    /// A grant was verified, since its number was not its item's neighbour.
    Verification,
    /// A lease was extended.
    Renewal,
    /// A renewal found its item gone, or another's.
    Loss,
    /// A renewal came too late to be sent.
    RanOut,
    /// A renewal read the item, and went on with another CAS.
    CasReadAnew,
    /// An item was released.
    Release,
    /// A release found its item gone, or another's.
    NothingToRelease,
    /// The keeper deleted what a write without a reply had left behind.
    Cleaned,
    /// A contender found its own item, from a write without a reply, and began to clear it away.
    FoundOwnLeftover,
    /// A store was executed after its sender had given up on it.
    LateStore,
    /// A contender gave up on a server that did not answer.
    GaveUp,
    /// An item was stored by a clock that stood still.
    StoredByStaleClock,
    /// An item expired.
    Expiry,
    /// Two contenders believed in the lock, the first of them excused because the server had lost its state.
    ExcusedBeliever,
    /// A batch was not sent, because it was meant for another instance.
    OtherInstance,
    /// A batch was not sent, because the server had just started.
    TooYoung,
    /// A batch of an earlier instance named a CAS, and another's item was there under that very CAS.
    SameCasOnAnotherInstance,
    /// A grant was handed over in memory, and taken.
    HandOver,
    /// Too little of a grant that was handed over was left when its taker came, and it was given back.
    Spent,
    /// A waiting contender stepped in for a holder, or a taker, that was stopped.
    StepIn,
    /// A taker came after another contender had stepped in.
    TooLateForTheTurn,
    /// A contender left to which a grant was handed over, and the grant passed to the next.
    PassedOn,
    /// A holder was done after its turn had been taken away.
    TurnTakenAway,
    /// A renewal without a reply kept a lock from being handed over.
    DoubtfulRelease,
    /// A holder entered again, without asking the server.
    Reentry,
    /// A holder entered again after a renewal.
    RenewedReentry,
    /// A holder did not enter again, because its lease was lost.
    NoReentry,
    /// A holder kept the lock for its retry.
    Reservation,
    /// The server was told of the shorter lease.
    Told,
    /// A retry got the lock that was reserved for it.
    Claim,
    /// A retry came too late for its reservation, or could not prove that it has the lock.
    NoClaim,
    /// A process with a reservation ended.
    Death,
}

/// All outcomes, in the order of their declaration.
const ALL: [Reached; 35] = [
    Reached::Grant,
    Reached::TakeOver,
    Reached::TooLate,
    Reached::Verification,
    Reached::Renewal,
    Reached::Loss,
    Reached::RanOut,
    Reached::CasReadAnew,
    Reached::Release,
    Reached::NothingToRelease,
    Reached::Cleaned,
    Reached::FoundOwnLeftover,
    Reached::LateStore,
    Reached::GaveUp,
    Reached::StoredByStaleClock,
    Reached::Expiry,
    Reached::ExcusedBeliever,
    Reached::OtherInstance,
    Reached::TooYoung,
    Reached::SameCasOnAnotherInstance,
    Reached::HandOver,
    Reached::Spent,
    Reached::StepIn,
    Reached::TooLateForTheTurn,
    Reached::PassedOn,
    Reached::TurnTakenAway,
    Reached::DoubtfulRelease,
    Reached::Reentry,
    Reached::RenewedReentry,
    Reached::NoReentry,
    Reached::Reservation,
    Reached::Told,
    Reached::Claim,
    Reached::NoClaim,
    Reached::Death,
];

/// How often each outcome was reached.
#[derive(Debug)]
pub(crate) struct Tally([AtomicU64; ALL.len()]);

impl Default for Tally {
    fn default() -> Tally {
        Tally(std::array::from_fn(|_| AtomicU64::default()))
    }
}

impl Tally {
    pub(crate) fn count(&self, reached: Reached) {
        self.0[reached as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, reached: Reached) -> u64 {
        self.0[reached as usize].load(Ordering::Relaxed)
    }

    /// The outcomes that were reached, and how often.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (Reached, u64)> {
        let counted = |reached| (reached, self.of(reached));
        ALL.into_iter().map(counted).filter(|(_, count)| *count > 0)
    }
}
