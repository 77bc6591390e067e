//! Work in the background ends with its cause, and reports failures. These tests have a process of their own, since they
//! count all background tasks of the process.

use std::fmt::{Debug, Write as _};
use std::future::Future;
use std::pin::pin;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use memlock::{Error, Locks, TestServer, zlock};
use memlock_runtime::__internals::background_tasks;
use memlock_testkit::wait_until;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(60);

/// How often each kind of end is tested.
const ROUNDS: usize = 20;

/// One test at a time, since each counts the tasks of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[track_caller]
fn nothing_is_left(of: &str) {
    wait_until(&format!("the tasks of {of} to end"), PATIENCE, || {
        background_tasks() == 0
    });
}

#[track_caller]
fn one_is_left(of: &str) {
    wait_until(&format!("one task, of {of}"), PATIENCE, || background_tasks() == 1);
}

#[test]
fn a_renewal_ends_with_its_lock_however_that_ends() {
    let _alone = alone();
    let (locks, server) = Locks::in_memory();
    let request = |key: usize| locks.lock(key).timeout(HOUR).renew();

    for round in 0..ROUNDS {
        let guard = request(round).acquire().expect("it is free");
        guard.release();
    }
    nothing_is_left("guards that were released");

    for round in 0..ROUNDS {
        let guard = request(round).acquire().expect("it is free");
        // The lease is shared, and outlives the guard.
        let lease = guard.lease();
        drop(guard);
        drop(lease);
    }
    nothing_is_left("guards that were dropped");

    block_on(async {
        for round in 0..ROUNDS {
            let guard = request(round).acquire_async().await.expect("it is free");
            guard.release().await;
            drop(request(round).acquire_async().await.expect("it was released"));
        }
    });
    nothing_is_left("asynchronous guards");

    let guards: Vec<_> = (0..ROUNDS)
        .map(|key| request(key).acquire().expect("it is free"))
        .collect();
    for (key, guard) in guards.iter().enumerate() {
        server.evict("lock", key);
        assert!(guard.renew().expect_err("it is gone").is_lost());
    }
    nothing_is_left("locks that were lost, in the hands of their holders");
    drop(guards);

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    drop(request(0).acquire().expect("it is handed over"));
                }
            });
        }
    });
    nothing_is_left("locks that were handed over");

    let guard = request(0).acquire().expect("it is free");
    let shutdown = locks.shutdown(Duration::ZERO);
    assert_eq!(shutdown.given_back, 1, "it is still held");
    drop(guard);
    nothing_is_left("a lock that outlived its locks");
}

#[zlock("k", locks = locks, timeout = HOUR, reserve = HOUR, renew)]
fn synchronous(locks: &Locks, is_conflict: bool) -> Result<(), Stale> {
    if is_conflict { Err(Stale::Data) } else { Ok(()) }
}

#[zlock("k", locks = locks, timeout = HOUR, reserve = HOUR, renew)]
async fn asynchronous(locks: &Locks, is_conflict: bool) -> Result<(), Stale> {
    if is_conflict { Err(Stale::Data) } else { Ok(()) }
}

