//! Locks in the destructor of a thread-local, when those of the library and of tokio are already gone. A panic there ends
//! the process, so each case has a process of its own.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use memlock::{AsyncGuard, CallTree, Error, Guard, Locks, current, lock, rlock, transaction, zlock};
use memlock_testkit::Peer;

const PATIENCE: Duration = Duration::from_secs(60);

/// The variables of a case: its servers, its thread, and when the thread uses the locks for the first time.
const SERVERS: &str = "LAST_MOMENTS_SERVERS";
const THREAD: &str = "LAST_MOMENTS_THREAD";
const FIRST_USE: &str = "LAST_MOMENTS_FIRST_USE";

static LOCKS: LazyLock<Locks> = LazyLock::new(|| {
    let builder = Locks::builder().servers(variable(SERVERS)).timeout(PATIENCE);
    builder.build().expect("good settings")
});

fn main() {
    if let Ok(thread) = std::env::var(THREAD) {
        match thread.as_str() {
            "main" => end_a_thread(),
            _ => thread::spawn(end_a_thread).join().expect("no panic"),
        }
        return;
    }
    #[cfg(feature = "server-tests")]
    let server = memlock_testkit::Memcached::start();
    let servers = [
        "memory:".to_owned(),
        #[cfg(feature = "server-tests")]
        server.address(),
    ];
    let mut failed = 0;
    for servers in &servers {
        for thread in ["main", "spawned"] {
            for first_use in ["before", "after", "never"] {
                let case = format!("{thread} thread, locks used {first_use}, {servers}");
                let peer = Peer::of(&case)
                    .env(SERVERS, servers)
                    .env(THREAD, thread)
                    .env(FIRST_USE, first_use);
                let status = peer.start().wait(PATIENCE);
                // As the test harness does.
                println!("test {case} ... {}", if status.success() { "ok" } else { "FAILED" });
                failed += usize::from(!status.success());
                #[cfg(feature = "server-tests")]
                server.flush_all();
            }
        }
    }
    assert_eq!(failed, 0, "cases failed");
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("a variable of the case")
}

/// A task that waits for a lock.
type Waiting = Pin<Box<dyn Future<Output = Result<AsyncGuard, Error>>>>;

/// A value whose destructor uses locks.
struct AtEnd {
    held: Option<Guard>,
    waiting: Option<Waiting>,
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        drop(self.held.take());
        if let Some(waiting) = self.waiting.take() {
            let guard = block_on(waiting).expect("it is released");
            block_on(guard.release());
        }
        use_locks("end");
        assert!(LOCKS.flush(PATIENCE));
        let left_behind = locks_of_task("left behind").expect("it is free");
        drop(left_behind);
        assert!(block_on(LOCKS.flush_async(PATIENCE)));
        assert!(LOCKS.shutdown(PATIENCE).is_clean());
    }
}

