//! What only a connection can get wrong that many batches share.

use std::net::TcpListener;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::store::Pending;
use crate::store::memcached::link::pipe::Pipe;
use crate::system::on_thread;

/// A batch that was begun.
type Begun = Box<dyn Exchange>;

fn begin(store: &Memcached, batch: &[Request]) -> Begun {
    begin_within(store, batch, PATIENCE)
}

fn begin_within(store: &Memcached, batch: &[Request], limit: Duration) -> Begun {
    store.begin(&item(), Batch::from(batch), None, limit)
}

/// Polls once, with nobody to wake.
fn poll(exchange: &mut Begun) -> Poll<Answer> {
    exchange.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls each in turn until all are there.
fn outcomes(mut all: Vec<Begun>) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = all.iter().map(|_| None).collect();
    let join = std::future::poll_fn(|context| {
        for (exchange, answer) in all.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(ready) = exchange.poll(context)
            {
                *answer = Some(ready);
            }
        }
        if answers.iter().all(Option::is_some) {
            return Poll::Ready(());
        }
        Poll::Pending
    });
    on_thread::wait_for(join, 2 * PATIENCE).expect("outcomes");
    answers.into_iter().flatten().collect()
}

/// The pipe of a store, which has made one exchange on it: a read, with opaque 1.
fn opened(store: &Memcached) -> Arc<Pipe> {
    let answer = Shared.ask(store, &[read()]);
    assert_eq!(answer.replies.as_slice(), [Reply::Missing], "{answer:?}");
    store.nodes[0].pipe().expect("it is open")
}

/// What the server does for [`opened`] before the rest.
fn opening(mut acts: Vec<Act>) -> Vec<Act> {
    acts.splice(0..0, [Await("v c O1\r\n"), say("EN O1\r\n")]);
    greeted(acts)
}

/// A batch that is answered with this.
fn reads() -> Vec<Act> {
    greeted(vec![Await("v c O1\r\n"), say("EN O1\r\n"), AwaitEnd])
}

fn hear(told: &Receiver<()>) {
    told.recv_timeout(PATIENCE).expect("told");
}

fn damages(answers: &[Answer]) -> Vec<Option<Unanswered>> {
    answers.iter().map(unanswered).collect()
}

#[test]
fn batches_in_flight_get_each_its_own_replies() {
    const COUNT: u64 = 300;
    let replies: Vec<String> = (0..COUNT)
        .map(|number| {
            format!(
                "EN O{}\r\nHD c{} O{}\r\n",
                2 * number + 2,
                1000 + number,
                2 * number + 3
            )
        })
        .collect();
    let server = Scripted::start(vec![opening(vec![
        Await("C5 O601\r\n"),
        Say(replies.concat().into_bytes()),
        AwaitEnd,
    ])]);
    let store = server.store();
    let pipe = opened(&store);
    let last = Request::Replace {
        record: Record {
            nonce: Nonce(2),
            lease: Duration::from_secs(5),
            renewal: 0,
            label: "h".into(),
            full_name: None,
        },
        ttl: 13,
        cas: cas(5),
    };
    let all = (0..COUNT).map(|_| begin(&store, &[read(), last.clone()])).collect();
    for (number, answer) in (0..).zip(outcomes(all)) {
        assert_eq!(
            answer.replies.as_slice(),
            [Reply::Missing, Reply::Stored(cas(1000 + number))],
            "{answer:?}"
        );
    }
    drop((store, pipe));
    server.join();
}

/// Three batches, and what a server answers to them.
const THREE: &str = "EN O2\r\nHD c7 O3\r\nVA 5 c9 O4\r\nhello\r\nHD O5\r\n";

fn three(store: &Memcached) -> Vec<Begun> {
    [vec![read(), add()], vec![read()], vec![delete()]]
        .iter()
        .map(|batch| begin(store, batch))
        .collect()
}

