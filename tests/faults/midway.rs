//! Exchanges while a lock is held, cut at each byte in both directions: a renewal, a waiter's look, a take-over.

use std::thread;
use std::time::{Duration, Instant};

use memlock::Guard;
use memlock_testkit::wait_until;

use crate::cuts::{Way, at_every_byte};
use crate::proxy::{Deed, End, Fault, Then};
use crate::stage::{By, PATIENCE, QUICK, Stage, Times, ms, timed, tried};
use crate::wire::Kind;

/// Each end of a connection with one of what may follow, to halve the number of runs.
const PAIRS: [(End, Then); 2] = [(End::Finished, Then::Well), (End::Reset, Then::Down)];

/// Cuts everywhere, and returns how often.
fn cut_everywhere(mut cut: impl FnMut(Deed, Then) -> bool) -> usize {
    let mut count = 0;
    for way in [Way::Request, Way::Reply] {
        for (end, then) in PAIRS {
            let bytes = at_every_byte(way, end, |deed| cut(deed, then));
            assert!(bytes > 5, "nothing to cut");
            count += bytes;
        }
    }
    count
}

/// Two bounds of the moment until which a holder believes in its lease, as seen from outside: not later than the first,
/// not earlier than the second.
fn deadline(guard: &Guard) -> (Instant, Instant) {
    let before = Instant::now();
    let remaining = guard.remaining();
    (before + remaining, Instant::now() + remaining)
}

/// Renews through the armed fault. Without proof that it was extended, a lease ends when it would have.
#[track_caller]
pub(crate) fn renew_through_fault(stage: &Stage, guard: &Guard) {
    let (_, latest) = deadline(guard);
    let (result, took) = timed(|| guard.renew());
    let (earliest, _) = deadline(guard);
    assert!(took < stage.limit(), "kept for {took:?}");
    if let Err(error) = result {
        stage.assert_unavailable(&error);
        assert!(guard.is_valid(), "the old lease lasts");
        // The clocks are read one after the other, and the wall clock may be adjusted in between.
        assert!(earliest <= latest + ms(1), "extended without proof");
    } else {
        assert!(!stage.proxy.has_fired(), "renewed without proof");
        assert!(earliest > latest, "renewed, and no longer than before");
    }
    stage.proxy.heal();
}

/// Waits until the lease is so old that an extension shows.
pub(crate) fn age(guard: &Guard, timeout: Duration) {
    wait_until("the lease to age", PATIENCE, || guard.remaining() + ms(20) < timeout);
}

#[test]
fn a_renewal_cut_at_any_byte_extends_nothing_and_loses_nothing() {
    let timeout = Duration::from_secs(60);
    let stage = Stage::set("cut renewal", QUICK);
    let caller = stage.caller();
    let guard = caller.locks.lock(stage.key).timeout(timeout).acquire();
    let guard = guard.expect("nothing is wrong yet");
    stage.assert_proved(&caller, &guard);
    let began = Instant::now();
    let count = cut_everywhere(|deed, then| {
        age(&guard, timeout);
        stage.proxy.arm(Fault {
            on: Kind::Rewrite,
            skip: 0,
            deed,
            then,
        });
        renew_through_fault(&stage, &guard);
        guard.renew().expect("it is held, and the server can be asked again");
        assert!(stage.kept().expect("it is held").value.contains(&caller.label));
        stage.proxy.has_fired()
    });
    let busy = tried(|| stage.direct.lock(stage.key).try_acquire()).expect_err("it is held");
    assert!(busy.is_busy(), "{busy}");
    guard.release();
    let free = stage.assert_free();
    println!(
        "a renewal cut {count} times in {:.1?}; free again after {free:.1?}",
        began.elapsed()
    );
}

