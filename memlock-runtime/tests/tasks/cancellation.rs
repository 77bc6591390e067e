//! A future may be dropped at any of its await points. These tests drop it at each of them, under each executor: the
//! future is polled until it has waited `n` times, and is then dropped, for each `n` until a run completes.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use memlock_runtime::Locks;

use crate::executors::{Executor, block_on, cut_at};

const PATIENCE: Duration = Duration::from_secs(30);

/// Makes futures with `make`, drops them at each await point in turn, and calls `after` after each. No lock may be left
/// held then, neither for callers in this process nor for `others`. The futures run as tasks of each executor. Returns
/// the least number of await points.
fn at_every_point<F: Future<Output = ()> + Send + 'static>(
    locks: &Locks,
    others: &Locks,
    make: impl Fn() -> F,
    after: impl Fn(),
) -> usize {
    let points = Executor::ALL.map(|executor| at_every_point_under(executor, locks, others, &make, &after));
    points.into_iter().min().unwrap_or_default()
}

fn at_every_point_under<F: Future<Output = ()> + Send + 'static>(
    executor: Executor,
    locks: &Locks,
    others: &Locks,
    make: &impl Fn() -> F,
    after: &impl Fn(),
) -> usize {
    for cut in 0..100 {
        let task = cut_at(cut, make());
        let done = executor.run(async { executor.start(task).await }).is_some();
        after();
        // Waits for the cleanup of the dropped future in the background.
        assert!(locks.flush(PATIENCE), "cut at {cut}");
        for (who, locks) in [("others", others), ("this process", locks)] {
            // A lock that is not cleaned up would stay held for its lease. A busy machine may need some time.
            let free = locks.lock("k").wait(Duration::from_secs(5)).acquire();
            assert!(
                free.is_ok(),
                "{executor:?}: cut at await point {cut}, {who} find it held: {free:?}"
            );
        }
        if done {
            return cut;
        }
    }
    panic!("it never comes to an end");
}

/// Waits once.
pub(crate) async fn pause() {
    let mut is_over = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut is_over, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

async fn lock_and_work(locks: Locks) {
    let guard = locks.lock("k").acquire_async().await.expect("it will be free");
    pause().await;
    guard.renew_async().await.expect("the server is there");
    pause().await;
    guard.release().await;
}

/// Runs `test` with the locks of one process and those of another on the same server.
fn on_stage(test: impl Fn(&Locks, &Locks)) {
    let (locks, server) = Locks::in_memory();
    test(&locks, &server.other_process());
    #[cfg(feature = "server-tests")]
    {
        let server = memlock_testkit::Memcached::start();
        let locks = || {
            Locks::builder()
                .servers(server.address())
                .exchange_timeout(PATIENCE)
                .build()
                .expect("a server")
        };
        test(&locks(), &locks());
    }
}

#[test]
fn of_a_free_lock() {
    on_stage(|locks, others| {
        let points = at_every_point(locks, others, || lock_and_work(locks.clone()), || ());
        assert!(points >= 2, "the two pauses, at least: {points}");
    });
}

#[test]
fn of_several_locks() {
    on_stage(|locks, others| {
        let two = || two_locks(locks.clone());
        at_every_point(locks, others, two, || ());
        assert!(locks.lock("l").try_acquire().is_ok());
        assert!(others.lock("l").try_acquire().is_ok());
    });
}

async fn two_locks(locks: Locks) {
    let first = locks.lock("k").acquire_async().await.expect("it is free");
    pause().await;
    let second = locks.lock("l").acquire_async().await.expect("it is free");
    pause().await;
    second.release().await;
    first.release().await;
}

#[test]
fn behind_a_holder_in_this_process() {
    // The holder releases at once, or later, so that the future is dropped before, at and after the hand-over.
    for head_start in [0, 1, 5] {
        on_stage(|locks, others| behind(locks, locks, others, head_start));
    }
}

#[test]
fn behind_a_holder_in_another_process() {
    for head_start in [0, 1, 5] {
        on_stage(|locks, others| behind(others, locks, others, head_start));
    }
}

fn behind(holding: &Locks, locks: &Locks, others: &Locks, head_start: u64) {
    let releaser = Mutex::new(None);
    let make = || {
        let held = holding.lock("k").acquire().expect("it is free");
        let (go, going) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _: Result<(), _> = going.recv_timeout(Duration::from_millis(head_start));
            drop(held);
        });
        *releaser.lock().expect("no panic") = Some((go, thread));
        lock_and_work(locks.clone())
    };
    at_every_point(locks, others, make, || {
        let (go, thread) = releaser.lock().expect("no panic").take().expect("it was made");
        drop(go);
        thread.join().expect("no panic");
    });
}

#[test]
fn an_aborted_task_releases() {
    for runtime in [crate::executors::tokio_threads(), crate::executors::tokio_current()] {
        let (locks, server) = Locks::in_memory();
        let task_locks = locks.clone();
        runtime.block_on(async {
            let (told, is_in) = tokio::sync::oneshot::channel();
            let task = tokio::spawn(async move {
                let _guard = task_locks.lock("k").acquire_async().await.expect("it is free");
                told.send(()).expect("somebody listens");
                std::future::pending::<()>().await;
            });
            is_in.await.expect("it gets in");
            task.abort();
            assert!(task.await.is_err_and(|error| error.is_cancelled()));
        });
        assert!(locks.flush(PATIENCE));
        assert!(server.other_process().lock("k").try_acquire().is_ok());
    }
}

#[test]
fn a_timeout_and_a_select_release() {
    let (locks, server) = Locks::in_memory();
    crate::executors::tokio_current().block_on(async {
        let long = async {
            let _guard = locks.lock("k").acquire_async().await.expect("it is free");
            std::future::pending::<()>().await;
        };
        assert!(tokio::time::timeout(Duration::from_millis(5), long).await.is_err());
        assert!(locks.flush_async(PATIENCE).await);
        let held = locks.lock("k").acquire_async().await.expect("it was given up");
        tokio::select! {
            biased;
            _ = locks.lock("k").acquire_async() => panic!("it is held"),
            () = pause() => {}
        }
        held.release().await;
        assert!(locks.flush_async(PATIENCE).await);
    });
    assert!(server.other_process().lock("k").try_acquire().is_ok());
}

#[test]
fn a_panic_releases() {
    for executor in Executor::ALL {
        let (locks, server) = Locks::in_memory();
        let task_locks = locks.clone();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            executor.run(async {
                let _guard = task_locks.lock("k").acquire_async().await.expect("it is free");
                pause().await;
                panic!("in the body");
            });
        }));
        assert!(panicked.is_err());
        assert!(locks.flush(PATIENCE));
        assert!(server.other_process().lock("k").try_acquire().is_ok());
    }
}

#[test]
fn a_guard_may_be_dropped_without_an_executor() {
    let (locks, server) = Locks::in_memory();
    let guard = block_on(locks.lock("k").acquire_async()).expect("it is free");
    std::thread::spawn(move || drop(guard)).join().expect("no panic");
    assert!(locks.flush(PATIENCE));
    assert!(server.other_process().lock("k").try_acquire().is_ok());
}
