//! Running a future on the caller's thread.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use super::clock;

/// Runs `future` to its end on this thread. It works inside of any executor, where it holds up the thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        if let Some(output) = poll_until(future.as_mut(), || Some(Duration::MAX)) {
            return output;
        }
    }
}

/// The same for up to `limit`; `None` when that is over.
pub(crate) fn wait_for<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let began = clock::instant();
    poll_until(future, || {
        let left = limit.saturating_sub(clock::instant().saturating_duration_since(began));
        (!left.is_zero()).then_some(left)
    })
}

/// Polls `future` whenever it is woken; `None` once no time is `left`.
fn poll_until<F: Future>(future: F, left: impl Fn() -> Option<Duration>) -> Option<F::Output> {
    // A task of tokio's that has used up its budget finds nothing of tokio's ready until it yields, and this never yields.
    let mut future = std::pin::pin!(tokio::task::unconstrained(future));
    let alarm = ThreadAlarm::borrow();
    loop {
        let polled = future.as_mut().poll(&mut Context::from_waker(&alarm.waker));
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        while !alarm.bell.was_rung() {
            thread::park_timeout(left()?);
        }
    }
}

/// Wakes this thread.
pub(crate) fn thread_waker() -> Waker {
    // A thread that is ending may wait, too, and has no locals any more.
    ALARM
        .try_with(|alarm| alarm.waker.clone())
        .unwrap_or_else(|_| ThreadAlarm::new().waker.clone())
}

thread_local! {
    // Made once: a thread that waits for a lock that goes round in a few microseconds would make one each time.
    static ALARM: ThreadAlarm = ThreadAlarm::new();
    static IS_LENT: Cell<bool> = const { Cell::new(false) };
}

/// What wakes a thread. The thread's own is lent to one wait at a time, so that an inner wait takes no wake-up from an outer one.
struct ThreadAlarm {
    bell: Arc<Bell>,
    waker: Waker,
    is_lent: bool,
}

impl ThreadAlarm {
    fn new() -> ThreadAlarm {
        let bell = Arc::new(Bell {
            thread: thread::current(),
            was_rung: AtomicBool::new(false),
        });
        let waker = Waker::from(Arc::clone(&bell));
        ThreadAlarm {
            bell,
            waker,
            is_lent: false,
        }
    }

    fn borrow() -> ThreadAlarm {
        let lent = |alarm: &ThreadAlarm| {
            (!IS_LENT.replace(true)).then(|| ThreadAlarm {
                bell: Arc::clone(&alarm.bell),
                waker: alarm.waker.clone(),
                is_lent: true,
            })
        };
        ALARM.try_with(lent).ok().flatten().unwrap_or_else(ThreadAlarm::new)
    }
}

impl Drop for ThreadAlarm {
    fn drop(&mut self) {
        if self.is_lent {
            IS_LENT.set(false);
        }
    }
}

/// Wakes a thread that waits; one that is awake, the next time it waits.
struct Bell {
    thread: Thread,
    was_rung: AtomicBool,
}

impl Bell {
    fn was_rung(&self) -> bool {
        self.was_rung.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.was_rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_wait_leaves_the_wake_up_of_the_outer_one() {
        let mut polls = 0;
        block_on(std::future::poll_fn(|context| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            let mut inner = 0;
            block_on(std::future::poll_fn(|context| {
                inner += 1;
                context.waker().wake_by_ref();
                if inner == 3 { Poll::Ready(()) } else { Poll::Pending }
            }));
            assert!(wait_for(std::future::pending::<()>(), Duration::from_millis(1)).is_none());
            Poll::Pending
        }));
        assert_eq!(polls, 2, "it was woken while the inner ones waited");
    }
}
