//! Acquiring and releasing without attributes.

use std::time::Duration;

use memlock_runtime::Locks;

use crate::executors::{Executor, block_on};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_guard_excludes_until_it_is_released() {
    for executor in Executor::ALL {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        executor.run(async {
            let guard = locks.lock("k").acquire_async().await.expect("it is free");
            assert!(guard.is_valid() && guard.remaining() > Duration::from_secs(20));
            let busy = others.lock("k").try_acquire_async().await.expect_err("it is held");
            assert!(busy.is_busy(), "{busy}");
            let token = guard.token();
            guard.release().await;
            let next = others.lock("k").try_acquire_async().await.expect("it was released");
            assert!(next.token() > token);
        });
    }
}

#[test]
fn a_kept_lease_is_over_as_soon_as_its_guard_is_released_or_dropped() {
    for executor in Executor::ALL {
        let (locks, _server) = Locks::in_memory();
        executor.run(async {
            for released in [true, false] {
                let guard = locks.lock("k").acquire_async().await.expect("it is free");
                let lease = guard.lease();
                lease.check().expect("it is held");
                if released {
                    guard.release().await;
                } else {
                    drop(guard);
                }
                let error = lease.check().expect_err("it is over");
                assert!(error.is_lost() && error.to_string().contains("released"), "{error}");
                assert!(!lease.is_valid() && lease.remaining().is_zero());
            }
        });
    }
}

#[test]
fn no_executor_is_needed() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let held = others.lock("k").timeout(HOUR).acquire().expect("it is free");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| block_on(locks.lock("k").acquire_async()).map(|guard| guard.token()));
        let token = held.token();
        held.release();
        assert!(waiter.join().expect("no panic").expect("it was released") > token);
    });
}

#[test]
fn nothing_happens_before_the_first_poll() {
    let (locks, _server) = Locks::in_memory();
    let future = locks.lock("k").acquire_async();
    let guard = locks.lock("k").try_acquire().expect("nobody has asked for it");
    drop(future);
    drop(guard);
    assert_eq!(locks.counts().acquired, 1);
}

#[test]
fn a_wait_ends_when_it_is_over() {
    for executor in Executor::ALL {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        let _held = others.lock("k").timeout(HOUR).acquire().expect("it is free");
        let wait = Duration::from_millis(40);
        // A lock that another process holds, then one that this process holds.
        for _ in 0..2 {
            let busy = executor.run(locks.lock("k").wait(wait).acquire_async());
            assert!(busy.is_err_and(|error| error.is_busy()));
        }
        let _own = locks.lock("own").timeout(HOUR).acquire().expect("it is free");
        let busy = executor.run(locks.lock("own").wait(wait).acquire_async());
        assert!(busy.is_err_and(|error| error.is_busy()));
    }
}

#[test]
fn a_server_that_is_off_is_unavailable() {
    let (locks, server) = Locks::in_memory();
    let guard = block_on(locks.lock("held").acquire_async()).expect("it is free");
    server.set_down(true);
    let error = block_on(locks.lock("k").acquire_async()).expect_err("it is off");
    assert!(error.is_unavailable(), "{error}");
    let error = block_on(guard.renew_async()).expect_err("it is off");
    assert!(error.is_unavailable(), "{error}");
    assert!(guard.is_valid(), "the old deadline stands");
    server.set_down(false);
    block_on(guard.renew_async()).expect("it is on again");
}

#[test]
fn a_lease_that_is_kept_alive_outlives_its_timeout() {
    let (locks, server) = Locks::in_memory();
    let minute = Duration::from_secs(60);
    let guard = block_on(locks.lock("k").timeout(minute).renew().acquire_async()).expect("it is free");
    for _ in 0..5 {
        let before = guard.remaining();
        server.advance(minute * 2 / 5);
        while guard.remaining() <= before.saturating_sub(minute / 5) {
            assert!(guard.is_valid(), "a lease that is kept alive was lost");
            std::thread::yield_now();
        }
    }
}

#[test]
#[cfg(feature = "server-tests")]
#[allow(
    clippy::disallowed_methods,
    reason = "tells a machine that stood still from a lock that was held"
)]
fn a_try_right_after_a_guard_was_dropped_finds_the_lock_free() {
    let server = memlock_testkit::Memcached::start();
    let locks = Locks::builder().servers(server.address()).build().expect("a server");
    block_on(async {
        let mut stood_still = 0;
        for _ in 0..300 {
            let guard = locks.lock("k").acquire_async().await.expect("it is free");
            // Dropping only begins the release.
            drop(guard);
            let asked = std::time::Instant::now();
            match locks.lock("k").try_acquire_async().await {
                Ok(next) => next.release().await,
                // The machine stalled for as long as one exchange may take a caller with no time to wait. So the caller
                // did not see the release, or had no time left to ask the server.
                Err(_) if asked.elapsed() >= Duration::from_millis(30) => stood_still += 1,
                Err(error) => panic!("it was released: {error:?}"),
            }
        }
        assert!(stood_still < 100, "{stood_still} of 300 found it held");
    });
}
