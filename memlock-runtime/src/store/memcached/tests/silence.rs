//! Servers that send nothing, and connections that are dead without a sign.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use super::*;
use crate::locks::builder::Builder;
use crate::protocol::Pending;
use crate::store::memcached::health::MAX_LISTENING;
use crate::store::memcached::link::pool::LONGEST_IDLE;
use crate::system::on_thread;

/// The limit of exchanges that must be late.
const LATE: Duration = Duration::from_millis(150);

/// A server that answers as if it had no items, except on the silent connections.
struct EmptyServer {
    address: SocketAddr,
    shared: Arc<EmptyServerState>,
}

#[derive(Default)]
struct EmptyServerState {
    /// Whether the greeting is answered.
    greets: AtomicBool,
    /// Connections with a number below this are silent.
    silent: AtomicUsize,
    /// How many connections there were.
    total: AtomicUsize,
    /// How many are open, and the most that were open at once.
    open: AtomicUsize,
    peak: AtomicUsize,
    /// How many stores have arrived.
    stores: AtomicUsize,
    /// Batches are answered when this many have arrived.
    gathers: Mutex<Option<Arc<Barrier>>>,
    is_over: AtomicBool,
}

impl EmptyServer {
    /// A server on which all connections are silent: after the greeting, or from the start.
    fn silent(greets: bool) -> EmptyServer {
        let server = EmptyServer::start();
        server.shared.greets.store(greets, Ordering::SeqCst);
        server.shared.silent.store(usize::MAX, Ordering::SeqCst);
        server
    }

    fn start() -> EmptyServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(EmptyServerState::default());
        shared.greets.store(true, Ordering::SeqCst);
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if state.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let number = state.total.fetch_add(1, Ordering::SeqCst);
                let open = state.open.fetch_add(1, Ordering::SeqCst) + 1;
                state.peak.fetch_max(open, Ordering::SeqCst);
                let state = Arc::clone(&state);
                thread::spawn(move || {
                    state.serve(stream, number);
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        EmptyServer { address, shared }
    }

    fn store(&self) -> Memcached {
        let address = ServerAddress::parse(&self.address.to_string()).expect("an address");
        Memcached::new(vec![address], "memlock")
    }

    /// Makes the connections silent that are open now.
    fn forget(&self) {
        self.shared.silent.store(self.total(), Ordering::SeqCst);
    }

    fn total(&self) -> usize {
        self.shared.total.load(Ordering::SeqCst)
    }

    fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    fn stores(&self) -> usize {
        self.shared.stores.load(Ordering::SeqCst)
    }

    fn wait_for_open(&self, what: &str, fits: impl Fn(usize) -> bool) {
        wait_until(what, || fits(self.shared.open.load(Ordering::SeqCst)));
    }
}

impl Drop for EmptyServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl EmptyServerState {
    fn serve(&self, mut stream: TcpStream, number: usize) {
        let mut unread = String::new();
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            unread.push_str(&String::from_utf8_lossy(&bytes[..read]));
            let mut reply = String::new();
            while let Some((line, rest)) = unread.split_once('\n') {
                let (word, opaque) = (line.get(..2).unwrap_or_default(), line.trim_end().rsplit(" O").next());
                let opaque = opaque.unwrap_or_default();
                self.stores.fetch_add(usize::from(word == "ms"), Ordering::SeqCst);
                let answer = match word {
                    "st" if line.starts_with("stats settings") && self.greets.load(Ordering::SeqCst) => {
                        // Silence concerns only the requests after the greeting.
                        let greeting = GREETING_REPLY.replace("STAT cas", "STAT evictions on\r\nSTAT cas");
                        let _ = stream.write_all(greeting.as_bytes());
                        String::new()
                    }
                    "mg" => format!("EN O{opaque}\r\n"),
                    "ms" => format!("HD c9 O{opaque}\r\n"),
                    "ma" => format!("HD c10 O{opaque}\r\n"),
                    "md" => format!("HD O{opaque}\r\n"),
                    _ => String::new(),
                };
                reply += &answer;
                unread = rest.to_owned();
            }
            if !reply.is_empty() && number >= self.silent.load(Ordering::SeqCst) {
                let gathers = self.gathers.lock().expect("sound").clone();
                if let Some(barrier) = gathers {
                    barrier.wait();
                }
                let _ = stream.write_all(reply.as_bytes());
            }
        }
    }
}

fn wait_until(what: &str, so: impl FnMut() -> bool) {
    memlock_testkit::wait_until(what, PATIENCE, so);
}

in_both_modes! {
    callers_of_a_silent_server_open_one_connection_at_a_time
    callers_of_a_server_that_only_greets_leave_few_connections_and_writes
    after_a_late_reply_nothing_is_used_that_was_connected_before
    all_callers_get_the_connect_error_of_the_first
    callers_with_little_time_do_not_make_others_wait
}

const CALLERS: usize = 16;
const ROUNDS: usize = 4;

