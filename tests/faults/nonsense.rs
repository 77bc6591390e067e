//! Other bytes than the server's. None of them counts as a success, takes long, or costs memory.

use std::fs;
use std::time::Duration;

use memlock::{Error, Locks};
use memlock_testkit::{Parent, Peer};

use crate::cuts::THENS;
use crate::midway::{age, renew_through_fault};
use crate::proxy::{Deed, Fault, Seen, Then};
use crate::stage::{By, MARGIN, PATIENCE, QUICK, Stage, ms, timed};
use crate::wire::Kind;

type Answer = fn(&Seen<'_>) -> Vec<u8>;

/// The replies to a batch of two, with opaques that are `ahead` of the request's.
fn pair(first: &str, second: &str, seen: &Seen<'_>, ahead: u64) -> Vec<u8> {
    let opaque = seen.opaque.wrapping_add(ahead);
    format!("{first} O{opaque}\r\n{second} O{}\r\n", opaque.wrapping_add(1)).into_bytes()
}

/// Answers that no server may give. They say that the clock item is missing: a wrong clock would be believed, and no
/// lease would be long enough. Answers that only begin are in `delays`.
const NONSENSE: [(&str, Answer); 17] = [
    ("an empty line", |_| b"\r\n".to_vec()),
    ("no text", |_| b"\xff\xfe\x00\x01\r\n".to_vec()),
    ("another protocol", |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ("the old commands' success", |_| b"STORED\r\nSTORED\r\n".to_vec()),
    ("a line without CR", |_| b"HD c5 O1\nHD c5 O2\n".to_vec()),
    ("no opaque", |_| b"EN\r\nHD c77\r\n".to_vec()),
    ("the next exchange's opaques", |seen| pair("EN", "HD c77", seen, 2)),
    ("the opaques the wrong way round", |seen| {
        pair("EN", "HD c77", seen, 0)
            .split_inclusive(|byte| *byte == b'\n')
            .rev()
            .collect::<Vec<_>>()
            .concat()
    }),
    ("a CAS of zero", |seen| pair("EN", "HD c0", seen, 0)),
    ("a negative CAS", |seen| pair("EN", "HD c-1", seen, 0)),
    ("no CAS", |seen| pair("EN", "HD", seen, 0)),
    ("two of them", |seen| pair("EN", "HD c5 c6", seen, 0)),
    ("a CAS beyond all numbers", |seen| {
        pair("EN", "HD c99999999999999999999999", seen, 0)
    }),
    ("a GiB announced", |seen| {
        format!(
            "VA 1073741824 c1 O{}\r\nVA 1073741824 c1 O{}\r\n",
            seen.opaque, seen.opaque
        )
        .into_bytes()
    }),
    ("less than nothing announced", |_| b"VA -1 c1 O1\r\n".to_vec()),
    ("half of the truth", |seen| {
        let half = seen.reply.get(..seen.reply.len() / 2).unwrap_or_default();
        [half, b"\x00\r\n"].concat()
    }),
    ("the truth in capitals", |seen| {
        let truth = if seen.reply.is_empty() {
            seen.earlier
        } else {
            seen.reply
        };
        [b"hd ", truth].concat()
    }),
];

const BOTH: [By; 2] = [By::Thread, By::Task];

const EXECUTED: [bool; 2] = [true, false];

#[test]
fn nonsense_for_an_acquisition_or_a_release_is_no_success_and_leaves_no_orphan() {
    let stage = Stage::set("nonsense", QUICK);
    for (on, by) in [Kind::Acquire, Kind::Delete].map(|on| BOTH.map(|by| (on, by))).concat() {
        for (what, with) in NONSENSE {
            for executed in EXECUTED {
                for then in THENS {
                    println!("{by:?}, {on:?}, executed: {executed}, {then:?}: {what}");
                    stage.proxy.arm(Fault {
                        on,
                        skip: 0,
                        deed: Deed::Answer { executed, with },
                        then,
                    });
                    let locked = stage.lock_and_unlock(by);
                    assert!(locked.was_hit);
                    assert_eq!(locked.is_granted, then == Then::Well || on == Kind::Delete);
                }
            }
        }
    }
}

#[test]
fn a_handshake_answered_by_nonsense_is_repeated_on_another_connection() {
    let stage = Stage::set("nonsense greeting", QUICK);
    for (by, (what, with)) in BOTH.map(|by| NONSENSE.map(|nonsense| (by, nonsense))).concat() {
        for then in THENS {
            println!("{by:?}, {then:?}: {what}");
            stage.proxy.arm(Fault {
                on: Kind::Handshake,
                skip: 0,
                deed: Deed::Answer { executed: false, with },
                then,
            });
            assert_eq!(stage.lock_and_unlock(by).is_granted, then == Then::Well);
        }
    }
}

#[test]
fn nonsense_for_a_renewal_extends_nothing_and_loses_nothing() {
    let timeout = Duration::from_secs(60);
    let stage = Stage::set("nonsense renewal", QUICK);
    let caller = stage.caller();
    let guard = caller.locks.lock(stage.key).timeout(timeout).acquire();
    let guard = guard.expect("nothing is wrong yet");
    for (what, with) in NONSENSE {
        for executed in EXECUTED {
            println!("executed: {executed}: {what}");
            age(&guard, timeout);
            stage.proxy.arm(Fault {
                on: Kind::Rewrite,
                skip: 0,
                deed: Deed::Answer { executed, with },
                then: Then::Well,
            });
            renew_through_fault(&stage, &guard);
            assert!(stage.proxy.has_fired());
            guard.renew().expect("it is held, and the server can be asked again");
        }
    }
    assert!(stage.kept().expect("it is held").value.contains(&caller.label));
    guard.release();
    stage.assert_free();
}

/// Answers that would be a success if they belonged to this exchange.
const FOREIGN: [(&str, Answer); 4] = [
    ("what an earlier exchange was told", |seen| seen.earlier.to_vec()),
    ("the same, and then the truth", |seen| {
        [seen.earlier, seen.reply].concat()
    }),
    ("a success with the next exchange's opaques", |seen| {
        pair("HD t2000000000", "HD c77", seen, 2)
    }),
    ("a success for the first command only", |seen| {
        format!("HD t2000000000 O{}\r\nHD c77 O{}\r\n", seen.opaque, seen.opaque).into_bytes()
    }),
];

#[test]
fn no_reply_but_the_exchanges_own_lets_a_second_holder_in() {
    let stage = Stage::set("foreign", QUICK);
    for on in [Kind::Acquire, Kind::Look] {
        for (what, with) in FOREIGN.into_iter().chain(NONSENSE) {
            for executed in EXECUTED {
                println!("{on:?}, executed: {executed}: {what}");
                // The caller has had a success on the connection that it goes on using.
                let caller = stage.caller();
                let first = caller.locks.lock(stage.key).acquire().expect("nothing is wrong yet");
                stage.assert_proved(&caller, &first);
                first.release();

                let guard = stage.direct.lock(stage.key).acquire().expect("it is free");
                stage.assert_rises(&guard);
                let kept = stage.kept();
                stage.proxy.arm(Fault {
                    on,
                    skip: 0,
                    deed: Deed::Answer { executed, with },
                    then: Then::Well,
                });
                let (result, took) = timed(|| caller.locks.lock(stage.key).try_acquire());
                assert!(took < stage.limit(), "kept for {took:?}");
                let error = result.expect_err("another holds it");
                if !error.is_busy() {
                    stage.assert_unavailable(&error);
                }
                assert!(stage.proxy.has_fired());
                assert_eq!(stage.kept(), kept, "another's lock was touched");
                guard.release();
                stage.assert_free();
            }
        }
    }
}

/// The second copy of a reply comes with the first, or meets the next exchange on that connection.
#[test]
fn a_reply_that_comes_twice_answers_one_exchange() {
    let stage = Stage::set("twice", QUICK);
    let with: Answer = |seen| [seen.reply, seen.reply].concat();
    for on in [Kind::Handshake, Kind::Acquire, Kind::Delete] {
        for _ in 0..20 {
            let caller = stage.caller();
            stage.proxy.arm(Fault {
                on,
                skip: 0,
                deed: Deed::Answer { executed: true, with },
                then: Then::Well,
            });
            for _ in 0..3 {
                let guard = caller.locks.lock(stage.key).acquire();
                stage.assert_proved(&caller, &guard.expect("the first copy, or another connection, serves"));
                stage.assert_free();
            }
            assert!(stage.proxy.has_fired());
        }
    }
}

/// Answers that begin and never end.
const ENDLESS: [(&str, Answer); 5] = [
    ("a line", |_| Vec::new()),
    ("a GiB announced", |seen| {
        format!("VA 1073741824 c1 O{}\r\n", seen.opaque).into_bytes()
    }),
    ("a line after a good one", |seen| {
        format!("HD t2000000000 O{}\r\n", seen.opaque).into_bytes()
    }),
    ("more than the largest value", |seen| {
        format!("EN O{}\r\nVA 65536 c1 O{}\r\n", seen.opaque, seen.opaque + 1).into_bytes()
    }),
    ("a statistic", |_| b"STAT pid 1\r\nSTAT version ".to_vec()),
];

/// Tells the process to connect anew.
const FRESH: &str = "fresh";

/// In a process of its own, since other tests use memory too.
#[test]
fn replies_without_end_cost_neither_memory_nor_time() {
    const NAME: &str = "nonsense::replies_without_end_cost_neither_memory_nor_time";
    let exchange = ms(200);
    if let Some(parent) = Parent::of_role("flooded") {
        return suffer(&parent, exchange);
    }
    let stage = Stage::set("flood", exchange);
    let mut victim = Peer::of("flooded")
        .test(NAME)
        .env("MEMLOCK_SERVERS", stage.proxy.address())
        .start();
    victim.send(stage.key);
    assert_eq!(victim.expect_line(PATIENCE), "granted");
    let (resident, peak) = (memory(&victim, "VmHWM"), memory(&victim, "VmSize"));
    // Handshakes first: they leave no lock that the background would clean away on other connections.
    for on in [Kind::Handshake, Kind::Acquire] {
        for (what, with) in ENDLESS {
            for executed in EXECUTED {
                println!("{on:?}, executed: {executed}: {what}");
                stage.proxy.arm(Fault {
                    on,
                    skip: 0,
                    deed: Deed::Flood { executed, with },
                    then: Then::Down,
                });
                if on == Kind::Handshake {
                    victim.send(FRESH);
                }
                let ((), took) = timed(|| {
                    victim.send(stage.key);
                    assert_eq!(victim.expect_line(PATIENCE), "unavailable");
                });
                assert!(took < stage.limit(), "kept for {took:?}");
                // The flood ends with its connection.
                stage.proxy.open_gate();
                stage.proxy.heal();
                stage.assert_free();
            }
        }
    }
    let (resident, peak) = (memory(&victim, "VmHWM") - resident, memory(&victim, "VmPeak") - peak);
    let flooded = stage.proxy.flooded() / 1024;
    println!("flooded with {flooded} KiB, it took {resident} KiB more of memory, and {peak} KiB more of addresses");
    assert!(flooded > 64 * 1024, "no flood: {flooded} KiB");
    assert!(resident < 4 * 1024, "{resident} KiB");
    // Each thread's allocator takes 64 MiB of addresses, which cost nothing.
    assert!(peak < 512 * 1024, "{peak} KiB");
}

fn suffer(parent: &Parent, exchange: Duration) {
    let locks = || {
        let built = Locks::builder().exchange_timeout(exchange).build();
        built.expect("good settings")
    };
    let mut victim = locks();
    loop {
        let key = parent.hear(PATIENCE);
        if key == FRESH {
            victim = locks();
            continue;
        }
        let (result, took) = timed(|| victim.lock(key).acquire());
        assert!(took < 2 * exchange + MARGIN, "{took:?}");
        parent.say(match result {
            Ok(_) => "granted",
            Err(Error::Unavailable { .. }) => "unavailable",
            Err(_) => "another error",
        });
    }
}

/// A number of KiB in the system's status of a process.
fn memory(of: &Peer, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", of.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("Linux");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}
