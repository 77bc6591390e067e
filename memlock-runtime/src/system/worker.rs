//! A word to those who block a thread on which a tokio runtime runs tasks: once, since it is a mistake of the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::task::coop;

/// More than a task may do at a time before tokio makes it give way: its budget has 128 of these.
const MORE_THAN_A_BUDGET: u32 = 200;

static HAS_WARNED: AtomicBool = AtomicBool::new(false);

/// Warns, once in the life of the process, when this thread is polling a task of tokio's: a caller of `function` that
/// waits for its lock keeps all other tasks of the thread waiting.
pub(crate) fn warn_if_blocking_tasks(function: &str) {
    if HAS_WARNED.load(Ordering::Relaxed) || !polls_tasks() || HAS_WARNED.swap(true, Ordering::Relaxed) {
        return;
    }
    tracing::warn!(
        target: "memlock", function,
        "a synchronous lock blocks a thread on which tokio runs tasks; make the function `async`, or call it in \
         `spawn_blocking` (this is said once)"
    );
}

/// Whether tokio is polling a task, or the future of a `block_on`, on this thread. On its threads for blocking work, and
/// inside `block_in_place`, it is not: there, and only there, nobody counts what the caller does.
fn polls_tasks() -> bool {
    if Handle::try_current().is_err() {
        return false;
    }
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..MORE_THAN_A_BUDGET {
        match coop::poll_proceed(&mut context) {
            Poll::Pending => return true,
            Poll::Ready(step) => step.made_progress(),
        }
    }
    false
}
