//! The store against a *scripted* server: what a real one will not do on demand. Against real ones: `tests/store.rs`.

mod pipeline;
mod silence;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Memcached, Server};
use crate::key::ItemName;
use crate::protocol::{Batch, Cas, Content, Instance, Nonce, Record, Reply, Request, Unanswered};
use crate::store::{Answer, Exchange, Store as _};
use crate::system::{background, clock};

/// Long enough for a busy machine; no test that passes waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Short, for tests that wait until the limit is over.
const SHORT: Duration = Duration::from_millis(60);

const INSTANCE: Instance = Instance {
    start: 1_800_000_000,
    pid: 77,
};

const GREETING_REPLY: &str = "STAT pid 77\r\nSTAT uptime 100\r\nSTAT time 1800000100\r\nSTAT version 1.6.18\r\nEND\r\n\
                              STAT cas_enabled yes\r\nEND\r\n";

/// What the server does on one connection, step by step.
enum Act {
    /// Reads until this text has come.
    Await(&'static str),
    /// Sends bytes.
    Say(Vec<u8>),
    /// Waits until the test says so.
    HeldLock(Receiver<()>),
    /// Does nothing for so long.
    Delay(Duration),
    /// Sends one byte of a line after the other, slowly, until the test says so or the client closes.
    Trickle(Receiver<()>),
    /// Reads until the client closes or has finished sending.
    AwaitEnd,
    /// Sends so many bytes of nothing but `x`, or as many as the client takes.
    Flood(usize),
    /// The same, until the test says so.
    Drown(Receiver<()>),
    /// Tells the test that this was reached.
    Tell(Sender<()>),
    /// Reads until the client closes or has finished sending, and tells the test what.
    Collect(Sender<String>),
}

use Act::{Await, AwaitEnd, Collect, Delay, Drown, Flood, HeldLock, Say, Tell, Trickle};

fn say(text: &str) -> Act {
    Say(text.as_bytes().to_vec())
}

/// A server that plays one script on each connection, all at once, and closes each at its script's end.
struct Scripted {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    fn start(scripts: Vec<Vec<Act>>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("bound");
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for script in scripts {
                    let (stream, _) = listener.accept().expect("accept");
                    stream.set_read_timeout(Some(PATIENCE)).expect("timer");
                    stream.set_write_timeout(Some(PATIENCE)).expect("timer");
                    stream.set_nodelay(true).expect("nodelay");
                    scope.spawn(|| play(stream, script));
                }
            });
        });
        Scripted {
            address,
            thread: Some(thread),
        }
    }

    /// A server that shakes hands as a good one does, and then does `acts`.
    fn greeting(acts: Vec<Act>) -> Scripted {
        Scripted::start(vec![greeted(acts)])
    }

    fn store(&self) -> Memcached {
        let server = Server::parse(&self.address.to_string()).expect("an address");
        Memcached::new(vec![server], "memlock")
    }

    /// Waits for the scripts to end.
    fn join(mut self) {
        self.thread.take().expect("once").join().expect("the script was played");
    }
}

