//! Many waiters for one holder in another process: the commands that this costs the server, second by second.

use std::thread;
use std::time::{Duration, Instant};

use memlock::Locks;
use memlock_testkit::{Parent, Peer};
use rslock::LockManager;
use tokio::runtime::{Builder, Runtime};

use crate::contestants::{Kind, TIMEOUT, locks, woken_locks};
use crate::measure::number;
use crate::report::{Cell, Table};
use crate::stage::{Addresses, Stage, memcached_commands};

const HOLDER: &str = "holder";
const WAITER: &str = "waiter";
/// The variable that tells a second process which contestant to use.
const KIND: &str = "MEMLOCK_BENCH_WAITS_FOR";
const KEY: &str = "waiters";
const WAITERS: usize = 64;
const PROCESSES: usize = 4;
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn run(stage: &Stage) -> Vec<Table> {
    let seconds = stage.much(10, 2);
    let spans = (0..seconds).map(|second| format!("{second}-{} s", second + 1));
    let mut table = Table::new(
        "waiters",
        "waiters: server commands in each second of waiting behind a holder in another process",
        spans.chain(["per second".to_owned()]),
    );
    let wait = Duration::from_secs(seconds);
    let memcached = |wait_all: &dyn Fn()| series(seconds, &|| memcached_commands(&stage.memcached), wait_all);

    let holder = Holder::start(&stage.addresses, Kind::Guard);
    let here = locks(&stage.addresses.memcached);
    let by_threads = memcached(&|| all_threads(&here, wait));
    table.row(format!("memlock, {WAITERS} threads of one process"), cells(&by_threads));
    let runtime = runtime();
    let by_tasks = memcached(&|| {
        let here = here.clone();
        all(&runtime, move || {
            let here = here.clone();
            async move {
                let waited = here.lock(KEY).wait(wait).acquire_async().await;
                assert!(waited.is_err_and(|error| error.is_busy()), "another holds it");
            }
        });
    });
    table.row(format!("memlock, {WAITERS} tasks of one process"), cells(&by_tasks));
    let by_processes = memcached(&processes(&stage.addresses, Kind::Guard, wait));
    table.row(format!("memlock, {PROCESSES} processes"), cells(&by_processes));
    let here = woken_locks(&stage.addresses.memcached);
    let by_woken_threads = memcached(&|| all_threads(&here, wait));
    table.row(
        format!("the same with wake-ups, {WAITERS} threads"),
        cells(&by_woken_threads),
    );
    let by_woken_processes = memcached(&processes(&stage.addresses, Kind::Woken, wait));
    table.row(
        format!("the same with wake-ups, {PROCESSES} processes"),
        cells(&by_woken_processes),
    );
    drop(holder);

    if let Some(redis) = stage.addresses.redis.clone() {
        let holder = Holder::start(&stage.addresses, Kind::Rslock);
        let commands = || stage.redis_commands().expect("Redis is up");
        let by_tasks = series(seconds, &commands, &|| {
            let manager = LockManager::new(vec![redis.as_str()]);
            all(&runtime, move || {
                let manager = manager.clone();
                async move { wait_on_redis(&manager, wait).await }
            });
        });
        table.row(format!("rslock, {WAITERS} tasks of one process"), cells(&by_tasks));
        let by_processes = series(seconds, &commands, &processes(&stage.addresses, Kind::Rslock, wait));
        table.row(format!("rslock, {PROCESSES} processes"), cells(&by_processes));
        drop(holder);
    }
    if stage.addresses.postgres.is_some() {
        table.note(
            "PostgreSQL's advisory locks: no commands meanwhile; each waiter occupies a connection and a server process",
        );
    }
    vec![table]
}

/// Commands in each second from the moment that `wait_all` begins.
fn series(seconds: u64, commands: &(dyn Fn() -> u64 + Sync), wait_all: &dyn Fn()) -> Vec<u64> {
    thread::scope(|scope| {
        let counts = scope.spawn(move || {
            let start = Instant::now();
            let mut counts = vec![commands()];
            for second in 1..=seconds {
                let due = start + Duration::from_secs(second);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                counts.push(commands());
            }
            counts
        });
        wait_all();
        let counts = counts.join().expect("no panic");
        counts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    })
}

fn cells(counts: &[u64]) -> Vec<Cell> {
    let mean = number(counts.iter().sum::<u64>()) / number(counts.len());
    let counts = counts.iter().map(|count| Cell::Number(number(*count), 0));
    counts.chain([Cell::Number(mean, 1)]).collect()
}

fn runtime() -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime")
}

/// Lets all threads wait until they give up.
fn all_threads(locks: &Locks, wait: Duration) {
    thread::scope(|scope| {
        for _ in 0..WAITERS {
            scope.spawn(|| give_up(locks, wait));
        }
    });
}

