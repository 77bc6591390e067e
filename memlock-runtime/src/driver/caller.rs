//! The two kinds of callers. All that acquires, renews and releases is written once, as `async fn`s. Only this folder's leaves
//! ask which kind is calling: where an exchange is made (`exchange`), and where time passes (here).
//!
//! A thread blocks inside of the poll, so every future that it runs is ready at its first one
//! ([`block_on`](crate::system::on_thread::block_on)), unless it waits for another caller's exchange about the same lock.

use std::hint;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use super::core::Core;
use super::inherited::here;
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
    /// Lets `length` pass. An error in a child that was forked meanwhile.
    pub(crate) async fn sleep(self, core: &Core, length: Duration) -> Result<(), Error> {
        match self {
            Caller::Thread => {
                sleep(length);
                Ok(())
            }
            Caller::Task => here(core, Timer::after(length)).await,
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

    /// Waits for `lock`, which another exchange about the same lock holds, for up to `limit`. `None`: that is over.
    pub(crate) async fn lock_within<T>(
        self,
        lock: &tokio::sync::Mutex<T>,
        limit: Duration,
    ) -> Option<tokio::sync::MutexGuard<'_, T>> {
        match self {
            Caller::Thread => wait_for(lock.lock(), limit),
            Caller::Task => match either(lock.lock(), Timer::after(limit)).await {
                Either::First(locked) => Some(locked),
                Either::Second(()) => None,
            },
        }
    }
}

/// How often a thread looks whether its turn has come, when it is next and holders are quick, before it goes to sleep: 5 to
/// 15 µs altogether, which is what going to sleep and being woken would cost.
const SPINS: u32 = 200;

/// Wakes a caller that waits: in its process's queue for its turn, or in line for other processes.
#[derive(Debug)]
pub(crate) struct Alarm {
    caller: Caller,
    /// A task's, once it has been needed.
    task: Option<Arc<TaskWaker>>,
}

impl Alarm {
    pub(crate) fn new(caller: Caller) -> Alarm {
        Alarm { caller, task: None }
    }

    /// Whether waking the caller right before its turn is of use: a thread can then stay awake for it.
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

    /// Rests at `place` in the queue for `length`, or until it is woken. An error in a child that was forked meanwhile.
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

    /// Rests as the head of the queue for `length`, or until another process wakes it. An error in a child that was forked
    /// meanwhile.
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
        here(core, resting).await.map(drop)
    }
}

/// Wakes a future. A wake-up that comes before it waits is kept.
#[derive(Debug, Default)]
struct TaskWaker(Notify);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Whether one thread can wait awake while another works.
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