/// A store that is connected to a server that then does `acts`: within a short limit a busy machine may not come so far as to
/// connect. The next opaque is 2.
fn connected(way: Way, mut acts: Vec<Act>) -> (Scripted, Memcached) {
    acts.splice(0..0, [Await("v c O1\r\n"), say("EN O1\r\n")]);
    let server = Scripted::greeting(acts);
    let store = server.store();
    assert_eq!(way.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    (server, store)
}

fn greeted(mut acts: Vec<Act>) -> Vec<Act> {
    acts.splice(0..0, [Await("stats settings\r\n"), say(GREETING_REPLY)]);
    acts
}

fn play(mut stream: TcpStream, script: Vec<Act>) {
    let mut unread = Vec::new();
    let mut bytes = [0; 4096];
    for act in script {
        match act {
            Await(text) => loop {
                let found = unread.windows(text.len()).position(|window| window == text.as_bytes());
                if let Some(start) = found {
                    unread.drain(..start + text.len());
                    break;
                }
                let read = stream.read(&mut bytes).expect("a request");
                assert!(read > 0, "closed while {text:?} was awaited");
                unread.extend_from_slice(&bytes[..read]);
            },
            // The client may close at any time.
            Say(reply) => drop(stream.write_all(&reply)),
            HeldLock(go) => go.recv_timeout(PATIENCE).expect("told to go on"),
            Delay(time) => drop(channel::<()>().1.recv_timeout(time)),
            Trickle(stop) => {
                while stop.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                    if stream.write_all(b"H").is_err() {
                        break;
                    }
                }
            }
            AwaitEnd => while stream.read(&mut bytes).is_ok_and(|read| read > 0) {},
            Drown(stop) => {
                let is_over = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    // Several, so that there is always more than is read.
                    for _ in 0..3 {
                        let (mut stream, is_over) = (&stream, &is_over);
                        scope.spawn(move || {
                            while !is_over.load(Ordering::Relaxed) && stream.write_all(&vec![b'x'; 200_000]).is_ok() {}
                        });
                    }
                    let _ = stop.recv_timeout(PATIENCE);
                    is_over.store(true, Ordering::Relaxed);
                });
            }
            Tell(told) => told.send(()).expect("the test listens"),
            Collect(told) => {
                let _ = stream.read_to_end(&mut unread);
                let text = String::from_utf8_lossy(&unread).into_owned();
                told.send(text).expect("the test listens");
            }
            Flood(count) => {
                for _ in 0..count / 1000 {
                    if stream.write_all(&[b'x'; 1000]).is_err() {
                        break;
                    }
                }
            }
        }
    }
}

fn item() -> ItemName {
    ItemName::of_lock("memlock", "f", "k")
}

fn add() -> Request {
    Request::Add {
        record: Record {
            nonce: Nonce(1),
            lease: Duration::from_secs(5),
            renewal: 0,
            label: "h".into(),
            full_name: None,
        },
        ttl: 13,
    }
}

fn read() -> Request {
    Request::Read
}

fn delete() -> Request {
    Request::Delete { cas: cas(5) }
}

fn cas(number: u64) -> Cas {
    Cas::new(number).expect("not zero")
}

/// How a batch is exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On the caller's thread, on a connection of its own.
    Blocking,
    /// In a future, over the pipe that all tasks share.
    Shared,
}

use crate::system::on_thread;
use Way::{Blocking, Shared};

impl Way {
    fn ask(self, store: &Memcached, batch: &[Request]) -> Answer {
        self.exchange(store, batch, None, PATIENCE)
    }

