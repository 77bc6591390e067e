//! Futures that are kept, and not polled any more, at each of their await points: as in `select!` over `&mut future`, in a
//! `FuturesUnordered` whose owner is busy, or in a variable. They must not keep the lock from others for ever.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use memlock_runtime::{Error, Locks, TestServer};
use memlock_testkit::wait_until;

use crate::cancellation::pause;
use crate::executors::{block_on, poll_once};

/// Longer than the limit of a turn, and much shorter than the lease of the default.
const WAIT: Duration = Duration::from_secs(6);

const LEASE: Duration = Duration::from_millis(300);

type Kept = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

async fn lock_and_release(locks: Locks) -> Result<(), Error> {
    let guard = locks.lock("k").timeout(LEASE).acquire_async().await?;
    pause().await;
    guard.renew_async().await?;
    pause().await;
    guard.release().await;
    Ok(())
}

/// Threads and tasks of this process, `number` of each, want the lock: all get it in time.
fn all_get_it(locks: &Locks, number: usize, why: &str) {
    let request = || locks.lock("k").timeout(LEASE).wait(WAIT);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..number)
            .map(|_| scope.spawn(|| request().acquire().map(drop)))
            .chain((0..number).map(|_| scope.spawn(|| block_on(request().acquire_async()).map(drop))))
            .collect();
        for thread in threads {
            let got = thread.join().expect("no panic");
            assert!(got.is_ok(), "{why}: {got:?}");
        }
    });
}

/// Polls `future` until it has waited `cut` times. `None`: it completes before.
fn kept_at(cut: usize, mut future: Kept) -> Option<Kept> {
    let mut waited = 0;
    block_on(std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => {
            done.expect("it is free");
            Poll::Ready(false)
        }
        Poll::Pending if waited == cut => Poll::Ready(true),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    }))
    .then_some(future)
}

#[test]
fn a_kept_future_delays_others_for_a_turn_or_a_lease() {
    let mut points = 0;
    for cut in 0..100 {
        let (locks, _server) = Locks::in_memory();
        let Some(mut kept) = kept_at(cut, Box::pin(lock_and_release(locks.clone()))) else {
            break;
        };
        points += 1;
        all_get_it(&locks, 5, &format!("kept at await point {cut}"));
        // It may go on, and then has its lock in its turn, or learns that it has lost it.
        let done = block_on(kept.as_mut());
        assert!(
            done.is_ok() || done.is_err_and(|error| error.is_lost()),
            "kept at {cut}"
        );
        assert!(locks.flush(WAIT));
        all_get_it(&locks, 1, "nothing is left");
    }
    assert!(
        points >= 2,
        "it waits while it holds the lock, before its renewal and after"
    );
}

/// `crowd` futures that wait behind the lock's holder, and are then kept.
fn kept_crowd(locks: &Locks, server: &TestServer, crowd: usize) -> Vec<Kept> {
    let mut kept: Vec<Kept> = (0..crowd)
        .map(|_| Box::pin(lock_and_release(locks.clone())) as Kept)
        .collect();
    for future in &mut kept {
        assert!(poll_once(Pin::new(future)).is_pending());
    }
    wait_until("all to wait", WAIT, || server.waiting("lock", "k") == crowd);
    kept
}

#[test]
fn a_crowd_of_kept_futures_ahead_costs_hardly_more_than_one() {
    for crowd in [1, 2, 200] {
        let (locks, server) = Locks::in_memory();
        let held = locks.lock("k").acquire().expect("it is free");
        let mut kept = kept_crowd(&locks, &server, crowd);
        drop(held);
        all_get_it(&locks, 10, &format!("behind {crowd}"));
        // In reverse order, since those that were passed over stand first again, the last one before the others.
        while let Some(mut future) = kept.pop() {
            let done = block_on(future.as_mut());
            assert!(done.is_ok(), "{done:?}");
        }
    }
}

#[test]
fn a_kept_future_behind_a_holder_that_hangs_does_not_keep_others_from_stepping_in() {
    let (locks, server) = Locks::in_memory();
    let hung = locks.lock("k").timeout(LEASE).acquire().expect("it is free");
    let kept = kept_crowd(&locks, &server, 3);
    all_get_it(&locks, 2, "the holder hangs, and the first in line is not polled");
    assert!(!hung.is_valid());
    drop(kept);
    drop(hung);
    assert!(locks.flush(WAIT));
    all_get_it(&locks, 1, "nothing is left");
}

#[test]
fn a_kept_future_that_asks_for_a_held_lock_loses_only_its_turn() {
    let (locks, server) = Locks::in_memory();
    let other = server.other_process();
    let held = other.lock("k").acquire().expect("it is free");
    let kept = kept_at(2, Box::pin(lock_and_release(locks.clone()))).expect("it waits for the other process");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| all_get_it(&locks, 5, "the head is kept"));
        wait_until("the others to wait", WAIT, || server.waiting("lock", "k") >= 9);
        drop(held);
        waiting.join().expect("they get it");
    });
    block_on(kept).expect("it is its turn again");
}