#[test]
fn a_look_cut_at_any_byte_grants_no_lock() {
    let stage = Stage::set("cut look", QUICK);
    let guard = stage
        .direct
        .lock(stage.key)
        .timeout(PATIENCE)
        .acquire()
        .expect("it is free");
    stage.assert_rises(&guard);
    let kept = stage.kept();
    let count = cut_everywhere(|deed, then| {
        loop {
            stage.proxy.arm(Fault {
                on: Kind::Look,
                skip: 0,
                deed,
                then,
            });
            let caller = stage.caller();
            let (result, took) = timed(|| caller.locks.lock(stage.key).try_acquire());
            let error = result.expect_err("it is held");
            if error.is_busy() {
                assert!(then == Then::Well || !stage.proxy.has_fired(), "it cannot know");
            } else {
                stage.assert_unavailable(&error);
            }
            assert!(took < stage.limit(), "kept for {took:?}");
            stage.proxy.heal();
            // On a machine that stands still, a caller without time to wait may end before it looks.
            if error.is_busy() || stage.proxy.has_fired() {
                return stage.proxy.has_fired();
            }
        }
    });
    assert_eq!(stage.kept(), kept, "a waiter changed what it looked at");
    guard.release();
    stage.assert_free();
    println!("a look cut {count} times");
}

#[test]
fn a_waiter_whose_look_is_cut_at_any_byte_gets_the_lock_when_it_is_free() {
    let stage = Stage::set("cut waiter", QUICK);
    let mut count = 0;
    for way in [Way::Request, Way::Reply] {
        count += at_every_byte(way, End::Reset, |deed| {
            let guard = stage.direct.lock(stage.key).acquire().expect("it is free");
            stage.assert_rises(&guard);
            let (on, then) = (Kind::Look, Then::Well);
            stage.proxy.arm(Fault {
                on,
                skip: 0,
                deed,
                then,
            });
            let caller = stage.caller();
            // One look more than the cut: without a cut, the waiter looks all the same.
            let reads = stage.reads();
            thread::scope(|scope| {
                let waiter = scope.spawn(|| caller.locks.lock(stage.key).acquire());
                wait_until("the waiter to look, or to fail", PATIENCE, || {
                    stage.proxy.has_fired() || stage.reads() >= reads + 3 || waiter.is_finished()
                });
                guard.release();
                let guard = waiter.join().expect("no panic");
                let guard = guard.expect("a broken connection is replaced by another");
                stage.assert_proved(&caller, &guard);
            });
            stage.assert_free();
            stage.proxy.has_fired()
        });
    }
    println!("a waiter's look cut {count} times");
}

/// The value that a holder with a lease of 10 ms leaves behind when it dies.
struct Dead(String);

impl Dead {
    fn of(stage: &Stage) -> Dead {
        let guard = stage.direct.lock(stage.key).timeout(ms(10)).acquire();
        let _guard = guard.expect("it is free");
        Dead(stage.kept().expect("it is held").value)
    }

    /// Stores it with a nonce of its own, so that it counts as a new grant.
    fn lies(&self, stage: &Stage, number: usize) {
        let mut words: Vec<&str> = self.0.split(' ').collect();
        let nonce = format!("{number:032x}");
        words[1] = &nonce;
        let value = words.join(" ");
        let stored = stage.ask(&format!("ms {} {} T1000\r\n{value}", stage.item, value.len()));
        assert_eq!(stored.trim_end(), "HD");
    }
}

#[test]
fn a_take_over_cut_at_any_byte_is_a_lock_with_proof_or_unavailable_and_leaves_no_orphan() {
    let stage = Stage::set("cut take-over", QUICK);
    let dead = Dead::of(&stage);
    let mut number = 0;
    let mut times = Times::default();
    let count = cut_everywhere(|deed, then| {
        number += 1;
        dead.lies(&stage, number);
        stage.proxy.arm(Fault {
            on: Kind::Rewrite,
            skip: 0,
            deed,
            then,
        });
        let locked = stage.lock_and_unlock(By::Thread);
        assert_eq!(locked.is_granted, then == Then::Well || !locked.was_hit);
        times.add(locked.free_after);
        locked.was_hit
    });
    println!("a take-over cut {count} times; {}", times.summary());
}
