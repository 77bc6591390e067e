//! Tests against servers whose answers contradict one another for ever. They run on virtual time, where an exchange
//! takes no time, so a loop without a pause would never end.

use std::collections::BTreeMap;

use super::*;
use crate::protocol::messages::Cas;
use crate::protocol::{Leave, WaitListView};

const SECONDS: u64 = 20;

/// How many exchanges a contender may make before it slows down: its credit, and the exchanges that follow from the
/// last one of the credit.
const AT_ONCE: u32 = 16 + 2;

/// The reply of a server to a request, given the last written nonce, or the reason why there is no reply.
type Answers = fn(&Request, Nonce) -> Result<Reply, Unanswered>;

fn cas(number: u64) -> Cas {
    Cas::new(number).expect("not zero")
}

/// The timeout of all contenders here. It is short, so that the watch over another contender's lease is soon over.
const SHORT: Duration = Duration::from_millis(100);

/// The timeout of a lease that lasts for the whole test.
const LONG: Duration = Duration::from_secs(3600);

fn held_by(nonce: Nonce) -> Reply {
    held_for(SHORT, nonce)
}

fn held_for(timeout: Duration, nonce: Nonce) -> Reply {
    let spec = Spec { timeout, ..spec() };
    Reply::Item {
        content: Box::new(Content::Lock(spec.record(nonce, spec.lengths()))),
        cas: cas(5),
    }
}

/// How many exchanges a contender made in each second until it ended, and how it ended.
#[derive(Debug)]
struct Course {
    exchanges: BTreeMap<u64, u32>,
    ended: Option<Outcome>,
    took: Duration,
    has_slowed_down: bool,
}

fn run(spec: Spec, joins_list: bool, server: Answers) -> Course {
    let began = Duration::from_secs(1000);
    let mut now = began;
    let mut machine = Acquire::new(spec, None, false);
    if joins_list {
        machine = machine.with_wait_list(Member::new(9, None), None);
    }
    let (mut input, mut nonces, mut written) = (Input::Start, 0, Nonce(0));
    let mut course = Course {
        exchanges: BTreeMap::new(),
        ended: None,
        took: Duration::ZERO,
        has_slowed_down: false,
    };
    while now < began + Duration::from_secs(SECONDS) {
        nonces += 1;
        let output = machine.step(Now::at(now), Nonce(nonces), input);
        course.has_slowed_down |= machine.is_slowed_down();
        match output {
            Output::Exchange { batch, .. } => {
                let counted = course.exchanges.entry((now - began).as_secs()).or_default();
                *counted += 1;
                assert!(*counted < 10_000, "it never pauses: {batch:?}");
                let mut replies = Replies::new();
                let mut unanswered = None;
                for request in &batch {
                    if let Request::Add { record, .. } | Request::Replace { record, .. } = request {
                        written = record.nonce;
                    }
                    match server(request, written) {
                        Ok(reply) => replies.push(reply),
                        Err(met) => {
                            unanswered = Some(met);
                            break;
                        }
                    }
                }
                let (instance, sent) = (Some(Instance { start: START, pid: 1 }), Now::at(now));
                input = Input::Exchanged(Exchanged {
                    instance,
                    replies,
                    unanswered,
                    sent,
                    best: None,
                    ..Exchanged::default()
                });
            }
            Output::Pause(pause) => {
                now += (pause.from + pause.to) / 2;
                input = Input::Woke;
            }
            Output::Done(outcome) => {
                course.ended = Some(outcome);
                break;
            }
        }
    }
    course.took = now - began;
    course
}

/// The usual reply, where a case does not say otherwise.
fn usual(request: &Request) -> Reply {
    match request {
        Request::ReadClock => Reply::Clock(START),
        Request::CreateClock | Request::Add { .. } | Request::Replace { .. } | Request::StoreWaitList { .. } => {
            Reply::Stored(cas(7))
        }
        Request::RaiseCounter => Reply::Raised(cas(8)),
        Request::Delete { .. } | Request::DeleteWaitList { .. } => Reply::Deleted,
        Request::Read | Request::ReadWaitList => Reply::Missing,
    }
}

const OTHER: Nonce = Nonce(77 << 64);

