//! A lock and its release, with the connection cut at each byte of each of their exchanges, in both directions.

use std::sync::Arc;
use std::time::Instant;

use memlock_testkit::Memcached;

use crate::proxy::{Deed, End, Fault, Then};
use crate::stage::{By, QUICK, Stage, Times};
use crate::wire::Kind;

pub(crate) const ENDS: [End; 2] = [End::Finished, End::Reset];
pub(crate) const THENS: [Then; 2] = [Then::Well, Then::Down];

#[derive(Clone, Copy)]
pub(crate) enum Way {
    Request,
    Reply,
}

impl Way {
    pub(crate) fn cut(self, at: usize, end: End) -> Deed {
        match self {
            Way::Request => Deed::CutRequest(at, end),
            Way::Reply => Deed::CutReply(at, end),
        }
    }
}

/// Cuts an exchange at its first byte, its second, and so on, until it has no more. Returns how many there were.
pub(crate) fn at_every_byte(way: Way, end: End, mut cut: impl FnMut(Deed) -> bool) -> usize {
    let mut bytes = 0;
    while cut(way.cut(bytes, end)) {
        bytes += 1;
    }
    bytes
}

/// Cuts the exchange of that kind, the first but for `skip`, everywhere: in each direction, at each byte, in both ways to
/// end a connection, with a network that works afterwards and with one that does not.
fn cut_everywhere(stage: &Stage, by: By, kind: Kind, skip: u32, ends: &[End], thens: &[Then], before: impl Fn()) {
    let mut times = Times::default();
    let began = Instant::now();
    let mut bytes = Vec::new();
    for way in [Way::Request, Way::Reply] {
        for &end in ends {
            for &then in thens {
                let length = at_every_byte(way, end, |deed| {
                    before();
                    stage.proxy.arm(Fault {
                        on: kind,
                        skip,
                        deed,
                        then,
                    });
                    let locked = stage.lock_and_unlock(by);
                    if locked.was_hit {
                        times.add(locked.free_after);
                        // A release has no result to lose, and a broken connection is replaced by another.
                        let expected = then == Then::Well || kind == Kind::Delete && skip == 0;
                        assert_eq!(locked.is_granted, expected, "{kind:?}, {then:?}, {by:?}");
                    } else {
                        assert!(locked.is_granted, "nothing was cut");
                    }
                    locked.was_hit
                });
                bytes.push(length);
            }
        }
    }
    assert!(bytes.iter().all(|length| *length > 5), "nothing to cut: {bytes:?}");
    println!(
        "{kind:?} of a {by:?} cut {} times in {:.1?}, of so many bytes: {bytes:?}; {}",
        times.len(),
        began.elapsed(),
        times.summary()
    );
}

/// Each test, by a thread and by a task.
macro_rules! by_each {
    ($($test:ident)*) => {
        mod thread {
            $(#[test] fn $test() { super::$test(super::By::Thread); })*
        }
        mod task {
            $(#[test] fn $test() { super::$test(super::By::Task); })*
        }
    };
}

by_each! {
    an_acquisition_cut_at_any_byte_is_a_lock_with_proof_or_unavailable_and_leaves_no_orphan
    a_release_cut_at_any_byte_is_repeated
    a_handshake_cut_at_any_byte_is_repeated_on_another_connection
    making_the_clock_and_giving_back_cut_at_any_byte_leave_no_orphan
}

fn an_acquisition_cut_at_any_byte_is_a_lock_with_proof_or_unavailable_and_leaves_no_orphan(by: By) {
    let stage = Stage::set(by.pick(["cut acquire", "task cut acquire"]), QUICK);
    cut_everywhere(&stage, by, Kind::Acquire, 0, &ENDS, &THENS, || ());
}

fn a_release_cut_at_any_byte_is_repeated(by: By) {
    let stage = Stage::set(by.pick(["cut release", "task cut release"]), QUICK);
    cut_everywhere(&stage, by, Kind::Delete, 0, &ENDS, &THENS, || ());
}

/// The longest exchange, some 7 KiB. Without a connection nothing has been asked for, so one way to cut it suffices.
fn a_handshake_cut_at_any_byte_is_repeated_on_another_connection(by: By) {
    let stage = Stage::set(by.pick(["cut handshake", "task cut handshake"]), QUICK);
    cut_everywhere(&stage, by, Kind::Handshake, 0, &[End::Finished], &[Then::Well], || ());
}

/// The first grant on a server finds no clock item: it makes one, gives itself back, and tries again.
fn making_the_clock_and_giving_back_cut_at_any_byte_leave_no_orphan(by: By) {
    let stage = Stage::on(
        Arc::new(Memcached::start()),
        by.pick(["cut clock", "task cut clock"]),
        QUICK,
    );
    let without_clock = || {
        assert_eq!(stage.ask("md memlock:clock").trim_end(), "HD");
    };
    cut_everywhere(&stage, by, Kind::MakeClock, 0, &[End::Finished], &THENS, without_clock);
    // The first delete gives the lock back. The first two acquisitions are before and after it.
    give_back_cut_everywhere(&stage, by, without_clock);
    cut_everywhere(&stage, by, Kind::Acquire, 1, &[End::Finished], &THENS, without_clock);
}

fn give_back_cut_everywhere(stage: &Stage, by: By, before: impl Fn()) {
    for way in [Way::Request, Way::Reply] {
        for then in THENS {
            at_every_byte(way, End::Reset, |deed| {
                before();
                stage.proxy.arm(Fault {
                    on: Kind::Delete,
                    skip: 0,
                    deed,
                    then,
                });
                let locked = stage.lock_and_unlock(by);
                assert!(locked.is_granted || then == Then::Down && locked.was_hit);
                locked.was_hit
            });
        }
    }
}
