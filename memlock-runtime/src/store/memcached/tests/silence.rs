//! Servers that say nothing, and connections that are dead without a sign of it.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use super::*;
use crate::locks::builder::Builder;
use crate::store::Pending;
use crate::store::memcached::health::MOST_LISTENED;
use crate::store::memcached::link::pool::LONGEST_IDLE;
use crate::system::on_thread;

/// The limit of exchanges that are to be late.
const LATE: Duration = Duration::from_millis(150);

/// A server that answers as if it had no items, but on the connections that are silent.
struct Mimic {
    address: SocketAddr,
    shared: Arc<Shown>,
}

#[derive(Default)]
struct Shown {
    /// Whether connections are greeted.
    greets: AtomicBool,
    /// The connections with a number below this are silent.
    silent: AtomicUsize,
    /// How many there have been.
    total: AtomicUsize,
    /// How many are open, and the most that were.
    open: AtomicUsize,
    peak: AtomicUsize,
    /// Stores that have come.
    stores: AtomicUsize,
    /// Batches are answered when so many have come.
    gathers: Mutex<Option<Arc<Barrier>>>,
    is_over: AtomicBool,
}

impl Mimic {
    /// On which connections from the first on are silent, after the greeting or from the beginning.
    fn silent(greets: bool) -> Mimic {
        let mimic = Mimic::start();
        mimic.shared.greets.store(greets, Ordering::SeqCst);
        mimic.shared.silent.store(usize::MAX, Ordering::SeqCst);
        mimic
    }

    fn start() -> Mimic {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shown::default());
        shared.greets.store(true, Ordering::SeqCst);
        let shown = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shown.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let number = shown.total.fetch_add(1, Ordering::SeqCst);
                let open = shown.open.fetch_add(1, Ordering::SeqCst) + 1;
                shown.peak.fetch_max(open, Ordering::SeqCst);
                let shown = Arc::clone(&shown);
                thread::spawn(move || {
                    shown.serve(stream, number);
                    shown.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Mimic { address, shared }
    }

    fn store(&self) -> Memcached {
        let server = Server::parse(&self.address.to_string()).expect("an address");
        Memcached::new(vec![server], "memlock")
    }

    /// From now on the connections that there are are silent.
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

impl Drop for Mimic {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // For the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shown {
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
                        // Only what is asked after it may be met with silence.
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

/// Each test of these, each way, on a store whose server is silent.
macro_rules! each_way {
    ($($test:ident)*) => {
        mod blocking_callers {
            $(#[test] fn $test() { super::$test(super::Blocking); })*
        }
        mod tasks {
            $(#[test] fn $test() { super::$test(super::Shared); })*
        }
    };
}

each_way! {
    callers_of_a_server_that_says_nothing_open_one_connection_at_a_time
    callers_of_a_server_that_only_greets_leave_few_connections_and_writes
    after_a_late_reply_nothing_is_used_that_was_connected_before
    what_keeps_the_first_from_connecting_is_told_to_the_others
    callers_with_hardly_any_time_do_not_make_others_wait
}

const CALLERS: usize = 16;
const ROUNDS: usize = 4;

/// Many callers, each on its thread, several times each; what came of it.
fn crowd(way: Way, store: &Memcached) -> Vec<Answer> {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let call = || way.exchange(store, &[add()], None, LATE);
                scope.spawn(move || (0..ROUNDS).map(|_| call()).collect::<Vec<Answer>>())
            })
            .collect();
        let answers = callers.into_iter().map(|caller| caller.join().expect("no panic"));
        answers.flatten().collect()
    })
}

fn callers_of_a_server_that_says_nothing_open_one_connection_at_a_time(way: Way) {
    let server = Mimic::silent(false);
    let store = server.store();
    for answer in crowd(way, &store) {
        assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    }
    // A busy machine may be slow to tell the server of the end of some.
    assert!(server.peak() <= CALLERS / 2, "{} at once", server.peak());
    assert!(server.total() <= CALLERS * ROUNDS / 2, "{} in all", server.total());
    server.wait_for_open("nothing to be left", |open| open == 0);
}

fn callers_of_a_server_that_only_greets_leave_few_connections_and_writes(way: Way) {
    let server = Mimic::silent(true);
    let store = server.store();
    // Each is kept, as by those who settle what became of the writes.
    let mut pending = Vec::new();
    for _ in 0..3 {
        let answers = crowd(way, &store);
        pending.extend(answers.into_iter().filter_map(|answer| answer.pending));
        server.wait_for_open("the others to be closed", |open| open <= MOST_LISTENED + 1);
    }
    println!("{} stores, {} connections", server.stores(), server.total());
    assert!(
        server.stores() <= 3 * CALLERS * ROUNDS / 2,
        "{} stores",
        server.stores()
    );
    assert!(
        server.peak() <= MOST_LISTENED + CALLERS / 2,
        "{} at once",
        server.peak()
    );
    server.wait_for_open("all but a few to be closed", |open| open <= MOST_LISTENED);
    // Those that are not heard of any more say so.
    let kept = pending
        .into_iter()
        .filter_map(|pending| pending.wait(Duration::ZERO).err());
    let kept: Vec<Box<dyn Pending>> = kept.collect();
    assert!(!kept.is_empty(), "a late reply would not be heard");
    drop((store, kept));
    server.wait_for_open("nothing to be left", |open| open == 0);
}

/// Gives the store so many idle connections, and a pipe.
fn fill(store: &Memcached, server: &Mimic, count: usize) {
    for way in [Blocking, Shared] {
        assert_eq!(way.ask(store, &[read()]).replies.as_slice(), [Reply::Missing]);
    }
    *server.shared.gathers.lock().expect("sound") = Some(Arc::new(Barrier::new(count)));
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| assert!(Blocking.ask(store, &[read()]).fault.is_none()));
        }
    });
    *server.shared.gathers.lock().expect("sound") = None;
    assert_eq!((Blocking.kept(store), Shared.kept(store)), (count, 1));
}

