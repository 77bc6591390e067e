//! Servers that lose what they stored, by a restart or a flush, while locks are held.

use memlock::Guard;
use memlock_testkit::wait_until;

use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed};

/// Checks that `guard` still has its lock.
#[track_caller]
fn assert_undisturbed(stage: &Stage, guard: &Guard) {
    assert!(stage.keeps(guard), "its item was deleted");
    guard.renew().expect("it is held");
    stage.assert_held("k");
}

/// memcached numbers its items from 1 again: on a fresh server the second holder's item has the number that the first
/// one's had, and a release that compares only numbers deletes it.
#[test]
fn a_holder_from_before_a_restart_does_not_release_the_next_ones_lock() {
    let stage = Stage::set();
    let before = hold(stage.locks().lock("k"));
    stage.restart_young();
    let locks = stage.locks();
    let (after, took) = timed(|| hold(locks.lock("k")));
    println!("granted {took:.1?} after the restart");
    assert!(
        stage.number("uptime") >= 4,
        "a server that has just started grants nothing"
    );
    assert!(took < ms(4000) + MARGIN, "{took:?}");
    assert!(after.token() > before.token());
    assert!(before.is_valid(), "a documented limit: it cannot know");
    before.release();
    assert_undisturbed(&stage, &after);
}

#[test]
fn a_holder_from_before_a_restart_does_not_renew_the_next_ones_lock() {
    let stage = Stage::set();
    let before = hold(stage.locks().lock("k"));
    stage.restart();
    let after = hold(stage.locks().lock("k"));
    let error = before.renew().expect_err("its item is gone");
    assert!(error.is_lost(), "{error}");
    assert!(!before.is_valid());
    drop(before);
    assert_undisturbed(&stage, &after);
}

#[test]
fn a_lease_from_before_a_restart_ends_at_its_deadline() {
    let stage = Stage::set();
    let locks = stage.locks();
    let before = hold(locks.lock("k").timeout(ms(2500)));
    stage.restart_young();
    wait_until("the lease to end", ms(2500) + MARGIN, || !before.is_valid());
    // Other locks: those of one process queue up behind the guard.
    let after = hold(stage.locks().lock("k"));
    assert!(after.token() > before.token());
    before.release();
    assert_undisturbed(&stage, &after);
    assert_eq!(locks.counts().lost, 1);
}

#[test]
fn a_waiter_gets_the_lock_after_a_restart() {
    let stage = Stage::set();
    let before = hold(stage.locks().lock("k"));
    let locks = stage.locks();
    let reads = stage.number("get_hits");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            loop {
                match locks.lock("k").acquire() {
                    Ok(guard) => break guard.token(),
                    // It may find the port closed for a moment.
                    Err(error) => assert!(error.is_unavailable(), "{error}"),
                }
            }
        });
        wait_until("the waiter to have seen the lock", PATIENCE, || {
            stage.number("get_hits") >= reads + 2
        });
        stage.restart_young();
        let (token, took) = timed(|| waiter.join().expect("no panic"));
        println!("a waiter was granted the lock {took:.1?} after the restart");
        assert!(token > before.token());
        assert!(took < ms(4000) + MARGIN, "{took:?}");
    });
}

#[test]
fn a_call_to_a_server_that_is_too_young_ends_with_its_wait() {
    let stage = Stage::set();
    stage.restart_young();
    let locks = stage.locks();
    let (result, took) = timed(|| locks.lock("k").wait(ms(300)).acquire());
    let error = result.expect_err("it is too young").to_string();
    assert!(error.contains(&stage.address()) && error.contains("started"), "{error}");
    assert!(took >= ms(300) && took < ms(300) + MARGIN, "{took:?}");
}

#[test]
fn tokens_rise_across_a_restart_for_the_same_locks() {
    let stage = Stage::set();
    let locks = stage.locks();
    let mut last = None;
    for _ in 0..2 {
        for _ in 0..20 {
            let token = hold(locks.lock("k")).token();
            assert!(last < Some(token));
            last = Some(token);
        }
        stage.restart();
    }
    assert!(last < Some(hold(locks.lock("k")).token()));
}

/// Both hold the lock, which is a documented limit. The tokens tell the resource which holder to refuse.
#[test]
fn after_a_flush_tokens_rise_and_a_release_touches_no_other_lock() {
    let stage = Stage::set();
    let before = hold(stage.locks().lock("k"));
    stage.flush_all();
    let after = hold(stage.locks().lock("k"));
    assert!(after.token() > before.token());
    before.release();
    assert_undisturbed(&stage, &after);
}

#[test]
fn a_renewal_notices_a_flush() {
    let stage = Stage::set();
    let guard = hold(stage.locks().lock("k"));
    stage.flush_all();
    assert!(guard.renew().expect_err("its item is gone").is_lost());
    assert!(guard.check().expect_err("once lost").is_lost());
    assert!(!guard.is_valid());
}
