//! Linked into every crate on trial: [`key()`] is the key of all its locks, and the counts are reported from here.
//!
//! A key per function would make deadlocks that the crate does not have: two threads, one in `a` that calls `b`, the
//! other in `b` that calls `a`. So no key is ever shared between call trees: a call has either a key that no other
//! call will ever ask for, or the key of the lock that it runs under already, which it then enters again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::{env, fs, process};

use memlock::Locks;

/// The namespace that all attributes on trial name.
const NAME: &str = "transparency";

/// How many calls of the process may take a lock of their own. A real lock costs a round trip or two, and some tests make
/// millions of calls.
const BUDGET: &str = "MEMLOCK_TRANSPARENCY_BUDGET";

/// The folder for the counts, a file for each process.
const REPORT: &str = "MEMLOCK_TRANSPARENCY_REPORT";

static CALLS: AtomicU64 = AtomicU64::new(0);

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let locks = Locks::from_env().expect("MEMLOCK_SERVERS is set as it must be");
    memlock::init(locks.clone()).expect("nothing has used a lock yet: the key is evaluated before it");
    Stage {
        locks,
        budget: env::var(BUDGET)
            .ok()
            .and_then(|budget| budget.parse().ok())
            .unwrap_or(u64::MAX),
        report: env::var(REPORT).ok(),
        writing: Mutex::new(()),
    }
});

struct Stage {
    locks: Locks,
    budget: u64,
    report: Option<String>,
    writing: Mutex<()>,
}

/// The key for one call. `None`, no lock, beyond the budget.
#[must_use]
pub fn key() -> Option<String> {
    let stage = &*STAGE;
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    if call.is_power_of_two() {
        stage.report();
    }
    // A thread that has begun to end reports no more, and may still call.
    let _ = AT_THREADS_END.try_with(|_| ());
    if call >= stage.budget {
        return None;
    }
    // Every second call enters its caller's lock again, where it has one.
    let again = || {
        let (item, _) = memlock::current()?.tokens().next()?;
        let (_, key) = item.split_once(&format!(":{NAME}:"))?;
        Some(key.to_owned())
    };
    let outer = if call % 2 == 1 { again() } else { None };
    Some(outer.unwrap_or_else(|| format!("{}-{call}", process::id())))
}

impl Stage {
    /// Writes down the counts so far. (Nothing runs at the end of a process; but each test has a thread, which ends.)
    fn report(&self) {
        let Some(folder) = &self.report else { return };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.locks.counts();
        let report = format!(
            "{} {} {} {}\n",
            CALLS.load(Ordering::Relaxed),
            counts.acquired,
            counts.soft_runs,
            counts.lost
        );
        // The process may end in the middle of this: so a report is either there, all of it, or the one before is. What is
        // not written is missing in the table, where a zero is a failure.
        let (path, new) = (
            format!("{folder}/{}", process::id()),
            format!("{folder}/{}.new", process::id()),
        );
        let _ = fs::write(&new, report).and_then(|()| fs::rename(new, path));
    }
}

struct ReportsWhenDropped;

impl Drop for ReportsWhenDropped {
    fn drop(&mut self) {
        STAGE.report();
    }
}

thread_local! {
    static AT_THREADS_END: ReportsWhenDropped = const { ReportsWhenDropped };
}
