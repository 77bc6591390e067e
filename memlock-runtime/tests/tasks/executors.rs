//! Executors, which run a test's future and start further tasks from it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// An executor, for the time of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Executor {
    /// tokio, with two worker threads.
    TokioThreads,
    /// tokio, on the caller's thread.
    TokioCurrent,
    /// smol, whose tasks run on a thread of its own.
    Smol,
}

/// A task that was started.
pub(crate) type Started<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Executor {
    pub(crate) const ALL: [Executor; 3] = [Executor::TokioThreads, Executor::TokioCurrent, Executor::Smol];

    /// Runs `test` to its end.
    pub(crate) fn run<T>(self, test: impl Future<Output = T>) -> T {
        match self {
            Executor::TokioThreads => tokio_threads().block_on(test),
            Executor::TokioCurrent => tokio_current().block_on(test),
            Executor::Smol => smol::block_on(test),
        }
    }

    /// Starts a task. Call this inside [`run`](Self::run).
    pub(crate) fn start<T: Send + 'static>(self, task: impl Future<Output = T> + Send + 'static) -> Started<T> {
        match self {
            Executor::TokioThreads | Executor::TokioCurrent => {
                let task = tokio::spawn(task);
                Box::pin(async { task.await.expect("no panic") })
            }
            Executor::Smol => Box::pin(smol::spawn(task)),
        }
    }
}

pub(crate) fn tokio_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

pub(crate) fn tokio_current() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` on this thread until it is ready, without an executor.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

/// Drops `future` at its await point number `cut`, counted from 0. Returns the output if the future completes before
/// that.
pub(crate) async fn cut_at<T>(cut: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut waited = 0;
    let output = std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if waited == cut => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    });
    output.await
}

/// Polls once, with a waker that does nothing.
pub(crate) fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
