//! Running a future on the caller's thread.

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::clock;

/// Runs `future` to its end on this thread. It works inside of any executor, where it holds up the thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        // The bell is never lost, so the rest is never over.
        if let Some(output) = poll_here(future.as_mut(), |rung| rung.recv().is_ok()) {
            return output;
        }
    }
}

/// The same for up to `limit`; `None` when that is over.
pub(crate) fn wait_for<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let began = clock::instant();
    poll_here(future, |rung| {
        let left = limit.saturating_sub(clock::instant().saturating_duration_since(began));
        rung.recv_timeout(left).is_ok()
    })
}

/// Polls `future` whenever it asks for it, and rests until then; `None` when the rest is over before.
pub(crate) fn poll_here<F: Future>(future: F, mut rest: impl FnMut(&mpsc::Receiver<()>) -> bool) -> Option<F::Output> {
    // In a task of tokio's that has used up what it may do at a time, nothing of tokio's would ever be ready, since the task
    // does not give way before the end: so that does not count here.
    let mut future = std::pin::pin!(tokio::task::unconstrained(future));
    let (bell, rung) = mpsc::sync_channel(1);
    let waker = Waker::from(Arc::new(Bell(bell)));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if !rest(&rung) {
            return None;
        }
    }
}

/// Wakes a thread that waits; one that is awake, the next time it waits.
pub(crate) struct Bell(mpsc::SyncSender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // Full: it was rung already.
        let _ = self.0.try_send(());
    }
}