thread_local! {
    static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

/// The thread-locals of a thread are dropped in reverse order of their first use.
fn end_a_thread() {
    let keep_a_lock = || {
        let held = LOCKS.lock("kept").acquire().expect("it is free");
        let mut waiting: Waiting = Box::pin(LOCKS.lock("kept").acquire_async());
        assert!(poll_once(waiting.as_mut()).is_pending());
        let at_end = AtEnd {
            held: Some(held),
            waiting: Some(waiting),
        };
        AT_END.with(|last| *last.borrow_mut() = Some(at_end));
    };
    match variable(FIRST_USE).as_str() {
        // The library's and tokio's are dropped after it.
        "before" => {
            use_locks("begin");
            keep_a_lock();
        }
        // They are dropped before it.
        "after" => {
            AT_END.with(|_| ());
            use_locks("begin");
            keep_a_lock();
        }
        // They are first used in it.
        _ => {
            let at_end = AtEnd {
                held: None,
                waiting: None,
            };
            AT_END.with(|last| *last.borrow_mut() = Some(at_end));
        }
    }
}

fn locks_of_task(key: &str) -> Result<AsyncGuard, Error> {
    block_on(LOCKS.lock(key).acquire_async())
}

/// Uses every kind of lock, free and held.
fn use_locks(when: &str) {
    let short = Duration::from_millis(20);
    let key = |what: &str| format!("{what} at the {when}");
    let guard = LOCKS.lock(key("thread")).renew().acquire().expect("it is free");
    assert!(guard.renew().is_ok() && guard.is_valid());
    let busy = LOCKS.lock(key("thread")).wait(short).acquire();
    assert!(busy.is_err_and(|error| error.is_busy()));
    let busy = block_on(LOCKS.lock(key("thread")).wait(short).acquire_async());
    assert!(busy.is_err_and(|error| error.is_busy()));
    guard.release();

    let guard = block_on(LOCKS.lock(key("task")).renew().acquire_async()).expect("it is free");
    assert!(block_on(guard.lease().renew_async()).is_ok());
    let busy = LOCKS.lock(key("task")).wait(short).acquire();
    assert!(busy.is_err_and(|error| error.is_busy()));
    block_on(guard.release());

    // A future that is dropped while it asks, and one while it waits.
    let _ = poll_once(pin!(LOCKS.lock(key("dropped")).acquire_async()));
    let guard = LOCKS.lock(key("waiting")).acquire().expect("it is free");
    assert!(poll_once(pin!(LOCKS.lock(key("waiting")).acquire_async())).is_pending());
    drop(guard);

    assert_eq!(plain(&key("plain")).expect("it is free"), 1);
    assert_eq!(reentrant(&key("reentrant"), 2).expect("it is free"), 3);
    assert_eq!(block_on(asynchronous(&key("asynchronous"))).expect("it is free"), 1);
    soft(&key("soft"));
    block_on(soft_async(&key("soft, async")));

    // A conflict reserves the lock for the retry, which claims it.
    assert!(conflicting(&key("conflict"), true).is_err());
    assert!(conflicting(&key("conflict"), false).is_ok());
    assert!(conflicting(&key("conflict"), true).is_err());
    assert!(block_on(conflicting_async(&key("async"), true)).is_err());
    assert!(block_on(conflicting_async(&key("async"), false)).is_ok());
    let ran = transaction().run(|attempt| {
        conflicting(&key("transaction"), attempt == 1)?;
        Ok::<_, Failure>(attempt)
    });
    assert_eq!(ran.expect("the second attempt succeeds"), 2);
    let ran = block_on(transaction().run_async(async |attempt| {
        conflicting_async(&key("transaction"), attempt == 1).await?;
        Ok::<_, Failure>(attempt)
    }));
    assert_eq!(ran.expect("the second attempt succeeds"), 2);
    assert!(current().is_none() && CallTree::current().enter(|| current().is_none()));
}

#[lock(key, locks = &LOCKS)]
fn plain(key: &str) -> Result<usize, Error> {
    Ok(current().iter().count())
}

#[rlock(key, locks = &LOCKS)]
fn reentrant(key: &str, depth: usize) -> Result<usize, Error> {
    match depth.checked_sub(1) {
        Some(depth) => Ok(reentrant(key, depth)? + 1),
        None => Ok(current().iter().count()),
    }
}

#[lock(key, locks = &LOCKS, renew)]
async fn asynchronous(key: &str) -> Result<usize, Error> {
    Ok(current().iter().count())
}

#[lock(key, locks = &LOCKS)]
fn soft(key: &str) {
    assert!(current().is_some());
}

#[lock(key, locks = &LOCKS)]
async fn soft_async(key: &str) {
    assert!(current().is_some());
}

#[zlock(key, locks = &LOCKS)]
fn conflicting(key: &str, is_conflict: bool) -> Result<(), Failure> {
    change(is_conflict)
}

#[zlock(key, locks = &LOCKS)]
async fn conflicting_async(key: &str, is_conflict: bool) -> Result<(), Failure> {
    change(is_conflict)
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database has changed")]
    Changed,
    #[error(transparent)]
    Lock(#[from] Error),
}

impl memlock::Conflict for Failure {
    fn is_conflict(&self) -> bool {
        matches!(self, Failure::Changed) || memlock::is_conflict(self)
    }
}

fn change(is_conflict: bool) -> Result<(), Failure> {
    assert!(current().is_some());
    if is_conflict { Err(Failure::Changed) } else { Ok(()) }
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs `future` to its end on this thread. It needs no thread-local.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