/// Each cycle of the table in the head of `acquire/`, and whether the contender joins the wait list.
const CYCLES: &[(&str, bool, Answers)] = &[
    ("nothing there; there", false, |request, _| {
        Ok(match request {
            Request::Add { .. } => Reply::NotStored,
            other => usual(other),
        })
    }),
    ("nothing there; there, in the list", true, |request, _| {
        Ok(match request {
            Request::Add { .. } => Reply::NotStored,
            other => usual(other),
        })
    }),
    ("stored, and then not there", false, |request, _| {
        Ok(match request {
            Request::RaiseCounter => Reply::Raised(cas(9)),
            other => usual(other),
        })
    }),
    (
        "nothing there; no answer to the add",
        false,
        |request, _| match request {
            Request::Add { .. } => Err(Unanswered::Cut),
            other => Ok(usual(other)),
        },
    ),
    (
        "nothing there; the add cannot be sent",
        false,
        |request, _| match request {
            Request::Add { .. } => Err(Unanswered::NotSent),
            other => Ok(usual(other)),
        },
    ),
    ("our own; another CAS", false, |request, written| match request {
        Request::Add { .. } => Err(Unanswered::Late),
        Request::Read => Ok(held_by(written)),
        Request::Delete { .. } => Ok(Reply::Exists),
        other => Ok(usual(other)),
    }),
    ("our own; another instance", false, |request, written| match request {
        Request::Add { .. } => Err(Unanswered::Late),
        Request::Read => Ok(held_by(written)),
        Request::Delete { .. } => Err(Unanswered::OtherInstance),
        other => Ok(usual(other)),
    }),
    (
        "our own; deleted; no answer to the add",
        false,
        |request, written| match request {
            Request::Add { .. } => Err(Unanswered::Cut),
            Request::Read => Ok(held_by(written)),
            other => Ok(usual(other)),
        },
    ),
    (
        "our own; deleted; no answer to the counter",
        false,
        |request, written| match request {
            Request::RaiseCounter => Err(Unanswered::Cut),
            Request::Read => Ok(held_by(written)),
            other => Ok(usual(other)),
        },
    ),
    ("unchanged; another CAS", false, |request, _| {
        Ok(match request {
            Request::Add { .. } => Reply::NotStored,
            Request::Read => held_by(OTHER),
            Request::Replace { .. } => Reply::Exists,
            other => usual(other),
        })
    }),
    ("unchanged; another instance", false, |request, _| match request {
        Request::Add { .. } => Ok(Reply::NotStored),
        Request::Read => Ok(held_by(OTHER)),
        Request::Replace { .. } => Err(Unanswered::OtherInstance),
        other => Ok(usual(other)),
    }),
    ("unchanged; not there; there", false, |request, _| {
        Ok(match request {
            Request::Add { .. } => Reply::NotStored,
            Request::Read => held_by(OTHER),
            Request::Replace { .. } => Reply::Missing,
            other => usual(other),
        })
    }),
    ("held; no wait list", true, |request, _| {
        Ok(match request {
            Request::Add { .. } => Reply::NotStored,
            Request::Read => held_for(LONG, OTHER),
            Request::ReadWaitList => Reply::Refused(Refusal("SERVER_ERROR out of memory".into())),
            other => usual(other),
        })
    }),
    ("held; another wait list", true, |request, _| {
        Ok(match request {
            Request::Add { .. } | Request::StoreWaitList { .. } => Reply::NotStored,
            Request::Read => held_for(LONG, OTHER),
            other => usual(other),
        })
    }),
    ("held; another instance's list", true, |request, _| match request {
        Request::Add { .. } => Ok(Reply::NotStored),
        Request::StoreWaitList { .. } => Err(Unanswered::OtherInstance),
        Request::Read => Ok(held_for(LONG, OTHER)),
        other => Ok(usual(other)),
    }),
    ("stored, without a clock", false, |request, _| {
        Ok(match request {
            Request::ReadClock => Reply::Missing,
            Request::RaiseCounter => Reply::Raised(cas(9)),
            other => usual(other),
        })
    }),
    ("too young", false, |_, _| Err(Unanswered::TooYoung)),
];

/// Returns how many exchanges a contender makes in each second while another one holds the lock.
fn exchanges_of_waiter() -> BTreeMap<u64, u32> {
    let held = run(spec(), false, |request, _| match request {
        Request::Add { .. } => Ok(Reply::NotStored),
        Request::Read => Ok(held_for(LONG, OTHER)),
        other => Ok(usual(other)),
    });
    assert!(held.ended.is_none() && !held.has_slowed_down, "{held:?}");
    held.exchanges
}

