//! Waking the first in the wait list by a datagram.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use memlock::Locks;
use memlock_testkit::wait_until;

use crate::actor::Actor;
use crate::stage::{PATIENCE, Stage, hold, ms};

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn woken(stage: &Stage) -> Locks {
    let builder = stage.builder().wake(SocketAddr::from((LOOPBACK, 0)));
    builder.build().expect("a socket on loopback")
}

#[test]
fn a_release_wakes_the_first_in_the_wait_list() {
    let stage = Stage::set();
    // A member of the wait list that only listens.
    let listener = UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
    let wait_list = format!(
        "2 0000000000000001:50@{}/00000000000000ff",
        listener.local_addr().expect("a socket")
    );
    let locks = woken(&stage);
    let held = hold(locks.lock("k"));
    let stored = stage.ask(&format!(
        "ms memlock:lock:k%line {} T300\r\n{wait_list}",
        wait_list.len()
    ));
    assert_eq!(stored, "HD");
    held.release();
    listener.set_nonblocking(true).expect("a socket");
    // The release of a lock that was held for a moment only mostly skips the look at the wait list.
    wait_until("a release that looks", PATIENCE, || {
        drop(hold(locks.lock("k")));
        let mut datagram = [0; 100];
        let received = listener.recv(&mut datagram);
        let is_there = received.is_ok();
        if let Ok(length) = received {
            let text = std::str::from_utf8(&datagram[..length]).expect("text");
            // The listener has not answered yet, so it is asked to return a number.
            let (datagram, number) = text.rsplit_once(' ').expect("a number");
            assert_eq!(datagram, "memlock 1 00000000000000ff memlock:lock:k");
            assert!(
                number.len() == 16 && u64::from_str_radix(number, 16).is_ok(),
                "{number}"
            );
        }
        is_there
    });
}

#[test]
fn a_woken_waiter_looks_at_once() {
    let stage = Stage::set();
    let _held = hold(stage.locks().lock("k"));
    let locks = woken(&stage);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| locks.lock("k").interval(PATIENCE).wait(ms(20_000)).acquire());
        let value = || stage.ask_for_value("mg memlock:lock:k%line v");
        wait_until("it to be in the wait list", PATIENCE, || value().contains('@'));
        let member = value();
        let (_, wake) = member.split_once('@').expect("how it is woken");
        let (address, secret) = wake.split_once('/').expect("a secret");
        let before = stage.number("cmd_get");
        let releaser = UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
        // Without datagrams it would look a few times in that time: its pauses grow with the time waited.
        wait_until("each datagram to make it look", ms(15_000), || {
            let datagram = format!("memlock 1 {secret} memlock:lock:k");
            releaser.send_to(datagram.as_bytes(), address).expect("it listens");
            stage.number("cmd_get") >= before + 500
        });
        assert!(waiter.join().expect("no panic").is_err_and(|error| error.is_busy()));
    });
}

#[test]
fn processes_wake_each_other() {
    let stage = Stage::set();
    let variables = [("MEMLOCK_SERVERS", &*stage.address()), ("MEMLOCK_WAKE", "127.0.0.1:0")];
    let (mut other, greeting) = Actor::in_environment(&variables);
    assert_eq!(greeting, "ready");
    let locks = woken(&stage);
    for _ in 0..20 {
        let mine = hold(locks.lock("k"));
        other.begins_to_acquire("k", PATIENCE);
        wait_until("the other process to be in the wait list", PATIENCE, || {
            stage.has_item("memlock:lock:k%line")
        });
        let before = mine.token().get();
        mine.release();
        assert!(other.has_acquired() > before);
        other.releases();
    }
}

#[test]
fn processes_that_came_back_each_time_leave_the_wait_list_at_shutdown() {
    let stage = Stage::set();
    thread::scope(|scope| {
        for _ in 0..3 {
            let locks = woken(&stage);
            scope.spawn(move || {
                for _ in 0..300 {
                    drop(hold(locks.lock("k")));
                }
                // The background work leaves the place that is kept for it. `shutdown` waits for that.
                assert!(locks.shutdown(PATIENCE).is_clean());
            });
        }
    });
    assert_eq!(stage.ask("mg memlock:lock:k%line"), "EN");
}

#[test]
fn an_unusable_wake_address_is_an_error_that_names_it() {
    for (address, part) in [
        ("here", "`here` is not an address"),
        ("0.0.0.0:0", "as others reach it"),
    ] {
        let (_, greeting) = Actor::in_environment(&[("MEMLOCK_WAKE", address)]);
        assert!(greeting.starts_with("config") && greeting.contains(part), "{greeting}");
    }
}
