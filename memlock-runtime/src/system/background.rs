//! The one background thread of the process. It starts when it is first needed, runs a private event loop, and never
//! ends. It knows nothing of locks.
//!
//! Asynchronous callers may run under any executor, under several, or under executors that come and go. Work that must
//! outlive a caller's future cannot run there: an exchange that is under way, or the release of a lock after its future
//! was dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use super::process::{PerProcess, Process};

/// A forked child has its parent's handle, but not the thread behind it.
static HANDLE: PerProcess<Handle> = PerProcess::new();

/// A handle to the event loop of this process's background thread.
///
/// # Errors
///
/// When the system cannot provide a thread, or a descriptor for the loop. The next call tries again.
pub(crate) fn handle() -> io::Result<&'static Handle> {
    HANDLE.here().get_or_try_init(|| {
        // The thread first: if it cannot start, no loop must be dropped here, which would panic inside another loop of
        // tokio's.
        let (hand_over, handed_over) = mpsc::sync_channel::<Runtime>(1);
        thread::Builder::new().name("memlock".to_owned()).spawn(move || {
            if let Ok(runtime) = handed_over.recv() {
                runtime.block_on(std::future::pending::<()>());
            }
        })?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        // The thread is waiting for it.
        let _ = hand_over.send(runtime);
        Ok(handle)
    })
}

/// Runs `task` to its end, whatever happens to the caller. A panic ends only the task.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    match handle() {
        Ok(handle) => drop(handle.spawn(task)),
        Err(error) => tracing::error!(target: "memlock", %error, "could not start the thread for background work"),
    }
}

/// Runs `task` until it ends, or until the returned [`Task`] is dropped. A panic ends only the task.
///
/// # Errors
///
/// As [`handle`].
pub(crate) fn spawn_owned(task: impl Future<Output = ()> + Send + 'static) -> io::Result<Task> {
    Ok(Task::spawn(handle()?, task))
}

/// A task on the background thread. Dropping this ends the task.
#[derive(Debug)]
pub(crate) struct Task {
    /// `None` once it is dropped.
    handle: Option<AbortHandle>,
    process: Process,
}

impl Task {
    fn spawn(handle: &Handle, task: impl Future<Output = ()> + Send + 'static) -> Task {
        Task {
            handle: Some(handle.spawn(task).abort_handle()),
            process: Process::current(),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let handle = self.handle.take();
        if self.process.is_current() {
            // Has no effect on a task that has ended, or that drops this itself and then ends.
            handle.iter().for_each(AbortHandle::abort);
        } else {
            // Ending the task would need its thread, which a forked child does not have.
            std::mem::forget(handle);
        }
    }
}

/// The number of tasks that have not ended.
pub fn tasks() -> usize {
    handle().map_or(0, |handle| handle.metrics().num_alive_tasks())
}

/// Completes after a length of real time. It can be polled on any thread, under any executor.
#[derive(Debug)]
pub(crate) struct Timer {
    /// `None`: there is no background thread.
    running: Option<RunningTimer>,
    /// The process that waits, unless that is certain anyway.
    process: Option<Process>,
}

#[derive(Debug)]
enum RunningTimer {
    /// A timer of the background thread.
    Sleep(Pin<Box<Sleep>>),
    /// A task on the background thread that sleeps, and then drops the sender.
    Task { slept: oneshot::Receiver<()>, _task: Task },
}

impl RunningTimer {
    fn start(handle: &Handle, length: Duration) -> RunningTimer {
        // The destructor of a thread-local may run after those of tokio's, without which no `Sleep` can be made, and
        // `Handle::enter` panics.
        if Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
            let (sleeping, slept) = oneshot::channel();
            let task = Task::spawn(handle, async move {
                tokio::time::sleep(length).await;
                drop(sleeping);
            });
            return RunningTimer::Task { slept, _task: task };
        }
        let _entered = handle.enter();
        RunningTimer::Sleep(Box::pin(tokio::time::sleep(length)))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            RunningTimer::Sleep(sleep) => sleep.as_mut().poll(context),
            RunningTimer::Task { slept, .. } => Pin::new(slept).poll(context).map(drop),
        }
    }
}

impl Timer {
    /// Completes after `length`, or at once if there is no background thread, so that no caller waits for ever.
    pub(crate) fn after(length: Duration) -> Timer {
        Timer::on(handle().ok(), length, Some(Process::current()))
    }

    /// The same, for a caller that already waits for the background thread of this process, and so is certain that it
    /// exists.
    pub(crate) fn beside_task(length: Duration) -> Timer {
        Timer::on(HANDLE.latest(), length, None)
    }

    fn on(handle: Option<&Handle>, length: Duration, process: Option<Process>) -> Timer {
        Timer {
            running: handle.map(|handle| RunningTimer::start(handle, length)),
            process,
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // In a child that was forked meanwhile, nothing would ever wake this future, so it completes at once there.
        if self.process.is_some_and(|process| !process.is_current()) {
            return Poll::Ready(());
        }
        match &mut self.running {
            Some(running) => running.poll(context),
            None => Poll::Ready(()),
        }
    }
}

/// The output of the first of two futures, or of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits until one of two futures is ready and returns its output. If both are ready, the first one wins. The other is
/// dropped.
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
