//! What has come about in a run of the checker, counted by transitions. A model in which nothing happens keeps every
//! promise, so each names what has to be reached. The counts are no part of any state.

use std::sync::atomic::{AtomicU64, Ordering};

/// Something worth reaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// A contender heard that it has the lock.
    Grant,
    /// One took over an item whose lease had been watched out, and heard of it.
    TakeOver,
    /// A grant was heard of so late that it was given back.
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
    /// A contender found its own item there, from a write without a reply, and began to clear it away.
    FoundOwnLeftover,
    /// A store was executed that nobody waited for any more.
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
    /// An item was there under the very CAS that a batch of an earlier instance named, and was another's.
    SameCasOnAnotherInstance,
    /// A grant was handed over in memory, and taken.
    HandOver,
    /// What was handed over was too little by the time its taker came, and was given back.
    Spent,
    /// One in line stepped in for a holder, or a taker, that was stopped.
    StepIn,
    /// A taker came when another had stepped in.
    TooLateForTheTurn,
    /// One who was to take a grant left, and it went on to the next.
    PassedOn,
    /// A holder's turn had been taken away when it was done.
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
    /// The server was told that a lease is a short one now.
    Told,
    /// A retry got the lock that was reserved for it.
    Claim,
    /// A retry came too late for it, or could not prove that it has it.
    NoClaim,
    /// The process of a reservation ended.
    Death,
}

/// All of them, in the order of their declaration.
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

/// How often each was reached.
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

    /// What was reached at all, and how often.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (Reached, u64)> {
        let counted = |reached| (reached, self.of(reached));
        ALL.into_iter().map(counted).filter(|(_, count)| *count > 0)
    }
}
