//! The store against real memcached processes, which each test starts for itself. The facts on which the protocol
//! relies hold on the installed version, and every fault of a server is reported as what it is.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use memlock_runtime::__internals::{
    Batch, Cas, Content, Exchange, Exchanged, Instance, ItemName, Memcached, Nonce, Record, Reply, Request,
    ServerAddress, Store, Unanswered,
};
use memlock_testkit as testkit;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time limit of one exchange.
const LIMIT: Duration = Duration::from_secs(2);

/// A memcached process, killed when dropped.
struct Process {
    server: testkit::Memcached,
    spelled: String,
}

impl Process {
    /// Starts a server on a free port, with more options.
    fn start(options: &[&str]) -> Process {
        let options = [&["-m", "16", "-t", "2"], options].concat();
        Process::of(testkit::Memcached::start_young_with(&options))
    }

    fn start_local(path: &Path) -> Process {
        Process::of(testkit::Memcached::start_on_socket(path))
    }

    fn of(server: testkit::Memcached) -> Process {
        let spelled = server.address();
        Process { server, spelled }
    }

    fn store(&self) -> Memcached {
        Memcached::new(vec![ServerAddress::parse(&self.spelled).expect("an entry")], "memlock")
    }

    /// Waits until the server is old enough for locks, and returns a store on it.
    fn grown(&self) -> Memcached {
        let store = self.store();
        eventually("memcached grows old enough", || {
            let answer = store.exchange(0, &item("x"), &[Request::ReadClock], None, LIMIT);
            (unanswered(&answer) != Some(Unanswered::TooYoung))
                .then(|| assert!(answer.unanswered.is_none(), "{answer:?}"))
        });
        store
    }
}

#[allow(clippy::disallowed_methods, reason = "tests of real time read the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Repeats `attempt` a hundred times a second until it returns something.
#[allow(clippy::disallowed_methods, reason = "a process gives no other sign")]
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let until = now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn item(key: &str) -> ItemName {
    ItemName::of_lock("memlock", "store_tests", key)
}

fn record(nonce: u128) -> Record {
    Record {
        nonce: Nonce(nonce),
        lease: Duration::from_millis(5200),
        renewal: 3,
        label: "host 7 f".into(),
        full_name: None,
    }
}

fn add(nonce: u128) -> Request {
    Request::Add {
        record: record(nonce),
        ttl: 60,
    }
}

fn replace(nonce: u128, cas: Cas) -> Request {
    Request::Replace {
        record: record(nonce),
        ttl: 60,
        cas,
    }
}

fn delete(cas: Cas) -> Request {
    Request::Delete { cas }
}

fn unanswered(answer: &Exchanged) -> Option<Unanswered> {
    answer.unanswered
}

fn text(answer: &Exchanged) -> String {
    answer.source.as_ref().expect("a failure").to_string()
}

/// The reply to `request` about the lock on `key`.
fn reply(store: &Memcached, key: &str, request: Request) -> Reply {
    let answer = store.exchange(0, &item(key), &[request], None, LIMIT);
    assert!(answer.unanswered.is_none(), "{answer:?}");
    answer.replies.into_iter().next().expect("one reply")
}

fn stored(reply: &Reply) -> Cas {
    match reply {
        Reply::Stored(cas) => *cas,
        other => panic!("not stored: {other:?}"),
    }
}

fn instance(store: &Memcached) -> Instance {
    let answer = store.exchange(0, &item("x"), &[Request::Read], None, LIMIT);
    answer.instance.expect("reached")
}

