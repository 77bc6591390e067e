//! The store behind `memory:` and [`Locks::in_memory`](crate::Locks::in_memory): a server inside the process. A test
//! can move its clock and switch on faults. It knows nothing of locks.

pub(crate) mod items;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::items::Items;
use super::{Exchanged, Pending, Store};
use crate::key::ItemName;
use crate::protocol::{Instance, Replies, Request, Unanswered, YOUNGEST_SERVER};
use crate::system::clock::{Clock, since_epoch};

/// A server in this process's memory. Locks on it exclude the threads that share it.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<MemoryState>,
    /// How long it takes to answer, in nanoseconds.
    delay: AtomicU64,
    clock: Arc<Clock>,
    /// When it was made, on the monotonic clock.
    origin: Duration,
    /// The server's second at `origin`.
    origin_second: u64,
}

#[derive(Debug)]
struct MemoryState {
    items: Items,
    is_down: bool,
}

impl Memory {
    /// An empty server that is old enough to grant locks, on real time.
    pub fn new() -> Memory {
        Memory::on(Arc::default())
    }

    /// The same, on `clock`, which the caller can move.
    pub(crate) fn on(clock: Arc<Clock>) -> Memory {
        let origin = clock.now().instant;
        let second = since_epoch().as_secs();
        let instance = Instance {
            start: second.saturating_sub(YOUNGEST_SERVER),
            pid: std::process::id(),
        };
        let items = Items::new(instance);
        let state = MemoryState { items, is_down: false };
        Memory {
            state: Mutex::new(state),
            delay: AtomicU64::new(0),
            clock,
            origin,
            origin_second: second,
        }
    }

    /// The server's second at `instant` on the monotonic clock.
    fn second_at(&self, instant: Duration) -> u64 {
        self.origin_second + instant.saturating_sub(self.origin).as_secs()
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        // A panic under the lock leaves a consistent state: every transition ends with a single assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether it is down, so that no request reaches it.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Sets how long it takes to answer.
    pub(crate) fn set_delay(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.delay.store(nanos, Ordering::Release);
    }

    /// Loses `item`.
    pub(crate) fn evict(&self, item: &ItemName) {
        self.state().items.evict(item);
    }

    /// Loses everything and starts again, as another instance that is old enough to grant locks.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        let before = state.items.instance();
        let instance = Instance {
            start: before.start + YOUNGEST_SERVER,
            pid: before.pid.wrapping_add(1),
        };
        state.items.restart(instance);
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl Store for Memory {
    fn exchange(
        &self,
        _: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        let mut state = self.state();
        if state.is_down {
            return failed(None, Unanswered::NotSent, "it is switched off");
        }
        let delay = Duration::from_nanos(self.delay.load(Ordering::Acquire));
        if limit.is_zero() && !delay.is_zero() {
            return failed(None, Unanswered::NotSent, "there was no time left to ask it");
        }
        let instance = state.items.instance();
        if only_on.is_some_and(|only_on| only_on != instance) {
            return failed(Some(instance), Unanswered::OtherInstance, "it was restarted");
        }
        let second = self.second_at(self.clock.now().instant);
        let replies: Replies = batch
            .iter()
            .map(|request| state.items.apply(second, item, request))
            .collect();
        let answer = Exchanged {
            instance: Some(instance),
            replies,
            ..Exchanged::default()
        };
        drop(state);
        if delay.is_zero() {
            return answer;
        }
        // No thread sleeps. The clock moves instead.
        self.clock.advance(delay.min(limit));
        if delay <= limit {
            return answer;
        }
        Exchanged {
            pending: Some(Box::new(Executed(answer))),
            ..failed(Some(instance), Unanswered::Late, "it does not answer in time")
        }
    }

    fn server_name(&self, _: usize) -> &'static str {
        "memory:"
    }

    fn route(&self, _: &ItemName) -> usize {
        0
    }

    fn servers(&self) -> usize {
        1
    }
}

/// An exchange that was executed, with replies too late for its caller.
struct Executed(Exchanged);

impl fmt::Debug for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executed")
    }
}

impl Pending for Executed {
    fn wait(self: Box<Self>, _: Duration) -> Result<Exchanged, Box<dyn Pending>> {
        Ok(self.0)
    }
}

fn failed(instance: Option<Instance>, unanswered: Unanswered, reason: &'static str) -> Exchanged {
    let source = Box::<dyn std::error::Error + Send + Sync>::from(reason);
    Exchanged {
        instance,
        replies: Replies::new(),
        unanswered: Some(unanswered),
        source: Some(source.into()),
        ..Exchanged::default()
    }
}
