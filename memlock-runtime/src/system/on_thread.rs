//! Running a future on the caller's thread.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use super::clock;

/// Runs `future` to its end on this thread. It works inside any executor, whose thread it blocks.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    // Mostly it is ready now, since a thread blocks inside of the poll. So it needs no waker of this thread yet.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    loop {
        if let Some(output) = poll_until(future.as_mut(), || Some(Duration::MAX)) {
            return output;
        }
    }
}

/// Runs `future` on this thread for up to `limit`. Returns `None` if it is not ready by then.
pub(crate) fn wait_for<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let began = clock::instant();
    poll_until(future, || {
        let left = limit.saturating_sub(clock::instant().saturating_duration_since(began));
        (!left.is_zero()).then_some(left)
    })
}

/// Polls `future` whenever it is woken. Returns `None` once `left` returns `None`.
fn poll_until<F: Future>(future: F, left: impl Fn() -> Option<Duration>) -> Option<F::Output> {
    // For a tokio task that has used up its budget, no tokio future is ready until the task yields, which it cannot do
    // here.
    let mut future = std::pin::pin!(tokio::task::unconstrained(future));
    let alarm = ThreadAlarm::borrow();
    loop {
        let polled = future.as_mut().poll(&mut Context::from_waker(&alarm.waker));
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        while !alarm.flag.take_wake_up() {
            thread::park_timeout(left()?);
        }
    }
}

/// A waker for this thread.
pub(crate) fn thread_waker() -> Waker {
    // A thread that is ending may wait, too, although its thread-locals are gone.
    ALARM
        .try_with(|alarm| alarm.waker.clone())
        .unwrap_or_else(|_| ThreadAlarm::new().waker.clone())
}

thread_local! {
    // Made once per thread: hand-overs may take a few microseconds each, and every wait would allocate one.
    static ALARM: ThreadAlarm = ThreadAlarm::new();
    static IS_LENT: Cell<bool> = const { Cell::new(false) };
}

/// Wakes a thread. The alarm of a thread is lent to one wait at a time, so that an inner wait does not consume a
/// wake-up of an outer one.
struct ThreadAlarm {
    flag: Arc<WakeFlag>,
    waker: Waker,
    is_lent: bool,
}

impl ThreadAlarm {
    fn new() -> ThreadAlarm {
        let flag = Arc::new(WakeFlag {
            thread: thread::current(),
            was_woken: AtomicBool::new(false),
        });
        let waker = Waker::from(Arc::clone(&flag));
        ThreadAlarm {
            flag,
            waker,
            is_lent: false,
        }
    }

    fn borrow() -> ThreadAlarm {
        let lent = |alarm: &ThreadAlarm| {
            IS_LENT
                .try_with(|is_lent| !is_lent.replace(true))
                .unwrap_or_default()
                .then(|| ThreadAlarm {
                    flag: Arc::clone(&alarm.flag),
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
            let _ = IS_LENT.try_with(|is_lent| is_lent.set(false));
        }
    }
}

/// Wakes a thread, at once if it is waiting, or else the next time it waits.
struct WakeFlag {
    thread: Thread,
    was_woken: AtomicBool,
}

impl WakeFlag {
    fn take_wake_up(&self) -> bool {
        self.was_woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.was_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_wait_does_not_consume_the_wake_up_of_an_outer_one() {
        let mut polls = 0;
        block_on(std::future::poll_fn(|context| {
            polls += 1;
            if polls == 3 {
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
        assert_eq!(polls, 3, "it was woken while the inner ones waited");
    }
}