fn every_request_has_the_reply_that_its_docs_promise(process: &Process) {
    let store = process.grown();
    let any = Cas::new(u64::MAX).expect("not zero");
    assert_eq!(reply(&store, "k", Request::Read), Reply::Missing);
    assert_eq!(reply(&store, "k", delete(any)), Reply::Missing);
    assert_eq!(reply(&store, "k", replace(1, any)), Reply::Missing);
    assert_eq!(
        reply(&store, "k", Request::Read),
        Reply::Missing,
        "replace never creates"
    );

    let first = stored(&reply(&store, "k", add(1)));
    assert_eq!(reply(&store, "k", add(2)), Reply::NotStored);
    let there = |nonce, cas| Reply::Item {
        content: Box::new(Content::Lock(record(nonce))),
        cas,
    };
    assert_eq!(reply(&store, "k", Request::Read), there(1, first));

    let second = stored(&reply(&store, "k", replace(3, first)));
    assert!(second > first, "CAS rises");
    assert_eq!(reply(&store, "k", replace(4, first)), Reply::Exists);
    assert_eq!(reply(&store, "k", delete(first)), Reply::Exists);
    assert_eq!(reply(&store, "k", Request::Read), there(3, second));
    assert_eq!(reply(&store, "k", delete(second)), Reply::Deleted);
    assert_eq!(reply(&store, "k", Request::Read), Reply::Missing);

    let answer = store.exchange(
        0,
        &item("k"),
        &[Request::ReadClock, add(5), add(6), Request::Read, delete(any)],
        None,
        LIMIT,
    );
    assert!(answer.unanswered.is_none(), "{answer:?}");
    let third = stored(&answer.replies[1]);
    assert!(third > second);
    assert_eq!(
        answer.replies[2..],
        [Reply::NotStored, there(5, third), Reply::Exists],
        "one batch is executed in order"
    );
}

#[test]
fn every_reply_over_tcp() {
    every_request_has_the_reply_that_its_docs_promise(&Process::start(&[]));
}

