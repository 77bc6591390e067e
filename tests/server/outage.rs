//! Servers that hang, or are gone: calls end within their limits, name the server, and leave nothing behind.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use memlock::{Error, Locks};
use memlock_testkit::{unused_port, wait_until};

use crate::stage::{MARGIN, PATIENCE, Share, Stage, hold, ms, timed};

/// The limit of one exchange. A caller notices a hang with one exchange, and asks once more with another.
const EXCHANGE: Duration = ms(150);

fn locks(stage: &Stage) -> Locks {
    stage
        .builder()
        .exchange_timeout(EXCHANGE)
        .build()
        .expect("nothing is wrong with it")
}

#[track_caller]
fn assert_unavailable<T>(result: Result<T, Error>, address: &str) -> String {
    match result {
        Err(Error::Unavailable {
            key, server, source, ..
        }) => {
            assert_eq!(server, address);
            assert!(key.starts_with("memlock:lock:"), "{key}");
            source.to_string()
        }
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn a_server_that_hangs_is_unavailable_after_two_exchanges() {
    let stage = Stage::set();
    let (used, unused) = (locks(&stage), locks(&stage));
    hold(used.lock("k")).release();
    stage.pause();
    for (locks, what) in [(&used, "connected before"), (&unused, "never connected")] {
        let (result, took) = timed(|| locks.lock("k").acquire());
        assert_unavailable(result, &stage.address());
        println!("hanging server, {what}: unavailable after {took:.1?}");
        assert!(took < 2 * EXCHANGE + MARGIN, "{what}: {took:?}");
    }
    stage.resume();
    wait_until("the server to be usable again", PATIENCE, || {
        used.lock("k").try_acquire().is_ok()
    });
}

#[test]
fn a_closed_port_is_unavailable_at_once() {
    let _share = Share::part();
    let address = format!("127.0.0.1:{}", unused_port());
    let locks = Locks::builder()
        .servers(&*address)
        .build()
        .expect("nothing is wrong with it");
    let (result, took) = timed(|| locks.lock("k").acquire());
    let source = assert_unavailable(result, &address);
    assert!(
        source.contains("cannot connect") && source.contains("refused"),
        "{source}"
    );
    assert!(took < MARGIN, "{took:?}");
    assert_eq!(locks.counts().unavailable, 1);
}

#[test]
fn a_killed_server_is_unavailable_at_once() {
    let stage = Stage::set();
    let locks = locks(&stage);
    hold(locks.lock("k")).release();
    stage.kill();
    let (result, took) = timed(|| locks.lock("k").acquire());
    assert_unavailable(result, &stage.address());
    assert!(took < MARGIN, "{took:?}");
}

#[test]
fn a_call_ends_with_its_wait_and_one_exchange_while_the_server_hangs() {
    let stage = Stage::set();
    let locks = locks(&stage);
    // A connection for each thread.
    let guards: Vec<_> = (0..4).map(|key| hold(locks.lock(key))).collect();
    drop(guards);
    stage.pause();
    for wait in [ms(0), ms(20), ms(100), ms(200), ms(1000)] {
        let longest = thread::scope(|scope| {
            let callers: Vec<_> = (0..4)
                .map(|caller| {
                    let locks = &locks;
                    // Two of them meet in the queue of one key, and two have a key for themselves.
                    let key = caller / 2 * caller;
                    scope.spawn(move || timed(|| locks.lock(key).wait(wait).acquire()))
                })
                .collect();
            let ended = callers.into_iter().map(|caller| {
                let (result, took) = caller.join().expect("no panic");
                let error = result.expect_err("the server hangs");
                assert!(error.is_unavailable() || error.is_busy(), "{error}");
                took
            });
            ended.max().expect("four of them")
        });
        println!("hanging server, wait {wait:?}: the last caller ended after {longest:.1?}");
        // To the millisecond: `driver/tests/ends.rs`.
        assert!(longest < wait + EXCHANGE + MARGIN, "{wait:?}: {longest:?}");
    }
}

/// No thread waits for ever behind others that find out, one after the other, that the server hangs.
#[test]
fn threads_in_one_queue_all_learn_that_the_server_hangs() {
    const THREADS: u32 = 6;
    let stage = Stage::set();
    let locks = locks(&stage);
    stage.pause();
    let ((), took) = timed(|| {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| assert_unavailable(locks.lock("k").acquire(), &stage.address()));
            }
        });
    });
    println!("hanging server: the last of {THREADS} threads in one queue learnt it after {took:.1?}");
    assert!(took < 2 * EXCHANGE + MARGIN, "one after the other: {took:?}");
}

#[test]
fn a_waiter_learns_that_its_server_hangs() {
    a_waiter_learns(Stage::pause_server, 2 * EXCHANGE);
}

