//! Warns when a synchronous lock blocks a thread on which tokio runs tasks. It does so once, since that is a mistake in
//! the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::task::coop;

/// More steps than tokio lets a task make before it has to yield: a task's budget is 128 steps.
const MORE_THAN_A_BUDGET: usize = 200;

static HAS_WARNED: AtomicBool = AtomicBool::new(false);

/// Warns, once in the life of the process, if this thread is polling a tokio task: a caller of `function` that waits
/// for its lock blocks all other tasks of the thread.
pub(crate) fn warn_if_blocking_tasks(function: &str) {
    if HAS_WARNED.load(Ordering::Relaxed) || !polls_tasks() || HAS_WARNED.swap(true, Ordering::Relaxed) {
        return;
    }
    tracing::warn!(
        target: "memlock", function,
        "a synchronous lock blocks a thread on which tokio runs tasks; make the function `async`, or call it in \
         `spawn_blocking` (this warning is logged once)"
    );
}

/// Whether tokio is polling a task, or the future of a `block_on`, on this thread. It is not on tokio's threads for
/// blocking work, nor inside `block_in_place`: there, and only there, tokio does not count the caller's steps.
fn polls_tasks() -> bool {
    if Handle::try_current().is_err() {
        return false;
    }
    let mut context = Context::from_waker(Waker::noop());
    let mut steps = Vec::with_capacity(MORE_THAN_A_BUDGET);
    let polls_tasks = loop {
        if steps.len() == MORE_THAN_A_BUDGET {
            break false;
        }
        match coop::poll_proceed(&mut context) {
            Poll::Pending => break true,
            Poll::Ready(step) => steps.push(step),
        }
    };
    // Each gives its step back, and the first one, taken back last, the whole budget. Spent, it would let nothing of tokio's
    // be ready in the rest of this poll, and a body that blocks on a channel of tokio's would hang.
    while steps.pop().is_some() {}
    polls_tasks
}
