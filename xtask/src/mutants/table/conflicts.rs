//! Conflicts.

use super::suites::{DRIVER, unit, zlock};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "conflict-releases",
        breaks: "Z1",
        fault: "a body that ends in a conflict gives its lock up",
        edits: &[Edit {
            file: "attribute/held.rs",
            from: "if !is_conflict || !self.owns {",
            to: "if is_conflict || !self.owns {",
        }],
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "conflict-of-a-task-releases",
        breaks: "Z1",
        fault: "the same for a task",
        edits: &[Edit {
            file: "attribute/held.rs",
            from: "*this.release = Some(held.reserve()),",
            to: "*this.release = held.release(),",
        }],
        suites: &[zlock("alone_async::")],
    },
    Mutant {
        name: "contention-runs-the-body",
        breaks: "Z3",
        fault: "a body that had to wait runs, with what its caller has read before",
        edits: &[Edit {
            file: "transaction/zlock.rs",
            from: "\
        on_thread::block_on(lease.reserve_within(&zlock.locks.retry(zlock.reserve), owner, limit));
        return Err(zlock.conflict(&asked, zlock.items.first(), holder));",
            to: "\
        let _ = (owner, holder);
        return Ok((lease, true));",
        }],
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "zlock-outlasts-its-wait",
        breaks: "L2",
        fault: "the claim of a zlock's reservations takes as long as exchanges may, however short the wait",
        edits: &[Edit {
            file: "hold/reservation/kept.rs",
            from: "let exchanging = self.exchange_alone_async(limit).await?;",
            to: "let (exchanging, limit) = (self.exchange_alone_async(limit).await?, self.core().each_exchange());",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "transparent-conflict-missed",
        breaks: "Z3",
        fault: "a conflict below an error that passes on only its sources is not known",
        edits: &[Edit {
            file: "error/conflict.rs",
            from: "error.is::<HeldByAnother>() || error.is::<LastConflict>() || is_conflict_of_a_database(error)",
            to: "is_conflict_of_a_database(error)",
        }],
        suites: &[unit("conflict::")],
    },
];