fn after_a_late_reply_nothing_is_used_that_was_connected_before(way: Way) {
    for next in [Blocking, Shared] {
        let server = Mimic::start();
        let store = server.store();
        fill(&store, &server, 8);
        server.forget();
        let answer = way.exchange(&store, &[add()], None, LATE);
        assert_eq!(unanswered(&answer), Some(Unanswered::Late));
        assert_eq!((Blocking.kept(&store), Shared.kept(&store)), (0, 0));
        assert_eq!(next.ask(&store, &[add()]).replies.as_slice(), [Reply::Stored(cas(9))]);
    }
}

fn what_keeps_the_first_from_connecting_is_told_to_the_others(way: Way) {
    let (go, hold) = channel();
    let server = Scripted::start(vec![vec![
        Await("stats settings\r\n"),
        HeldLock(hold),
        say("ERROR Too many open connections\r\n"),
    ]]);
    let store = &server.store();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| way.ask(store, &[add()]))).collect();
        if way == Blocking {
            wait_until("the others to wait", || store.nodes[0].health.waiting() == CALLERS - 1);
        } else {
            wait_until("the others to wait", || store.nodes[0].waiting_for_pipe() == CALLERS);
        }
        go.send(()).expect("held");
        for caller in callers {
            let answer = caller.join().expect("no panic");
            assert!(text(&answer).contains("higher -c"), "{}", text(&answer));
        }
    });
    server.join();
}

fn callers_with_hardly_any_time_do_not_make_others_wait(way: Way) {
    let server = Mimic::start();
    let store = server.store();
    fill(&store, &server, 1);
    server.forget();
    let node = &store.nodes[0];
    // What is left of a long limit, after a wait for something else.
    let mut limit = crate::store::memcached::Limit::new(PATIENCE);
    limit.look();
    node.was_silent(&limit, limit.left() + PATIENCE / 2);
    assert!(node.health.answers(), "too little time to say so");
    assert_eq!(
        (Blocking.kept(&store), Shared.kept(&store)),
        (0, 0),
        "not used all the same"
    );
    let answer = way.exchange(&store, &[add()], None, PATIENCE);
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    node.was_silent(&limit, PATIENCE);
    assert_eq!(node.health.answers(), limit.left() > PATIENCE / 4);
}

