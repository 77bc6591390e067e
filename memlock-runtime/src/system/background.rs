//! The one background thread of the process. It starts on first need, runs an event loop that nobody else sees, and stays.
//! It knows nothing of locks.
//!
//! Asynchronous callers may run under any executor, several of them, or ones that come and go; what must outlive a
//! caller's future (an exchange that is under way, the release of a lock whose future was dropped) cannot run there.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use super::process::{PerProcess, Process};

/// A child that was forked has its parent's handle, and not the thread behind it.
static HANDLE: PerProcess<Handle> = PerProcess::new();

/// The thread's event loop, of this process.
///
/// # Errors
///
/// When the system gives no thread, or no descriptor for the loop. The next call tries again.
pub(crate) fn handle() -> io::Result<&'static Handle> {
    HANDLE.here().get_or_try_init(|| {
        // The thread first: where there is none, there must be no loop to be dropped, which panics inside another of tokio's.
        let (hand_over, handed_over) = mpsc::sync_channel::<Runtime>(1);
        thread::Builder::new().name("memlock".to_owned()).spawn(move || {
            if let Ok(runtime) = handed_over.recv() {
                runtime.block_on(std::future::pending::<()>());
            }
        })?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        // The thread waits for it.
        let _ = hand_over.send(runtime);
        Ok(handle)
    })
}

/// Runs `task` to its end, whatever becomes of its caller. A panic ends the task and nothing else.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    match handle() {
        Ok(handle) => drop(handle.spawn(task)),
        Err(error) => tracing::error!(target: "memlock", %error, "no thread for background work"),
    }
}

/// Runs `task` until it ends, or until what is returned is dropped. A panic ends the task and nothing else.
///
/// # Errors
///
/// As [`handle`].
pub(crate) fn spawn_owned(task: impl Future<Output = ()> + Send + 'static) -> io::Result<Task> {
    Ok(Task {
        handle: Some(handle()?.spawn(task).abort_handle()),
        process: Process::current(),
    })
}

/// A task on the background thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Task {
    /// `None` once it is dropped.
    handle: Option<AbortHandle>,
    process: Process,
}

impl Drop for Task {
    fn drop(&mut self) {
        let handle = self.handle.take();
        if self.process.is_current() {
            // Without effect on a task that has ended, or that drops this itself and ends right after.
            handle.iter().for_each(AbortHandle::abort);
        } else {
            // Ending it would need its thread, which a forked child does not have.
            std::mem::forget(handle);
        }
    }
}

/// How many tasks there are.
pub fn tasks() -> usize {
    handle().map_or(0, |handle| handle.metrics().num_alive_tasks())
}

/// A length of real time that passes. It may be polled on any thread, under any executor.
#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The process that waits, where that is not known otherwise.
    process: Option<Process>,
}

impl Timer {
    /// Rings after `length`. Where there is no background thread it rings at once, so that nobody waits for ever.
    pub(crate) fn after(length: Duration) -> Timer {
        Timer::on(handle().ok(), length, Some(Process::current()))
    }

    /// The same for somebody who waits for the background thread of this process already, and so knows that it is there.
    pub(crate) fn beside_task(length: Duration) -> Timer {
        Timer::on(HANDLE.latest(), length, None)
    }

    fn on(handle: Option<&Handle>, length: Duration, process: Option<Process>) -> Timer {
        let _entered = handle.map(Handle::enter);
        Timer {
            sleep: handle.map(|_| Box::pin(tokio::time::sleep(length))),
            process,
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // In a child that was forked meanwhile nobody would ever wake it, so that it rings at once there.
        if self.process.is_some_and(|process| !process.is_current()) {
            return Poll::Ready(());
        }
        let Some(sleep) = &mut self.sleep else {
            return Poll::Ready(());
        };
        sleep.as_mut().poll(context)
    }
}

/// Waits for either of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// The output of whichever future is ready first; of the first, where both are. The other is dropped.
pub(crate) async fn either<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let mut first = std::pin::pin!(first);
    let mut second = std::pin::pin!(second);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = first.as_mut().poll(context) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(context).map(Either::Second)
    })
    .await
}