fn give_up(locks: &Locks, wait: Duration) {
    let waited = locks.lock(KEY).wait(wait).acquire();
    assert!(waited.is_err_and(|error| error.is_busy()), "another holds it");
}

/// Lets all tasks wait until they give up.
fn all<F: Future<Output = ()> + Send + 'static>(runtime: &Runtime, waiter: impl Fn() -> F) {
    runtime.block_on(async {
        let waiters: tokio::task::JoinSet<()> = (0..WAITERS).map(|_| waiter()).collect();
        waiters.join_all().await;
    });
}

async fn wait_on_redis(manager: &LockManager, wait: Duration) {
    let waited = tokio::time::timeout(wait, manager.acquire(KEY.as_bytes(), TIMEOUT)).await;
    assert!(waited.is_err(), "another holds it");
}

/// Second processes that have started, and wait when they are told.
fn processes(addresses: &Addresses, kind: Kind, wait: Duration) -> impl Fn() + use<> {
    let peers: Vec<Peer> = (0..PROCESSES).map(|_| start(WAITER, addresses, kind)).collect();
    let peers = std::cell::RefCell::new(peers);
    move || {
        for peer in peers.borrow_mut().iter_mut() {
            peer.send(&wait.as_secs().to_string());
        }
        for peer in peers.borrow().iter() {
            assert_eq!(peer.expect_line(wait + LIMIT), "gave up");
        }
    }
}

/// Another process that holds the lock until this is dropped. It is killed then, so the lock stays held until its lease
/// is over. No process asks for it any more.
struct Holder {
    _process: Peer,
}

impl Holder {
    fn start(addresses: &Addresses, kind: Kind) -> Holder {
        Holder {
            _process: start(HOLDER, addresses, kind),
        }
    }
}

fn start(role: &str, addresses: &Addresses, kind: Kind) -> Peer {
    let mut peer = Peer::of(role).env(KIND, kind.name());
    for (name, value) in addresses.variables() {
        peer = peer.env(name, value);
    }
    let peer = peer.start();
    assert_eq!(peer.expect_line(LIMIT), "ready");
    peer
}

/// Runs the other process's part, if this is that process.
pub(crate) fn take_part() -> bool {
    let Some(kind) = std::env::var(KIND).ok().and_then(|name| Kind::of_name(&name)) else {
        return false;
    };
    if let Some(parent) = Parent::of_role(HOLDER) {
        hold(&parent, kind);
    } else if let Some(parent) = Parent::of_role(WAITER) {
        wait(&parent, kind);
    } else {
        return false;
    }
    true
}

/// Longer than all waiting of this contest.
const HOLD: Duration = Duration::from_secs(5 * 60);

fn hold(parent: &Parent, kind: Kind) {
    let addresses = Addresses::from_env();
    if kind == Kind::Rslock {
        let manager = LockManager::new(vec![redis(&addresses)]);
        let lock = runtime()
            .block_on(manager.acquire(KEY.as_bytes(), HOLD))
            .expect("Redis is up");
        parent.say("ready");
        thread::sleep(HOLD);
        drop(lock);
    } else {
        let lock = locks(&addresses.memcached);
        let guard = lock.lock(KEY).timeout(HOLD).acquire().expect("memcached is up");
        parent.say("ready");
        thread::sleep(HOLD);
        guard.release();
    }
}

fn wait(parent: &Parent, kind: Kind) {
    let addresses = Addresses::from_env();
    // Connected before the others begin: connecting is not counted.
    if kind == Kind::Rslock {
        let manager = LockManager::new(vec![redis(&addresses)]);
        let runtime = runtime();
        let other = runtime
            .block_on(manager.acquire(b"other".as_slice(), TIMEOUT))
            .expect("Redis is up");
        runtime.block_on(other.release());
        parent.say("ready");
        runtime.block_on(wait_on_redis(&manager, seconds(parent)));
    } else {
        let locks = match kind {
            Kind::Woken => woken_locks(&addresses.memcached),
            _ => locks(&addresses.memcached),
        };
        locks.lock("other").acquire().expect("memcached is up").release();
        parent.say("ready");
        give_up(&locks, seconds(parent));
        // It leaves the wait list before it ends, so that waiters of the next row do not wait for a dead process.
        assert!(locks.shutdown(LIMIT).is_clean(), "it leaves the wait list");
    }
    parent.say("gave up");
}

fn seconds(parent: &Parent) -> Duration {
    Duration::from_secs(parent.hear(LIMIT).parse().expect("a number"))
}

fn redis(addresses: &Addresses) -> &str {
    addresses.redis.as_deref().expect("asked for only where it is there")
}