/// The answers to many callers, each on its own thread and several times.
fn crowd(mode: Mode, store: &Memcached) -> Vec<Exchanged> {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let call = || mode.exchange(store, &[add()], None, LATE);
                scope.spawn(move || (0..ROUNDS).map(|_| call()).collect::<Vec<Exchanged>>())
            })
            .collect();
        let answers = callers.into_iter().map(|caller| caller.join().expect("no panic"));
        answers.flatten().collect()
    })
}

fn callers_of_a_silent_server_open_one_connection_at_a_time(mode: Mode) {
    let server = EmptyServer::silent(false);
    let store = server.store();
    for answer in crowd(mode, &store) {
        assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    }
    // On a busy machine the server may learn late that connections were closed.
    assert!(server.peak() <= CALLERS / 2, "{} at once", server.peak());
    assert!(server.total() <= CALLERS * ROUNDS / 2, "{} in all", server.total());
    server.wait_for_open("nothing to be left", |open| open == 0);
}

fn callers_of_a_server_that_only_greets_leave_few_connections_and_writes(mode: Mode) {
    let server = EmptyServer::silent(true);
    let store = server.store();
    // Each `Pending` is kept, as by the task that settles the writes.
    let mut pending = Vec::new();
    for _ in 0..3 {
        let answers = crowd(mode, &store);
        pending.extend(answers.into_iter().filter_map(|answer| answer.pending));
        // One more may be open: a connection that was opened when its caller's limit was just over, and was not used.
        server.wait_for_open("the others to be closed", |open| open <= MAX_LISTENING + 1);
    }
    println!("{} stores, {} connections", server.stores(), server.total());
    assert!(
        server.stores() <= 3 * CALLERS * ROUNDS / 2,
        "{} stores",
        server.stores()
    );
    assert!(
        server.peak() <= MAX_LISTENING + CALLERS / 2,
        "{} at once",
        server.peak()
    );
    // Those that are not listened for any more return an answer.
    let kept = pending
        .into_iter()
        .filter_map(|pending| pending.wait(Duration::ZERO).err());
    let kept: Vec<Box<dyn Pending>> = kept.collect();
    assert!(!kept.is_empty(), "a late reply would not be heard");
    drop((store, kept));
    server.wait_for_open("nothing to be left", |open| open == 0);
}

/// Gives the store `count` idle connections and a pipe.
fn fill(store: &Memcached, server: &EmptyServer, count: usize) {
    for mode in [Blocking, Pipelined] {
        assert_eq!(mode.ask(store, &[read()]).replies.as_slice(), [Reply::Missing]);
    }
    *server.shared.gathers.lock().expect("sound") = Some(Arc::new(Barrier::new(count)));
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| assert!(Blocking.ask(store, &[read()]).unanswered.is_none()));
        }
    });
    *server.shared.gathers.lock().expect("sound") = None;
    assert_eq!((Blocking.kept(store), Pipelined.kept(store)), (count, 1));
}

fn after_a_late_reply_nothing_is_used_that_was_connected_before(mode: Mode) {
    for next in [Blocking, Pipelined] {
        let server = EmptyServer::start();
        let store = server.store();
        fill(&store, &server, 8);
        server.forget();
        let answer = mode.exchange(&store, &[add()], None, LATE);
        assert_eq!(unanswered(&answer), Some(Unanswered::Late));
        assert_eq!((Blocking.kept(&store), Pipelined.kept(&store)), (0, 0));
        assert_eq!(next.ask(&store, &[add()]).replies.as_slice(), [Reply::Stored(cas(9))]);
    }
}

fn all_callers_get_the_connect_error_of_the_first(mode: Mode) {
    let (go, hold) = channel();
    let server = ScriptedServer::start(vec![vec![
        Await("stats settings\r\n"),
        WaitFor(hold),
        send("ERROR Too many open connections\r\n"),
    ]]);
    let store = &server.store();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| mode.ask(store, &[add()])))
            .collect();
        if mode == Blocking {
            wait_until("the others to wait", || {
                store.servers[0].health.waiting() == CALLERS - 1
            });
        } else {
            wait_until("the others to wait", || store.servers[0].waiting_for_pipe() == CALLERS);
        }
        go.send(()).expect("held");
        for caller in callers {
            let answer = caller.join().expect("no panic");
            assert!(text(&answer).contains("higher -c"), "{}", text(&answer));
        }
    });
    server.join();
}

fn callers_with_little_time_do_not_make_others_wait(mode: Mode) {
    let server = EmptyServer::start();
    let store = server.store();
    fill(&store, &server, 1);
    server.forget();
    let known = &store.servers[0];
    // The rest of a long limit, after a wait for something else.
    let mut limit = crate::store::memcached::Limit::new(PATIENCE);
    limit.refresh();
    known.record_silence(&limit, limit.left() + PATIENCE / 2);
    assert!(
        known.health.is_answering(),
        "the caller had too little time to prove silence"
    );
    assert_eq!(
        (Blocking.kept(&store), Pipelined.kept(&store)),
        (0, 0),
        "not used all the same"
    );
    let answer = mode.exchange(&store, &[add()], None, PATIENCE);
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    known.record_silence(&limit, PATIENCE);
    assert_eq!(known.health.is_answering(), limit.left() > PATIENCE / 4);
}