#[test]
fn every_reply_over_a_local_socket() {
    let directory = std::env::temp_dir().join(format!("memlock-store-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    every_request_has_the_reply_that_its_docs_promise(&Process::start_local(&directory.join("socket")));
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn the_clock_item_tells_the_servers_second() {
    let process = Process::start(&[]);
    let store = process.grown();
    assert_eq!(reply(&store, "k", Request::ReadClock), Reply::Missing);
    let _ = stored(&reply(&store, "k", Request::CreateClock));
    assert_eq!(reply(&store, "k", Request::CreateClock), Reply::NotStored);
    let before = statistic(&process, "time");
    let Reply::Clock(second) = reply(&store, "k", Request::ReadClock) else {
        panic!("no clock")
    };
    // `stats` is a second or two off about the start of the process. Both clocks must run at one rate from there.
    assert!(second.abs_diff(before) <= 3, "{second} {before}");
    eventually("the clock moves on", || {
        matches!(reply(&store, "k", Request::ReadClock), Reply::Clock(later) if later > second).then_some(())
    });
}

#[test]
fn a_strangers_item_is_foreign_and_can_be_deleted_only_by_its_cas() {
    use std::io::{Read as _, Write as _};
    let process = Process::start(&[]);
    let store = process.grown();
    let mut stream = TcpStream::connect(&process.spelled).expect("connect");
    let name = item("k");
    for (value, length) in [("", 0), ("garbage", 7)] {
        write!(stream, "set {} 0 60 {length}\r\n{value}\r\n", name.as_str()).expect("write");
        let mut said = [0; 8];
        stream.read_exact(&mut said).expect("stored");
        assert_eq!(&said, b"STORED\r\n");
        let Reply::Item { content, .. } = reply(&store, "k", Request::Read) else {
            panic!("not there")
        };
        assert_eq!(*content, Content::Foreign);
    }
}

#[test]
fn a_huge_item_of_a_stranger_is_foreign_and_leaves_the_connection_in_step() {
    use std::io::{Read as _, Write as _};
    let process = Process::start(&[]);
    let store = process.grown();
    let mut stream = TcpStream::connect(&process.spelled).expect("connect");
    write!(
        stream,
        "set {} 0 60 100000\r\n{}\r\n",
        item("k").as_str(),
        "x".repeat(100_000)
    )
    .expect("write");
    let mut said = [0; 8];
    stream.read_exact(&mut said).expect("stored");
    let connections = statistic(&process, "total_connections");
    let shared = |key, batch: &[Request]| all_of(vec![begin(&store, key, batch, LIMIT)]).remove(0);
    for _ in 0..3 {
        for answer in [
            store.exchange(0, &item("k"), &[Request::Read, Request::ReadClock], None, LIMIT),
            shared("k", &[Request::Read, Request::ReadClock]),
        ] {
            assert!(answer.unanswered.is_none(), "{answer:?}");
            assert!(matches!(&answer.replies[0], Reply::Item { content, .. } if **content == Content::Foreign));
        }
    }
    assert_eq!(reply(&store, "other", Request::Read), Reply::Missing);
    // The connection of the tasks, and the one that asks for the statistic.
    assert_eq!(statistic(&process, "total_connections"), connections + 2);
}

#[test]
fn a_refused_store_is_definite_and_leaves_the_connection_in_step() {
    use std::io::Write as _;
    let process = Process::start(&["-M", "-o", "no_slab_automove"]);
    let store = process.grown();
    let before = instance(&store);
    let mut stream = TcpStream::connect(&process.spelled).expect("connect");
    let mut number = 0_u64;
    let refusal = eventually("the memory is full", || {
        // Items of exactly a lock's size, which use up the memory for locks.
        let mut fillers = String::new();
        for _ in 0..10_000 {
            number += 1;
            let name = item(&format!("{number:020}"));
            let filler = format!("set {} 0 0 57 noreply\r\n{}\r\n", name.as_str(), "x".repeat(57));
            fillers.push_str(&filler);
        }
        stream.write_all(fillers.as_bytes()).expect("write");
        let key = format!("{:020}", u64::MAX - number);
        let answer = store.exchange(0, &item(&key), &[Request::Read, add(1), Request::Read], None, LIMIT);
        assert!(answer.unanswered.is_none(), "{answer:?}");
        match answer.replies.as_slice() {
            [Reply::Missing, Reply::Refused(refusal), Reply::Missing] => Some(refusal.clone()),
            [Reply::Missing, Reply::Stored(stored), Reply::Item { cas, .. }] if stored == cas => None,
            others => panic!("{others:?}"),
        }
    });
    assert!(refusal.to_string().contains("out of memory"), "{refusal}");
    assert_eq!(instance(&store), before);
}

#[test]
fn a_server_without_cas_is_refused() {
    let process = Process::start(&["-C"]);
    let answer = process.store().exchange(0, &item("k"), &[add(1)], None, LIMIT);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("-C"), "{}", text(&answer));
}

#[test]
fn a_young_server_is_refused_and_accepted_two_seconds_later() {
    let process = Process::start(&[]);
    let began = now();
    let store = process.store();
    let answer = store.exchange(0, &item("k"), &[add(1)], None, LIMIT);
    assert_eq!(unanswered(&answer), Some(Unanswered::TooYoung), "{answer:?}");
    let young = answer.instance.expect("reached");
    let grown = process.grown();
    assert_eq!(instance(&grown), young, "the start does not move while it grows");
    assert!(now() - began < Duration::from_secs(5));
    assert_eq!(reply(&grown, "k", Request::Read), Reply::Missing, "nothing was stored");
}

#[test]
fn a_restart_is_noticed_and_nothing_is_sent_across_it() {
    let process = Process::start(&[]);
    let store = process.grown();
    let old = instance(&store);
    let cas = stored(&reply(&store, "k", add(1)));
    process.server.kill();
    let answer = store.exchange(0, &item("k"), &[delete(cas)], Some(old), LIMIT);
    // The connection was open a moment ago, so the request may have been sent.
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut), "{answer:?}");
    assert_eq!(answer.instance, Some(old));
    let answer = store.exchange(0, &item("k"), &[add(2)], None, LIMIT);
    assert_eq!(
        unanswered(&answer),
        Some(Unanswered::NotSent),
        "no process listens: {answer:?}"
    );

    process.server.restart_young();
    drop(process.grown());
    // Another lock has the CAS of the old one. Only the instance tells them apart.
    let other = process.store();
    let same = eventually("the CAS comes round", || {
        let new = stored(&reply(&other, "k", add(3)));
        (new >= cas).then_some(new).or_else(|| {
            assert_eq!(reply(&other, "k", delete(new)), Reply::Deleted);
            None
        })
    });
    assert_eq!(same, cas);
    let answer = store.exchange(0, &item("k"), &[delete(cas)], Some(old), LIMIT);
    assert_eq!(unanswered(&answer), Some(Unanswered::OtherInstance), "{answer:?}");
    assert_ne!(answer.instance.expect("reached"), old);
    assert!(
        matches!(reply(&store, "k", Request::Read), Reply::Item { .. }),
        "it is still there"
    );
}