#[test]
fn replies_to_many_batches_may_be_split_at_any_byte() {
    for cut in 0..THREE.len() {
        let (first, second) = THREE.split_at(cut);
        let server = Scripted::start(vec![opening(vec![
            Await("C5 O5\r\n"),
            say(first),
            Delay(Duration::from_millis(1)),
            say(second),
            AwaitEnd,
        ])]);
        let store = server.store();
        drop(opened(&store));
        let answers = outcomes(three(&store));
        assert_eq!(damages(&answers), [None; 3], "split at {cut}");
        assert_eq!(answers[0].replies.as_slice(), [Reply::Missing, Reply::Stored(cas(7))]);
        assert!(matches!(answers[1].replies.as_slice(), [Reply::Item { .. }]));
        assert_eq!(answers[2].replies.as_slice(), [Reply::Deleted]);
        drop(store);
        server.join();
    }
}

#[test]
fn a_pipe_cut_after_any_byte_has_just_the_whole_replies() {
    let ends = [7, 17, 36, 43];
    for cut in 0..THREE.len() {
        let server = Scripted::start(vec![
            opening(vec![Await("C5 O5\r\n"), say(&THREE[..cut])]),
            // Where the read was not answered it goes out again.
            greeted(vec![Await("v c O1\r\n"), say("EN O1\r\n"), AwaitEnd]),
        ]);
        let store = server.store();
        drop(opened(&store));
        let answers = outcomes(three(&store));
        let whole = ends.iter().filter(|end| cut >= **end).count();
        let cut_if = |is_cut: bool| is_cut.then_some(Unanswered::Cut);
        assert_eq!(
            damages(&answers),
            [cut_if(whole < 2), None, cut_if(whole < 4)],
            "cut after {cut}"
        );
        assert_eq!(answers[0].replies.len(), whole.min(2), "cut after {cut}");
        assert_eq!(answers[1].replies[0] == Reply::Missing, whole < 3, "cut after {cut}");
        if whole >= 3 {
            // Nobody needed the second connection.
            drop(std::net::TcpStream::connect(server.address));
            continue;
        }
        drop(store);
        server.join();
    }
}

#[test]
fn nonsense_ends_reads_at_once_and_writes_when_the_server_closes() {
    for nonsense in [
        "garbage\r\n",
        "HD c9 O4\r\n",
        "EN O4\r\n",
        "CLIENT_ERROR x\r\nERROR\r\nERROR\r\n",
    ] {
        let (go, hold) = channel();
        let server = Scripted::start(vec![
            opening(vec![
                Await("v c O5\r\n"),
                Say(["EN O2\r\n", nonsense, "HD c9 O4\r\nEN O5\r\n"].concat().into_bytes()),
                HeldLock(hold),
            ]),
            reads(),
        ]);
        let store = server.store();
        let pipe = opened(&store);
        let batches = [vec![read()], vec![add()], vec![add()], vec![read()]];
        let mut all: Vec<Begun> = batches.iter().map(|batch| begin(&store, batch)).collect();
        let mut last = all.pop().expect("four");
        // It was answered with nonsense before it on its connection, and goes out again on another.
        assert_eq!(outcome(&mut *last).replies.as_slice(), [Reply::Missing], "{nonsense:?}");
        assert!(pipe.is_retired());
        let mut first = all.remove(0);
        let answer = outcome(&mut *first);
        assert!(answer.fault.is_none(), "{nonsense:?}: {answer:?}");
        let refused = usize::from(nonsense.starts_with("CLIENT_ERROR"));
        assert_eq!(all.iter_mut().map(poll).filter(Poll::is_pending).count(), 2 - refused);
        go.send(()).expect("held");
        let open = all.split_off(refused);
        drop(all);
        for answer in outcomes(open) {
            assert_eq!(unanswered(&answer), Some(Unanswered::Cut), "{nonsense:?}: {answer:?}");
            assert!(answer.replies.is_empty(), "{nonsense:?}: {answer:?}");
        }
        drop((first, last, store));
        server.join();
    }
}

