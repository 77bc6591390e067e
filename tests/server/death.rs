//! Holders that die, or stand still for longer than their lease.

use std::thread;
use std::time::{Duration, Instant};

use memlock_testkit::wait_until;

use crate::actor::Actor;
use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed};

#[test]
fn a_lock_of_half_a_second_outlives_its_killed_holder_by_no_more() {
    a_waiter_that_watched_inherits(ms(500), ms(700));
}

#[test]
fn a_lock_of_five_seconds_outlives_its_killed_holder_by_no_more() {
    a_waiter_that_watched_inherits(ms(5000), ms(5200));
}

fn a_waiter_that_watched_inherits(timeout: Duration, limit: Duration) {
    let stage = Stage::set();
    let mut holder = Actor::on(&stage);
    let locks = stage.locks();
    let asked = Instant::now();
    let token = holder.acquires("k", timeout);
    let reads = stage.number("get_hits");
    let heir = thread::spawn(move || {
        let guard = hold(locks.lock("k"));
        (guard.token().get(), Instant::now())
    });
    // It reads the clock, and then the lock.
    wait_until("the waiter to have seen the lock", PATIENCE, || {
        stage.number("get_hits") >= reads + 2
    });
    let killed = Instant::now();
    holder.kill();
    let (heirs_token, inherited) = heir.join().expect("no panic");
    let (since_asked, since_killed) = (inherited - asked, inherited - killed);
    println!(
        "timeout {timeout:?}: inherited {since_killed:.1?} after the kill, {since_asked:.1?} after the grant was asked for"
    );
    assert!(
        since_asked >= timeout,
        "inherited while the lease lasted: {since_asked:?}"
    );
    assert!(since_killed <= limit, "{since_killed:?}");
    assert!(heirs_token > token);
}

/// Otherwise, waiters that give up would keep a dead holder's lock alive for each other.
#[test]
fn a_watch_outlives_the_waiter_that_began_it() {
    let stage = Stage::set();
    let mut holder = Actor::on(&stage);
    holder.acquires("k", ms(1400));
    holder.kill();
    let locks = stage.locks();
    let reads = stage.number("get_hits");
    let first = {
        let locks = locks.clone();
        thread::spawn(move || locks.lock("k").wait(ms(800)).acquire())
    };
    wait_until("the first waiter to have seen the lock", PATIENCE, || {
        stage.number("get_hits") >= reads + 2
    });
    // If it counted from its own first look, it would have to watch for longer than it waits.
    let second = locks.lock("k").wait(ms(2000)).acquire();
    assert!(first.join().expect("no panic").expect_err("its wait is over").is_busy());
    assert!(second.expect("the first one's watch counts").is_valid());
}

#[test]
fn a_holder_stopped_past_its_lease_knows_and_touches_no_other_lock() {
    let stage = Stage::set();
    let mut sleeper = Actor::on(&stage);
    let sleepers_token = sleeper.acquires("k", ms(500));
    assert_eq!(sleeper.believes(), (true, "ok".to_owned()));
    sleeper.pause();
    let locks = stage.locks();
    let guard = hold(locks.lock("k"));
    assert!(guard.token().get() > sleepers_token);
    sleeper.resume();
    let (believes, check) = sleeper.believes();
    assert!(!believes);
    assert!(
        check.starts_with("lost: ") && check.contains("memlock:lock:k"),
        "{check}"
    );
    sleeper.releases();
    assert!(stage.keeps(&guard), "the sleeper deleted the lock of another");
    guard.renew().expect("it is held");
    assert!(sleeper.tries("k").starts_with("busy: "));
}

/// To the other threads of its process, a thread that hangs with the lock is as dead as to other processes.
#[test]
fn a_thread_that_hangs_holds_up_its_own_process_no_longer_than_its_timeout() {
    let stage = Stage::set();
    let locks = stage.locks();
    let hanging = hold(locks.lock("k").timeout(ms(500)));
    let (guard, took) = timed(|| hold(locks.lock("k")));
    println!("inherited {took:.1?} after the grant");
    assert!(took <= ms(500) + MARGIN, "{took:?}");
    assert!(!hanging.is_valid(), "two holders");
    assert!(guard.token() > hanging.token());
    hanging.release();
    assert!(stage.keeps(&guard), "the hanging thread deleted the lock of another");
    stage.assert_held("k");
}

/// A holder releases its lock after its lease, if no other process has taken it. So the next process need not watch it.
#[test]
fn a_late_release_frees_a_lock_that_nobody_took() {
    let stage = Stage::set();
    let locks = stage.locks();
    let guard = hold(locks.lock("k").timeout(ms(100)));
    wait_until("the lease to end", PATIENCE, || !guard.is_valid());
    assert!(stage.keeps(&guard));
    guard.release();
    assert!(stage.locks().lock("k").wait(MARGIN).acquire().is_ok());
}