    fn exchange(self, store: &Memcached, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Answer {
        match self {
            Blocking => store.exchange(&item(), batch, only_on, limit),
            Shared => outcome(&mut *store.begin(&item(), Batch::from(batch), only_on, limit)),
        }
    }

    /// How many connections are kept for the next batch.
    fn kept(self, store: &Memcached) -> usize {
        match self {
            Blocking => store.nodes[0].pool().len(),
            Shared => usize::from(store.nodes[0].pipe().is_some()),
        }
    }
}

/// Waits for the outcome as a small executor does.
fn outcome(exchange: &mut dyn Exchange) -> Answer {
    on_thread::wait_for(std::future::poll_fn(|context| exchange.poll(context)), 2 * PATIENCE).expect("an outcome")
}

/// Each test, each way.
macro_rules! both_ways {
    ($($test:ident)*) => {
        mod blocking {
            $(#[test] fn $test() { super::$test(super::Blocking); })*
        }
        mod shared {
            $(#[test] fn $test() { super::$test(super::Shared); })*
        }
    };
}

both_ways! {
    what_comes_with_the_greeting_answers_nothing
    a_late_flood_is_listened_to_without_blocking
    a_good_exchange_is_answered_and_its_connection_kept
    no_malformed_reply_is_a_success_or_outlives_its_connection
    replies_before_the_nonsense_count
    nonsense_from_a_server_that_does_not_close_is_late_and_stays_so_until_it_closes
    an_endless_reply_is_cut_off
    an_endless_list_of_statistics_is_cut_off
    a_batch_cut_after_any_byte_has_just_the_whole_replies
    late_replies_are_received_by_whoever_goes_on_listening
    of_late_reads_nothing_is_kept
    a_server_that_closes_while_listening_cuts
    a_reply_too_many_ends_the_connection_but_not_the_exchange
    a_late_reply_to_an_earlier_exchange_never_answers_a_later_one
    a_server_error_refuses_one_request_and_keeps_the_connection
    a_server_error_before_the_end_leaves_the_rest_cut
    a_client_error_refuses_one_request_and_ends_the_connection
    an_error_about_a_refused_data_block_refuses_no_other_request
    servers_on_which_locks_are_not_safe_get_no_request
    the_reason_of_a_server_that_closes_at_once_is_told
    a_young_server_gets_no_request_and_is_told_apart
    a_server_that_never_answers_holds_nobody_longer_than_the_limit
    the_limit_holds_for_replies_that_trickle
    a_limit_shorter_than_the_last_one_is_kept
    a_limit_longer_than_the_last_one_is_used
    no_time_left_sends_nothing
    reads_go_out_again_when_an_idle_connection_turns_out_to_be_dead
    writes_on_a_dead_idle_connection_are_cut_and_never_sent_twice
    nothing_is_sent_to_another_instance
    a_dead_connection_to_the_old_instance_does_not_hide_the_new_one
    a_server_that_is_not_there_is_named_with_what_to_do
    a_name_is_looked_up
    an_old_server_may_leave_out_the_opaque_on_a_miss
    an_empty_list_of_servers_answers_without_a_panic
    the_line_of_a_long_item_is_enough_to_know_of_it
    a_long_item_is_read_past
}

fn unanswered(answer: &Answer) -> Option<Unanswered> {
    answer.fault.as_ref().map(|fault| fault.unanswered)
}

fn text(answer: &Answer) -> String {
    answer.fault.as_ref().expect("a fault").source.to_string()
}

/// The end of the data block of [`add`], which is the end of the request.
const ADDED: &str = "5000000 0 h\r\n";

fn a_good_exchange_is_answered_and_its_connection_kept(way: Way) {
    let server = Scripted::greeting(vec![
        Await(ADDED),
        say("HD t347483647 O1\r\nHD c9 O2\r\n"),
        Await("md memlock:f:k C5 O3\r\n"),
        say("HD O3\r\n"),
        AwaitEnd,
    ]);
    let store = server.store();
    let answer = way.ask(&store, &[Request::ReadClock, add()]);
    assert!(answer.fault.is_none(), "{answer:?}");
    assert_eq!(answer.instance, Some(INSTANCE));
    assert_eq!(
        answer.replies.as_slice(),
        [Reply::Clock(1_800_000_000), Reply::Stored(cas(9))]
    );
    assert_eq!(way.kept(&store), 1);
    assert_eq!(way.ask(&store, &[delete()]).replies.as_slice(), [Reply::Deleted]);
    drop(store);
    server.join();
}

fn no_malformed_reply_is_a_success_or_outlives_its_connection(way: Way) {
    for reply in [
        "\r\n",
        "garbage\r\n",
        "\0\0\0\0\r\n",
        "HD c9 O2\n",
        "HD c0 O1\r\n",
        "HD O1\r\n",
        "HD c9\r\n",
        "HD c9 O2\r\n",
        "HD c9 O1 O1\r\n",
        "NS c0\r\n",
        "EN O1\r\n",
        "OK c9 O1\r\n",
        "VA 1073741824 c9 O1\r\n",
        "VA 5 c9 O1\r\nhello\r\n",
        "VA 5 c9 O1\r\nhello!!\r\n",
        "STORED\r\n",
        "END\r\n",
    ] {
        // A server that goes on reading, and closes when the client says that it has finished.
        let server = Scripted::greeting(vec![Await(ADDED), say(reply), AwaitEnd]);
        let store = server.store();
        let answer = way.ask(&store, &[add(), read()]);
        assert_eq!(unanswered(&answer), Some(Unanswered::Cut), "{reply:?}: {answer:?}");
        assert!(answer.replies.is_empty(), "{reply:?}");
        assert_eq!(answer.instance, Some(INSTANCE));
        assert!(
            text(&answer).contains("does not keep to the protocol"),
            "{}",
            text(&answer)
        );
        assert_eq!(way.kept(&store), 0, "{reply:?}");
        server.join();
    }
}

fn replies_before_the_nonsense_count(way: Way) {
    let (go, hold) = channel();
    let server = Scripted::greeting(vec![Await("v c O2\r\n"), say("HD c9 O1\r\nEN O1\r\n"), HeldLock(hold)]);
    let store = server.store();
    let answer = way.ask(&store, &[add(), read()]);
    // The open request is a read: there is nothing to wait for, and the server need not have closed.
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    go.send(()).expect("held");
    server.join();
}

fn nonsense_from_a_server_that_does_not_close_is_late_and_stays_so_until_it_closes(way: Way) {
    let (go, hold) = channel();
    let (server, store) = connected(way, vec![Await(ADDED), say("garbage\r\n"), HeldLock(hold)]);
    let answer = way.exchange(&store, &[add()], None, SHORT);
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    let pending = answer.pending.expect("a write is open");
    let pending = pending.wait(SHORT).expect_err("still open");
    go.send(()).expect("held");
    let answer = pending.wait(PATIENCE).expect("closed");
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    assert!(answer.replies.is_empty());
    server.join();
}

fn an_endless_reply_is_cut_off(way: Way) {
    let server = Scripted::greeting(vec![Await("v c O1\r\n"), Flood(50_000_000)]);
    let store = server.store();
    let answer = way.ask(&store, &[read()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    assert!(text(&answer).contains("endless"), "{}", text(&answer));
    server.join();
    let server = Scripted::start(vec![vec![Await("stats settings\r\n"), Flood(50_000_000)]]);
    let answer = way.ask(&server.store(), &[read()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("does not end"), "{}", text(&answer));
    server.join();
}

fn an_endless_list_of_statistics_is_cut_off(way: Way) {
    let server = Scripted::start(vec![vec![
        Await("stats settings\r\n"),
        Say("STAT a b\r\n".repeat(100_000).into_bytes()),
    ]]);
    let answer = way.ask(&server.store(), &[read()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("does not end"), "{}", text(&answer));
    server.join();
}

fn a_batch_cut_after_any_byte_has_just_the_whole_replies(way: Way) {
    let replies = "HD t347483647 O1\r\nHD c9 O2\r\nVA 5 c9 O3\r\nhello\r\n";
    let ends = [18, 28, 47];
    for cut in 0..replies.len() {
        let server = Scripted::greeting(vec![Await("v c O3\r\n"), say(&replies[..cut])]);
        let answer = way.ask(&server.store(), &[Request::ReadClock, add(), read()]);
        let whole = ends.iter().filter(|end| cut >= **end).count();
        assert_eq!(answer.replies.len(), whole, "cut after {cut}: {answer:?}");
        assert_eq!(unanswered(&answer), Some(Unanswered::Cut), "cut after {cut}");
        assert!(answer.pending.is_none());
        server.join();
    }
}

fn late_replies_are_received_by_whoever_goes_on_listening(way: Way) {
    let (go, hold) = channel();
    let script = vec![
        Await("v c O4\r\n"),
        say("HD t347483647 O2\r\nHD c"),
        HeldLock(hold),
        say("9 O3\r\nEN O4\r\n"),
        // The connection is in step again, and a pipe is retired all the same: the server was slow once.
        AwaitEnd,
    ];
    let (server, store) = connected(way, script);
    let began = clock::instant();
    let answer = way.exchange(&store, &[Request::ReadClock, add(), read()], None, SHORT);
    let took = clock::instant() - began;
    assert!(took >= SHORT && took < SHORT + Duration::from_millis(500), "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    assert_eq!(answer.replies.as_slice(), [Reply::Clock(1_800_000_000)]);
    let pending = answer.pending.expect("a write is open");
    let pending = pending.wait(SHORT).expect_err("nothing has come");
    assert_eq!(way.kept(&store), 0);
    go.send(()).expect("held");
    let answer = pending.wait(PATIENCE).expect("all has come");
    assert!(answer.fault.is_none(), "{answer:?}");
    assert_eq!(
        answer.replies.as_slice(),
        [Reply::Clock(1_800_000_000), Reply::Stored(cas(9)), Reply::Missing]
    );
    assert_eq!(way.kept(&store), usize::from(way == Blocking));
    drop(store);
    server.join();
}

fn of_late_reads_nothing_is_kept(way: Way) {
    for (batch, said) in [(vec![read()], ""), (vec![add(), read()], "HD c9 O2\r\n")] {
        let (server, store) = connected(way, vec![Await("v c O"), say(said), AwaitEnd]);
        let answer = way.exchange(&store, &batch, None, SHORT);
        drop(store);
        assert_eq!(unanswered(&answer), Some(Unanswered::Late));
        assert_eq!(answer.replies.len(), batch.len() - 1);
        assert!(answer.pending.is_none());
        // The connection was closed: the script comes to its end.
        server.join();
    }
}

fn a_server_that_closes_while_listening_cuts(way: Way) {
    let (go, hold) = channel();
    let (server, store) = connected(way, vec![Await(ADDED), HeldLock(hold)]);
    let answer = way.exchange(&store, &[add()], None, SHORT);
    drop(store);
    let pending = answer.pending.expect("a write is open");
    go.send(()).expect("held");
    assert_eq!(
        unanswered(&pending.wait(PATIENCE).expect("closed")),
        Some(Unanswered::Cut)
    );
    server.join();
}

fn a_reply_too_many_ends_the_connection_but_not_the_exchange(way: Way) {
    let server = Scripted::greeting(vec![Await(ADDED), say("HD c9 O1\r\nHD c9 O1\r\n"), AwaitEnd]);
    let store = server.store();
    let answer = way.ask(&store, &[add()]);
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    assert_eq!(way.kept(&store), 0);
    server.join();
}

fn a_late_reply_to_an_earlier_exchange_never_answers_a_later_one(way: Way) {
    let server = Scripted::greeting(vec![
        Await("v c O1\r\n"),
        say("EN O1\r\n"),
        Await(ADDED),
        say("NS O1\r\n"),
        AwaitEnd,
    ]);
    let store = server.store();
    assert_eq!(way.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    let answer = way.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    server.join();
}

fn refused(text: &str) -> Reply {
    Reply::Refused(crate::protocol::Refusal(text.into()))
}

fn a_server_error_refuses_one_request_and_keeps_the_connection(way: Way) {
    let out_of_memory = "SERVER_ERROR out of memory storing object";
    let server = Scripted::greeting(vec![
        Await("v c O3\r\n"),
        say(&format!("HD t5 O1\r\n{out_of_memory}\r\nEN O3\r\n")),
        AwaitEnd,
    ]);
    let store = server.store();
    let answer = way.ask(&store, &[Request::ReadClock, add(), read()]);
    assert!(answer.fault.is_none());
    assert_eq!(
        answer.replies.as_slice(),
        [Reply::Clock(2_147_483_642), refused(out_of_memory), Reply::Missing]
    );
    assert_eq!(way.kept(&store), 1);
    drop(store);
    server.join();
}

fn a_server_error_before_the_end_leaves_the_rest_cut(way: Way) {
    let server = Scripted::greeting(vec![Await("C5 O2\r\n"), say("SERVER_ERROR going down\r\n")]);
    let answer = way.ask(&server.store(), &[add(), delete()]);
    assert_eq!(answer.replies.as_slice(), [refused("SERVER_ERROR going down")]);
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    server.join();
}

fn a_client_error_refuses_one_request_and_ends_the_connection(way: Way) {
    let server = Scripted::greeting(vec![
        Await("v c O2\r\n"),
        say("CLIENT_ERROR bad command line format\r\nEN O2\r\n"),
        AwaitEnd,
    ]);
    let store = server.store();
    let answer = way.ask(&store, &[add(), read()]);
    assert!(answer.fault.is_none());
    assert_eq!(
        answer.replies.as_slice(),
        [refused("CLIENT_ERROR bad command line format"), Reply::Missing]
    );
    assert_eq!(way.kept(&store), 0, "the data block may have been taken for a command");
    server.join();
}

fn an_error_about_a_refused_data_block_refuses_no_other_request(way: Way) {
    // The second line is about the data block of the add, which was taken for a command; the delete was done.
    let server = Scripted::greeting(vec![
        Await("C5 O2\r\n"),
        say("CLIENT_ERROR bad command line format\r\nERROR\r\nHD O2\r\n"),
        AwaitEnd,
    ]);
    let answer = way.ask(&server.store(), &[add(), delete()]);
    assert_eq!(
        answer.replies.as_slice(),
        [refused("CLIENT_ERROR bad command line format")]
    );
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    server.join();
}

fn servers_on_which_locks_are_not_safe_get_no_request(way: Way) {
    for (said, part) in [
        (GREETING_REPLY.replace("1.6.18", "1.5.22"), "upgrade"),
        (GREETING_REPLY.replace("enabled yes", "enabled no"), "-C"),
        ("ERROR Too many open connections\r\n".to_owned(), "higher -c"),
        ("HTTP/1.1 400 Bad Request\r\n".to_owned(), "does not speak"),
        ("STAT pid".to_owned(), "closed the connection before"),
    ] {
        let server = Scripted::start(vec![vec![Await("stats settings\r\n"), Say(said.into_bytes())]]);
        let answer = way.ask(&server.store(), &[add()]);
        assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
        assert!(answer.replies.is_empty() && answer.pending.is_none());
        assert!(text(&answer).contains(part), "{}", text(&answer));
        server.join();
    }
}

fn the_reason_of_a_server_that_closes_at_once_is_told(way: Way) {
    let server = Scripted::start(vec![vec![say("ERROR Too many open connections\r\n")]]);
    let answer = way.ask(&server.store(), &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    server.join();
}

fn a_young_server_gets_no_request_and_is_told_apart(way: Way) {
    let young = GREETING_REPLY.replace("uptime 100", "uptime 3");
    let server = Scripted::start(vec![vec![
        Await("stats settings\r\n"),
        Say(young.into_bytes()),
        AwaitEnd,
    ]]);
    let store = server.store();
    let answer = way.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::TooYoung));
    assert_eq!(answer.instance.map(|instance| instance.start), Some(1_800_000_097));
    assert_eq!(way.kept(&store), 0);
    server.join();
}

fn a_server_that_never_answers_holds_nobody_longer_than_the_limit(way: Way) {
    let server = Scripted::start(vec![vec![AwaitEnd]]);
    let began = clock::instant();
    let answer = way.exchange(&server.store(), &[add()], None, SHORT);
    let took = clock::instant() - began;
    assert!(took < SHORT + Duration::from_millis(500), "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    server.join();
}

fn the_limit_holds_for_replies_that_trickle(way: Way) {
    let (stop, stopped) = channel();
    let (server, store) = connected(way, vec![Await(ADDED), Trickle(stopped)]);
    let began = clock::instant();
    let answer = way.exchange(&store, &[add()], None, SHORT);
    let took = clock::instant() - began;
    assert!(took >= SHORT && took < SHORT + Duration::from_millis(500), "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    drop(stop);
    server.join();
}

fn a_limit_shorter_than_the_last_one_is_kept(way: Way) {
    let (server, store) = connected(way, vec![AwaitEnd]);
    let began = clock::instant();
    let answer = way.exchange(&store, &[read()], None, SHORT);
    let took = clock::instant() - began;
    assert!(took < SHORT + Duration::from_millis(500), "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    server.join();
}

fn a_limit_longer_than_the_last_one_is_used(way: Way) {
    let shorter = Duration::from_secs(1);
    let server = Scripted::greeting(vec![
        Await("v c O1\r\n"),
        say("EN O1\r\n"),
        Await("v c O2\r\n"),
        Delay(shorter + Duration::from_millis(200)),
        say("EN O2\r\n"),
    ]);
    let store = server.store();
    let answer = way.exchange(&store, &[read()], None, shorter);
    assert!(answer.fault.is_none(), "{answer:?}");
    let answer = way.exchange(&store, &[read()], None, PATIENCE);
    assert!(answer.fault.is_none(), "{answer:?}");
    server.join();
}

fn no_time_left_sends_nothing(way: Way) {
    let store = Memcached::new(vec![Server::parse("127.0.0.1:9").expect("valid")], "memlock");
    let answer = way.exchange(&store, &[add()], None, Duration::ZERO);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert_eq!(answer.instance, None);
}

fn reads_go_out_again_when_an_idle_connection_turns_out_to_be_dead(way: Way) {
    let server = Scripted::start(vec![
        greeted(vec![Await("v c O1\r\n"), say("EN O1\r\n")]),
        greeted(vec![Await("v c O1\r\n"), say("EN O1\r\n"), AwaitEnd]),
    ]);
    let store = server.store();
    assert!(way.ask(&store, &[read()]).fault.is_none());
    if way == Blocking {
        assert_eq!(way.kept(&store), 1, "nobody looks whether it is still open");
    }
    let answer = way.ask(&store, &[read()]);
    assert_eq!(answer.replies.as_slice(), [Reply::Missing], "{answer:?}");
    drop(store);
    server.join();
}

fn writes_on_a_dead_idle_connection_are_cut_and_never_sent_twice(way: Way) {
    let (go, hold) = channel();
    let server = Scripted::greeting(vec![
        Await("v c O1\r\n"),
        say("EN O1\r\n"),
        Await(ADDED),
        HeldLock(hold),
    ]);
    let store = server.store();
    assert!(way.ask(&store, &[read()]).fault.is_none());
    let asker = std::thread::spawn(move || (way.ask(&store, &[add()]), store));
    go.send(()).expect("held");
    let (answer, store) = asker.join().expect("no panic");
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    assert_eq!(answer.instance, Some(INSTANCE));
    assert_eq!(way.kept(&store), 0);
    // There was one connection, and there is no script for another.
    server.join();
}

fn nothing_is_sent_to_another_instance(way: Way) {
    let server = Scripted::greeting(vec![Await("v c O1\r\n"), say("EN O1\r\n"), AwaitEnd]);
    let store = server.store();
    let other = Instance { pid: 78, ..INSTANCE };
    for _ in 0..2 {
        let answer = way.exchange(&store, &[delete()], Some(other), PATIENCE);
        assert_eq!(unanswered(&answer), Some(Unanswered::OtherInstance));
        assert_eq!(answer.instance, Some(INSTANCE));
        assert_eq!(way.kept(&store), 1, "it is as good as before");
    }
    let answer = way.exchange(&store, &[read()], Some(INSTANCE), PATIENCE);
    assert_eq!(answer.replies.as_slice(), [Reply::Missing]);
    drop(store);
    server.join();
}

fn a_dead_connection_to_the_old_instance_does_not_hide_the_new_one(way: Way) {
    let new = GREETING_REPLY.replace("pid 77", "pid 78");
    let (go, hold) = channel();
    let server = Scripted::start(vec![
        greeted(vec![Await("v c O1\r\n"), say("EN O1\r\n"), HeldLock(hold)]),
        vec![
            Await("stats settings\r\n"),
            Say(new.into_bytes()),
            Await("C5 O1\r\n"),
            say("EX O1\r\n"),
            AwaitEnd,
        ],
    ]);
    let store = server.store();
    assert!(way.ask(&store, &[read()]).fault.is_none());
    go.send(()).expect("held");
    let wanted = Instance { pid: 78, ..INSTANCE };
    let deadline = clock::instant() + PATIENCE;
    // Until the end of the old connection has arrived, it is alive for all that anybody can tell.
    let answer = loop {
        let answer = way.exchange(&store, &[delete()], Some(wanted), PATIENCE);
        if unanswered(&answer) != Some(Unanswered::OtherInstance) || clock::instant() > deadline {
            break answer;
        }
    };
    assert_eq!(answer.replies.as_slice(), [Reply::Exists], "{answer:?}");
    assert_eq!(answer.instance, Some(wanted));
    drop(store);
    server.join();
}

fn a_server_that_is_not_there_is_named_with_what_to_do(way: Way) {
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("bind")
        .local_addr()
        .expect("bound");
    let store = Memcached::new(vec![Server::parse(&free.to_string()).expect("valid")], "memlock");
    let answer = way.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("is memcached running"), "{}", text(&answer));
    let store = Memcached::new(vec![Server::parse("unix:/nonexistent/sock").expect("valid")], "memlock");
    let answer = way.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("-s"), "{}", text(&answer));
    let store = Memcached::new(vec![Server::parse("no-such-host.invalid").expect("valid")], "memlock");
    let answer = way.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("`no-such-host.invalid`"), "{}", text(&answer));
}

fn a_name_is_looked_up(way: Way) {
    let server = Scripted::greeting(vec![Await("v c O1\r\n"), say("EN O1\r\n"), AwaitEnd]);
    let entry = format!("LocalHost:{}", server.address.port());
    let store = Memcached::new(vec![Server::parse(&entry).expect("valid")], "memlock");
    assert_eq!(way.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    assert_eq!(store.server_of(&item()), entry);
    drop(store);
    server.join();
}

fn an_old_server_may_leave_out_the_opaque_on_a_miss(way: Way) {
    let old = GREETING_REPLY.replace("1.6.18", "1.6.14");
    let server = Scripted::start(vec![vec![
        Await("stats settings\r\n"),
        Say(old.into_bytes()),
        Await("v c O3\r\n"),
        say("EN\r\nHD c9 O2\r\nEN\r\n"),
        AwaitEnd,
    ]]);
    let answer = way.ask(&server.store(), &[Request::ReadClock, add(), read()]);
    assert_eq!(
        answer.replies.as_slice(),
        [Reply::Missing, Reply::Stored(cas(9)), Reply::Missing]
    );
    server.join();
}

fn an_empty_list_of_servers_answers_without_a_panic(way: Way) {
    let store = Memcached::new(Vec::new(), "memlock");
    assert_eq!(unanswered(&way.ask(&store, &[read()])), Some(Unanswered::NotSent));
    assert_eq!((store.server_of(&item()), store.servers()), ("", 0));
}

fn assert_foreign(reply: Option<&Reply>) {
    assert!(
        matches!(reply, Some(Reply::Item { content, .. }) if **content == Content::Foreign),
        "{reply:?}"
    );
}

fn the_line_of_a_long_item_is_enough_to_know_of_it(way: Way) {
    let (go, hold) = channel();
    // Its rest never comes, or the server closes before it does.
    for last in [AwaitEnd, HeldLock(hold)] {
        let closes = matches!(last, HeldLock(_));
        if closes {
            go.send(()).expect("not held yet");
        }
        let said = say("HD c9 O2\r\nVA 1000000 c9 O3\r\nxxx");
        let (server, store) = connected(way, vec![Await("v c O3\r\n"), said, last]);
        let limit = if closes { PATIENCE } else { SHORT };
        let answer = way.exchange(&store, &[add(), read()], None, limit);
        assert!(answer.fault.is_none() && answer.pending.is_none(), "{answer:?}");
        assert_eq!(answer.replies.len(), 2);
        assert_foreign(answer.replies.last());
        assert_eq!(way.kept(&store), 0);
        drop(store);
        server.join();
    }
}

fn a_long_item_is_read_past(way: Way) {
    let long = ["VA 1000000 c9 O1\r\n", &"\n".repeat(1_000_000), "\r\n"].concat();
    let server = Scripted::greeting(vec![
        Await("v c O1\r\n"),
        Say(long.into_bytes()),
        Await("v c O2\r\n"),
        say("EN O2\r\n"),
        AwaitEnd,
    ]);
    let store = server.store();
    assert_foreign(way.ask(&store, &[read()]).replies.first());
    assert_eq!(way.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    drop(store);
    server.join();
}

fn what_comes_with_the_greeting_answers_nothing(way: Way) {
    // What the reply to the first request would be.
    let server = Scripted::start(vec![vec![
        Await("stats settings\r\n"),
        Say([GREETING_REPLY, "HD c9 O1\r\n"].concat().into_bytes()),
        AwaitEnd,
    ]]);
    let answer = way.ask(&server.store(), &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    assert!(text(&answer).contains("protocol"), "{}", text(&answer));
    server.join();
}

fn a_late_flood_is_listened_to_without_blocking(way: Way) {
    let (stop, stopped) = channel();
    let (server, store) = connected(way, vec![Await(ADDED), say("garbage\r\n"), Drown(stopped)]);
    let answer = way.exchange(&store, &[add()], None, SHORT);
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    let mut pending = answer.pending.expect("a write is open");
    for _ in 0..3 {
        pending = pending.wait(Duration::ZERO).expect_err("it goes on and on");
    }
    stop.send(()).expect("it floods");
    assert_eq!(
        unanswered(&pending.wait(PATIENCE).expect("closed")),
        Some(Unanswered::Cut)
    );
    server.join();
}
