//! Many acquisitions, some of them through faults, leave no sockets, threads or items behind.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use memlock::{Error, Locks};
use memlock_testkit::{Memcached, Parent, Peer, wait_until};

use crate::proxy::{Deed, End, Fault, Proxy, Then};
use crate::stage::{PATIENCE, block_on, ms, timed, whole_machine};
use crate::wire::{Kind, Probe};

const ACQUISITIONS: u64 = 100_000;
const THREADS: u64 = 4;
/// One acquisition in so many goes through faults.
const FAULTY: u64 = 50;

/// The variable with the server's own address. The usual variable has the proxy's.
const STRAIGHT: &str = "MEMLOCK_TEST_STRAIGHT";

/// How long sockets and threads may stay: background threads wait a few seconds for more work.
const LINGER: Duration = Duration::from_secs(30);

/// In a process of its own, since other tests open sockets and threads too.
#[test]
fn after_a_hundred_thousand_acquisitions_sockets_and_threads_are_back_where_they_were() {
    const NAME: &str = "leaks::after_a_hundred_thousand_acquisitions_sockets_and_threads_are_back_where_they_were";
    if let Some(parent) = Parent::of_role("busy") {
        return work(&parent);
    }
    let _share = whole_machine();
    let server = Memcached::start();
    let proxy = Proxy::before(&server.address());
    let mut busy = Peer::of("busy")
        .test(NAME)
        .env("MEMLOCK_SERVERS", proxy.address())
        .env(STRAIGHT, server.address())
        .start();
    assert_eq!(busy.expect_line(PATIENCE), "ready");
    let before = left(&busy);
    let mut probe = Probe::of(&server.address());
    // The probe is answered, so its connection counts.
    assert_eq!(probe.item("memlock:clock"), None);
    let connections = server.stat("curr_connections");
    busy.send("go");
    let (faults, took) = timed(|| break_things(&proxy, &busy));
    println!(
        "{} faults in {took:.1?}; sockets and threads before: {before:?}, after: {:?}",
        faults,
        left(&busy)
    );
    proxy.open_gate();
    proxy.heal();
    assert!(faults > 20, "hardly a fault: {faults}");
    let ((), took) = timed(|| {
        wait_until("sockets and threads to be gone", LINGER, || left(&busy) == before);
    });
    println!("the last was gone {took:.1?} later");
    wait_until("the server to be left by all, and no lock to stay", LINGER, || {
        // A server has one clock, and one counter of tokens, for all locks.
        let shared = ["memlock:clock", "memlock:tokens"].map(|item| u64::from(probe.item(item).is_some()));
        server.stat("curr_connections") == connections && server.stat("curr_items") == Some(shared.iter().sum())
    });
}

/// One fault after the other, each of another kind, until the peer is done. Returns how many.
fn break_things(proxy: &Proxy, busy: &Peer) -> u32 {
    let mut faults = 0;
    for number in 0.. {
        let on = [Kind::Acquire, Kind::Delete, Kind::Handshake, Kind::Look][number % 4];
        let deed = match number / 4 % 5 {
            0 => Deed::CutRequest(15, End::Reset),
            1 => Deed::CutReply(10, End::Finished),
            2 => Deed::HoldReply,
            3 => Deed::Answer {
                executed: true,
                with: |_| b"nonsense\r\n".to_vec(),
            },
            _ => Deed::Silence { executed: true },
        };
        proxy.arm(Fault {
            on,
            skip: 0,
            deed,
            then: if number % 3 == 0 { Then::Down } else { Then::Well },
        });
        // Long enough for the fault to happen, and for the client to notice. A fault that does not happen does no harm.
        if let Some(said) = busy.next_line(ms(60)) {
            let (granted, unavailable) = said.split_once(' ').expect("two numbers");
            println!("{granted} granted, {unavailable} unavailable");
            assert!(granted.parse::<u64>().expect("a number") >= ACQUISITIONS);
            return faults;
        }
        faults += u32::from(proxy.has_fired());
        proxy.open_gate();
        proxy.heal();
    }
    faults
}

/// How many files and threads a process has open.
fn left(process: &Peer) -> (usize, usize) {
    let count = |what| {
        let entries = fs::read_dir(format!("/proc/{}/{what}", process.pid()));
        entries.expect("it runs").count()
    };
    (count("fd"), count("task"))
}

fn work(parent: &Parent) {
    let of = |variable: &str| {
        let servers = std::env::var(variable).expect("the test says where");
        let locks = Locks::builder().servers(servers).exchange_timeout(ms(30));
        locks.build().expect("a good address")
    };
    // The background thread stays, by design. A connection to a closed port does not.
    let nowhere = Locks::builder().servers("127.0.0.1:1").build().expect("a good address");
    assert!(block_on(nowhere.lock("k").acquire_async()).is_err());
    drop(nowhere);
    parent.say("ready");
    assert_eq!(parent.hear(PATIENCE), "go");
    let (straight, faulty) = (of(STRAIGHT), of("MEMLOCK_SERVERS"));
    let (granted, unavailable) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (straight, faulty, granted, unavailable) = (&straight, &faulty, &granted, &unavailable);
            scope.spawn(move || {
                for turn in 0.. {
                    if granted.load(Ordering::SeqCst) >= ACQUISITIONS {
                        break;
                    }
                    let locks = if turn % FAULTY == 0 { faulty } else { straight };
                    // Mostly a key of its own, sometimes one that all threads use.
                    let key = if turn % 10 == 0 { u64::MAX } else { thread };
                    let request = locks.lock(key).wait(PATIENCE);
                    // By threads, and by tasks that release, or leave the release to the background.
                    let result = match turn % 3 {
                        0 => request.acquire().map(drop),
                        1 => block_on(request.acquire_async()).map(drop),
                        _ => block_on(async {
                            request.acquire_async().await?.release().await;
                            Ok(())
                        }),
                    };
                    match result {
                        Ok(()) => granted.fetch_add(1, Ordering::SeqCst),
                        Err(Error::Unavailable { .. }) => unavailable.fetch_add(1, Ordering::SeqCst),
                        Err(error) => panic!("another error: {error}"),
                    };
                }
            });
        }
    });
    drop((straight, faulty));
    parent.say(&format!("{} {}", granted.into_inner(), unavailable.into_inner()));
    // Ends with the parent.
    let _ = parent.hear(Duration::MAX);
}
