//! The wait list between processes, on a real server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use memlock_testkit::wait_until;

use crate::actor::Actor;
use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed};

/// The item with the wait list for the lock on `k`.
const WAIT_LIST: &str = "memlock:lock:k%line";

fn has_wait_list(stage: &Stage) -> bool {
    stage.has_item(WAIT_LIST)
}

#[test]
fn a_process_that_has_just_released_lets_a_waiting_process_go_first() {
    let stage = Stage::set();
    let locks = stage.locks();
    let mut other = Actor::on(&stage);
    let mut too_late = 0;
    for _ in 0..20 {
        let mine = hold(locks.lock("k"));
        other.begins_to_acquire("k", PATIENCE);
        wait_until("the other process to be in the wait list", PATIENCE, || {
            has_wait_list(&stage)
        });
        let before = mine.token().get();
        thread::scope(|scope| {
            // At once, while the other process is between two looks.
            mine.release();
            let again = scope.spawn(|| hold(locks.lock("k")).token().get());
            let theirs = other.has_acquired();
            assert!(theirs > before);
            other.releases();
            let mine = again.join().expect("no panic");
            too_late += u32::from(mine < theirs);
        });
    }
    // It waits for a moment only: on a machine that stands still for longer, the other process comes too late.
    assert!(too_late <= 5, "it went first in {too_late} of 20 rounds");
}

#[test]
fn a_waiter_that_died_delays_the_next_process_for_a_moment() {
    let stage = Stage::set();
    let locks = stage.locks();
    let mine = hold(locks.lock("k"));
    let mut dead = Actor::on(&stage);
    dead.begins_to_acquire("k", PATIENCE);
    wait_until("the other process to be in the wait list", PATIENCE, || {
        has_wait_list(&stage)
    });
    dead.kill();
    mine.release();
    let (mine, took) = timed(|| hold(locks.lock("k")));
    println!("the lock was left to the dead process for {took:.1?}");
    assert!(took < MARGIN, "{took:?}");
    drop(mine);
    // The process that goes on taking the lock removes the dead one from the wait list.
    wait_until("the dead process to be out of the wait list", PATIENCE, || {
        drop(hold(locks.lock("k")));
        !has_wait_list(&stage)
    });
}

#[test]
fn wait_lists_do_not_stay_on_the_server() {
    let stage = Stage::set();
    let (one, other) = (stage.locks(), stage.locks());
    for key in 0..50 {
        let held = hold(one.lock(key));
        let is_there = || stage.has_item(&format!("memlock:lock:{key}%line"));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| hold(other.lock(key)));
            wait_until("a wait list", PATIENCE, is_there);
            held.release();
            waiter.join().expect("no panic").release();
        });
        assert!(!is_there(), "the wait list for {key} is still there");
    }
    // A caller that gives up leaves the wait list as well, before it returns.
    let _held = hold(one.lock("k"));
    assert!(
        other
            .lock("k")
            .wait(ms(300))
            .acquire()
            .is_err_and(|error| error.is_busy())
    );
    assert!(!has_wait_list(&stage), "the process may end now");
    // A dead process's wait list lasts for minutes, not for ever.
    let mut dead = Actor::on(&stage);
    dead.begins_to_acquire("k", PATIENCE);
    wait_until("a wait list", PATIENCE, || has_wait_list(&stage));
    dead.kill();
    let answer = stage.ask(&format!("mg {WAIT_LIST} t"));
    let left: i64 = answer
        .strip_prefix("HD t")
        .and_then(|left| left.parse().ok())
        .expect("an expiry");
    assert!((1..=300).contains(&left), "{answer}");
}

#[test]
fn each_of_many_processes_has_its_turns() {
    const PROCESSES: usize = 120;
    let stage = Stage::on_a_machine_of_its_own();
    let turns: Vec<AtomicUsize> = (0..PROCESSES).map(|_| AtomicUsize::new(0)).collect();
    // Locks that are built apart are processes of their own for the wait list.
    let all = || turns.iter().all(|turns| turns.load(Ordering::Relaxed) >= 3);
    let began = Instant::now();
    thread::scope(|scope| {
        for mine in &turns {
            let locks = stage.locks();
            scope.spawn(move || {
                while !all() && began.elapsed() < PATIENCE {
                    drop(hold(locks.lock("k")));
                    mine.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!("three turns each after {:.1?}", began.elapsed());
    assert!(all(), "{turns:?}");
}