#[test]
fn an_error_line_in_the_middle_refuses_one_request_and_no_other() {
    let server = Scripted::start(vec![opening(vec![
        Await("v c O4\r\n"),
        say("HD c7 O2\r\nSERVER_ERROR out of memory storing object\r\nEN O4\r\n"),
        Await("v c O5\r\n"),
        say("EN O5\r\n"),
        AwaitEnd,
    ])]);
    let store = server.store();
    let pipe = opened(&store);
    let batches = [vec![add()], vec![add()], vec![read()]];
    let answers = outcomes(batches.iter().map(|batch| begin(&store, batch)).collect());
    assert_eq!(damages(&answers), [None; 3]);
    assert_eq!(answers[0].replies.as_slice(), [Reply::Stored(cas(7))]);
    assert!(matches!(answers[1].replies.as_slice(), [Reply::Refused(_)]));
    assert_eq!(answers[2].replies.as_slice(), [Reply::Missing]);
    assert!(!pipe.is_retired());
    assert_eq!(Shared.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    drop(store);
    server.join();
}

#[test]
fn a_request_that_was_not_understood_makes_the_next_error_line_prove_nothing() {
    // The second error line may be about the data block of the first add; the third batch's opaque proves.
    for (second, proves) in [("HD c8 O3\r\n", true), ("ERROR\r\n", false)] {
        let server = Scripted::start(vec![opening(vec![
            Await("C5 O4\r\n"),
            Say(["CLIENT_ERROR bad data chunk\r\n", second, "HD O4\r\n"]
                .concat()
                .into_bytes()),
            AwaitEnd,
        ])]);
        let store = server.store();
        let pipe = opened(&store);
        let batches = [vec![add()], vec![add()], vec![delete()]];
        let answers = outcomes(batches.iter().map(|batch| begin(&store, batch)).collect());
        assert!(matches!(answers[0].replies.as_slice(), [Reply::Refused(_)]));
        let later = (!proves).then_some(Unanswered::Cut);
        assert_eq!(damages(&answers), [None, later, later], "{second:?}");
        assert!(pipe.is_retired());
        drop(store);
        server.join();
    }
}

#[test]
fn bytes_while_it_is_idle_end_the_pipe_and_answer_nothing() {
    let (tell, told) = channel();
    let server = Scripted::start(vec![
        opening(vec![say("HD c9 O2\r\n"), AwaitEnd, Tell(tell)]),
        greeted(vec![Await(ADDED), say("HD c7 O1\r\n"), AwaitEnd]),
    ]);
    let store = server.store();
    drop(Shared.ask(&store, &[read()]));
    hear(&told);
    assert_eq!(Shared.ask(&store, &[add()]).replies.as_slice(), [Reply::Stored(cas(7))]);
    drop(store);
    server.join();
}

#[test]
fn what_was_not_sent_goes_out_on_another_connection() {
    let (go, hold) = channel();
    let server = Scripted::start(vec![
        opening(vec![HeldLock(hold)]),
        greeted(vec![Await(ADDED), say("HD c7 O1\r\n"), AwaitEnd]),
    ]);
    let store = server.store();
    let pipe = opened(&store);
    go.send(()).expect("held");
    wait_until("the end of the connection has arrived", || pipe.is_retired());
    assert_eq!(Shared.ask(&store, &[add()]).replies.as_slice(), [Reply::Stored(cas(7))]);
    drop(store);
    server.join();
}

/// Until it is so; the other side gives no better sign.
fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let until = clock::instant() + PATIENCE;
    while !so() {
        assert!(clock::instant() < until, "it never happened that {what}");
        std::thread::yield_now();
    }
}

/// An add whose item is so large that a few of them fill the kernel's buffers.
fn large(nonce: u128) -> Request {
    Request::Add {
        record: Record {
            nonce: Nonce(nonce),
            lease: Duration::from_secs(5),
            renewal: 0,
            label: "l".repeat(60_000).into(),
            full_name: None,
        },
        ttl: 13,
    }
}

