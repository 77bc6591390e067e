//! The wait list between processes, on a real server.

use std::thread;

use memlock_testkit::wait_until;

use crate::actor::Actor;
use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed};

/// The item in which processes stand in line for the lock on `k`.
const LINE: &str = "memlock:lock:k%line";

fn has_line(stage: &Stage) -> bool {
    stage.has_item(LINE)
}

#[test]
fn who_has_just_released_the_lock_lets_another_process_go_first() {
    let stage = Stage::set();
    let locks = stage.locks();
    let mut other = Actor::on(&stage);
    let mut too_late = 0;
    for _ in 0..20 {
        let mine = hold(locks.lock("k"));
        other.begins_to_acquire("k", PATIENCE);
        wait_until("the other to stand in line", PATIENCE, || has_line(&stage));
        let before = mine.token().get();
        thread::scope(|scope| {
            // At once, while the other is between two looks.
            mine.release();
            let again = scope.spawn(|| hold(locks.lock("k")).token().get());
            let theirs = other.has_acquired();
            assert!(theirs > before);
            other.releases();
            let mine = again.join().expect("no panic");
            too_late += u32::from(mine < theirs);
        });
    }
    // It stands back for a moment only: on a machine that stands still for longer the other comes too late for it.
    assert!(too_late <= 5, "it went first in {too_late} of 20 rounds");
}

#[test]
fn one_who_died_in_line_costs_a_moment() {
    let stage = Stage::set();
    let locks = stage.locks();
    let mine = hold(locks.lock("k"));
    let mut dead = Actor::on(&stage);
    dead.begins_to_acquire("k", PATIENCE);
    wait_until("the other to stand in line", PATIENCE, || has_line(&stage));
    dead.kill();
    mine.release();
    let (mine, took) = timed(|| hold(locks.lock("k")));
    println!("the lock was left to the dead for {took:.1?}");
    assert!(took < MARGIN, "{took:?}");
    drop(mine);
    // Nobody lives who would stand there: it is taken out of the line by who goes on taking the lock.
    wait_until("the dead to be out of the line", PATIENCE, || {
        drop(hold(locks.lock("k")));
        !has_line(&stage)
    });
}

#[test]
fn lines_are_not_left_on_the_server() {
    let stage = Stage::set();
    let (one, other) = (stage.locks(), stage.locks());
    for key in 0..50 {
        let held = hold(one.lock(key));
        let stands = || stage.has_item(&format!("memlock:lock:{key}%line"));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| hold(other.lock(key)));
            wait_until("it to stand in line", PATIENCE, stands);
            held.release();
            waiter.join().expect("no panic").release();
        });
        assert!(!stands(), "the line for {key} is left");
    }
    // Who gives up leaves the line as well, in the background.
    let _held = hold(one.lock("k"));
    assert!(
        other
            .lock("k")
            .wait(ms(300))
            .acquire()
            .is_err_and(|error| error.is_busy())
    );
    wait_until("the line to be gone", PATIENCE, || !has_line(&stage));
    // And what is left by the dead lasts for minutes, not for ever.
    let mut dead = Actor::on(&stage);
    dead.begins_to_acquire("k", PATIENCE);
    wait_until("it to stand in line", PATIENCE, || has_line(&stage));
    dead.kill();
    let answer = stage.ask(&format!("mg {LINE} t"));
    let left: i64 = answer
        .strip_prefix("HD t")
        .and_then(|left| left.parse().ok())
        .expect("an expiry");
    assert!((1..=300).contains(&left), "{answer}");
}
