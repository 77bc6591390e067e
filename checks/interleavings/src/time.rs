//! Virtual time, and who sleeps in it.

use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::protocol::lease::Now;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Virtual time. It stands, unless a scenario moves it.
#[derive(Debug, Default)]
pub(crate) struct Time {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    /// Whether each bell has rung since its owner last slept.
    rung: Vec<bool>,
}

impl Time {
    pub(crate) fn now(&self) -> Now {
        let instant = self.state().now;
        Now { instant, wall: instant }
    }

    /// It is `now` at least.
    pub(crate) fn move_to(&self, now: Duration) {
        let mut state = self.state();
        state.now = state.now.max(now);
        self.changed.notify_all();
    }

    /// Sleeps until then, whatever rings.
    pub(crate) fn pass(&self, until: Duration) {
        drop(self.changed.wait_until(&self.state, |state| state.now >= until));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one sleeper. As with a parked thread: one that is rung while its owner is awake ends the next sleep.
#[derive(Debug, Clone)]
pub(crate) struct Bell(Arc<Rope>);

#[derive(Debug)]
struct Rope {
    time: Arc<Time>,
    index: usize,
}

impl Bell {
    pub(crate) fn new(time: &Arc<Time>) -> Bell {
        let mut state = time.state();
        let index = state.rung.len();
        state.rung.push(false);
        drop(state);
        let time = Arc::clone(time);
        Bell(Arc::new(Rope { time, index }))
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    /// Sleeps until then, or until it is rung.
    pub(crate) fn sleep_until(&self, until: Duration) {
        let Rope { time, index } = &*self.0;
        let is_over = |state: &State| state.rung[*index] || state.now >= until;
        time.changed.wait_until(&time.state, is_over).rung[*index] = false;
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.time.state().rung[self.index] = true;
        self.time.changed.notify_all();
    }
}
