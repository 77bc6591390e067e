//! Requests and replies that come when no caller waits for them any more, or never, on a connection that stays open.

use std::thread;
use std::time::Duration;

use memlock_testkit::wait_until;

use crate::midway::{age, renew_through_fault};
use crate::proxy::{Deed, Fault, Then};
use crate::stage::{By, MARGIN, ORPHANED, PATIENCE, QUICK, Stage, ms, timed, tried};
use crate::wire::Kind;

const EXCHANGE: Duration = ms(80);

fn arm(stage: &Stage, on: Kind, deed: Deed, then: Then) {
    stage.proxy.arm(Fault {
        on,
        skip: 0,
        deed,
        then,
    });
}

#[test]
fn a_delay_within_the_limit_is_no_fault() {
    let stage = Stage::set("short delay", Duration::from_secs(5));
    for deed in [Deed::HoldReply, Deed::HoldRequest] {
        for on in [Kind::Handshake, Kind::Acquire, Kind::Delete] {
            arm(&stage, on, deed, Then::Well);
            thread::scope(|scope| {
                scope.spawn(|| {
                    wait_until("the exchange to be held", PATIENCE, || stage.proxy.has_fired());
                    stage.proxy.open_gate();
                });
                let caller = stage.caller();
                let guard = caller.locks.lock(stage.key).acquire();
                stage.assert_proved(&caller, &guard.expect("it is only slow"));
            });
            stage.assert_free();
        }
    }
}

/// The late connection is the only one to the server.
#[test]
fn a_lock_whose_proof_is_late_is_cleaned_away_through_the_late_connection() {
    let stage = Stage::set("late", EXCHANGE);
    for deed in [Deed::HoldReply, Deed::HoldRequest] {
        for keeps_its_locks in [true, false] {
            arm(&stage, Kind::Acquire, deed, Then::Down);
            let caller = stage.caller();
            let (result, took) = timed(|| caller.locks.lock(stage.key).acquire());
            stage.assert_unavailable(&result.expect_err("its proof does not come"));
            assert!(took < stage.limit(), "kept for {took:?}");
            let kept = stage.kept();
            assert_eq!(kept.is_some(), matches!(deed, Deed::HoldReply), "{kept:?}");
            let label = caller.label.clone();
            let locks = keeps_its_locks.then_some(caller.locks);
            let deletes = stage.deletes();
            stage.proxy.open_gate();
            let ((), took) = timed(|| {
                wait_until("the orphan to be cleaned away", ORPHANED, || stage.deletes() > deletes);
            });
            assert!(stage.kept().is_none_or(|kept| !kept.value.contains(&label)));
            println!("an orphan was gone {took:.1?} after the proof came");
            stage.proxy.heal();
            stage.assert_free();
            drop(locks);
        }
    }
}

#[test]
fn a_late_reply_never_answers_a_later_exchange() {
    let stage = Stage::set("late reply", EXCHANGE);
    for deed in [Deed::HoldReply, Deed::HoldRequest] {
        arm(&stage, Kind::Acquire, deed, Then::Well);
        let caller = stage.caller();
        let (result, took) = timed(|| caller.locks.lock(stage.key).acquire());
        let guard = result.expect("another connection serves");
        assert!(took < stage.limit(), "kept for {took:?}");
        stage.assert_proved(&caller, &guard);
        // The late exchange ends in any of the ways while the lock is held, and changes nothing.
        let kept = stage.kept();
        let sets = stage.sets();
        stage.proxy.open_gate();
        if matches!(deed, Deed::HoldRequest) {
            wait_until("the late request to be executed", PATIENCE, || stage.sets() > sets);
        }
        assert_eq!(stage.kept(), kept);
        guard.release();

        let others = stage.direct.lock(stage.key).acquire().expect("it is free");
        stage.assert_rises(&others);
        let kept = stage.kept();
        for _ in 0..20 {
            let error = tried(|| caller.locks.lock(stage.key).try_acquire()).expect_err("it is held");
            assert!(error.is_busy(), "{error}");
            assert_eq!(stage.kept(), kept);
        }
        others.release();
        let guard = caller.locks.lock(stage.key).acquire().expect("it is free");
        stage.assert_proved(&caller, &guard);
        drop(guard);
        stage.assert_free();
    }
}

/// The server deletes at once, and says so when the next holder is there.
#[test]
fn a_late_proof_of_a_release_does_not_release_the_next_holder() {
    let stage = Stage::set("late release", EXCHANGE);
    let caller = stage.caller();
    for _ in 0..5 {
        arm(&stage, Kind::Delete, Deed::HoldReply, Then::Well);
        let guard = caller.locks.lock(stage.key).acquire().expect("nothing is wrong yet");
        stage.assert_proved(&caller, &guard);
        let ((), took) = timed(|| guard.release());
        assert!(took < EXCHANGE + MARGIN, "kept for {took:?}");
        let next = stage.direct.lock(stage.key).wait(MARGIN).acquire();
        let next = next.expect("it was released");
        stage.assert_rises(&next);
        let (kept, reads) = (stage.kept(), stage.reads());
        stage.proxy.open_gate();
        wait_until("the late proof to be followed up", PATIENCE, || stage.reads() > reads);
        assert_eq!(stage.kept(), kept, "another's lock was released");
        next.renew().expect("it is held");
        drop(next);
        stage.assert_free();
    }
}

