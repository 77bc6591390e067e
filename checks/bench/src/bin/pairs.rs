//! Takes and releases a lock on command, and reports how often. `cargo xtask bench --against` builds this program with two
//! memlocks and commands both. It is not run by hand.
//!
//! It must compile with every commit that may be measured, so it uses few and old parts of memlock's public interface.
//!
//! Its arguments are the contest, the server list and the key. For each line that it reads, a number of milliseconds, it runs
//! that long, and answers with the number of pairs and the nanoseconds that they took.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use memlock::Locks;
use memlock_testkit::Parent;
use tokio::runtime::{Builder, Runtime};

const THREADS: u64 = 8;

/// How many pairs are made before the clock is read: on `memory:` a pair takes hardly longer than reading it.
const BETWEEN_LOOKS: u64 = 16;

/// How long to wait until all threads have started.
const MUSTER: Duration = Duration::from_millis(10);

/// How long to wait for the next turn. The other program has its turn meanwhile, for which the parent waits half as long.
const PATIENCE: Duration = Duration::from_secs(100);

/// Lock and unlock, so often, and for so long.
struct Pairs {
    count: u64,
    took: Duration,
}

type Contest = Box<dyn FnMut(Duration) -> Pairs>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (Some(parent), [name, servers, key]) = (Parent::of_role("pairs"), arguments.as_slice()) else {
        eprintln!("this program is run by \"cargo xtask bench --against <commit>\"");
        return ExitCode::FAILURE;
    };
    let key = key.parse().expect("the key is a number");
    let mut contest = contest(name, servers, key);
    parent.say("ready");
    loop {
        let milliseconds = parent.hear(PATIENCE).parse().expect("a number of milliseconds");
        let Pairs { count, took } = contest(Duration::from_millis(milliseconds));
        parent.say(&format!("{count} {}", took.as_nanos()));
    }
}

fn contest(name: &str, servers: &str, key: u64) -> Contest {
    let locks = Locks::builder().servers(servers).build().expect("a server list");
    match name {
        "uncontended" => Box::new(move |turn| {
            alone(turn, || {
                let guard = locks.lock(key).acquire().expect("no other caller wants the lock");
                guard.release();
            })
        }),
        "memory" => Box::new(move |turn| {
            alone(turn, || {
                annotated(&locks, key).expect("no other caller wants the lock");
            })
        }),
        "threads" => Box::new(move |turn| together(&locks, key, turn)),
        "tasks/current-thread" => one_task(Builder::new_current_thread(), locks, key),
        "tasks/multi-thread" => one_task(Builder::new_multi_thread(), locks, key),
        _ => panic!("there is no contest \"{name}\""),
    }
}

#[memlock::lock(key, locks = locks)]
fn annotated(locks: &Locks, key: u64) -> Result<(), memlock::Error> {
    Ok(())
}

fn alone(turn: Duration, mut pair: impl FnMut()) -> Pairs {
    let start = Instant::now();
    let mut count = 0;
    loop {
        for _ in 0..BETWEEN_LOOKS {
            pair();
        }
        count += BETWEEN_LOOKS;
        let took = start.elapsed();
        if took >= turn {
            return Pairs { count, took };
        }
    }
}

/// A task of its own, on a worker thread where there are any.
fn one_task(mut runtime: Builder, locks: Locks, key: u64) -> Contest {
    let runtime: Runtime = runtime.worker_threads(2).build().expect("a runtime");
    Box::new(move |turn| {
        let task = runtime.spawn(alone_async(turn, locks.clone(), key));
        runtime.block_on(task).expect("the task does not panic")
    })
}

async fn alone_async(turn: Duration, locks: Locks, key: u64) -> Pairs {
    let start = Instant::now();
    let mut count = 0;
    loop {
        for _ in 0..BETWEEN_LOOKS {
            let guard = locks.lock(key).acquire_async().await;
            guard.expect("no other caller wants the lock").release().await;
        }
        count += BETWEEN_LOOKS;
        let took = start.elapsed();
        if took >= turn {
            return Pairs { count, took };
        }
    }
}

/// All threads take the lock on one key again and again.
fn together(locks: &Locks, key: u64, turn: Duration) -> Pairs {
    let start = Instant::now() + MUSTER;
    let end = start + turn;
    // Written by the holder alone, and in two steps: if two threads hold the lock at once, one of them is not counted.
    let counted = AtomicU64::new(0);
    let one_thread = || {
        thread::sleep(start.saturating_duration_since(Instant::now()));
        let mut own = 0;
        loop {
            let guard = locks.lock(key).acquire().expect("each thread has a turn in time");
            let is_over = Instant::now() >= end;
            if !is_over {
                counted.store(counted.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                own += 1;
            }
            guard.release();
            if is_over {
                return own;
            }
        }
    };
    let by_threads: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(one_thread)).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|own| own.expect("no thread panics")).sum()
    });
    let count = counted.into_inner();
    assert_eq!(count, by_threads, "two threads held the lock at once");
    Pairs { count, took: turn }
}
