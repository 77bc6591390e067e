//! Transactions.

use super::suites::zlock;
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "released-with-the-function",
        breaks: "Z2",
        fault: "a transaction's lock is given up when the function returns, before the commit",
        edits: &[Edit {
            file: "transaction/zlock.rs",
            from: "Ok((lease, self.zlock.scope.is_none()))",
            to: "Ok((lease, true))",
        }],
        suites: &[zlock("transactions::locks_are_held")],
    },
    Mutant {
        name: "waits-in-a-transaction",
        breaks: "Z2",
        fault: "a function waits for its lock while its caller's database transaction is open",
        edits: &[Edit {
            file: "transaction/zlock.rs",
            from: "\
        if zlock.scope.is_some() {
            return Err(got.met_by_another(&asked, item));
        }
        let holder = got.give_up();
        let (order, now) = (zlock.for_a_retry(), zlock.locks.core().now());
        let lease",
            to: "\
        let holder = got.give_up();
        let (order, now) = (zlock.for_a_retry(), zlock.locks.core().now());
        let lease",
        }],
        suites: &[zlock("transactions::inside_it_is")],
    },
    Mutant {
        name: "locks-taken-as-they-were-met",
        breaks: "Z2",
        fault: "a transaction takes its locks in the order in which it met them, and another in the reverse",
        edits: &[Edit {
            file: "call_tree/scope.rs",
            from: "met.insert(place, lock);",
            to: "\
let _ = place;
                met.push(lock);",
        }],
        suites: &[zlock("transactions::while_it_waits")],
    },
    Mutant {
        name: "holds-while-it-waits",
        breaks: "Z2",
        fault: "a transaction waits for a lock and holds what comes after it",
        edits: &[Edit {
            file: "transaction/mod.rs",
            from: "\
            self.release_all().await;
            if self.takes",
            to: "            if self.takes",
        }],
        suites: &[zlock("transactions::while_it_waits")],
    },
    Mutant {
        name: "run-again-after-ok",
        breaks: "Z2",
        fault: "a transaction that is committed is run again",
        edits: &[Edit {
            file: "transaction/mod.rs",
            from: "            returned => Some(returned),",
            to: "\
            Ok(_) if attempt == 1 => None,
            returned => Some(returned),",
        }],
        suites: &[zlock("transactions::locks_are_held")],
    },
    Mutant {
        name: "panic-leaves-locks",
        breaks: "Z2",
        fault: "a closure that panics leaves its locks to the end of their leases",
        edits: &[Edit {
            file: "transaction/mod.rs",
            from: "Releases::Here => held.iter().for_each(|hold| hold.release()),",
            to: "Releases::Here => held.into_iter().for_each(std::mem::forget),",
        }],
        suites: &[zlock("transactions::a_panic")],
    },
    Mutant {
        name: "dropped-transaction-leaves-locks",
        breaks: "Z2",
        fault: "a future that is dropped in between does",
        edits: &[Edit {
            file: "transaction/mod.rs",
            from: "Releases::InBackground => drop(Rest(held)),",
            to: "Releases::InBackground => held.into_iter().for_each(std::mem::forget),",
        }],
        suites: &[zlock("transactions::a_future_that_is_dropped")],
    },
    Mutant {
        name: "conflict-gives-up-what-is-held",
        breaks: "Z2",
        fault: "a conflict about one of several keys releases those that the transaction holds",
        edits: &[Edit {
            file: "call_tree/scope.rs",
            from: "\
            Ok(known) if lock.hold.is_none() && met[known].held().is_some() => None,
",
            to: "",
        }],
        suites: &[zlock("transactions::a_conflict_about")],
    },
    Mutant {
        name: "own-lock-waited-for",
        breaks: "Z2",
        fault: "a transaction waits for a lock that the function holds in which it runs",
        edits: &[Edit {
            file: "transaction/zlock.rs",
            from: "\
let found = current::find(self.zlock.outer, self.zlock.locks.core(), item);
        let is_there = found.is_some();
        self.holds.extend(found.map(|found| found.hold));",
            to: "\
let found = self
            .zlock
            .scope
            .as_ref()
            .and_then(|scope| scope.find(self.zlock.locks.core(), item));
        let is_there = found.is_some();
        self.holds.extend(found);",
        }],
        suites: &[zlock("transactions::what_an_outer")],
    },
];