#[test]
fn a_stopped_server_is_late_within_the_limit_and_its_replies_come_after_it_goes_on() {
    let process = Process::start(&[]);
    let store = process.grown();
    assert_eq!(reply(&store, "k", Request::Read), Reply::Missing);
    process.server.pause();
    let limit = Duration::from_millis(200);
    let began = now();
    let answer = store.exchange(0, &item("k"), &[Request::ReadClock, add(1)], None, limit);
    let took = now() - began;
    assert!(took >= limit && took < limit + LIMIT, "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    assert!(answer.replies.is_empty());
    let pending = answer.pending.expect("a write is open");

    // The kernel accepts a new connection, but the server does not answer on it.
    let began = now();
    let second = store.exchange(0, &item("k"), &[add(2)], None, limit);
    let took = now() - began;
    assert!(took < limit + LIMIT, "{took:?}");
    assert_eq!(unanswered(&second), Some(Unanswered::NotSent), "{second:?}");

    let pending = pending.wait(Duration::from_millis(20)).expect_err("it stands still");
    process.server.resume();
    let answer = pending.wait(PATIENCE).expect("it goes on");
    assert!(answer.unanswered.is_none(), "{answer:?}");
    let cas = stored(&answer.replies[1]);
    assert_eq!(
        reply(&store, "k", delete(cas)),
        Reply::Deleted,
        "what it did can be undone"
    );
}

#[test]
fn a_server_without_a_free_connection_says_so() {
    let process = Process::start(&["-c", "32"]);
    drop(process.grown());
    let mut held = Vec::new();
    let answer = eventually("the connections are used up", || {
        held.extend((0..10).filter_map(|_| TcpStream::connect(&process.spelled).ok()));
        let answer = process.store().exchange(0, &item("k"), &[Request::Read], None, LIMIT);
        answer.unanswered.is_some().then_some(answer)
    });
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    assert!(
        text(&answer).contains("no connection left") || text(&answer).contains("closed the connection"),
        "{}",
        text(&answer)
    );
    let answer = process.store().exchange(0, &item("k"), &[add(1)], None, LIMIT);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    drop(held);
    eventually("connections are free again", || {
        let answer = process.store().exchange(0, &item("k"), &[Request::Read], None, LIMIT);
        answer
            .unanswered
            .is_none()
            .then(|| assert_eq!(answer.replies[0], Reply::Missing))
    });
}

#[test]
fn items_of_several_servers_are_where_the_router_says() {
    let processes = [Process::start(&[]), Process::start(&[])];
    let servers = |order: [usize; 2]| {
        let list = order.map(|index| ServerAddress::parse(&processes[index].spelled).expect("an entry"));
        Memcached::new(list.into(), "memlock")
    };
    for process in &processes {
        drop(process.grown());
    }
    let (forwards, backwards) = (servers([0, 1]), servers([1, 0]));
    for number in 0..32 {
        let key = number.to_string();
        let name = item(&key);
        let answer = forwards.exchange(forwards.route(&name), &name, &[add(1)], None, LIMIT);
        assert!(matches!(answer.replies.as_slice(), [Reply::Stored(_)]), "{answer:?}");
        let answer = backwards.exchange(backwards.route(&name), &name, &[add(2)], None, LIMIT);
        assert_eq!(
            answer.replies.as_slice(),
            [Reply::NotStored],
            "one lock is on one server"
        );
        assert_eq!(
            forwards.server_name(forwards.route(&name)),
            backwards.server_name(backwards.route(&name))
        );
        assert_eq!(forwards.route(&name), 1 - backwards.route(&name));
    }
}

#[test]
fn many_threads_share_a_store() {
    let process = Process::start(&[]);
    let store = process.grown();
    std::thread::scope(|scope| {
        for thread in 0..24 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..100 {
                    let key = format!("{thread}/{round}");
                    let cas = stored(&reply(store, &key, add(1)));
                    assert_eq!(reply(store, &key, delete(cas)), Reply::Deleted);
                }
            });
        }
    });
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for all `exchanges`, as an executor of tasks would.
fn all_of(mut exchanges: Vec<Box<dyn Exchange>>) -> Vec<Exchanged> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut answers: Vec<Option<Exchanged>> = exchanges.iter().map(|_| None).collect();
    loop {
        for (exchange, answer) in exchanges.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(ready) = exchange.poll(&mut Context::from_waker(&waker))
            {
                *answer = Some(ready);
            }
        }
        if answers.iter().all(Option::is_some) {
            return answers.into_iter().flatten().collect();
        }
        thread::park();
    }
}