#[test]
fn all_callers_of_an_answering_server_are_served_at_once() {
    let server = EmptyServer::start();
    let store = server.store();
    // Each is answered when all have arrived, on as many connections.
    fill(&store, &server, CALLERS);
    let answers: Vec<Exchanged> = crowd(Blocking, &store);
    assert!(answers.iter().all(|answer| answer.unanswered.is_none()));
}

#[test]
fn callers_that_give_up_early_do_not_hide_the_silence() {
    let server = EmptyServer::start();
    let store = server.store();
    fill(&store, &server, 1);
    server.shared.silent.store(usize::MAX, Ordering::SeqCst);
    let pipe = store.servers[0].pipe().expect("it is open");
    let begin = || store.begin(0, &item(), Batch::from([add()].as_slice()), None, LATE);
    let mut pending = begin().abandon().expect("it was sent");
    wait_until("it to be late", || {
        let waited = std::mem::replace(&mut pending, Box::new(Nothing)).wait(Duration::ZERO);
        pending = waited.expect_err("nothing has arrived");
        pipe.is_retired()
    });
    assert!(!store.servers[0].health.is_answering());
    let before = server.stores();
    // Each waits for the pipe, or for the trial of the one before, and gives up.
    let mut kept = Vec::new();
    for _ in 0..100 {
        let mut exchange = begin();
        let _ = on_thread::wait_for(std::future::poll_fn(|context| exchange.poll(context)), LATE / 50);
        kept.extend(exchange.abandon());
    }
    let stores = server.stores() - before;
    assert!((1..=25).contains(&stores), "{stores} of 100 were sent");
}

#[derive(Debug)]
struct Nothing;

impl Pending for Nothing {
    fn wait(self: Box<Self>, _: Duration) -> Result<Exchanged, Box<dyn Pending>> {
        Err(self)
    }
}

#[test]
fn idle_connections_are_closed_at_their_age_limit_without_any_call() {
    let server = EmptyServer::start();
    let store = server.store();
    fill(&store, &server, 4);
    let (pool, total) = (store.servers[0].pool(), server.total());
    pool.age(LONGEST_IDLE / 2);
    assert_eq!(Blocking.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    assert_eq!(server.total(), total, "it is used");
    // Without any call, the three that were not used are old now.
    pool.age(LONGEST_IDLE / 2);
    server.wait_for_open("the old ones to be closed", |open| open == 2);
    assert_eq!(pool.len(), 1);
    // Again, after there were none.
    pool.age(LONGEST_IDLE);
    server.wait_for_open("all to be closed but the pipe", |open| open == 1);
    wait_until("its answers to be old", || !store.servers[0].health.is_answering());
    drop(Blocking.ask(&store, &[read()]));
    assert_eq!(server.total(), total + 1);
    pool.age(LONGEST_IDLE);
    server.wait_for_open("the new one to be closed", |open| open == 1);
    // Dropping the store closes everything at once.
    drop(Blocking.ask(&store, &[read()]));
    let sweeper = pool.sweeper();
    // The background thread starts tasks in order. So the sweeper waits for its timer when this one runs.
    let (tell, heard) = channel();
    background::spawn(async move { tell.send(()).expect("the test listens") });
    heard.recv_timeout(PATIENCE).expect("the script sends it");
    drop(store);
    server.wait_for_open("nothing to be left", |open| open == 0);
    wait_until("the background thread to have done with it", || {
        sweeper.upgrade().is_none()
    });
}

#[test]
fn an_old_connection_is_not_taken_before_it_is_closed() {
    let server = EmptyServer::start();
    let store = server.store();
    fill(&store, &server, 1);
    let connection = store.servers[0].pool().take(None, clock::instant()).expect("one");
    store.servers[0].pool().put(connection, clock::instant());
    let later = clock::instant() + LONGEST_IDLE;
    assert!(store.servers[0].pool().take(None, later).is_none());
}

#[test]
fn tasks_leave_few_writes_to_be_settled_on_a_server_that_only_greets() {
    const TASKS: usize = 64;
    let server = EmptyServer::start();
    let locks = Builder::new()
        .servers(server.address.to_string())
        .exchange_timeout(LATE)
        .build()
        .expect("nothing is wrong with it");
    // After this the server is known to evict, so that a lock is stored without a read before.
    drop(on_thread::block_on(locks.lock("first").acquire_async()).expect("it answers"));
    wait_until("it to be released", || locks.core().background_work.is_done());
    server.shared.silent.store(usize::MAX, Ordering::SeqCst);
    thread::scope(|scope| {
        for task in 0..TASKS {
            let locks = &locks;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let acquired = on_thread::block_on(locks.lock((task, round)).acquire_async());
                    assert!(acquired.expect_err("it does not answer").is_unavailable());
                }
            });
        }
    });
    let unsettled = locks.core().background_work.count();
    println!("{unsettled} to be settled");
    // One for each caller that was under way when the server became silent, and then one at a time.
    assert!((1..=TASKS * ROUNDS / 2).contains(&unsettled), "{unsettled}");
    assert!(server.peak() <= 2 * MAX_LISTENING, "{} at once", server.peak());
    drop(locks);
}