#[test]
fn what_a_server_does_not_take_is_taken_back() {
    let (go, hold) = channel();
    let (tell, told) = channel();
    let server = Scripted::start(vec![opening(vec![HeldLock(hold), Collect(tell)])]);
    let store = server.store();
    let pipe = opened(&store);
    let mut taken = Vec::new();
    // Until the kernel takes no more.
    while pipe.unwritten() == 0 {
        taken.push(begin(&store, &[large(taken.len() as u128)]));
        pipe.write();
    }
    let unwritten = pipe.unwritten();
    let mut dropped = begin(&store, &[add(), delete()]);
    let abandoned = begin(&store, &[delete()]);
    let mut late = begin_within(&store, &[delete()], SHORT);
    let mut stays = begin(&store, &[large(u128::MAX)]);
    assert!(poll(&mut dropped).is_pending() && poll(&mut stays).is_pending());
    assert!(abandoned.abandon().is_none(), "nothing of it was sent");
    drop(dropped);
    let answer = outcome(&mut *late);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    assert!(answer.pending.is_none());
    assert!(pipe.is_retired(), "it takes no more bytes");
    assert!(pipe.unwritten() > unwritten, "the last one waits still");
    // Of those that were sent in whole or in part one cannot say.
    let count = taken.len();
    let pending: Vec<Box<dyn Pending>> = taken.into_iter().filter_map(Exchange::abandon).collect();
    assert_eq!(pending.len(), count);
    go.send(()).expect("held");
    // All is written while it reads, and then the last one is dropped, and nobody listens any more.
    wait_until("all is written", || pipe.unwritten() == 0);
    drop((pending, stays, store));
    let received = told.recv_timeout(PATIENCE).expect("told");
    assert_eq!(received.matches("ms memlock:f:k").count(), count + 1);
    assert_eq!(received.matches("md memlock:f:k").count(), 0);
    server.join();
}

#[test]
fn the_late_reply_is_heard_while_the_next_batch_goes_another_way() {
    let (go, hold) = channel();
    let server = Scripted::start(vec![
        opening(vec![Await(ADDED), HeldLock(hold), say("HD c9 O2\r\n"), AwaitEnd]),
        greeted(vec![Await("C5 O1\r\n"), say("HD O1\r\n"), AwaitEnd]),
    ]);
    let store = server.store();
    let pipe = opened(&store);
    let answer = outcome(&mut *begin_within(&store, &[add()], SHORT));
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    let mut pending = answer.pending.expect("a write is open");
    assert!(pipe.is_retired());
    assert_eq!(Shared.ask(&store, &[delete()]).replies.as_slice(), [Reply::Deleted]);
    pending = pending.wait(Duration::ZERO).expect_err("nothing has come");
    go.send(()).expect("held");
    let answer = pending.wait(PATIENCE).expect("it comes");
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    assert!(answer.fault.is_none());
    // The first connection was closed with that.
    drop(store);
    server.join();
}

#[test]
fn what_was_sent_is_heard_after_it_was_abandoned() {
    let (go, hold) = channel();
    let server = Scripted::start(vec![opening(vec![
        Await(ADDED),
        HeldLock(hold),
        say("HD c9 O2\r\nEN O3\r\n"),
        AwaitEnd,
    ])]);
    let store = server.store();
    let pipe = opened(&store);
    let mut write = begin(&store, &[add()]);
    let only_reads = begin(&store, &[read()]);
    assert!(poll(&mut write).is_pending());
    let pending = write.abandon().expect("it was sent");
    assert!(only_reads.abandon().is_none(), "there is nothing to learn of a read");
    assert!(!pipe.is_retired(), "nobody has found it slow");
    let pending = pending.wait(SHORT).expect_err("nothing has come");
    go.send(()).expect("held");
    let answer = pending.wait(PATIENCE).expect("it comes");
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    drop(store);
    server.join();
}

#[test]
fn what_is_abandoned_before_the_pipe_is_open_is_never_sent() {
    let (go, hold) = channel();
    let (tell, told) = channel();
    let server = Scripted::start(vec![vec![
        Await("stats settings\r\n"),
        HeldLock(hold),
        say(GREETING_REPLY),
        Await("v c O1\r\n"),
        say("EN O1\r\n"),
        Collect(tell),
    ]]);
    let store = server.store();
    let mut first = begin(&store, &[add()]);
    let mut second = begin(&store, &[read()]);
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert!(first.abandon().is_none());
    go.send(()).expect("held");
    // Who shares the opening is not harmed.
    assert_eq!(outcome(&mut *second).replies.as_slice(), [Reply::Missing]);
    drop((second, store));
    assert_eq!(told.recv_timeout(PATIENCE).expect("told"), "");
    server.join();
}

