//! Locks of `memory:`, whose exchanges take no time.

use std::pin::pin;
use std::task::Waker;

use super::*;

/// The output of a future that must not wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn a_kept_lease_reports_that_its_lock_was_released() {
    let (locks, _) = Locks::in_memory();
    let guard = locks.lock("x").acquire().expect("it is free");
    let kept = guard.lease();
    assert!(kept.is_valid());
    drop(guard);
    assert!(!kept.is_valid() && kept.renew().is_err());
    let next = locks.lock("x").acquire().expect("it was released");
    assert!(next.token() > kept.token() && next.is_valid() && !kept.is_valid());
}

#[test]
fn a_task_waits_neither_for_the_lock_nor_for_its_release() {
    let (locks, _) = Locks::in_memory();
    let guard = at_once(locks.lock("x").acquire_async()).expect("it is free");
    drop(guard);
    let guard = at_once(locks.lock("x").acquire_async()).expect("it was released when it was dropped");
    at_once(guard.release());
    let guard = at_once(locks.lock("x").try_acquire_async()).expect("it was released");
    let kept = guard.lease();
    drop(guard);
    assert!(!kept.is_valid());
    drop(locks.lock("x").try_acquire().expect("it was released"));
}

#[test]
fn a_waiter_gets_the_lock_from_its_holder() {
    let (locks, _) = Locks::in_memory();
    let first = locks.lock("x").acquire().expect("it is free");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| locks.lock("x").acquire());
        let item = ItemName::of_lock("memlock", "lock", "x");
        while locks.core().queues.waiting(&item) == 0 {
            thread::yield_now();
        }
        let token = first.token();
        drop(first);
        let second = waiter.join().expect("no panic").expect("it was handed over");
        assert!(second.token() > token);
    });
    drop(locks.lock("x").try_acquire().expect("it was released"));
}

#[test]
fn released_locks_keep_nothing_alive() {
    let (locks, server) = Locks::in_memory();
    for _ in 0..2 {
        drop(locks.lock("x").acquire().expect("it is free"));
    }
    let core = Arc::downgrade(locks.core());
    drop((locks, server));
    assert!(core.upgrade().is_none());
}

#[test]
fn a_server_that_lost_time_is_named_and_trusted_again_once_its_clock_has_ticked() {
    // The server has a clock of its own, and lost the time that passes on that of the locks.
    let clock = Arc::new(Clock::default());
    let core = Core::on(Arc::clone(&clock), Arc::new(Memory::new()), EXCHANGE);
    let locks = Builder::new()
        .servers("memory:")
        .build()
        .expect("a server list")
        .on(core);
    for acquires in [
        |locks: &Locks| locks.lock("x").acquire().map(drop),
        |locks: &Locks| block_on(locks.lock("x").acquire_async()).map(drop),
    ] {
        acquires(&locks).expect("it is free");
        clock.advance(Duration::from_secs(100));
        let error = locks
            .lock("x")
            .try_acquire()
            .expect_err("an item might expire too early");
        assert!(error.is_unavailable());
        let text = error.to_string();
        assert!(text.contains("its clock is ") && text.contains("s behind"), "{text}");
        acquires(&locks).expect("the clock has ticked by then");
        drop(locks.lock("x").try_acquire().expect("and it is trusted now"));
    }
}
