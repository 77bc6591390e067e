//! [`Caller`]: a thread or a task. Acquiring, renewing and releasing are written once for both, as `async fn`s. Only
//! the leaves of this folder ask which of the two is calling: `exchange` makes an exchange, and this file lets time
//! pass.
//!
//! A thread blocks inside of a poll, so each future that it runs is ready at its first poll
//! ([`block_on`](crate::system::on_thread::block_on)), unless the future waits for another caller's exchange about the
//! same lock.

use std::hint;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use super::core::Core;
use super::inherited::in_this_process;
use super::wake::WakeListener;
use crate::error::Error;
use crate::protocol::Pause;
use crate::queue::Place;
use crate::system::background::{Either, Timer, either};
use crate::system::on_thread::{thread_waker, wait_for};
use crate::system::{clock, random};

/// How a caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It blocks its thread.
    Thread,
    /// It gives its thread back. Its future may be dropped at any of its await points.
    Task,
}

impl Caller {
    /// Lets `length` pass. Returns an error in a child that was forked meanwhile.
    pub(crate) async fn sleep(self, core: &Core, length: Duration) -> Result<(), Error> {
        match self {
            Caller::Thread => {
                sleep(length);
                Ok(())
            }
            Caller::Task => in_this_process(core, Timer::after(length)).await,
        }
    }

    /// Lets time pass, for a length that is drawn from `window`.
    pub(crate) async fn pause(self, window: Pause) {
        let length = random::draw(window);
        match self {
            Caller::Thread => sleep(length),
            Caller::Task => Timer::after(length).await,
        }
    }

    /// Waits up to `limit` for `mutex`, which is locked during another exchange about the same lock. `None`: `limit` is
    /// over.
    pub(crate) async fn lock_within<T>(
        self,
        mutex: &tokio::sync::Mutex<T>,
        limit: Duration,
    ) -> Option<tokio::sync::MutexGuard<'_, T>> {
        match self {
            Caller::Thread => wait_for(mutex.lock(), limit),
            Caller::Task => match either(mutex.lock(), Timer::after(limit)).await {
                Either::First(locked) => Some(locked),
                Either::Second(()) => None,
            },
        }
    }
}

/// How often a thread that is next behind a quick holder checks for its turn before it goes to sleep. That takes 5 to
/// 15 µs, as long as going to sleep and being woken.
const SPINS: u32 = 200;

/// Wakes a caller that waits for its turn in its process's queue, or in line for other processes.
#[derive(Debug)]
pub(crate) struct Alarm {
    caller: Caller,
    /// The waker of a task. `None`: it has not been needed yet.
    task: Option<Arc<TaskWaker>>,
}

impl Alarm {
    pub(crate) fn new(caller: Caller) -> Alarm {
        Alarm { caller, task: None }
    }

    /// Returns whether it helps to wake the caller right before its turn: a thread can then stay awake until its turn.
    pub(crate) fn wakes_early(&self) -> bool {
        self.caller == Caller::Thread && has_processors()
    }

    pub(crate) fn waker(&mut self) -> Waker {
        match self.caller {
            Caller::Thread => thread_waker(),
            Caller::Task => Waker::from(Arc::clone(self.task())),
        }
    }

    fn task(&mut self) -> &Arc<TaskWaker> {
        self.task.get_or_insert_default()
    }

    /// Rests at `place` in the queue for `length`, or until it is woken. Returns an error in a child that was forked
    /// meanwhile.
    pub(crate) async fn rest_in_queue(&mut self, core: &Core, place: &Place, length: Duration) -> Result<(), Error> {
        match self.caller {
            Caller::Thread => {
                place.stay_awake(SPINS, hint::spin_loop);
                if !place.is_notified() {
                    thread::park_timeout(length);
                    place.stay_awake(SPINS, hint::spin_loop);
                }
                Ok(())
            }
            Caller::Task => self.rest_in_task(core, length).await,
        }
    }

    /// Rests as the head of the queue for `length`, or until another process wakes it. Returns an error in a child that
    /// was forked meanwhile.
    pub(crate) async fn rest_in_line(
        &mut self,
        core: &Core,
        listening: Option<&WakeListener>,
        length: Duration,
    ) -> Result<(), Error> {
        match (self.caller, listening) {
            (Caller::Thread, None) => {
                sleep(length);
                Ok(())
            }
            (Caller::Thread, Some(listening)) => {
                sleep_unless_woken(listening, length);
                Ok(())
            }
            (Caller::Task, _) => self.rest_in_task(core, length).await,
        }
    }

    async fn rest_in_task(&mut self, core: &Core, length: Duration) -> Result<(), Error> {
        let woken = self.task().0.notified();
        let resting = Box::pin(either(woken, Timer::after(length)));
        in_this_process(core, resting).await.map(drop)
    }
}

/// Wakes a future. A wake-up that comes before the future waits is kept.
#[derive(Debug, Default)]
struct TaskWaker(Notify);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Returns whether one thread can stay awake while another works.
fn has_processors() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| thread::available_parallelism().is_ok_and(|number| number.get() > 1))
}

#[allow(clippy::disallowed_methods, reason = "this is where a thread lets time pass")]
fn sleep(length: Duration) {
    thread::sleep(length);
}

/// Sleeps for `length`, or until another process wakes it.
fn sleep_unless_woken(listening: &WakeListener, length: Duration) {
    let until = clock::instant() + length;
    loop {
        let left = until.saturating_duration_since(clock::instant());
        if left.is_zero() || listening.is_woken() {
            return;
        }
        thread::park_timeout(left);
    }
}