#[test]
fn a_contender_with_contradictory_answers_asks_no_more_often_than_a_waiter() {
    let spec = Spec {
        timeout: SHORT,
        ..spec()
    };
    let waiter = exchanges_of_waiter();
    for (name, joins_list, server) in CYCLES {
        let course = run(spec.clone(), *joins_list, *server);
        let (mut made, mut by_a_waiter) = (0, 0);
        for (second, exchanges) in &course.exchanges {
            (made, by_a_waiter) = (made + exchanges, by_a_waiter + waiter[second]);
            // One round more, since rounds begin at other times than looks.
            let most = by_a_waiter + AT_ONCE + 8;
            assert!(
                made <= most,
                "{name}: {made} by second {second}, a waiter makes {by_a_waiter}"
            );
        }
        let is_unreachable = matches!(course.ended, Some(Outcome::Unreachable(_)));
        assert!(course.ended.is_none() || is_unreachable, "{name}: {course:?}");
        // A contender gives up after some writes without an answer, whatever else the server answers.
        let is_unanswered = name.contains("no answer") || name.contains("cannot be sent");
        assert_eq!(is_unreachable, is_unanswered, "{name}: {course:?}");
        // Where each look is followed by a pause anyway, the contender does not slow down.
        let is_a_wait = *name == "too young" || name.starts_with("held");
        assert!(
            course.has_slowed_down || is_unreachable || is_a_wait,
            "{name}: nothing says why it takes so long"
        );
    }
}

#[test]
fn a_contender_with_contradictory_answers_ends_by_the_end_of_its_wait() {
    for (name, joins_list, server) in CYCLES {
        for wait in [0, 1, 700, 3000].map(Duration::from_millis) {
            let spec = Spec {
                timeout: SHORT,
                wait: Some(wait),
                ..spec()
            };
            let course = run(spec, *joins_list, *server);
            let is_end = matches!(course.ended, Some(Outcome::Unreachable(_) | Outcome::Busy { .. }));
            assert!(is_end && course.took <= wait, "{name} for {wait:?}: {course:?}");
            let exchanges: u32 = course.exchanges.values().sum();
            assert!(
                !wait.is_zero() || exchanges <= AT_ONCE,
                "{name}: {exchanges} without waiting"
            );
        }
    }
}

/// Runs a machine that never pauses against a server that always answers the same. Returns the number of exchanges, and
/// the outcome.
fn run_to_end<T>(mut step: impl FnMut(Now, Input) -> Output<T>, answer: fn(&Request) -> Reply) -> (u32, T) {
    let now = World::new().at();
    let (mut input, mut exchanges) = (Input::Start, 0);
    loop {
        match step(now, input) {
            Output::Exchange { batch, .. } => {
                exchanges += 1;
                assert!(exchanges < 1000, "it never ends");
                input = Input::Exchanged(Exchanged {
                    instance: Some(Instance { start: START, pid: 1 }),
                    replies: batch.iter().map(answer).collect(),
                    unanswered: None,
                    sent: now,
                    best: None,
                    ..Exchanged::default()
                });
            }
            Output::Pause(_) => panic!("it must not pause"),
            Output::Done(outcome) => return (exchanges, outcome),
        }
    }
}

fn reply_with_another_cas(request: &Request) -> Reply {
    match request {
        Request::Read => held_by(Nonce(1)),
        Request::Replace { .. }
        | Request::Delete { .. }
        | Request::StoreWaitList { .. }
        | Request::DeleteWaitList { .. } => Reply::Exists,
        Request::ReadWaitList => Reply::WaitList {
            line: WaitList(vec![Member::new(9, None)]),
            cas: cas(5),
        },
        other => usual(other),
    }
}

#[test]
fn releasing_renewing_and_leaving_end_although_the_cas_always_differs() {
    let grant = World::new().acquire_grant();
    assert_eq!(grant.nonce, Nonce(1));
    let mut machine = Release::of_grant(item(), &grant, World::new().at());
    let (made, released) = run_to_end(|now, input| machine.step(now, input), reply_with_another_cas);
    assert_eq!(released, Released::Failed(Unanswered::Contradicted));
    assert!(made <= 9, "{made}");

    let mut machine = Renew::new(spec(), grant.clone());
    let (made, renewed) = run_to_end(|now, input| machine.step(now, input), reply_with_another_cas);
    assert!(
        matches!(renewed, Renewed::Failed(_, Unanswered::Contradicted)),
        "{renewed:?}"
    );
    assert!(made <= 9, "{made}");

    let me = Member::new(9, None);
    let wait_list = Box::new(WaitListView::with_list(me, WaitList(vec![me])));
    let mut machine = Leave::new(wait_list);
    let (made, ()) = run_to_end(|now, input| machine.step(now, input), reply_with_another_cas);
    assert!(made <= 41, "{made}");
}
