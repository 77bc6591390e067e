//! The keeper: one background thread a server, for what must happen although no caller waits for it.
//!
//! *Renewing*: leases that are to be kept alive while their bodies run. *Settling*: a write got no reply. It may have been
//! executed, or be executed later, and leave a lock that nobody holds. A request cannot be recalled, so the keeper goes on
//! listening on its connection, and deletes what it did.
//!
//! A thread starts on first need and ends when it has had nothing to do for a while. Each server has its own, so that one
//! that hangs holds up nothing but what concerns it.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::hold::Hold;
use super::{Core, blocking};
use crate::clock::Clock;
use crate::key::ItemName;
use crate::lease::{Now, ttl_of};
use crate::protocol::{Released, Spec};
use crate::store::{Nonce, Pending};

/// How long a thread stays when there is nothing to do.
const IDLE: Duration = Duration::from_secs(5);

/// How long it listens for one late reply before it sees to the others.
const LISTEN: Duration = Duration::from_millis(5);

/// When it first looks again after something that could not be settled; doubled each time up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// Settling is to be done within 100 ms of the server's being back.
const LONGEST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest that it goes without looking for an item whose write's reply is late.
const LONGEST_DISTANCE: Duration = Duration::from_secs(1);

/// For how long it listens for a late reply. A server that has not answered by then is not going to.
const LONGEST_LISTENING: Duration = Duration::from_mins(10);

/// A handle to one server's thread, which exists only while there is work.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<Clock>,
    agenda: Mutex<Agenda>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Agenda {
    renewals: BinaryHeap<Reverse<Entry<Renewal>>>,
    settles: BinaryHeap<Reverse<Entry<Settle>>>,
    is_running: bool,
}

/// A task and when it is due, on the monotonic clock.
#[derive(Debug)]
struct Entry<T> {
    due: Duration,
    task: T,
}

#[derive(Debug)]
enum Task {
    Renew(Renewal),
    Settle(Settle),
}

/// A lease to be kept alive.
#[derive(Debug)]
struct Renewal {
    hold: Weak<Hold>,
    began: Now,
    /// How long to keep it alive; `None` as long as it is held.
    limit: Option<Duration>,
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
    /// How long an item lives that it makes.
    ttl: Duration,
    /// When to give up, on the monotonic clock: by then the server has forgotten the item.
    until: Duration,
    backoff: Duration,
    /// When to look for the item although its write's reply is still listened for, and how long after that again.
    next_look: Duration,
    distance: Duration,
}

impl Keeper {
    /// A keeper that goes by `clock`.
    pub(super) fn new(clock: Arc<Clock>) -> Keeper {
        let shared = Shared {
            clock,
            agenda: Mutex::default(),
            changed: Condvar::new(),
        };
        Keeper {
            shared: Arc::new(shared),
        }
    }

    /// The clock was moved.
    pub(super) fn wake(&self) {
        // Holding the lock, so that a thread between looking at the clock and waiting is not missed.
        let _agenda = self.shared.agenda();
        self.shared.changed.notify_one();
    }

    /// Extends the lease of `hold` at each third of it, until it is released or lost, or `limit` is over.
    pub(crate) fn renew(&self, hold: &Arc<Hold>, limit: Option<Duration>) {
        let task = Renewal {
            hold: Arc::downgrade(hold),
            began: hold.core().now(),
            limit,
        };
        let due = task.began.instant + hold.spec().timeout / 3;
        self.add(|agenda| agenda.renewals.push(Reverse(Entry { due, task })));
    }

    /// Finds out what became of a write under `nonce`, and deletes what it left behind. `pending` is the connection on
    /// which its reply may still come.
    pub(super) fn settle(&self, core: &Arc<Core>, spec: &Spec, nonce: Nonce, pending: Option<Box<dyn Pending>>) {
        let due = core.now().instant;
        let ttl = Duration::from_secs(ttl_of(spec.timeout).into());
        let task = Settle {
            core: Arc::clone(core),
            item: spec.item.clone(),
            nonce,
            is_over: false,
            ttl,
            until: due + if pending.is_some() { LONGEST_LISTENING } else { ttl },
            pending,
            backoff: FIRST_BACKOFF,
            next_look: due,
            distance: FIRST_BACKOFF,
        };
        self.add(|agenda| agenda.settles.push(Reverse(Entry { due, task })));
    }

