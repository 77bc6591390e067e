//! The faults. Each breaks one promise of `docs/safety.md` in the way in which somebody could break it by mistake; none is
//! caught by the compiler.
//!
//! Texts must fit the code exactly, and once. When the code changes so that one no longer fits, change it along: a fault
//! that cannot be made any more goes, and a new decision in the protocol brings one.

mod conflicts;
mod connections;
mod deadlines;
mod doubt;
mod drivers;
mod handing_over;
mod items;
mod line;
mod models;
mod orders;
mod others;
mod reservations;
mod suites;
mod tokens;
mod told;
mod transactions;
mod watching;

pub(super) use suites::{INTERLEAVINGS, MODEL};

/// One deliberate fault.
#[derive(Debug)]
pub(super) struct Mutant {
    pub(super) name: &'static str,
    /// The promise that it breaks.
    pub(super) breaks: &'static str,
    /// What is wrong with the code then.
    pub(super) fault: &'static str,
    pub(super) edits: &'static [Edit],
    /// The tests, at least one of which must fail; and of each model or scenario that is named, its own.
    pub(super) suites: &'static [Suite],
}

/// One text replaced by another.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) file: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

/// Tests of one executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suite {
    /// The package that it belongs to.
    pub(super) package: &'static str,
    /// Where that is.
    pub(super) folder: &'static str,
    /// What tells cargo which executable.
    pub(super) target: &'static [&'static str],
    /// What their names contain.
    pub(super) filter: &'static str,
}

/// All of them.
pub(super) fn mutants() -> impl Iterator<Item = &'static Mutant> {
    [
        deadlines::MUTANTS,
        items::MUTANTS,
        tokens::MUTANTS,
        watching::MUTANTS,
        doubt::MUTANTS,
        drivers::MUTANTS,
        handing_over::MUTANTS,
        orders::MUTANTS,
        models::MUTANTS,
        reservations::MUTANTS,
        conflicts::MUTANTS,
        transactions::MUTANTS,
        line::MUTANTS,
        connections::MUTANTS,
        others::MUTANTS,
        told::MUTANTS,
    ]
    .into_iter()
    .flatten()
}
