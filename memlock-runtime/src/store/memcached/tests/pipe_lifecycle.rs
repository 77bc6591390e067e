//! How a pipe is opened, shared, retired and closed.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::pipeline::{
    BoxedExchange, begin, begin_within, hear, opened, opening, outcomes, poll, reads, unanswered_of_each, wait_until,
};
use super::*;

#[test]
fn a_batch_abandoned_before_the_pipe_is_open_is_never_sent() {
    let (go, hold) = channel();
    let (tell, heard) = channel();
    let server = ScriptedServer::start(vec![vec![
        Await("stats settings\r\n"),
        WaitFor(hold),
        send(GREETING_REPLY),
        Await("v c O1\r\n"),
        send("EN O1\r\n"),
        Collect(tell),
    ]]);
    let store = server.store();
    let mut first = begin(&store, &[add()]);
    let mut second = begin(&store, &[read()]);
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert!(first.abandon().is_none());
    go.send(()).expect("held");
    // The other caller still gets the pipe.
    assert_eq!(outcome(&mut *second).replies.as_slice(), [Reply::Missing]);
    drop((second, store));
    assert_eq!(heard.recv_timeout(PATIENCE).expect("the script sends it"), "");
    server.join();
}

#[test]
fn the_short_limit_of_the_first_caller_does_not_end_the_opening_for_others() {
    // Longer than the greeting takes on a busy machine.
    let limit = Duration::from_millis(500);
    let (go, hold) = channel();
    let (tell, heard) = channel();
    let server = ScriptedServer::start(vec![vec![
        Await("stats settings\r\n"),
        Notify(tell),
        WaitFor(hold),
        send(GREETING_REPLY),
        Await("v c O1\r\n"),
        send("EN O1\r\n"),
        ReadToEnd,
    ]]);
    let store = server.store();
    let mut short = begin_within(&store, &[add()], limit);
    hear(&heard);
    let mut long = begin(&store, &[read()]);
    let answer = outcome(&mut *short);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("does not answer"), "{}", text(&answer));
    // Well after the limit of the first caller.
    drop(outcome(&mut *begin_within(&store, &[add()], SHORT)));
    assert!(poll(&mut long).is_pending());
    go.send(()).expect("held");
    // There is a script for one connection.
    assert_eq!(outcome(&mut *long).replies.as_slice(), [Reply::Missing]);
    drop((short, long, store));
    server.join();
}

#[test]
fn a_pipe_that_does_not_open_is_dialled_anew_for_callers_with_time_left() {
    let server = ScriptedServer::start(vec![
        vec![Await("stats settings\r\n"), send("STAT pid"), ReadToEnd],
        reads(),
    ]);
    let store = server.store();
    let (limit, later) = (Duration::from_secs(3), Duration::from_secs(2));
    let first = begin_within(&store, &[read()], limit);
    drop(outcome(&mut *begin_within(&store, &[read()], later)));
    // It has two seconds when the first one gives up.
    let second = begin_within(&store, &[read()], limit);
    let answers = outcomes(vec![first, second]);
    assert_eq!(
        unanswered_of_each(&answers),
        [Some(Unanswered::NotSent), None],
        "{answers:?}"
    );
    drop(store);
    server.join();
}

#[test]
fn an_exchange_that_is_polled_too_late_sends_nothing() {
    let (tell, heard) = channel();
    let server = ScriptedServer::start(vec![greeted(vec![Collect(tell)])]);
    let store = server.store();
    let mut stalled = begin_within(&store, &[add()], SHORT);
    wait_until("the pipe is open", || store.servers[0].pipe().is_some());
    let until = clock::instant() + SHORT;
    wait_until("the limit is over", || clock::instant() > until);
    let answer = outcome(&mut *stalled);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    drop((stalled, store));
    assert_eq!(heard.recv_timeout(PATIENCE).expect("the script sends it"), "");
    server.join();
}