/// The holder sends its request in time. When the server gets it, the lease is over and the next holder has the lock.
#[test]
fn a_release_or_renewal_that_is_executed_late_does_not_touch_the_next_holder() {
    let stage = Stage::set("late write", EXCHANGE);
    for on in [Kind::Delete, Kind::Rewrite] {
        let caller = stage.caller();
        let guard = caller.locks.lock(stage.key).timeout(ms(300)).acquire();
        let guard = guard.expect("nothing is wrong yet");
        stage.assert_proved(&caller, &guard);
        arm(&stage, on, Deed::HoldRequest, Then::Well);
        let mut renewed = None;
        if on == Kind::Delete {
            guard.release();
        } else {
            stage.assert_unavailable(&guard.renew().expect_err("no answer comes"));
            renewed = Some(guard);
        }
        assert!(stage.proxy.has_fired());
        let next = stage.direct.lock(stage.key).wait(PATIENCE).acquire();
        let next = next.expect("the lease is over");
        stage.assert_rises(&next);
        assert!(renewed.is_none_or(|guard| !guard.is_valid()), "two holders");
        let (kept, executed) = (stage.kept(), stage.proxy.answered(&[on]));
        stage.proxy.open_gate();
        wait_until("the late request to be executed", PATIENCE, || {
            stage.proxy.answered(&[on]) > executed
        });
        assert_eq!(stage.kept(), kept, "another's lock was touched");
        next.renew().expect("it is held");
        drop(next);
        stage.assert_free();
    }
}

/// The connection ends before the server executes the request that was sent on it.
#[test]
fn a_request_executed_after_the_end_of_its_connection_leaves_no_orphan() {
    let stage = Stage::set("outrun", QUICK);
    for on in [Kind::Acquire, Kind::Delete] {
        for then in [Then::Well, Then::Down] {
            for _ in 0..50 {
                arm(&stage, on, Deed::CloseThenSend { after_a_look: false }, then);
                let locked = stage.lock_and_unlock(By::Thread);
                assert!(locked.was_hit);
                assert_eq!(locked.is_granted, then == Then::Well || on == Kind::Delete);
            }
        }
    }
}

/// The first look finds no item, since the request has not been executed yet.
#[test]
fn a_request_that_is_executed_after_it_was_looked_for_leaves_no_orphan() {
    let stage = Stage::set("looked for", EXCHANGE);
    for _ in 0..10 {
        let sets = stage.sets();
        arm(
            &stage,
            Kind::Acquire,
            Deed::CloseThenSend { after_a_look: true },
            Then::Down,
        );
        let caller = stage.caller();
        let error = caller
            .locks
            .lock(stage.key)
            .acquire()
            .expect_err("its connection was closed");
        stage.assert_unavailable(&error);
        stage.proxy.heal();
        wait_until("the request to be executed", PATIENCE, || stage.sets() > sets);
        stage.assert_free();
    }
}

#[test]
fn a_silent_connection_is_replaced_by_another() {
    let stage = Stage::set("silent", EXCHANGE);
    for executed in [true, false] {
        for on in [Kind::Handshake, Kind::Acquire] {
            arm(&stage, on, Deed::Silence { executed }, Then::Well);
            let locked = stage.lock_and_unlock(By::Thread);
            assert!(locked.was_hit && locked.is_granted);
        }
    }
}

#[test]
fn a_renewal_that_is_never_answered_extends_nothing_and_loses_nothing() {
    let timeout = Duration::from_secs(60);
    let stage = Stage::set("silent renewal", EXCHANGE);
    let caller = stage.caller();
    let guard = caller.locks.lock(stage.key).timeout(timeout).acquire();
    let guard = guard.expect("nothing is wrong yet");
    for executed in [true, false] {
        age(&guard, timeout);
        arm(&stage, Kind::Rewrite, Deed::Silence { executed }, Then::Well);
        renew_through_fault(&stage, &guard);
        assert!(stage.proxy.has_fired());
        guard.renew().expect("it is held, and the server can be asked again");
    }
    guard.release();
    stage.assert_free();
}

/// The server is soon back, except on the one connection, which neither answers nor ends.
#[test]
fn a_connection_that_stays_silent_leaves_no_orphan() {
    let stage = Stage::set("silent orphan", EXCHANGE);
    for executed in [false, true] {
        arm(&stage, Kind::Acquire, Deed::Silence { executed }, Then::Down);
        let locked = stage.lock_and_unlock(By::Thread);
        assert!(locked.was_hit && !locked.is_granted);
    }
}

/// The server never gets the release, and can be asked on any other connection.
#[test]
fn a_release_on_a_connection_that_stays_silent_is_repeated_on_another() {
    let stage = Stage::set("silent release", EXCHANGE);
    for executed in [true, false] {
        arm(&stage, Kind::Delete, Deed::Silence { executed }, Then::Well);
        let locked = stage.lock_and_unlock(By::Thread);
        assert!(locked.was_hit && locked.is_granted);
    }
}
