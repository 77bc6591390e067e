//! Connections are few, kept, and closed in the end. A server may refuse more of them.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;

use memlock_testkit::wait_until;

use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed};

/// How many idle connections one `Locks` keeps to a server.
const KEPT: u64 = 16;

#[test]
fn idle_locks_keep_few_connections_and_dropped_ones_none() {
    const THREADS: u64 = 40;
    let stage = Stage::set();
    let locks = stage.locks();
    let before = stage.number("curr_connections");
    let barrier = Barrier::new(usize::try_from(THREADS).expect("small"));
    thread::scope(|scope| {
        for key in 0..THREADS {
            let (locks, barrier) = (&locks, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for turn in 0..20 {
                    hold(locks.lock((key, turn))).release();
                }
            });
        }
    });
    let mut kept = 0;
    wait_until("most connections to be closed", PATIENCE, || {
        kept = stage.number("curr_connections") - before;
        kept <= KEPT
    });
    println!("{THREADS} busy threads left {kept} idle connections behind");
    assert!(kept > 0, "connections are kept for the next ones");
    drop(locks);
    wait_until("all connections to be closed", PATIENCE, || {
        stage.number("curr_connections") <= before
    });
}

#[test]
fn one_thread_needs_one_connection() {
    let stage = Stage::set();
    let locks = stage.locks();
    let before = stage.number("total_connections");
    for turn in 0..100 {
        hold(locks.lock(turn)).release();
    }
    // One more asks for this number.
    assert_eq!(stage.number("total_connections"), before + 2);
}

#[test]
fn a_connection_that_the_server_closed_while_idle_causes_no_error() {
    let stage = Stage::with(&["-o", "idle_timeout=1"]);
    let locks = stage.locks();
    hold(locks.lock("k")).release();
    let kicks = stage.number("idle_kicks");
    wait_until("the server to close the idle connection", PATIENCE, || {
        stage.number("idle_kicks") > kicks
    });
    let guard = locks.lock("k").acquire().expect("a new connection serves as well");
    assert!(guard.is_valid());
}

#[test]
fn a_server_at_its_connection_limit_is_unavailable_in_its_own_words() {
    let stage = Stage::with(&["-c", "64"]);
    let locks = stage.locks();
    let mut crowd = Vec::new();
    // The server is full when it refuses one more.
    wait_until("the server to refuse a connection", PATIENCE, || {
        let mut connection = TcpStream::connect(stage.address()).expect("the system accepts it");
        connection.set_read_timeout(Some(ms(20))).expect("a socket");
        let refused = matches!(connection.read(&mut [0; 64]), Ok(1..));
        crowd.push(connection);
        refused
    });
    let (result, took) = timed(|| locks.lock("k").acquire());
    let error = result.expect_err("there is no room");
    assert!(error.is_unavailable(), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("Too many open connections") && text.contains(&stage.address()),
        "{text}"
    );
    assert!(took < ms(600) + MARGIN, "{took:?}");
    drop(crowd);
    wait_until("room for a connection", PATIENCE, || {
        locks.lock("k").try_acquire().is_ok()
    });
}
