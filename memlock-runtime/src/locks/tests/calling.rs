//! Whom a release calls.

use std::net::{Ipv4Addr, SocketAddr};
use std::task::Waker;

use super::*;
use crate::driver::wake::{Doorbell, WakeListener};
use crate::protocol::{Call, Cas, Entry, Line, Reply};
use crate::system::random::Identity;

fn doorbell(secret: u64) -> Doorbell {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Doorbell::open(any, secret, (secret, secret)).expect("a socket")
}

/// The wait list of `item`, and its CAS.
fn line(memory: &Memory, item: &ItemName) -> Option<(Line, Cas)> {
    let answer = memory.exchange(item, &[Request::ReadLine], None, EXCHANGE);
    match answer.replies.first() {
        Some(Reply::Line { line, cas }) => Some((line.clone(), *cas)),
        _ => None,
    }
}

/// Writes `next` behind the first process in line.
fn write_behind_the_first(memory: &Memory, item: &ItemName, next: Call) {
    let (line, cas) = line(memory, item).expect("somebody stands in line");
    let other = Entry {
        process: 1,
        call: Some(next),
    };
    let store = Request::StoreLine {
        line: Line(vec![line.0[0], other]),
        ttl: 300,
        cas: Some(cas),
    };
    let answer = memory.exchange(item, &[store], None, EXCHANGE);
    assert!(matches!(answer.replies.first(), Some(Reply::Stored(_))));
}

#[test]
fn a_release_calls_one_process_although_another_is_the_next_by_then() {
    let clock = Arc::new(Clock::standing());
    let memory = Arc::new(Memory::on(Arc::clone(&clock)));
    let base = Builder::new().servers("memory:").build().expect("a server list");
    let others = base.on(Core::on(Arc::clone(&clock), Box::new(Arc::clone(&memory)), EXCHANGE));
    let store = Box::new(Arc::clone(&memory));
    let identity = Identity::within_this_process();
    let core = Core::with(Arc::clone(&clock), identity, store, EXCHANGE, Some(doorbell(9)));
    let locks = base.on(Arc::clone(&core));

    let [item, first, last] = ["k", "first", "last"].map(|key| ItemName::of_lock("memlock", "lock", key));
    let called = [1, 2].map(|secret| Arc::new(doorbell(secret)));
    let listening = called
        .each_ref()
        .map(|doorbell| doorbell.listen(&item, Waker::noop().clone()));
    let listening_last = called
        .each_ref()
        .map(|doorbell| doorbell.listen(&last, Waker::noop().clone()));
    // Both have answered before, so that neither is spared for being unknown.
    let ring = |doorbell: &Doorbell, item| {
        let releaser = core.doorbell.as_ref().expect("it has one");
        releaser.ring(doorbell.call(), item, core.now().instant)
    };
    for doorbell in &called {
        clock.advance(Duration::from_secs(1));
        assert!(ring(doorbell, &first));
        wait_until("its answer", || ring(doorbell, &first));
    }

    let held = others.lock("k").acquire().expect("it is free");
    let guard = thread::scope(|scope| {
        let waiter = scope.spawn(|| locks.lock("k").acquire());
        wait_until("the waiter to stand in line", || line(&memory, &item).is_some());
        write_behind_the_first(&memory, &item, called[0].call());
        drop(held);
        waiter.join().expect("no panic").expect("its turn")
    });
    write_behind_the_first(&memory, &item, called[1].call());
    drop(guard);

    // Datagrams come in the order in which they were sent: when these have, that of the release has.
    for (doorbell, listening) in called.iter().zip(&listening_last) {
        assert!(ring(doorbell, &last));
        wait_until("the last call", || listening.was_called());
    }
    assert_eq!(listening.each_ref().map(WakeListener::was_called), [true, false]);
}