#[test]
fn the_short_limit_of_who_opens_a_pipe_is_nobody_elses() {
    // Longer than the greeting takes on a busy machine.
    let limit = Duration::from_millis(500);
    let (go, hold) = channel();
    let (tell, told) = channel();
    let server = Scripted::start(vec![vec![
        Await("stats settings\r\n"),
        Tell(tell),
        HeldLock(hold),
        say(GREETING_REPLY),
        Await("v c O1\r\n"),
        say("EN O1\r\n"),
        AwaitEnd,
    ]]);
    let store = server.store();
    let mut short = begin_within(&store, &[add()], limit);
    hear(&told);
    let mut long = begin(&store, &[read()]);
    let answer = outcome(&mut *short);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("does not answer"), "{}", text(&answer));
    // Well after the limit.
    drop(outcome(&mut *begin_within(&store, &[add()], SHORT)));
    assert!(poll(&mut long).is_pending());
    go.send(()).expect("held");
    // On the one connection that there is a script for.
    assert_eq!(outcome(&mut *long).replies.as_slice(), [Reply::Missing]);
    drop((short, long, store));
    server.join();
}

#[test]
fn a_pipe_that_never_comes_about_is_dialled_anew_for_who_has_time_left() {
    let server = Scripted::start(vec![
        vec![Await("stats settings\r\n"), say("STAT pid"), AwaitEnd],
        reads(),
    ]);
    let store = server.store();
    let (limit, later) = (Duration::from_secs(3), Duration::from_secs(2));
    let first = begin_within(&store, &[read()], limit);
    drop(outcome(&mut *begin_within(&store, &[read()], later)));
    // It has two seconds when the first one gives up.
    let second = begin_within(&store, &[read()], limit);
    let answers = outcomes(vec![first, second]);
    assert_eq!(damages(&answers), [Some(Unanswered::NotSent), None], "{answers:?}");
    drop(store);
    server.join();
}

#[test]
fn a_caller_who_looks_too_late_sends_nothing() {
    let (tell, told) = channel();
    let server = Scripted::start(vec![greeted(vec![Collect(tell)])]);
    let store = server.store();
    let mut stalled = begin_within(&store, &[add()], SHORT);
    wait_until("the pipe is open", || store.nodes[0].pipe().is_some());
    let until = clock::instant() + SHORT;
    wait_until("the limit is over", || clock::instant() > until);
    let answer = outcome(&mut *stalled);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    drop((stalled, store));
    assert_eq!(told.recv_timeout(PATIENCE).expect("told"), "");
    server.join();
}

#[test]
fn nobody_stays_when_the_store_is_dropped() {
    // Idle.
    let server = Scripted::start(vec![opening(vec![AwaitEnd])]);
    let store = server.store();
    drop(opened(&store));
    drop(store);
    server.join();
    // In flight, and nobody wants to know: read, dropped, and a write whose `Pending` is dropped.
    let server = Scripted::start(vec![opening(vec![Await("C5 O4\r\n"), AwaitEnd])]);
    let store = server.store();
    drop(opened(&store));
    let (reading, dropped, write) = (
        begin(&store, &[read()]),
        begin(&store, &[add()]),
        begin(&store, &[delete()]),
    );
    drop(store);
    assert!(reading.abandon().is_none());
    drop(dropped);
    drop(write.abandon().expect("it was sent"));
    server.join();
    // In flight, and somebody does: the exchange outlives the store.
    let (go, hold) = channel();
    let server = Scripted::start(vec![opening(vec![
        Await(ADDED),
        HeldLock(hold),
        say("HD c7 O2\r\n"),
        AwaitEnd,
    ])]);
    let store = server.store();
    drop(opened(&store));
    let mut write = begin(&store, &[add()]);
    drop(store);
    go.send(()).expect("held");
    assert_eq!(outcome(&mut *write).replies.as_slice(), [Reply::Stored(cas(7))]);
    drop(write);
    server.join();
    // While it is being opened.
    let (go, hold) = channel();
    let server = Scripted::start(vec![vec![
        Await("stats settings\r\n"),
        HeldLock(hold),
        say(GREETING_REPLY),
        AwaitEnd,
    ]]);
    let store = server.store();
    let exchange = begin(&store, &[add()]);
    drop((store, exchange));
    go.send(()).expect("held");
    server.join();
    // The same, and the server never says a word: until the limit.
    let server = Scripted::start(vec![vec![Await("stats settings\r\n"), AwaitEnd]]);
    let exchange = begin_within(&server.store(), &[add()], SHORT);
    drop(exchange);
    server.join();
}

