//! Items under the names of locks that no version of this library has written.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use memlock::Locks;
use memlock_testkit::wait_until;

use crate::actor::Actor;
use crate::stage::{PATIENCE, Stage, hold, ms, tried};

/// More than the library reads of an item, and nearly the largest that a server takes unless told otherwise.
const LENGTHS: [usize; 2] = [64 * 1024 + 1, 1_000_000];

#[memlock::lock("k", locks = locks, name = "lock", wait = 0.3, otherwise = false)]
fn soft(locks: &Locks) -> bool {
    true
}

#[memlock::lock("k", locks = locks, name = "lock", wait = 0.3, otherwise = false)]
async fn soft_async(locks: &Locks) -> bool {
    true
}

fn store(stage: &Stage, item: &str, length: usize, seconds: u32) {
    let mut stream = TcpStream::connect(stage.address()).expect("the server runs");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(stream, "set {item} 0 {seconds} {length}\r\n{}\r\n", "x".repeat(length)).expect("it listens");
    let mut said = [0; 8];
    stream.read_exact(&mut said).expect("it answers");
    assert_eq!(&said, b"STORED\r\n");
}

#[test]
fn an_item_of_any_length_under_a_locks_name_is_a_held_lock() {
    for length in LENGTHS {
        let stage = Stage::set();
        let locks = stage.locks();
        store(&stage, "memlock:lock:k", length, 60);
        let error = tried(|| locks.lock("k").wait(ms(300)).acquire()).expect_err("another program holds it");
        assert!(error.is_busy(), "{length}: {error}");
        let error = tried(|| smol::block_on(locks.lock("k").wait(ms(300)).acquire_async()));
        let error = error.expect_err("another program holds it");
        assert!(error.is_busy(), "{length}: {error}");
        assert!(!soft(&locks) && !smol::block_on(soft_async(&locks)), "without its lock");
        assert_eq!(locks.counts().soft_runs, 0);
        // Neither kind of caller opens a connection for each look.
        let connections = stage.number("total_connections");
        thread::scope(|scope| {
            let waits = [
                scope.spawn(|| drop(hold(locks.lock("k")))),
                scope.spawn(|| drop(smol::block_on(stage.locks().lock("k").acquire_async()).expect("it is freed"))),
            ];
            let reads = stage.number("get_hits");
            wait_until("some looks", PATIENCE, || stage.number("get_hits") >= reads + 10);
            stage.ask("md memlock:lock:k");
            for wait in waits {
                wait.join().expect("no panic");
            }
        });
        // Each read of the statistics is a connection as well.
        println!(
            "{length}: {} connections",
            stage.number("total_connections") - connections
        );
        hold(locks.lock("other")).release();
    }
}

#[test]
fn a_wait_list_or_clock_item_of_any_length_blocks_no_caller() {
    for length in LENGTHS {
        let stage = Stage::set();
        let locks = stage.locks();
        // The library reads only the date at which the clock item expires.
        store(&stage, "memlock:clock", length, i32::MAX as u32);
        store(&stage, "memlock:lock:k%line", length, 60);
        let mine = hold(locks.lock("k"));
        let mut other = Actor::on(&stage);
        other.begins_to_acquire("k", PATIENCE);
        wait_until("the other process to be in a wait list of its own", PATIENCE, || {
            stage.ask_for_value("mg memlock:lock:k%line v").starts_with("2 ")
        });
        mine.release();
        other.has_acquired();
        other.releases();
    }
}
