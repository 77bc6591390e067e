//! `zlock` and transactions.

use super::Mutant;
use super::suites::zlock;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "body-runs-after-its-wait",
        breaks: "Z3",
        decision: "A zlock's body that had to wait is not run: its caller has read old data, and gets a conflict.",
        file: "transaction/zlock.rs",
        from: "Ok(kept) => kept.reserve_within(&retry, Some(self.call.limits.asking)).await,",
        to: "Ok(kept) => return Ok(BodyLocks::Own(kept, Some(retry))),",
        suites: &[zlock("alone::")],
    },
    Mutant {
        name: "released-with-the-function",
        breaks: "Z2",
        decision: "A transaction's locks are held until its closure has returned.",
        file: "transaction/zlock.rs",
        from: "Ok(BodyLocks::Lent(Lease::new(locks)))",
        to: "Ok(BodyLocks::Own(HeldSet::of(locks, self.call.caller), None))",
        suites: &[zlock("transactions::locks_are_held")],
    },
    Mutant {
        name: "waits-inside-of-a-transaction",
        breaks: "Z2",
        decision: "Nothing waits inside of a transaction: a lock that another holds is a conflict at once.",
        file: "transaction/zlock.rs",
        from: "return Err(conflict(Some(item), holder, Duration::ZERO));",
        to: "drop(self.call.acquire_all(std::slice::from_ref(item)).await?);
                return Err(conflict(Some(item), holder, Duration::ZERO));",
        suites: &[zlock("transactions::inside_it_is")],
    },
    Mutant {
        name: "locks-taken-in-the-order-of-meeting",
        breaks: "Z2",
        decision: "All transactions take their locks in one order.",
        file: "call_tree/scope.rs",
        from: "locks.insert(place, lock);",
        to: "let _ = place;
                locks.push(lock);",
        suites: &[zlock("transactions::while_it_waits")],
    },
    Mutant {
        name: "later-locks-held-during-a-wait",
        breaks: "Z2",
        decision: "A transaction that waits for a lock holds only locks that come before it.",
        file: "transaction/mod.rs",
        from: "            self.release_all().await;",
        to: "",
        suites: &[zlock("transactions::while_it_waits")],
    },
    Mutant {
        name: "conflict-with-itself",
        breaks: "Z2",
        decision: "Of two functions of a transaction that ask for the same lock at once, the second waits for the first.",
        file: "call_tree/scope.rs",
        from: "Arc::clone(asking.entry(item.clone()).or_default())",
        to: "let _ = (&mut asking, item);
        Arc::default()",
        suites: &[zlock("siblings::threads")],
    },
    Mutant {
        name: "run-again-after-ok",
        breaks: "Z2",
        decision: "A closure that has returned `Ok` is not run again.",
        file: "transaction/mod.rs",
        from: "returned => returned,",
        to: "Ok(_) if attempts == 1 => return None,
            returned => returned,",
        suites: &[zlock("transactions::locks_are_held")],
    },
];