#[test]
fn a_server_that_sends_without_end_keeps_no_other_waiting() {
    let (stop, stopped) = channel();
    let flooding = Scripted::greeting(vec![Await(ADDED), say("garbage\r\n"), Drown(stopped)]);
    let store = flooding.store();
    let mut flooded = begin(&store, &[add()]);
    wait_until("it was sent", || {
        let _ = poll(&mut flooded);
        store.nodes[0].pipe().is_none_or(|pipe| pipe.is_retired())
    });
    // Many times: now and then the flood ebbs by itself.
    for _ in 0..20 {
        let server = Scripted::start(vec![reads()]);
        let store = server.store();
        assert_eq!(Shared.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
        drop(store);
        server.join();
    }
    stop.send(()).expect("it floods");
    assert_eq!(unanswered(&outcome(&mut *flooded)), Some(Unanswered::Cut));
    flooding.join();
}

#[test]
fn after_the_outcome_there_is_nothing_more_and_no_panic() {
    let server = Scripted::start(vec![reads()]);
    let store = server.store();
    let mut exchange = begin(&store, &[read()]);
    assert!(outcome(&mut *exchange).fault.is_none());
    assert!(poll(&mut exchange).is_pending());
    assert!(exchange.abandon().is_none());
    let mut none = begin_within(&store, &[add()], Duration::ZERO);
    assert!(poll(&mut none).is_ready());
    assert!(poll(&mut none).is_pending());
    drop((none, store));
    server.join();
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics, as a test wants it");
    }
}

#[test]
fn a_waker_that_panics_harms_nobody_for_long() {
    let (go, hold) = channel();
    let server = Scripted::start(vec![
        opening(vec![Await("C5 O3\r\n"), HeldLock(hold), say("EN O2\r\n"), AwaitEnd]),
        reads(),
    ]);
    let store = server.store();
    drop(opened(&store));
    let mut bad = begin(&store, &[read()]);
    let mut good = begin(&store, &[delete()]);
    let waker = Waker::from(Arc::new(Panics));
    assert!(bad.poll(&mut Context::from_waker(&waker)).is_pending());
    go.send(()).expect("held");
    let answer = outcome(&mut *good);
    assert_eq!(unanswered(&answer), Some(Unanswered::Late), "{answer:?}");
    assert_eq!(Shared.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    drop((bad, good, store));
    server.join();
}

#[test]
fn a_pipe_that_nobody_uses_or_that_hangs_is_retired() {
    let server = Scripted::start(vec![opening(vec![AwaitEnd]), opening(vec![Await(ADDED), AwaitEnd])]);
    let store = server.store();
    let pipe = opened(&store);
    assert!(!pipe.look() && !pipe.is_retired(), "it was used");
    assert!(!pipe.look() && pipe.is_retired(), "it was not");
    // Its own task needs no telling that it has looked.
    pipe.retire();
    // Another, on which one has waited since the last look, and others are begun.
    let pipe = opened(&store);
    assert!(!pipe.look() && !pipe.is_retired());
    let waits = begin(&store, &[add()]);
    assert!(!pipe.look() && !pipe.is_retired());
    let more = begin(&store, &[read()]);
    assert!(!pipe.look() && pipe.is_retired());
    // It is listened to, and not for ever.
    assert_eq!((0..100).take_while(|_| !pipe.look()).count(), 26);
    drop((waits, more, store));
    server.join();
}

#[test]
fn it_works_inside_of_another_runtime_whatever_that_does() {
    let (go, hold) = channel();
    let server = Scripted::start(vec![opening(vec![
        Await(ADDED),
        HeldLock(hold),
        say("HD c7 O2\r\n"),
        Await("C5 O3\r\n"),
        say("HD O3\r\n"),
        AwaitEnd,
    ])]);
    let store = server.store();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without I/O and timers")
    };
    let mut write = runtime().block_on(async {
        drop(opened(&store));
        let mut write = begin(&store, &[add()]);
        assert!(
            std::future::poll_fn(|context| Poll::Ready(write.poll(context)))
                .await
                .is_pending()
        );
        write
    });
    go.send(()).expect("held");
    // Begun in one runtime, which is gone, and finished in another, which is busy with others.
    let answer = runtime().block_on(async {
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let answer = std::future::poll_fn(|context| write.poll(context));
        match background::either(busy, answer).await {
            background::Either::Second(answer) => answer,
            background::Either::First(()) => unreachable!(),
        }
    });
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(7))]);
    // Waiting for what is pending blocks, and does not panic.
    runtime().block_on(async {
        let pending = begin(&store, &[delete()]).abandon().expect("it was sent");
        let answer = pending.wait(PATIENCE).expect("it comes");
        assert_eq!(answer.replies.as_slice(), [Reply::Deleted]);
    });
    drop((write, store));
    server.join();
}

