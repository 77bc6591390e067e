//! A server that is full and evicts: what happens to locks on it, and the option that protects them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use crate::stage::{PATIENCE, Stage, hold};

/// Far more than a server with 2 MiB has room for, in items as large as a lock's.
const ITEMS: usize = 60_000;

/// Stores items, which the server makes room for by evicting others.
fn flood(stage: &Stage) {
    let mut out = TcpStream::connect(stage.address()).expect("the server runs");
    out.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut replies = BufReader::new(out.try_clone().expect("a socket"));
    let mut reply = String::new();
    for start in (0..ITEMS).step_by(100) {
        let batch: Vec<String> = (start..start + 100)
            .map(|number| {
                let value = "x".repeat(64 + number % 128);
                format!("set filler-{number} 0 0 {}\r\n{value}\r\n", value.len())
            })
            .collect();
        out.write_all(batch.concat().as_bytes()).expect("the server listens");
        for _ in 0..100 {
            reply.clear();
            replies.read_line(&mut reply).expect("the server answers");
        }
    }
    assert!(stage.number("evictions") > 0, "the server had room for all of it");
}

/// Outside the assumptions, a second holder comes in. It still has a higher token. The first holder learns of its loss
/// when it asks the server, and does not touch the second holder's item.
#[test]
fn the_holder_of_an_evicted_lock_learns_of_the_loss_and_touches_no_other_lock() {
    let stage = Stage::with(&["-m", "2"]);
    let (first, second) = (stage.locks(), stage.locks());
    let evicted = hold(first.lock("k"));
    flood(&stage);
    assert!(!stage.keeps(&evicted), "it was not evicted");
    let next = hold(second.lock("k"));
    assert!(next.token() > evicted.token());
    assert!(evicted.renew().expect_err("it is another's").is_lost());
    assert!(!evicted.is_valid());
    evicted.release();
    assert!(stage.keeps(&next), "the first holder released the second one's lock");
}

#[test]
fn temporary_ttl_keeps_locks_from_being_evicted() {
    let stage = Stage::with(&["-m", "2", "-o", "temporary_ttl=3600"]);
    let locks = stage.locks();
    let guard = hold(locks.lock("k"));
    flood(&stage);
    assert!(stage.keeps(&guard), "it was evicted");
    assert!(guard.renew().is_ok());
}
