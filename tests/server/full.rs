//! A server without memory that may not evict (`-M`). It refuses stores, and deletes the item under a refused store.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use memlock_testkit::wait_until;

use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed, tried};

/// Stores items of all sizes that an item of a lock may have, until the server refuses them all.
fn fill(stage: &Stage) {
    let mut out = TcpStream::connect(stage.address()).expect("the server runs");
    out.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut replies = BufReader::new(out.try_clone().expect("a socket"));
    let mut reply = String::new();
    for length in (0..30).rev().map(|step| step * 16) {
        let value = "x".repeat(length);
        for round in 0.. {
            assert!(round < 1000, "the server does not fill up");
            let batch: Vec<String> = (0..100)
                .map(|number| format!("set filler-{length}-{round}-{number} 0 0 {length}\r\n{value}\r\n"))
                .collect();
            out.write_all(batch.concat().as_bytes()).expect("the server listens");
            let mut refused = 0;
            for _ in 0..100 {
                reply.clear();
                replies.read_line(&mut reply).expect("the server answers");
                refused += usize::from(reply.starts_with("SERVER_ERROR out of memory"));
            }
            if refused == 100 {
                break;
            }
        }
    }
}

#[test]
fn a_full_server_is_unavailable_in_its_own_words_and_comes_back() {
    let stage = Stage::with(&["-m", "2", "-M"]);
    let locks = stage.locks();
    hold(locks.lock("k")).release();
    fill(&stage);
    for _ in 0..2 {
        let (result, took) = timed(|| locks.lock("new").acquire());
        let error = result.expect_err("there is no memory");
        assert!(error.is_unavailable(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("out of memory") && text.contains(&stage.address()),
            "{text}"
        );
        assert!(took < MARGIN, "{took:?}");
    }
    stage.flush_all();
    wait_until("room for a lock", PATIENCE, || locks.lock("new").try_acquire().is_ok());
}

/// A store that is refused deletes the item under it. A server that was started with `-M` says so when a client connects,
/// and contenders look before they try, from the first time on.
#[test]
fn contenders_on_a_server_that_never_evicts_harm_no_lock_that_is_held() {
    let stage = Stage::with(&["-m", "2", "-M"]);
    let holder = stage.locks();
    let guard = hold(holder.lock("held"));
    fill(&stage);
    assert!(stage.keeps(&guard), "filling up deleted the lock");
    for _ in 0..3 {
        let contender = stage.locks();
        for _ in 0..2 {
            let error = contender.lock("held").wait(ms(300)).acquire().expect_err("it is held");
            assert!(error.is_busy(), "{error}");
            assert!(stage.keeps(&guard), "a contender deleted the lock");
        }
        let refused = contender.lock("new").try_acquire().expect_err("there is no memory");
        assert!(refused.is_unavailable(), "{refused}");
        let error = tried(|| contender.lock("held").wait(ms(100)).acquire()).expect_err("it is held");
        assert!(error.is_busy(), "{error}");
        assert!(stage.keeps(&guard), "a waiter deleted the lock");
    }
    let ((), took) = timed(|| guard.release());
    assert!(took < MARGIN, "{took:?}");
}

#[test]
fn a_waiter_on_a_full_server_harms_no_lock_that_is_held() {
    let stage = Stage::with(&["-m", "2", "-M"]);
    let (holder, waiter) = (stage.locks(), stage.locks());
    let guard = hold(holder.lock("held"));
    let reads = stage.number("get_hits");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waiter.lock("held").wait(PATIENCE).acquire());
        wait_until("the waiter to have seen the lock", PATIENCE, || {
            stage.number("get_hits") >= reads + 2
        });
        fill(&stage);
        let reads = stage.number("get_hits");
        wait_until("the waiter to have looked again", PATIENCE, || {
            stage.number("get_hits") >= reads + 5
        });
        assert!(stage.keeps(&guard), "a waiter deleted the lock");
        guard.release();
        // Releasing makes room for one item of this size.
        let guard = waiting.join().expect("no panic");
        if let Err(error) = guard {
            assert!(error.is_unavailable(), "{error}");
        }
    });
}