#[test]
fn many_tasks_open_one_connection() {
    let asked: Vec<String> = (2..=64).map(|number| format!("EN O{number}\r\n")).collect();
    let server = Scripted::start(vec![greeted(vec![
        // The others wait for the first reply of all.
        Await("v c O1\r\n"),
        say("EN O1\r\n"),
        Await("v c O64\r\n"),
        Say(asked.concat().into_bytes()),
        AwaitEnd,
    ])]);
    let store = server.store();
    let answers = outcomes((0..64).map(|_| begin(&store, &[read()])).collect());
    assert_eq!(damages(&answers), [None; 64]);
    drop(store);
    server.join();
}

#[test]
fn who_wants_another_instance_sends_nothing_and_is_told_which_it_is() {
    let server = Scripted::start(vec![opening(vec![AwaitEnd])]);
    let store = server.store();
    let pipe = opened(&store);
    let other = Instance { pid: 78, ..INSTANCE };
    let mut exchange = store.begin(&item(), Batch::from([delete()].as_slice()), Some(other), PATIENCE);
    let Poll::Ready(answer) = poll(&mut exchange) else {
        panic!("nothing to wait for")
    };
    assert_eq!(
        (unanswered(&answer), answer.instance),
        (Some(Unanswered::OtherInstance), Some(INSTANCE))
    );
    assert!(!pipe.is_retired());
    drop((exchange, store));
    server.join();
}

#[cfg(unix)]
#[test]
fn a_local_socket_is_shared_as_well() {
    use std::os::unix::net::UnixListener;
    let path = std::env::temp_dir().join(format!("memlock-pipe-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("bind");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).expect("a greeting");
        assert_eq!(&bytes[..read], b"stats\r\nstats settings\r\n");
        stream.write_all(GREETING_REPLY.as_bytes()).expect("write");
        assert!(stream.read(&mut bytes).expect("a request") > 0);
        stream.write_all(b"EN O1\r\n").expect("write");
        assert_eq!(stream.read(&mut bytes).expect("the end"), 0);
    });
    let entry = format!("unix:{}", path.display());
    let store = Memcached::new(vec![Server::parse(&entry).expect("valid")], "memlock");
    assert_eq!(Shared.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    drop(store);
    thread.join().expect("served");
    let _ = std::fs::remove_file(path);
}

#[test]
fn a_full_backlog_holds_nobody_longer_than_the_limit() {
    // Nobody accepts: the kernel does, and then nothing is said.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound").to_string();
    let store = Memcached::new(vec![Server::parse(&address).expect("valid")], "memlock");
    let mut all: Vec<Begun> = (0..8).map(|_| begin_within(&store, &[add()], SHORT)).collect();
    let began = clock::instant();
    for exchange in &mut all {
        assert_eq!(unanswered(&outcome(&mut **exchange)), Some(Unanswered::NotSent));
    }
    assert!(clock::instant() - began < SHORT + Duration::from_millis(500));
}
