//! The faults, one for each promise of `docs/safety.md` and each decision of the protocol. Each is a change that
//! somebody could make by mistake, and that the compiler does not catch. The head of the crate says how to add one.

mod addresses;
mod calls;
mod deadlines;
mod forks;
mod handing_over;
mod lost_replies;
mod names_and_texts;
mod ownership;
mod queue;
mod renewals;
mod reservations;
mod suites;
mod tokens;
mod transactions;
mod wait_list;
mod watching;

pub(crate) use suites::{INTERLEAVINGS, MODEL};

/// One deliberate fault: one text of the runtime's source, replaced by another.
#[derive(Debug)]
pub(crate) struct Mutant {
    /// What is wrong with the code then.
    pub(crate) name: &'static str,
    /// The promises of `docs/safety.md` that it breaks, separated by spaces.
    pub(crate) breaks: &'static str,
    /// The rule that it breaks.
    pub(crate) decision: &'static str,
    /// The file, below `memlock-runtime/src`.
    pub(crate) file: &'static str,
    /// Must stand in the file once.
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// At least one test of these must fail, and each of the model or the interleavings must.
    pub(crate) suites: &'static [Suite],
}

/// Some tests of one executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suite {
    /// The executable's package.
    pub(crate) package: &'static str,
    /// The package's folder.
    pub(crate) folder: &'static str,
    /// The arguments that tell cargo which executable.
    pub(crate) target: &'static [&'static str],
    /// A part of the names of the tests.
    pub(crate) filter: &'static str,
}

/// All of them.
pub(crate) fn mutants() -> impl Iterator<Item = &'static Mutant> {
    [
        addresses::MUTANTS,
        deadlines::MUTANTS,
        tokens::MUTANTS,
        watching::MUTANTS,
        ownership::MUTANTS,
        lost_replies::MUTANTS,
        forks::MUTANTS,
        renewals::MUTANTS,
        handing_over::MUTANTS,
        queue::MUTANTS,
        wait_list::MUTANTS,
        reservations::MUTANTS,
        transactions::MUTANTS,
        calls::MUTANTS,
        names_and_texts::MUTANTS,
    ]
    .into_iter()
    .flatten()
}