fn begin(store: &Memcached, key: &str, batch: &[Request], limit: Duration) -> Box<dyn Exchange> {
    store.begin(0, &item(key), Batch::from(batch), None, limit)
}

/// The number `name` in the server's `stats`.
fn statistic(process: &Process, name: &str) -> u64 {
    process.server.stat(name).expect("counted")
}

#[test]
fn thousands_of_batches_of_many_threads_share_one_connection_and_get_their_own_replies() {
    const TASKS: usize = 64;
    let process = Process::start(&[]);
    drop(process.grown());
    let store = process.store();
    let connections = statistic(&process, "total_connections");
    thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..15 {
                    let of = |task: usize| format!("{thread}/{round}/{task}");
                    let nonce = |task: usize| (thread * 1_000_000 + round * 1000 + task) as u128;
                    let adds = |task| {
                        begin(
                            store,
                            &of(task),
                            &[Request::Read, add(nonce(task)), Request::Read],
                            PATIENCE,
                        )
                    };
                    let answers = all_of((0..TASKS).map(adds).collect());
                    let mut deletes = Vec::new();
                    for (task, answer) in answers.iter().enumerate() {
                        assert!(answer.unanswered.is_none(), "{answer:?}");
                        let cas = stored(&answer.replies[1]);
                        let content = Box::new(Content::Lock(record(nonce(task))));
                        assert_eq!(answer.replies[2], Reply::Item { content, cas });
                        deletes.push(begin(store, &of(task), &[delete(cas)], PATIENCE));
                    }
                    for answer in all_of(deletes) {
                        assert_eq!(answer.replies.as_slice(), [Reply::Deleted], "{answer:?}");
                    }
                }
            });
        }
    });
    // The store's connection, and the one that asks for the statistic.
    assert_eq!(statistic(&process, "total_connections"), connections + 2);
    let open = statistic(&process, "curr_connections");
    drop(store);
    eventually("it is closed", || {
        (statistic(&process, "curr_connections") < open).then_some(())
    });
}

