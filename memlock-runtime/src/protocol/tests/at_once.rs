//! What is done at once is what the machines do.

use std::sync::Arc;

use super::*;
use crate::clock::Clock;
use crate::in_process::Memory;
use crate::protocol::{add_at_once, delete_at_once};
use crate::store::{Cas, Store};

const NONCE: Nonce = Nonce(77);

/// A server in memory whose clock stands, and what time it is. Two of them are alike.
fn memory(clock: &Arc<Clock>) -> (Memory, Now) {
    (Memory::on(Arc::clone(clock)), clock.now())
}

fn standing() -> Arc<Clock> {
    Arc::new(Clock::standing())
}

/// What a machine comes to whose exchanges are made with `memory`; `None` where it pauses.
fn run<T>(memory: &Memory, now: Now, mut step: impl FnMut(Input) -> Output<T>) -> Option<T> {
    let mut input = Input::Start;
    loop {
        match step(input) {
            Output::Exchange { batch, only_on } => {
                let answer = memory.exchange_at(&item(), &batch, only_on, TIMEOUT, now);
                input = Input::Answered(Answered {
                    instance: answer.instance,
                    replies: answer.replies,
                    damage: answer.fault.map(|fault| fault.damage),
                    sent: now,
                    best: None,
                });
            }
            Output::Pause(_) => return None,
            Output::Done(outcome) => return Some(outcome),
        }
    }
}

fn acquired(memory: &Memory, now: Now) -> Option<Outcome> {
    let mut machine = Acquire::new(impatient(), None, false);
    run(memory, now, |input| machine.step(now, NONCE, input))
}

fn released(memory: &Memory, grant: &Grant, now: Now) -> Option<Released> {
    let mut machine = Release::of_grant(item(), grant, now);
    run(memory, now, |input| machine.step(now, input))
}

/// Has been asked for its clock before, as all but the first call find it.
fn warm(memory: &Memory, now: Now) {
    memory.exchange_at(&item(), &[Request::CreateClock], None, TIMEOUT, now);
}

#[test]
fn a_grant_at_once_is_the_one_of_the_machine_and_so_is_its_end() {
    let clock = standing();
    let ((one, now), (other, _)) = (memory(&clock), memory(&clock));
    warm(&one, now);
    warm(&other, now);
    for _ in 0..3 {
        let grant = add_at_once(&one, &impatient(), NONCE, now).expect("it is free");
        assert_eq!(acquired(&other, now), Some(Outcome::Granted(grant.clone())));
        // What one has written the other's machine finds there, too.
        assert_eq!(add_at_once(&other, &impatient(), Nonce(78), now), None);
        assert!(matches!(acquired(&one, now), Some(Outcome::Busy { holder: Some(_) })));
        assert!(delete_at_once(&one, &impatient(), &grant, now));
        assert!(!delete_at_once(&one, &impatient(), &grant, now), "once");
        assert_eq!(released(&other, &grant, now), Some(Released::Released));
        assert_eq!(released(&one, &grant, now), Some(Released::Gone));
    }
}

#[test]
fn a_server_that_knows_no_clock_yet_or_is_to_fail_is_left_to_the_machine() {
    let clock = standing();
    let (server, now) = memory(&clock);
    assert_eq!(add_at_once(&server, &impatient(), NONCE, now), None);
    warm(&server, now);
    let grant = add_at_once(&server, &impatient(), NONCE, now).expect("it is free");
    server.set_down(true);
    assert!(!delete_at_once(&server, &impatient(), &grant, now));
    server.set_down(false);
    server.set_delay(Duration::from_millis(1));
    assert!(server.takes_time());
    assert!(!delete_at_once(&server, &impatient(), &grant, now));
    server.set_delay(Duration::ZERO);
    server.restart();
    warm(&server, now);
    let next = add_at_once(&server, &impatient(), NONCE, now).expect("a new instance has no items");
    assert_eq!(next.cas, grant.cas, "it counts from one again");
    assert!(
        !delete_at_once(&server, &impatient(), &grant, now),
        "another instance's item"
    );
    assert!(delete_at_once(&server, &impatient(), &next, now));
    server.set_down(true);
    assert_eq!(add_at_once(&server, &impatient(), NONCE, now), None);
}

/// Servers in all the conditions that matter here.
fn servers() -> impl Iterator<Item = Items> {
    (0..16_u8).map(|bits| {
        let has = |bit: u8| bits & 1 << bit != 0;
        let mut items = Items::new(Instance { start: START, pid: 1 });
        if has(0) {
            items.apply(START, &item(), &Request::CreateClock);
        }
        if has(1) {
            items.apply(START, &item(), &add(Nonce(1)));
        }
        if has(2) {
            items.apply(START, &ItemName::of_lock("memlock", "protocol", "y"), &add(Nonce(2)));
        }
        items.set_out_of_memory(has(3));
        items
    })
}

fn add(nonce: Nonce) -> Request {
    let term = spec().term();
    Request::Add {
        record: spec().record(nonce, term),
        ttl: term.ttl,
    }
}

#[test]
fn adding_at_once_does_what_the_two_requests_do_or_nothing() {
    let mut succeeded = 0;
    for before in servers() {
        for second in [START, START + 1, START + u64::from(spec().term().ttl)] {
            let (mut at_once, mut asked) = (before.clone(), before.clone());
            let term = spec().term();
            let stored = at_once.add(second, &item(), spec().record(NONCE, term), term.ttl);
            let clock = asked.apply(second, &item(), &Request::ReadClock);
            let untouched = asked.clone();
            let reply = asked.apply(second, &item(), &add(NONCE));
            if let Some(cas) = stored {
                assert_eq!((clock, reply), (Reply::Clock(second), Reply::Stored(cas)));
                assert_eq!(at_once, asked);
                succeeded += 1;
            } else {
                assert!(clock == Reply::Missing || !matches!(reply, Reply::Stored(_)));
                assert_eq!(at_once, untouched);
            }
        }
    }
    assert_eq!(
        succeeded, 8,
        "with a clock and memory: where nothing is there, and where it has expired"
    );
}

#[test]
fn deleting_at_once_does_what_the_request_does_or_nothing() {
    let mut succeeded = 0;
    for before in servers() {
        for cas in (1..4).filter_map(Cas::new) {
            let (mut at_once, mut asked) = (before.clone(), before.clone());
            let is_deleted = at_once.delete(START, &item(), cas);
            let reply = asked.apply(START, &item(), &Request::Delete { cas });
            assert_eq!(is_deleted, reply == Reply::Deleted);
            assert_eq!(at_once, asked, "{reply:?}");
            succeeded += usize::from(is_deleted);
        }
    }
    assert_eq!(succeeded, 8, "each lock that is there has one CAS");
}