#[test]
fn a_server_that_answers_is_asked_by_all_at_once() {
    let server = Mimic::start();
    let store = server.store();
    // Each is answered when all have come, on as many connections.
    fill(&store, &server, CALLERS);
    let answers: Vec<Answer> = crowd(Blocking, &store);
    assert!(answers.iter().all(|answer| answer.fault.is_none()));
}

#[test]
fn whoever_gives_up_early_does_not_hide_that_the_server_is_silent() {
    let server = Mimic::start();
    let store = server.store();
    fill(&store, &server, 1);
    server.shared.silent.store(usize::MAX, Ordering::SeqCst);
    let pipe = store.nodes[0].pipe().expect("it is open");
    let begin = || store.begin(&item(), Batch::from([add()].as_slice()), None, LATE);
    let mut pending = begin().abandon().expect("it was sent");
    wait_until("it to be late", || {
        let waited = std::mem::replace(&mut pending, Box::new(Nothing)).wait(Duration::ZERO);
        pending = waited.expect_err("nothing has come");
        pipe.is_retired()
    });
    assert!(!store.nodes[0].health.answers());
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
    fn wait(self: Box<Self>, _: Duration) -> Result<Answer, Box<dyn Pending>> {
        Err(self)
    }
}

#[test]
fn idle_connections_are_not_used_beyond_their_limit_and_closed_where_nobody_calls() {
    let server = Mimic::start();
    let store = server.store();
    fill(&store, &server, 4);
    let (pool, total) = (store.nodes[0].pool(), server.total());
    pool.age(LONGEST_IDLE / 2);
    assert_eq!(Blocking.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    assert_eq!(server.total(), total, "it is used");
    // Nobody calls: the three that were not used are old now.
    pool.age(LONGEST_IDLE / 2);
    server.wait_for_open("the old ones to be closed", |open| open == 2);
    assert_eq!(pool.len(), 1);
    // And again, after there were none.
    pool.age(LONGEST_IDLE);
    server.wait_for_open("all to be closed but the pipe", |open| open == 1);
    wait_until("its answers to be old", || !store.nodes[0].health.answers());
    drop(Blocking.ask(&store, &[read()]));
    assert_eq!(server.total(), total + 1);
    pool.age(LONGEST_IDLE);
    server.wait_for_open("the new one to be closed", |open| open == 1);
    // What is dropped is closed at once, with all that belongs to it.
    drop(Blocking.ask(&store, &[read()]));
    let sweeper = pool.sweeper();
    // Tasks are begun in the order in which they were given to the background thread: then it waits for its timer.
    let (tell, told) = channel();
    background::spawn(async move { tell.send(()).expect("the test listens") });
    told.recv_timeout(PATIENCE).expect("told");
    drop(store);
    server.wait_for_open("nothing to be left", |open| open == 0);
    wait_until("the background thread to have done with it", || {
        sweeper.upgrade().is_none()
    });
}

#[test]
fn a_connection_that_grew_old_is_not_taken_before_it_is_closed() {
    let server = Mimic::start();
    let store = server.store();
    fill(&store, &server, 1);
    let connection = store.nodes[0].pool().take(None, clock::instant()).expect("one");
    store.nodes[0].pool().put(connection, clock::instant());
    let later = clock::instant() + LONGEST_IDLE;
    assert!(store.nodes[0].pool().take(None, later).is_none());
}

#[test]
fn tasks_leave_few_writes_to_be_settled_on_a_server_that_only_greets() {
    const TASKS: usize = 64;
    let server = Mimic::start();
    let locks = Builder::new()
        .servers(server.address.to_string())
        .exchange_timeout(LATE)
        .build()
        .expect("nothing is wrong with it");
    // From then on it is known to evict, so that a lock is stored without a look before.
    drop(on_thread::block_on(locks.lock("first").acquire_async()).expect("it answers"));
    wait_until("it to be released", || locks.core().chores.are_done());
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
    let unsettled = locks.core().chores.count();
    println!("{unsettled} to be settled");
    // One for each that was under way when the server fell silent, and then one at a time.
    assert!((1..=TASKS * ROUNDS / 2).contains(&unsettled), "{unsettled}");
    assert!(server.peak() <= 2 * MOST_LISTENED, "{} at once", server.peak());
    drop(locks);
}