    fn add(&self, add: impl FnOnce(&mut Agenda)) {
        let mut agenda = self.shared.agenda();
        add(&mut agenda);
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
        // Whatever ends the thread, the next task starts another.
        let _running = Running(self);
        while let Some(task) = self.next() {
            // A panic (in somebody's log subscriber, say) ends the task it meets, and not all background work for good.
            let again = panic::catch_unwind(AssertUnwindSafe(|| match task {
                Task::Renew(renewal) => renewal.attempt().map(Again::Renew),
                Task::Settle(settle) => settle.attempt().map(Again::Settle),
            }));
            match again.unwrap_or_default() {
                Some(Again::Renew(entry)) => self.agenda().renewals.push(Reverse(entry)),
                Some(Again::Settle(entry)) => self.agenda().settles.push(Reverse(entry)),
                None => {}
            }
        }
    }

    /// Waits for the next task that is due; `None` when there has long been none. Renewals go first: a lease has an end.
    fn next(&self) -> Option<Task> {
        let mut agenda = self.agenda();
        loop {
            let now = self.clock.now().instant;
            if let Some(renewal) = pop_due(&mut agenda.renewals, now) {
                return Some(Task::Renew(renewal));
            }
            if let Some(settle) = pop_due(&mut agenda.settles, now) {
                return Some(Task::Settle(settle));
            }
            let dues = [
                agenda.renewals.peek().map(|Reverse(entry)| entry.due),
                agenda.settles.peek().map(|Reverse(entry)| entry.due),
            ];
            let due = dues.into_iter().flatten().min();
            let rest = due.map_or(IDLE, |due| due.saturating_sub(now));
            let (woken, timeout) = self
                .changed
                .wait_timeout(agenda, rest)
                .unwrap_or_else(PoisonError::into_inner);
            agenda = woken;
            if due.is_none() && agenda.is_empty() && timeout.timed_out() {
                // Under the lock, so that a task that is added from now on starts another thread.
                agenda.is_running = false;
                return None;
            }
        }
    }
}

impl Agenda {
    fn is_empty(&self) -> bool {
        self.renewals.is_empty() && self.settles.is_empty()
    }
}

fn pop_due<T>(entries: &mut BinaryHeap<Reverse<Entry<T>>>, now: Duration) -> Option<T> {
    entries.peek().filter(|Reverse(entry)| entry.due <= now)?;
    entries.pop().map(|Reverse(entry)| entry.task)
}

/// What is to be tried again.
enum Again {
    Renew(Entry<Renewal>),
    Settle(Entry<Settle>),
}

/// The thread that works on an agenda. Its end is noted there, however it comes.
struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.agenda().is_running = false;
        }
    }
}

impl Renewal {
    fn attempt(self) -> Option<Entry<Renewal>> {
        let hold = self.hold.upgrade()?;
        let now = hold.core().now();
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
            Err(_) => hold.core().now().instant + third / 8,
        };
        Some(Entry { due, task: self })
    }
}

impl Settle {
    /// Listens for the late reply, and reads the item and deletes it if it is this write's. `Some`: to be tried again.
    fn attempt(mut self) -> Option<Entry<Settle>> {
        if let Some(pending) = self.pending.take() {
            match pending.wait(LISTEN) {
                // Whatever it said: the write is over now, and reading tells the rest.
                Ok(_) => {
                    self.is_over = true;
                    self.until = self.core.now().instant + self.ttl;
                }
                Err(pending) => self.pending = Some(pending),
            }
        }
        if self.pending.is_some() && self.core.now().instant < self.next_look {
            return self.again();
        }
        match blocking::clean(&self.core, &self.item, self.nonce) {
            // Seen and deleted: a write is executed once, so this one is settled, whatever is still to be heard.
            Released::Released => return None,
            // It may be executed yet. Meanwhile the connection may be silent for ever, and the server be well: so it is
            // not only listened for, but also looked for on another, at growing distances.
            Released::Gone | Released::Failed(_) if self.pending.is_some() => {
                self.next_look = self.core.now().instant + self.distance;
                self.distance = (self.distance * 2).min(LONGEST_DISTANCE);
            }
            Released::Gone if self.is_over => return None,
            Released::Gone => {
                // Nobody listens for this write any more, and the server may have been just about to execute it.
                self.is_over = true;
                self.backoff = LONGEST_BACKOFF;
            }
            Released::Failed(_) => {}
        }
        self.again()
    }

    fn again(mut self) -> Option<Entry<Settle>> {
        let now = self.core.now().instant;
        if now > self.until {
            tracing::warn!(target: "memlock", lock = %self.item, "gave up cleaning up after a lost reply; its lease ends it");
            return None;
        }
        let due = now + self.backoff;
        self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
        Some(Entry { due, task: self })
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Entry<T>) -> bool {
        self.due == other.due
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Entry<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Entry<T>) -> Ordering {
        self.due.cmp(&other.due)
    }
}