#[test]
fn every_batch_around_a_restart_gets_a_true_answer() {
    let process = Process::start(&[]);
    drop(process.grown());
    let store = process.store();
    let writes = |round: usize| {
        let of = |task| begin(&store, &format!("{round}/{task}"), &[add(1)], PATIENCE);
        (0..200).map(of).collect::<Vec<_>>()
    };
    assert!(all_of(writes(0)).iter().all(|answer| answer.unanswered.is_none()));
    process.server.pause();
    let on_their_way = writes(1);
    process.server.kill();
    for (place, answer) in all_of(on_their_way).iter().enumerate() {
        let found = unanswered(answer);
        // The caller sends the first few itself. The background thread sends the others, and may not have done so
        // before the server was killed.
        let was_left = place >= 4 && found == Some(Unanswered::NotSent);
        assert!(found == Some(Unanswered::Cut) || was_left, "{place}: {answer:?}");
        assert!(answer.pending.is_none());
    }
    for answer in all_of(writes(2)) {
        assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    }
    process.server.restart_young();
    for answer in all_of(writes(3)) {
        assert_eq!(unanswered(&answer), Some(Unanswered::TooYoung), "{answer:?}");
    }
    drop(process.grown());
    for answer in all_of(writes(4)) {
        assert!(matches!(answer.replies.as_slice(), [Reply::Stored(_)]), "{answer:?}");
    }
}

#[test]
fn late_replies_of_a_stopped_server_arrive_when_it_goes_on() {
    let process = Process::start(&[]);
    drop(process.grown());
    let store = process.store();
    assert!(
        all_of(vec![begin(&store, "x", &[Request::Read], LIMIT)])[0]
            .unanswered
            .is_none()
    );
    process.server.pause();
    let limit = Duration::from_millis(100);
    let late = loop {
        let began = now();
        let adds = (0..100).map(|task| begin(&store, &task.to_string(), &[add(1)], limit));
        let late = all_of(adds.collect());
        let took = now() - began;
        assert!(took < limit + LIMIT, "{took:?}");
        // If the machine stalls, nothing may be sent in that time, and the server does not count as slow.
        if took < 2 * limit
            || late
                .iter()
                .any(|answer| unanswered(answer) != Some(Unanswered::NotSent))
        {
            break late;
        }
    };
    // The next batches try another connection, which the kernel accepts, but on which the server does not answer.
    let next = all_of((0..100).map(|_| begin(&store, "n", &[add(1)], limit)).collect());
    assert!(
        next.iter()
            .all(|answer| unanswered(answer) == Some(Unanswered::NotSent))
    );
    let pending: Vec<_> = late
        .into_iter()
        .map(|answer| {
            assert_eq!(unanswered(&answer), Some(Unanswered::Late), "{answer:?}");
            answer
                .pending
                .expect("a write is open")
                .wait(Duration::ZERO)
                .expect_err("it stands")
        })
        .collect();
    process.server.resume();
    for (task, pending) in pending.into_iter().enumerate() {
        let answer = pending.wait(PATIENCE).expect("it goes on");
        assert!(answer.unanswered.is_none(), "{answer:?}");
        let undone = begin(
            &store,
            &task.to_string(),
            &[delete(stored(&answer.replies[0]))],
            PATIENCE,
        );
        assert_eq!(all_of(vec![undone])[0].replies.as_slice(), [Reply::Deleted]);
    }
}

#[test]
fn a_local_socket_is_shared_as_well() {
    let directory = std::env::temp_dir().join(format!("memlock-pipe-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let process = Process::start_local(&directory.join("socket"));
    drop(process.grown());
    let store = process.store();
    let writes = (0..1000).map(|task| begin(&store, &task.to_string(), &[add(1)], PATIENCE));
    for answer in all_of(writes.collect()) {
        assert!(matches!(answer.replies.as_slice(), [Reply::Stored(_)]), "{answer:?}");
    }
    let _ = std::fs::remove_dir_all(directory);
}
