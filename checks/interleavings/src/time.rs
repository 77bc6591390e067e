//! Virtual time, and the threads that sleep in it.

use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::protocol::lease::Now;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Virtual time. It stands still unless a scenario moves it.
#[derive(Debug, Default)]
pub(crate) struct Time {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    /// For each alarm, whether it was woken since its owner last slept.
    woken: Vec<bool>,
}

impl Time {
    pub(crate) fn now(&self) -> Now {
        Now::at(self.state().now)
    }

    /// Moves time forward to `now`, unless it is later already.
    pub(crate) fn move_to(&self, now: Duration) {
        let mut state = self.state();
        state.now = state.now.max(now);
        self.changed.notify_all();
    }

    /// Sleeps until `until`. No alarm ends that sleep.
    pub(crate) fn pass(&self, until: Duration) {
        drop(self.changed.wait_until(&self.state, |state| state.now >= until));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one sleeper. As with a parked thread, a wake-up that comes while its owner is awake ends the next sleep.
#[derive(Debug, Clone)]
pub(crate) struct Alarm(Arc<AlarmWaker>);

#[derive(Debug)]
struct AlarmWaker {
    time: Arc<Time>,
    index: usize,
}

impl Alarm {
    pub(crate) fn new(time: &Arc<Time>) -> Alarm {
        let mut state = time.state();
        let index = state.woken.len();
        state.woken.push(false);
        drop(state);
        let time = Arc::clone(time);
        Alarm(Arc::new(AlarmWaker { time, index }))
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    /// Sleeps until `until`, or until it is woken.
    pub(crate) fn sleep_until(&self, until: Duration) {
        let AlarmWaker { time, index } = &*self.0;
        let is_over = |state: &State| state.woken[*index] || state.now >= until;
        time.changed.wait_until(&time.state, is_over).woken[*index] = false;
    }
}

impl Wake for AlarmWaker {
    fn wake(self: Arc<Self>) {
        self.time.state().woken[self.index] = true;
        self.time.changed.notify_all();
    }
}