#[test]
fn a_waiter_learns_that_its_server_was_killed() {
    a_waiter_learns(Stage::kill_server, Duration::ZERO);
}

impl Stage {
    fn pause_server(&self) {
        self.pause();
    }

    fn kill_server(&self) {
        self.kill();
    }
}

fn a_waiter_learns(breaks: fn(&Stage), limit: Duration) {
    let stage = Stage::set();
    let (holder, waiter) = (locks(&stage), locks(&stage));
    let guard = hold(holder.lock("k"));
    let reads = stage.number("get_hits");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| waiter.lock("k").acquire());
        wait_until("the waiter to have seen the lock", PATIENCE, || {
            stage.number("get_hits") >= reads + 2
        });
        let (result, took) = timed(|| {
            breaks(&stage);
            waiter.join().expect("no panic")
        });
        assert_unavailable(result, &stage.address());
        println!("a waiter learnt after {took:.1?}");
        // It may just have begun a pause, of 50 ms at most.
        assert!(took < limit + ms(50) + MARGIN, "{took:?}");
    });
    assert!(guard.is_valid(), "its lease lasts, whatever became of the server");
    let ((), took) = timed(|| guard.release());
    assert!(took < 2 * EXCHANGE + MARGIN, "the release took {took:?}");
}

/// A request cannot be recalled: a server that was stopped executes it afterwards, long after its caller has given up.
#[test]
fn a_lock_that_arrives_after_its_caller_gave_up_is_cleaned_away() {
    for keeps_its_locks in [true, false] {
        let stage = Stage::set();
        let locks = locks(&stage);
        hold(locks.lock("other")).release();
        let (sets, items) = (stage.number("cmd_set"), stage.number("curr_items"));
        stage.pause();
        assert_unavailable(locks.lock("k").acquire(), &stage.address());
        let kept = keeps_its_locks.then_some(locks);
        stage.resume();
        wait_until("the late request to be executed", PATIENCE, || {
            stage.number("cmd_set") > sets
        });
        let ((), took) = timed(|| {
            wait_until("the lock to be cleaned away", Duration::from_secs(1), || {
                stage.number("curr_items") == items
            });
        });
        println!("an orphan was gone {took:.1?} after it was first seen");
        assert!(stage.locks().lock("k").wait(MARGIN).acquire().is_ok());
        drop(kept);
    }
}

#[test]
fn a_release_on_a_hanging_server_is_finished_when_the_server_is_back() {
    let stage = Stage::set();
    let locks = locks(&stage);
    let guard = hold(locks.lock("k"));
    let others = stage.locks();
    stage.pause();
    let ((), took) = timed(|| guard.release());
    assert!(took < 2 * EXCHANGE + MARGIN, "{took:?}");
    stage.resume();
    let ((), took) = timed(|| {
        wait_until("the lock to be free", Duration::from_secs(2), || {
            others.lock("k").try_acquire().is_ok()
        });
    });
    println!("a failed release was finished within {took:.1?} of the server's return");
}

#[test]
fn a_renewal_on_a_hanging_server_changes_nothing() {
    let stage = Stage::set();
    let locks = locks(&stage);
    let guard = hold(locks.lock("k"));
    stage.pause();
    let before = guard.remaining();
    let ended = Instant::now() + before;
    assert_unavailable(guard.renew(), &stage.address());
    assert!(
        guard.is_valid() && guard.remaining() <= before,
        "a lease is not extended without proof"
    );
    stage.resume();
    wait_until("a renewal to succeed", PATIENCE, || guard.renew().is_ok());
    // By the clock, since a busy machine may take longer from a renewal to this look than from the grant to the one before.
    let now = Instant::now();
    assert!(now + guard.remaining() > ended);
}

/// To a user, a hang is the program's own, also if the server causes it.
#[test]
fn nothing_hangs_when_the_server_stops_in_the_middle_of_the_work() {
    let stage = Stage::set();
    let locks = locks(&stage);
    let (sender, ended) = mpsc::channel();
    for thread in 0..4 {
        let (locks, sender) = (locks.clone(), sender.clone());
        thread::spawn(move || {
            let error = loop {
                match locks.lock(thread % 2).acquire() {
                    Ok(guard) => guard.release(),
                    Err(error) => break error,
                }
            };
            // After a failure the test no longer listens.
            let _ = sender.send(error);
        });
    }
    wait_until("some work to be done", PATIENCE, || locks.counts().acquired > 200);
    stage.pause();
    for _ in 0..4 {
        let error = ended
            .recv_timeout(4 * EXCHANGE + PATIENCE / 20)
            .expect("a thread hangs");
        assert!(error.is_unavailable(), "{error}");
    }
    stage.resume();
    wait_until("the keys to be free again", Duration::from_secs(2), || {
        (0..2).all(|key| stage.locks().lock(key).wait(MARGIN).acquire().is_ok())
    });
}
