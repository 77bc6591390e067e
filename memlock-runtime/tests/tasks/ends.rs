//! Runtimes that end while locks are held, and the end of the use of locks: flush and shutdown.

use std::thread;
use std::time::Duration;

use memlock_runtime::Locks;
use memlock_testkit::wait_until;

use crate::executors::{Executor, block_on, tokio_current, tokio_threads};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn runtimes_come_and_go() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let mut last = None;
    for executor in Executor::ALL.into_iter().chain(Executor::ALL) {
        let guard = executor.run(locks.lock("k").acquire_async()).expect("it is free");
        assert!(last < Some(guard.token()));
        last = Some(guard.token());
        assert!(others.lock("k").try_acquire().is_err());
        block_on(guard.release());
    }
}

#[test]
fn a_runtime_that_ends_releases_the_locks_of_its_tasks() {
    for runtime in [tokio_threads(), tokio_current()] {
        let (locks, server) = Locks::in_memory();
        let task_locks = locks.clone();
        let (told, is_in) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let _guard = task_locks.lock("k").acquire_async().await.expect("it is free");
            told.send(()).expect("somebody listens");
            std::future::pending::<()>().await;
        });
        runtime.block_on(is_in).expect("it gets in");
        assert!(server.other_process().lock("k").try_acquire().is_err());
        drop(runtime);
        assert!(locks.flush(PATIENCE));
        assert!(server.other_process().lock("k").try_acquire().is_ok());
    }
}

#[test]
fn flush_returns_whether_all_work_is_done() {
    let (locks, server) = Locks::in_memory();
    assert!(locks.flush(Duration::ZERO), "there is nothing to do");
    let guard = block_on(locks.lock("k").acquire_async()).expect("it is free");
    server.set_down(true);
    drop(guard);
    assert!(!locks.flush(Duration::from_millis(20)), "the server is off");
    server.set_down(false);
    assert!(block_on(locks.flush_async(PATIENCE)));
    assert!(server.other_process().lock("k").try_acquire().is_ok());
}

/// Uses up the budget of a tokio task, so that it has to yield.
fn use_up_budget() {
    let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(step) = tokio::task::coop::poll_proceed(&mut nobody) {
        step.made_progress();
    }
}

#[test]
fn flush_ends_in_a_task_that_has_used_up_its_budget() {
    let (locks, server) = Locks::in_memory();
    let task = async move {
        let guard = locks.lock("k").acquire_async().await.expect("it is free");
        server.set_down(true);
        drop(guard);
        use_up_budget();
        assert!(!locks.flush(Duration::from_millis(20)), "the server is off");
        server.set_down(false);
        use_up_budget();
        assert!(locks.flush(PATIENCE));
    };
    let runtime = tokio_threads();
    runtime.block_on(async { tokio::spawn(task).await }).expect("no panic");
}

#[test]
fn a_shutdown_waits_for_holders_and_gives_back_what_they_still_hold() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let held = locks.lock("k").renew().acquire().expect("it is free");
    let lease = held.lease();
    thread::scope(|scope| {
        scope.spawn(|| {
            let early = locks.lock("early").acquire().expect("it is free");
            while locks.lock("l").acquire().is_ok() {
                thread::yield_now();
            }
            assert!(early.check().is_ok() && early.renew().is_ok(), "it is held as before");
        });
        wait_until("the other thread to hold its lock", PATIENCE, || {
            others.lock("early").try_acquire().is_err()
        });
        let shutdown = locks.shutdown(Duration::from_secs(1));
        assert_eq!(
            (shutdown.given_back, shutdown.unfinished),
            (1, 0),
            "the thread was done in time"
        );
    });
    assert!(others.lock("early").try_acquire().is_ok());
    assert!(others.lock("k").try_acquire().is_ok(), "it was given back");
    for error in [lease.check(), lease.renew(), block_on(lease.renew_async())] {
        let error = error.expect_err("it was given back");
        assert!(error.is_lost() && error.to_string().contains("shut down"), "{error}");
    }
    assert!(!held.is_valid());
    drop(held);
    assert_eq!(locks.counts().lost, 1);
    assert!(locks.shutdown(PATIENCE).is_clean(), "nothing is left");
}

#[test]
fn a_shutdown_dismisses_all_who_wait() {
    for is_held_here in [true, false] {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        let holder = if is_held_here { &locks } else { &others };
        let held = holder.lock("k").acquire().expect("it is free");
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| locks.lock("k").acquire().map(drop)))
                .chain((0..4).map(|_| scope.spawn(|| block_on(locks.lock("k").acquire_async()).map(drop))))
                .collect();
            let waiting = if is_held_here { 8 } else { 7 };
            wait_until("all to wait", PATIENCE, || server.waiting("lock", "k") == waiting);
            let shutdown = locks.shutdown(Duration::ZERO);
            assert_eq!(shutdown.given_back, usize::from(is_held_here));
            drop(held);
            for thread in threads {
                let error = thread
                    .join()
                    .expect("no panic")
                    .expect_err("nothing is granted any more");
                assert!(error.is_config() && error.to_string().contains("shut down"), "{error}");
            }
        });
        assert!(locks.shutdown(PATIENCE).is_clean());
        assert_eq!(locks.counts().acquired, u64::from(is_held_here));
    }
}

#[test]
fn after_shutdown_no_lock_is_acquired() {
    let (locks, server) = Locks::in_memory();
    assert!(locks.shutdown(PATIENCE).is_clean());
    let error = locks.lock("l").acquire().expect_err("shut down");
    assert!(error.is_config() && error.to_string().contains("shut down"), "{error}");
    assert!(block_on(locks.lock("l").acquire_async()).is_err_and(|error| error.is_config()));
    assert!(block_on(locks.shutdown_async(PATIENCE)).is_clean());
    assert!(server.other_process().lock("k").try_acquire().is_ok());
}
