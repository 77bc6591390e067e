//! Many batches in flight on the pipe: their replies, and what is taken back, late or abandoned.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::protocol::Pending;
use crate::store::memcached::link::pipe::Pipe;
use crate::system::on_thread;

/// An exchange that was begun.
pub(super) type BoxedExchange = Box<dyn Exchange>;

pub(super) fn begin(store: &Memcached, batch: &[Request]) -> BoxedExchange {
    begin_within(store, batch, PATIENCE)
}

pub(super) fn begin_within(store: &Memcached, batch: &[Request], limit: Duration) -> BoxedExchange {
    store.begin(0, &item(), Batch::from(batch), None, limit)
}

/// Polls once, with a waker that does nothing.
pub(super) fn poll(exchange: &mut BoxedExchange) -> Poll<Exchanged> {
    exchange.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls each exchange in turn until all answers are there.
pub(super) fn outcomes(mut all: Vec<BoxedExchange>) -> Vec<Exchanged> {
    let mut answers: Vec<Option<Exchanged>> = all.iter().map(|_| None).collect();
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

/// The pipe of a store after one exchange on it: a read, with opaque 1.
pub(super) fn opened(store: &Memcached) -> Arc<Pipe> {
    let answer = Pipelined.ask(store, &[read()]);
    assert_eq!(answer.replies.as_slice(), [Reply::Missing], "{answer:?}");
    store.servers[0].pipe().expect("it is open")
}

/// A script that answers the read of [`opened`], and then does `acts`.
pub(super) fn opening(mut acts: Vec<Act>) -> Vec<Act> {
    acts.splice(0..0, [Await("v c O1\r\n"), send("EN O1\r\n")]);
    greeted(acts)
}

/// A script that answers one read.
pub(super) fn reads() -> Vec<Act> {
    greeted(vec![Await("v c O1\r\n"), send("EN O1\r\n"), ReadToEnd])
}

pub(super) fn hear(heard: &Receiver<()>) {
    heard.recv_timeout(PATIENCE).expect("the script sends it");
}

pub(super) fn unanswered_of_each(answers: &[Exchanged]) -> Vec<Option<Unanswered>> {
    answers.iter().map(unanswered).collect()
}

#[test]
fn each_batch_in_flight_gets_its_own_replies() {
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
    let server = ScriptedServer::start(vec![opening(vec![
        Await("C5 O601\r\n"),
        SendBytes(replies.concat().into_bytes()),
        ReadToEnd,
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

/// The replies to the requests of [`three`].
const THREE: &str = "EN O2\r\nHD c7 O3\r\nVA 5 c9 O4\r\nhello\r\nHD O5\r\n";

fn three(store: &Memcached) -> Vec<BoxedExchange> {
    [vec![read(), add()], vec![read()], vec![delete()]]
        .iter()
        .map(|batch| begin(store, batch))
        .collect()
}

#[test]
fn replies_to_many_batches_may_be_split_at_any_byte() {
    for cut in 0..THREE.len() {
        let (first, second) = THREE.split_at(cut);
        let server = ScriptedServer::start(vec![opening(vec![
            Await("C5 O5\r\n"),
            send(first),
            Delay(Duration::from_millis(1)),
            send(second),
            ReadToEnd,
        ])]);
        let store = server.store();
        drop(opened(&store));
        let answers = outcomes(three(&store));
        assert_eq!(unanswered_of_each(&answers), [None; 3], "split at {cut}");
        assert_eq!(answers[0].replies.as_slice(), [Reply::Missing, Reply::Stored(cas(7))]);
        assert!(matches!(answers[1].replies.as_slice(), [Reply::Item { .. }]));
        assert_eq!(answers[2].replies.as_slice(), [Reply::Deleted]);
        drop(store);
        server.join();
    }
}

#[test]
fn a_pipe_cut_after_any_byte_has_exactly_the_complete_replies() {
    let ends = [7, 17, 36, 43];
    for cut in 0..THREE.len() {
        let server = ScriptedServer::start(vec![
            opening(vec![Await("C5 O5\r\n"), send(&THREE[..cut])]),
            // A read that was not answered is sent again.
            greeted(vec![Await("v c O1\r\n"), send("EN O1\r\n"), ReadToEnd]),
        ]);
        let store = server.store();
        drop(opened(&store));
        let answers = outcomes(three(&store));
        let whole = ends.iter().filter(|end| cut >= **end).count();
        let cut_if = |is_cut: bool| is_cut.then_some(Unanswered::Cut);
        assert_eq!(
            unanswered_of_each(&answers),
            [cut_if(whole < 2), None, cut_if(whole < 4)],
            "cut after {cut}"
        );
        assert_eq!(answers[0].replies.len(), whole.min(2), "cut after {cut}");
        assert_eq!(answers[1].replies[0] == Reply::Missing, whole < 3, "cut after {cut}");
        if whole >= 3 {
            // The script for the second connection is still to be played.
            drop(std::net::TcpStream::connect(server.address));
            continue;
        }
        drop(store);
        server.join();
    }
}

#[test]
fn a_protocol_violation_ends_reads_at_once_and_writes_when_the_server_closes() {
    for violation in [
        "garbage\r\n",
        "HD c9 O4\r\n",
        "EN O4\r\n",
        "CLIENT_ERROR x\r\nERROR\r\nERROR\r\n",
    ] {
        let (go, hold) = channel();
        let server = ScriptedServer::start(vec![
            opening(vec![
                Await("v c O5\r\n"),
                SendBytes(["EN O2\r\n", violation, "HD c9 O4\r\nEN O5\r\n"].concat().into_bytes()),
                WaitFor(hold),
            ]),
            reads(),
        ]);
        let store = server.store();
        let pipe = opened(&store);
        let batches = [vec![read()], vec![add()], vec![add()], vec![read()]];
        let mut all: Vec<BoxedExchange> = batches.iter().map(|batch| begin(&store, batch)).collect();
        let mut last = all.pop().expect("four");
        // Its reply would have come after the violation, so the read is sent again on another connection.
        assert_eq!(
            outcome(&mut *last).replies.as_slice(),
            [Reply::Missing],
            "{violation:?}"
        );
        assert!(pipe.is_retired());
        let mut first = all.remove(0);
        let answer = outcome(&mut *first);
        assert!(answer.unanswered.is_none(), "{violation:?}: {answer:?}");
        let refused = usize::from(violation.starts_with("CLIENT_ERROR"));
        assert_eq!(all.iter_mut().map(poll).filter(Poll::is_pending).count(), 2 - refused);
        go.send(()).expect("held");
        let open = all.split_off(refused);
        drop(all);
        for answer in outcomes(open) {
            assert_eq!(unanswered(&answer), Some(Unanswered::Cut), "{violation:?}: {answer:?}");
            assert!(answer.replies.is_empty(), "{violation:?}: {answer:?}");
        }
        drop((first, last, store));
        server.join();
    }
}

#[test]
fn an_error_line_in_the_middle_refuses_only_one_request() {
    let server = ScriptedServer::start(vec![opening(vec![
        Await("v c O4\r\n"),
        send("HD c7 O2\r\nSERVER_ERROR out of memory storing object\r\nEN O4\r\n"),
        Await("v c O5\r\n"),
        send("EN O5\r\n"),
        ReadToEnd,
    ])]);
    let store = server.store();
    let pipe = opened(&store);
    let batches = [vec![add()], vec![add()], vec![read()]];
    let answers = outcomes(batches.iter().map(|batch| begin(&store, batch)).collect());
    assert_eq!(unanswered_of_each(&answers), [None; 3]);
    assert_eq!(answers[0].replies.as_slice(), [Reply::Stored(cas(7))]);
    assert!(matches!(answers[1].replies.as_slice(), [Reply::Refused(_)]));
    assert_eq!(answers[2].replies.as_slice(), [Reply::Missing]);
    assert!(!pipe.is_retired());
    assert_eq!(Pipelined.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    drop(store);
    server.join();
}

#[test]
fn after_a_client_error_the_next_error_line_proves_nothing() {
    // The second error line may be about the data block of the first add; the third batch's opaque proves.
    for (second, proves) in [("HD c8 O3\r\n", true), ("ERROR\r\n", false)] {
        let server = ScriptedServer::start(vec![opening(vec![
            Await("C5 O4\r\n"),
            SendBytes(
                ["CLIENT_ERROR bad data chunk\r\n", second, "HD O4\r\n"]
                    .concat()
                    .into_bytes(),
            ),
            ReadToEnd,
        ])]);
        let store = server.store();
        let pipe = opened(&store);
        let batches = [vec![add()], vec![add()], vec![delete()]];
        let answers = outcomes(batches.iter().map(|batch| begin(&store, batch)).collect());
        assert!(matches!(answers[0].replies.as_slice(), [Reply::Refused(_)]));
        let later = (!proves).then_some(Unanswered::Cut);
        assert_eq!(unanswered_of_each(&answers), [None, later, later], "{second:?}");
        assert!(pipe.is_retired());
        drop(store);
        server.join();
    }
}

#[test]
fn bytes_on_an_idle_pipe_end_it_and_answer_nothing() {
    let (tell, heard) = channel();
    let server = ScriptedServer::start(vec![
        opening(vec![send("HD c9 O2\r\n"), ReadToEnd, Notify(tell)]),
        greeted(vec![Await(ADDED), send("HD c7 O1\r\n"), ReadToEnd]),
    ]);
    let store = server.store();
    drop(Pipelined.ask(&store, &[read()]));
    hear(&heard);
    assert_eq!(
        Pipelined.ask(&store, &[add()]).replies.as_slice(),
        [Reply::Stored(cas(7))]
    );
    drop(store);
    server.join();
}

#[test]
fn a_batch_that_was_not_sent_goes_over_another_connection() {
    let (go, hold) = channel();
    let server = ScriptedServer::start(vec![
        opening(vec![WaitFor(hold)]),
        greeted(vec![Await(ADDED), send("HD c7 O1\r\n"), ReadToEnd]),
    ]);
    let store = server.store();
    let pipe = opened(&store);
    go.send(()).expect("held");
    wait_until("the end of the connection has arrived", || pipe.is_retired());
    assert_eq!(
        Pipelined.ask(&store, &[add()]).replies.as_slice(),
        [Reply::Stored(cas(7))]
    );
    drop(store);
    server.join();
}

/// Waits until `so` returns true.
pub(super) fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let until = clock::instant() + PATIENCE;
    while !so() {
        assert!(clock::instant() < until, "it never happened that {what}");
        std::thread::yield_now();
    }
}

/// An add with an item so large that a few of them fill the kernel's buffers.
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
fn a_batch_that_the_server_does_not_take_is_taken_back() {
    let (go, hold) = channel();
    let (tell, heard) = channel();
    let server = ScriptedServer::start(vec![opening(vec![WaitFor(hold), Collect(tell)])]);
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
    // The outcome of those that were sent in whole or in part is not known.
    let count = taken.len();
    let pending: Vec<Box<dyn Pending>> = taken.into_iter().filter_map(Exchange::abandon).collect();
    assert_eq!(pending.len(), count);
    go.send(()).expect("held");
    // The server reads, so all is written. Then the last exchange is dropped, and nothing listens any more.
    wait_until("all is written", || pipe.unwritten() == 0);
    drop((pending, stays, store));
    let received = heard.recv_timeout(PATIENCE).expect("the script sends it");
    assert_eq!(received.matches("ms memlock:f:k").count(), count + 1);
    assert_eq!(received.matches("md memlock:f:k").count(), 0);
    server.join();
}

#[test]
fn a_late_reply_is_received_while_the_next_batch_uses_another_connection() {
    let (go, hold) = channel();
    let server = ScriptedServer::start(vec![
        opening(vec![Await(ADDED), WaitFor(hold), send("HD c9 O2\r\n"), ReadToEnd]),
        greeted(vec![Await("C5 O1\r\n"), send("HD O1\r\n"), ReadToEnd]),
    ]);
    let store = server.store();
    let pipe = opened(&store);
    let answer = outcome(&mut *begin_within(&store, &[add()], SHORT));
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    let mut pending = answer.pending.expect("a write is open");
    assert!(pipe.is_retired());
    assert_eq!(Pipelined.ask(&store, &[delete()]).replies.as_slice(), [Reply::Deleted]);
    pending = pending.wait(Duration::ZERO).expect_err("nothing has arrived");
    go.send(()).expect("held");
    let answer = pending.wait(PATIENCE).expect("it comes");
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    assert!(answer.unanswered.is_none());
    // Its reply has closed the first connection.
    drop(store);
    server.join();
}

#[test]
fn the_reply_to_an_abandoned_batch_is_received() {
    let (go, hold) = channel();
    let server = ScriptedServer::start(vec![opening(vec![
        Await(ADDED),
        WaitFor(hold),
        send("HD c9 O2\r\nEN O3\r\n"),
        ReadToEnd,
    ])]);
    let store = server.store();
    let pipe = opened(&store);
    let mut write = begin(&store, &[add()]);
    let only_reads = begin(&store, &[read()]);
    assert!(poll(&mut write).is_pending());
    let pending = write.abandon().expect("it was sent");
    assert!(only_reads.abandon().is_none(), "there is nothing to learn of a read");
    assert!(!pipe.is_retired(), "no batch was late");
    let pending = pending.wait(SHORT).expect_err("nothing has arrived");
    go.send(()).expect("held");
    let answer = pending.wait(PATIENCE).expect("it comes");
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    drop(store);
    server.join();
}
