//! Which process a release wakes.

use std::net::{Ipv4Addr, SocketAddr};
use std::task::Waker;

use super::*;
use crate::driver::wake::{WakeListener, WakeSocket};
use crate::protocol::{Cas, Member, Reply, WaitList, WakeTarget};
use crate::system::random::Identity;

fn wake_socket(secret: u64) -> WakeSocket {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    WakeSocket::open(any, secret, (secret, secret)).expect("a socket")
}

/// Reads the wait list of `item`, and its CAS.
fn line(memory: &Memory, item: &ItemName) -> Option<(WaitList, Cas)> {
    let answer = memory.exchange(0, item, &[Request::ReadWaitList], None, EXCHANGE);
    match answer.replies.first() {
        Some(Reply::WaitList { line, cas }) => Some((line.clone(), *cas)),
        _ => None,
    }
}

/// Writes `next` behind the first process in line.
fn write_behind_the_first(memory: &Memory, item: &ItemName, next: WakeTarget) {
    let (line, cas) = line(memory, item).expect("a process waits in line");
    let other = Member::new(1, Some(next));
    let store = Request::StoreWaitList {
        line: WaitList(vec![line.0[0], other]),
        ttl: 300,
        cas: Some(cas),
    };
    let answer = memory.exchange(0, item, &[store], None, EXCHANGE);
    assert!(matches!(answer.replies.first(), Some(Reply::Stored(_))));
}

#[test]
fn a_caller_that_gives_up_has_left_the_wait_list_when_it_returns() {
    let clock: Arc<Clock> = Arc::default();
    let memory = Arc::new(Memory::on(Arc::clone(&clock)));
    let base = Builder::new().servers("memory:").build().expect("a server list");
    let [others, locks] = [(), ()].map(|()| {
        let core = Core::on(Arc::clone(&clock), memory.clone(), EXCHANGE);
        base.on(core)
    });
    let item = ItemName::of_lock("memlock", "lock", "k");
    let held = others.lock("k").acquire().expect("it is free");
    for _ in 0..20 {
        thread::scope(|scope| {
            let joined = scope.spawn(|| wait_until("the waiter to stand in line", || line(&memory, &item).is_some()));
            let given_up = locks.lock("k").wait(Duration::from_millis(100)).acquire();
            let left = line(&memory, &item);
            assert!(given_up.is_err_and(|error| error.is_busy()));
            assert_eq!(left, None);
            joined.join().expect("it stood in line");
        });
    }
    drop(held);
}

#[test]
fn a_release_wakes_only_one_process_even_if_another_is_next_by_then() {
    let clock = Arc::new(Clock::standing());
    let memory = Arc::new(Memory::on(Arc::clone(&clock)));
    let base = Builder::new().servers("memory:").build().expect("a server list");
    let others = base.on(Core::on(Arc::clone(&clock), memory.clone(), EXCHANGE));
    let store = Arc::clone(&memory);
    let identity = Identity::within_this_process();
    let core = Core::with(Arc::clone(&clock), identity, store, EXCHANGE, Some(wake_socket(9)));
    let locks = base.on(Arc::clone(&core));

    let [item, first, last] = ["k", "first", "last"].map(|key| ItemName::of_lock("memlock", "lock", key));
    let woken = [1, 2].map(|secret| Arc::new(wake_socket(secret)));
    let listening = woken
        .each_ref()
        .map(|wake_socket| wake_socket.listen(&item, Waker::noop().clone()));
    let listening_last = woken
        .each_ref()
        .map(|wake_socket| wake_socket.listen(&last, Waker::noop().clone()));
    // Both have answered before, so neither is left out for being unknown.
    let wake = |wake_socket: &WakeSocket, item| {
        let releaser = core.wake_socket.as_ref().expect("it has one");
        releaser.wake(wake_socket.target(), item, core.now().instant)
    };
    for wake_socket in &woken {
        clock.advance(Duration::from_secs(1));
        assert!(wake(wake_socket, &first));
        wait_until("its answer", || wake(wake_socket, &first));
    }

    let held = others.lock("k").acquire().expect("it is free");
    let guard = thread::scope(|scope| {
        let waiter = scope.spawn(|| locks.lock("k").acquire());
        wait_until("the waiter to stand in line", || line(&memory, &item).is_some());
        write_behind_the_first(&memory, &item, woken[0].target());
        drop(held);
        waiter.join().expect("no panic").expect("its turn")
    });
    write_behind_the_first(&memory, &item, woken[1].target());
    drop(guard);

    // Datagrams arrive in the order in which they were sent, so after these the one of the release has arrived.
    for (wake_socket, listening) in woken.iter().zip(&listening_last) {
        assert!(wake(wake_socket, &last));
        wait_until("the last wake-up", || listening.was_woken());
    }
    assert_eq!(listening.each_ref().map(WakeListener::was_woken), [true, false]);
}
