//! Waiting for another process, and for other threads of the same process.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use memlock::Error;
use memlock_testkit::wait_until;

use crate::actor::Actor;
use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed, tried};
use crate::warnings::Warnings;

#[test]
fn trying_a_held_lock_is_busy_at_once_and_names_the_holder() {
    let stage = Stage::set();
    let mut holder = Actor::on(&stage);
    holder.acquires("k", PATIENCE);
    let locks = stage.locks();
    let result = tried(|| {
        let (result, took) = timed(|| locks.lock("k").try_acquire());
        println!("over after {took:.1?}");
        assert!(took < MARGIN, "{took:?}");
        result
    });
    match result {
        Err(Error::Busy {
            key,
            holder: Some(named),
            ..
        }) => {
            assert_eq!(key, "memlock:lock:k");
            let (host, process) = named.split_once('/').expect("host/process");
            assert!(!host.is_empty());
            assert!(process.starts_with(&holder.pid().to_string()), "{named}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_holder_with_an_empty_label_is_not_named() {
    let stage = Stage::set();
    let nameless = stage
        .builder()
        .holder_label("")
        .build()
        .expect("nothing is wrong with it");
    let _held = hold(nameless.lock("k"));
    let error = stage.locks().lock("k").wait(ms(500)).acquire().expect_err("it is held");
    assert!(matches!(&error, Error::Busy { holder: None, .. }), "{error:?}");
}

#[test]
fn the_wait_for_another_process_is_as_long_as_was_asked_for() {
    let stage = Stage::set();
    let mut holder = Actor::on(&stage);
    holder.acquires("k", PATIENCE);
    let locks = stage.locks();
    for wait in [ms(10), ms(200), ms(700)] {
        let result = tried(|| {
            let (result, took) = timed(|| locks.lock("k").wait(wait).acquire());
            println!("wait {wait:?}: over after {took:.1?}");
            assert!(took >= wait && took < wait + MARGIN, "{took:?} for {wait:?}");
            result
        });
        assert!(result.expect_err("it is held").is_busy());
    }
}

#[test]
fn a_waiter_gets_the_lock_soon_after_another_process_has_released_it() {
    let stage = Stage::set();
    let mut holder = Actor::on(&stage);
    let holders_token = holder.acquires("k", PATIENCE);
    let locks = stage.locks();
    let reads = stage.number("get_hits");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let guard = hold(locks.lock("k"));
            (guard.token().get(), Instant::now())
        });
        wait_until("the waiter to have looked a few times", PATIENCE, || {
            stage.number("get_hits") >= reads + 10
        });
        holder.releases();
        let released = Instant::now();
        let (token, got) = waiter.join().expect("no panic");
        let took = got.saturating_duration_since(released);
        println!("handed over {took:.1?} after the release");
        assert!(token > holders_token);
        // The pause between two looks is at most the interval, 50 ms.
        assert!(took < ms(50) + MARGIN, "{took:?}");
    });
}

#[test]
fn a_waiter_asks_at_most_a_hundred_times_a_second() {
    let stage = Stage::set();
    let _held = hold(stage.locks().lock("k"));
    let locks = stage.locks();
    let commands = |wait: Duration, threads: usize| {
        let before = stage.commands();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let error = locks.lock("k").interval(ms(50)).wait(wait).acquire();
                    assert!(error.expect_err("it is held").is_busy());
                });
            }
        });
        stage.commands() - before
    };
    let of_one = commands(ms(1000), 1);
    let of_sixteen = commands(ms(1000), 16);
    println!("one waiter asked {of_one} times in a second, sixteen threads together {of_sixteen} times");
    assert!((10..=100).contains(&of_one), "{of_one}");
    assert!(of_sixteen <= 150, "only one of a process polls: {of_sixteen}");
}

/// A wait that is longer than the lock's timeout causes a warning, which shows that a waiter is in the queue.
#[test]
fn threads_are_served_in_the_order_in_which_they_came() {
    let stage = Stage::set();
    let locks = stage.locks();
    let served = Mutex::new(Vec::new());
    let holder = hold(locks.lock("k"));
    thread::scope(|scope| {
        for number in 0..5 {
            let warnings = Warnings::new();
            let waiter = Arc::clone(&warnings);
            let (locks, served) = (&locks, &served);
            scope.spawn(move || {
                let guard = waiter.of(|| hold(locks.lock("k").timeout(ms(150))));
                served.lock().unwrap().push(number);
                drop(guard);
            });
            wait_until("the waiter to stand in the queue", PATIENCE, || warnings.count() == 1);
        }
        holder.release();
    });
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4]);
}
