//! Leases that are kept alive.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use memlock_testkit::wait_until;

use crate::actor::Actor;
use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed};

#[test]
fn a_renewed_lock_outlives_its_timeout_and_is_free_at_once_when_released() {
    let stage = Stage::set();
    let timeout = ms(600);
    let (locks, others) = (stage.locks(), stage.locks());
    let guard = hold(locks.lock("k").timeout(timeout).renew());
    let started = Instant::now();
    let (sender, granted) = mpsc::channel();
    let reads = stage.number("get_hits");
    thread::spawn(move || {
        let guard = hold(others.lock("k"));
        // After a failure the test no longer listens.
        let _ = sender.send(guard.token());
    });
    wait_until("the contender to have seen the lock", PATIENCE, || {
        stage.number("get_hits") >= reads + 2
    });
    // From here on, only renewals store anything: one for each third of the timeout.
    let sets = stage.number("cmd_set");
    wait_until("twelve renewals", PATIENCE, || {
        assert!(guard.is_valid(), "the lease lasts without a gap");
        stage.number("cmd_set") >= sets + 12
    });
    println!("twelve renewals took {:.1?}", started.elapsed());
    assert!(started.elapsed() > 3 * timeout);
    assert!(granted.try_recv().is_err(), "the contender was let in");
    guard.check().expect("it has lasted");
    let token = guard.token();
    let (next, took) = timed(|| {
        guard.release();
        granted.recv_timeout(PATIENCE).expect("it is free")
    });
    assert!(next > token);
    assert!(took < ms(50) + MARGIN, "{took:?}");
    assert_eq!(locks.counts().lost, 0);
}

/// The renewals of a lock on another server show how much time has passed.
#[test]
fn renewals_end_with_their_guard() {
    let stage = Stage::set();
    let clock = Stage::beside(&stage);
    let (locks, ticking) = (stage.locks(), clock.locks());
    hold(locks.lock("k").timeout(ms(150)).renew()).release();
    let sets = stage.number("cmd_set");
    let _ticking = hold(ticking.lock("k").timeout(ms(150)).renew());
    wait_until("ten renewals elsewhere", PATIENCE, || clock.number("cmd_set") >= 12);
    assert_eq!(stage.number("cmd_set"), sets, "a released lock was renewed");
    assert_eq!(stage.items_of_locks(), 0, "a lock is left");
}

#[test]
fn the_lease_of_a_killed_holder_is_not_renewed() {
    let stage = Stage::set();
    let mut holder = Actor::on(&stage);
    let token = holder.acquires_renewed("k", ms(500));
    let sets = stage.number("cmd_set");
    wait_until("a few renewals", PATIENCE, || stage.number("cmd_set") >= sets + 3);
    let locks = stage.locks();
    let reads = stage.number("get_hits");
    thread::scope(|scope| {
        let heir = scope.spawn(|| hold(locks.lock("k")).token().get());
        wait_until("the waiter to have seen the lock", PATIENCE, || {
            stage.number("get_hits") >= reads + 2
        });
        holder.kill();
        let (heirs, took) = timed(|| heir.join().expect("no panic"));
        println!("inherited {took:.1?} after the kill");
        assert!(heirs > token);
        assert!(took <= ms(500) + MARGIN, "{took:?}");
    });
}

/// The server is away for longer than a renewal takes, and for less than the lease.
#[test]
fn a_renewed_lock_survives_a_short_outage() {
    let stage = Stage::set();
    let locks = stage
        .builder()
        .exchange_timeout(ms(100))
        .build()
        .expect("nothing is wrong with it");
    let timeout = Duration::from_secs(3);
    let guard = hold(locks.lock("k").timeout(timeout).renew());
    let started = Instant::now();
    wait_until("a renewal to be due soon", PATIENCE, || started.elapsed() > timeout / 4);
    stage.pause();
    wait_until("renewals to have failed", PATIENCE, || {
        started.elapsed() > timeout * 2 / 3
    });
    stage.resume();
    wait_until("more than the first lease to pass", PATIENCE, || {
        started.elapsed() > timeout + ms(500)
    });
    guard.check().expect("the lease was extended in time");
    stage.assert_held("k");
}

#[test]
fn a_renewed_lock_that_was_flushed_is_known_to_be_lost_within_a_third_of_its_lease() {
    let stage = Stage::set();
    let locks = stage.locks();
    let timeout = ms(1500);
    let guard = hold(locks.lock("k").timeout(timeout).renew());
    stage.flush_all();
    let ((), took) = timed(|| wait_until("the holder to know", PATIENCE, || !guard.is_valid()));
    println!("known after {took:.1?}");
    assert!(took < timeout / 3 + MARGIN, "{took:?}");
    assert!(guard.check().expect_err("it is lost").is_lost());
}
