//! The keeper: one background thread for what must happen although no caller waits for it.
//!
//! *Settling*: a write got no reply. It may have been executed, or be executed later, and leave a lock that nobody
//! holds. A request cannot be recalled, so the keeper goes on listening on its connection, and deletes what it did.
//! *Renewing*: leases that are to be kept alive while their bodies run.
//!
//! The thread starts on first need and ends when it has had nothing to do for a while.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::hold::Hold;
use super::{Core, blocking};
use crate::clock;
use crate::key::ItemName;
use crate::lease::Now;
use crate::protocol::Released;
use crate::store::{Nonce, Pending};

/// How long the thread stays when there is nothing to do.
const IDLE: Duration = Duration::from_secs(5);

/// How long it listens for one late reply before it sees to the others.
const LISTEN: Duration = Duration::from_millis(5);

/// When it first looks again after something that could not be settled; doubled each time up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// Settling is to be done within 100 ms of the server's being back.
const LONGEST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest that one exchange of the keeper's may take: others wait behind it.
const EXCHANGE_LIMIT: Duration = Duration::from_millis(100);

/// For how long it tries. By then waiters will have taken the lock over by watching, and memcached forgotten it, for
/// all but the longest leases.
const PERSISTENCE: Duration = Duration::from_mins(10);

/// A handle to the thread, which exists only while there is work.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    agenda: Mutex<Agenda>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Agenda {
    entries: BinaryHeap<Reverse<Entry>>,
    is_running: bool,
}

/// A task and when it is due, on the monotonic clock.
#[derive(Debug)]
struct Entry {
    due: Duration,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Settle(Settle),
    Renew(Renewal),
}

/// A write to be settled.
#[derive(Debug)]
struct Settle {
    core: Arc<Core>,
    item: ItemName,
    nonce: Nonce,
    pending: Option<Box<dyn Pending>>,
    /// Whether the write can no longer be executed.
    is_over: bool,
    began: Now,
    backoff: Duration,
}

/// A lease to be kept alive.
#[derive(Debug)]
struct Renewal {
    hold: Weak<Hold>,
    began: Now,
    /// How long to keep it alive; `None` as long as it is held.
    limit: Option<Duration>,
}

impl Keeper {
    /// Finds out what became of a write under `nonce`, and deletes what it left behind. `pending` is the connection on
    /// which its reply may still come.
    pub(super) fn settle(&self, core: &Arc<Core>, item: &ItemName, nonce: Nonce, pending: Option<Box<dyn Pending>>) {
        let began = clock::now();
        let (core, item) = (Arc::clone(core), item.clone());
        let settle = Settle {
            core,
            item,
            nonce,
            pending,
            is_over: false,
            began,
            backoff: FIRST_BACKOFF,
        };
        self.add(Entry {
            due: began.instant,
            task: Task::Settle(settle),
        });
    }

    /// Extends the lease of `hold` at each third of it, until it is released or lost, or `limit` is over.
    pub(crate) fn renew(&self, hold: &Arc<Hold>, limit: Option<Duration>) {
        let renewal = Renewal {
            hold: Arc::downgrade(hold),
            began: clock::now(),
            limit,
        };
        let due = renewal.began.instant + hold.spec().timeout / 3;
        self.add(Entry {
            due,
            task: Task::Renew(renewal),
        });
    }

    fn add(&self, entry: Entry) {
        let mut agenda = self.shared.agenda();
        agenda.entries.push(Reverse(entry));
        if !agenda.is_running {
            let shared = Arc::clone(&self.shared);
            let spawned = thread::Builder::new()
                .name("memlock-keeper".to_owned())
                .spawn(move || shared.work());
            match spawned {
                Ok(_) => agenda.is_running = true,
                // The task stays on the agenda, for the next one's thread.
                Err(error) => tracing::error!(target: "memlock", %error, "no thread for background work"),
            }
        }
        drop(agenda);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's life.
    fn work(&self) {
        while let Some(task) = self.next() {
            let again = match task {
                Task::Settle(settle) => settle.attempt(),
                Task::Renew(renewal) => renewal.attempt(),
            };
            if let Some(entry) = again {
                self.agenda().entries.push(Reverse(entry));
            }
        }
    }

    /// Waits for the next task that is due; `None` when there has long been none.
    fn next(&self) -> Option<Task> {
        let mut agenda = self.agenda();
        loop {
            let now = clock::now().instant;
            let rest = match agenda.entries.peek() {
                Some(Reverse(entry)) if entry.due <= now => {
                    return agenda.entries.pop().map(|Reverse(entry)| entry.task);
                }
                Some(Reverse(entry)) => entry.due.saturating_sub(now),
                None => IDLE,
            };
            let was_empty = agenda.entries.is_empty();
            let waited = self
                .changed
                .wait_timeout(agenda, rest)
                .unwrap_or_else(PoisonError::into_inner);
            agenda = waited.0;
            if was_empty && agenda.entries.is_empty() && waited.1.timed_out() {
                agenda.is_running = false;
                return None;
            }
        }
    }
}

impl Settle {
    /// Listens for the late reply, then reads the item and deletes it if it is this write's. `Some`: to be tried again.
    fn attempt(mut self) -> Option<Entry> {
        if let Some(pending) = self.pending.take() {
            match pending.wait(LISTEN) {
                // Whatever it said: the write is over now, and reading tells the rest.
                Ok(_) => self.is_over = true,
                Err(pending) => {
                    self.pending = Some(pending);
                    return self.again();
                }
            }
        }
        match blocking::clean(&self.core, &self.item, self.nonce, EXCHANGE_LIMIT) {
            Released::Gone if !self.is_over => {
                // Nobody listens for this write any more, and the server may have been just about to execute it.
                self.is_over = true;
                self.backoff = LONGEST_BACKOFF;
                self.again()
            }
            Released::Released | Released::Gone => None,
            Released::Failed(_) => self.again(),
        }
    }

    fn again(mut self) -> Option<Entry> {
        let now = clock::now();
        if now.instant.saturating_sub(self.began.instant) > PERSISTENCE {
            tracing::warn!(target: "memlock", lock = %self.item, "gave up cleaning up after a lost reply; the lease will end it");
            return None;
        }
        let due = now.instant + self.backoff;
        self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
        Some(Entry {
            due,
            task: Task::Settle(self),
        })
    }
}

impl Renewal {
    fn attempt(self) -> Option<Entry> {
        let hold = self.hold.upgrade()?;
        let now = clock::now();
        if hold.is_released() || self.limit.is_some_and(|limit| now.since(self.began) >= limit) {
            return None;
        }
        let third = hold.spec().timeout / 3;
        let due = match hold.renew() {
            Ok(()) => now.instant + third,
            Err(error) if error.is_lost() => {
                if !hold.is_released() {
                    tracing::warn!(target: "memlock", %error, "a lease that was to be kept alive is lost");
                }
                return None;
            }
            // The old deadline stands: try again soon, several times before it passes.
            Err(_) => clock::now().instant + third / 8,
        };
        Some(Entry {
            due,
            task: Task::Renew(self),
        })
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.due == other.due
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}