#[derive(Debug, thiserror::Error)]
enum Stale {
    #[error("the data was out of date")]
    Data,
    #[error(transparent)]
    Lock(#[from] Error),
}

impl memlock::Conflict for Stale {
    fn is_conflict(&self) -> bool {
        matches!(self, Stale::Data) || memlock::is_conflict(self)
    }
}

#[test]
fn a_reservation_leaves_nothing_once_it_is_claimed_given_up_or_over() {
    let _alone = alone();
    let (locks, server) = Locks::in_memory();
    for _ in 0..ROUNDS {
        synchronous(&locks, true).expect_err("a conflict");
        synchronous(&locks, false).expect("its retry");
        block_on(asynchronous(&locks, true)).expect_err("a conflict");
        block_on(asynchronous(&locks, false)).expect("its retry");
    }
    nothing_is_left("reservations that were claimed");

    synchronous(&locks, true).expect_err("a conflict");
    one_is_left("a reservation");
    server.advance(HOUR * 2);
    nothing_is_left("a reservation that is over");

    thread::scope(|scope| {
        scope
            .spawn(|| synchronous(&locks, true).expect_err("a conflict"))
            .join()
    })
    .expect("no panic");
    nothing_is_left("a reservation of a thread that has ended");

    synchronous(&locks, true).expect_err("a conflict");
    assert!(locks.shutdown(PATIENCE).is_clean());
    nothing_is_left("reservations that were given up");
}

/// Advances the clock by `by`, in steps that are short compared with any lease here.
fn pass(server: &TestServer, by: Duration) {
    for _ in 0..100 {
        server.advance(by / 100);
        thread::yield_now();
    }
}

#[test]
fn a_renewal_that_fails_says_so_at_once_and_once_and_the_loss_says_why() {
    const TIMEOUT: Duration = Duration::from_secs(30);
    let _alone = alone();
    let log = Log::install();
    let (locks, server) = Locks::in_memory();
    let guard = locks.lock("k").timeout(TIMEOUT).renew().acquire().expect("it is free");
    let not_renewed = || log.lines_with("the lease could not be renewed");

    server.set_down(true);
    server.advance(TIMEOUT / 3);
    wait_until("the first failure to be told", PATIENCE, || !not_renewed().is_empty());
    let line = not_renewed().remove(0);
    for part in ["memlock:lock:k", "it is switched off", "left="] {
        assert!(line.contains(part), "{line:?} does not say {part:?}");
    }
    assert!(guard.is_valid(), "the old deadline stands");
    pass(&server, TIMEOUT / 3);
    assert_eq!(not_renewed().len(), 1, "the same again is not said again");

    server.set_down(false);
    wait_until("a renewal", PATIENCE, || {
        server.advance(TIMEOUT / 48);
        guard.remaining() > TIMEOUT * 3 / 4
    });
    server.set_down(true);
    wait_until("the loss", PATIENCE, || {
        server.advance(TIMEOUT / 48);
        !guard.is_valid()
    });
    assert_eq!(not_renewed().len(), 2, "another failure after a success");
    let lost = guard.check().expect_err("it is over");
    let text = lost.to_string();
    assert!(lost.is_lost(), "{text}");
    for part in ["could not be renewed", "memory:", "it is switched off"] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
    let source = std::error::Error::source(&lost).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("it is switched off"));
    drop(guard);
    let told = log.lines_with("the lease ended before its holder was done");
    assert!(
        told.iter().any(|line| line.contains("could not be renewed")),
        "{told:?}"
    );

    server.set_down(false);
    let guard = locks.lock("k").timeout(TIMEOUT).acquire().expect("it is over");
    server.advance(TIMEOUT);
    let text = guard.check().expect_err("it is over").to_string();
    assert!(text.contains("it ran out"), "no renewal was tried: {text:?}");
    drop(guard);
    nothing_is_left("these");
}

/// The name of the test below, for a process that runs it alone.
const WITHOUT_THREADS: &str = "renewals_without_a_thread_for_them_are_an_error_before_anything_is_held";

#[test]
fn renewals_without_a_thread_for_them_are_an_error_before_anything_is_held() {
    // No system has room for a stack of this size, so no thread can be started.
    if std::env::var("RUST_MIN_STACK").is_ok_and(|size| size == STACK) {
        let (locks, _server) = Locks::in_memory();
        let error = locks.lock("k").renew().acquire().expect_err("no thread can renew it");
        assert!(error.is_config(), "{error}");
        let text = error.to_string();
        assert!(text.contains("`renew`") && text.contains("thread"), "{text:?}");
        drop(locks.lock("k").try_acquire().expect("it was not acquired"));
        return;
    }
    let _alone = alone();
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program)
        .args([WITHOUT_THREADS, "--exact", "--nocapture", "--test-threads=1"])
        .env("RUST_MIN_STACK", STACK)
        .output()
        .expect("it can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

const STACK: &str = "70368744177664";

/// Runs a future to its end, on this thread.
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
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// The library's warnings on any thread, as text.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn install() -> Arc<Log> {
        let log = Arc::new(Log::default());
        tracing::subscriber::set_global_default(Arc::clone(&log)).expect("the first");
        log
    }

    fn lines_with(&self, part: &str) -> Vec<String> {
        let lines = self.0.lock().expect("no panic");
        lines.iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes all");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "memlock" && *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().expect("no panic").push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