#[test]
fn no_connection_stays_when_the_store_is_dropped() {
    // Idle.
    let server = ScriptedServer::start(vec![opening(vec![ReadToEnd])]);
    let store = server.store();
    drop(opened(&store));
    drop(store);
    server.join();
    // In flight, and nothing listens: a read, a dropped exchange, and a write with a dropped `Pending`.
    let server = ScriptedServer::start(vec![opening(vec![Await("C5 O4\r\n"), ReadToEnd])]);
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
    // In flight, and a caller waits: the exchange outlives the store.
    let (go, hold) = channel();
    let server = ScriptedServer::start(vec![opening(vec![
        Await(ADDED),
        WaitFor(hold),
        send("HD c7 O2\r\n"),
        ReadToEnd,
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
    let server = ScriptedServer::start(vec![vec![
        Await("stats settings\r\n"),
        WaitFor(hold),
        send(GREETING_REPLY),
        ReadToEnd,
    ]]);
    let store = server.store();
    let exchange = begin(&store, &[add()]);
    drop((store, exchange));
    go.send(()).expect("held");
    server.join();
    // The same with a server that sends nothing: until the limit.
    let server = ScriptedServer::start(vec![vec![Await("stats settings\r\n"), ReadToEnd]]);
    let exchange = begin_within(&server.store(), &[add()], SHORT);
    drop(exchange);
    server.join();
}

#[test]
fn a_server_that_sends_without_end_does_not_delay_others() {
    let (stop, stopped) = channel();
    let flooding = ScriptedServer::greeting(vec![Await(ADDED), send("garbage\r\n"), FloodUntil(stopped)]);
    let store = flooding.store();
    let mut flooded = begin(&store, &[add()]);
    wait_until("it was sent", || {
        let _ = poll(&mut flooded);
        store.servers[0].pipe().is_none_or(|pipe| pipe.is_retired())
    });
    // Many times: now and then the flood stops for a moment.
    for _ in 0..20 {
        let server = ScriptedServer::start(vec![reads()]);
        let store = server.store();
        assert_eq!(Pipelined.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
        drop(store);
        server.join();
    }
    stop.send(()).expect("it floods");
    assert_eq!(unanswered(&outcome(&mut *flooded)), Some(Unanswered::Cut));
    flooding.join();
}

#[test]
fn polling_after_the_answer_is_pending_and_does_not_panic() {
    let server = ScriptedServer::start(vec![reads()]);
    let store = server.store();
    let mut exchange = begin(&store, &[read()]);
    assert!(outcome(&mut *exchange).unanswered.is_none());
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
fn a_waker_that_panics_ends_only_its_pipe() {
    let (go, hold) = channel();
    let server = ScriptedServer::start(vec![
        opening(vec![Await("C5 O3\r\n"), WaitFor(hold), send("EN O2\r\n"), ReadToEnd]),
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
    assert_eq!(Pipelined.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    drop((bad, good, store));
    server.join();
}

#[test]
fn an_unused_or_hanging_pipe_is_retired() {
    let server = ScriptedServer::start(vec![opening(vec![ReadToEnd]), opening(vec![Await(ADDED), ReadToEnd])]);
    let store = server.store();
    let pipe = opened(&store);
    assert!(!pipe.check_usage() && !pipe.is_retired(), "it was used");
    assert!(!pipe.check_usage() && pipe.is_retired(), "it was not");
    // The check was not made by the pipe's task, so `retire` wakes it.
    pipe.retire();
    // Another pipe, on which a batch has waited since the last check.
    let pipe = opened(&store);
    assert!(!pipe.check_usage() && !pipe.is_retired());
    let waits = begin(&store, &[add()]);
    assert!(!pipe.check_usage() && !pipe.is_retired());
    let more = begin(&store, &[read()]);
    assert!(!pipe.check_usage() && pipe.is_retired());
    // It listens for late replies, but not for ever.
    assert_eq!((0..100).take_while(|_| !pipe.check_usage()).count(), 26);
    drop((waits, more, store));
    server.join();
}

#[test]
fn an_exchange_works_inside_any_other_runtime() {
    let (go, hold) = channel();
    let server = ScriptedServer::start(vec![opening(vec![
        Await(ADDED),
        WaitFor(hold),
        send("HD c7 O2\r\n"),
        Await("C5 O3\r\n"),
        send("HD O3\r\n"),
        ReadToEnd,
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
    // Begun in one runtime, which is gone, and finished in another, in which a busy task is polled first.
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
    // `Pending::wait` blocks, and does not panic.
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
    let server = ScriptedServer::start(vec![greeted(vec![
        // The others wait for the reply to the first.
        Await("v c O1\r\n"),
        send("EN O1\r\n"),
        Await("v c O64\r\n"),
        SendBytes(asked.concat().into_bytes()),
        ReadToEnd,
    ])]);
    let store = server.store();
    let answers = outcomes((0..64).map(|_| begin(&store, &[read()])).collect());
    assert_eq!(unanswered_of_each(&answers), [None; 64]);
    drop(store);
    server.join();
}

#[test]
fn a_batch_for_another_instance_is_not_sent_and_reports_the_instance() {
    let server = ScriptedServer::start(vec![opening(vec![ReadToEnd])]);
    let store = server.store();
    let pipe = opened(&store);
    let other = Instance { pid: 78, ..INSTANCE };
    let mut exchange = store.begin(0, &item(), Batch::from([delete()].as_slice()), Some(other), PATIENCE);
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
    let store = Memcached::new(vec![ServerAddress::parse(&entry).expect("valid")], "memlock");
    assert_eq!(Pipelined.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    drop(store);
    thread.join().expect("served");
    let _ = std::fs::remove_file(path);
}

#[test]
fn a_full_backlog_blocks_no_caller_beyond_its_limit() {
    // The kernel accepts the connections, and nothing is sent.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound").to_string();
    let store = Memcached::new(vec![ServerAddress::parse(&address).expect("valid")], "memlock");
    let mut all: Vec<BoxedExchange> = (0..8).map(|_| begin_within(&store, &[add()], SHORT)).collect();
    let began = clock::instant();
    for exchange in &mut all {
        assert_eq!(unanswered(&outcome(&mut **exchange)), Some(Unanswered::NotSent));
    }
    assert!(clock::instant() - began < SHORT + Duration::from_millis(500));
}
