//! At most one holder at a time, between processes and threads.

#![allow(clippy::incompatible_msrv, reason = "`flock` came with 1.89; users compile no tests")]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use memlock::Locks;
use memlock_testkit::{Parent, Peer, wait_until};

use crate::stage::{PATIENCE, Stage};

/// How many processes and threads contend, for how many keys, and how often each thread.
struct Crowd {
    processes: usize,
    threads: usize,
    keys: usize,
    turns: usize,
}

/// Contention between processes.
const PROCESSES: Crowd = Crowd {
    processes: 8,
    threads: 2,
    keys: 3,
    turns: 1251,
};

/// Contention mostly between the threads of each process: nearly all of their locks are handed over inside it.
const THREADS: Crowd = Crowd {
    processes: 3,
    threads: 8,
    keys: 1,
    turns: 1000,
};

const LIMIT: Duration = Duration::from_secs(3 * 60);

/// The variable with the directory in which the test's peers leave their traces.
const TRACES: &str = "MEMLOCK_TEST_TRACES";

/// A directory for one file per key, removed in the end.
struct Traces(PathBuf);

impl Traces {
    fn new(test: &str) -> Traces {
        let test = test.replace("::", "-");
        let path = env::temp_dir().join(format!("memlock-{test}-{}", process::id()));
        fs::create_dir(&path).expect("a directory for traces");
        Traces(path)
    }

    fn of(&self, key: usize) -> PathBuf {
        self.0.join(key.to_string())
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // A folder that stays in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Each body proves to itself that it is alone, by a lock of the operating system that does not wait, and writes down
/// its token while it holds the lock: so the file has the tokens in the order of the bodies.
#[test]
fn processes_and_threads_exclude_each_other_and_tokens_rise() {
    const NAME: &str = "exclusion::processes_and_threads_exclude_each_other_and_tokens_rise";
    if let Some(parent) = Parent::of_role("contender") {
        return contend(&parent, &PROCESSES);
    }
    let stage = Stage::on_a_machine_of_its_own();
    watch_over(&stage, NAME, &PROCESSES);
}

/// The same, but most locks never reach the server.
#[test]
fn hand_overs_inside_processes_exclude_others_and_spare_the_server() {
    const NAME: &str = "exclusion::hand_overs_inside_processes_exclude_others_and_spare_the_server";
    if let Some(parent) = Parent::of_role("contender") {
        return contend(&parent, &THREADS);
    }
    let stage = Stage::on_a_machine_of_its_own();
    let before = stage.number("cmd_set");
    let entered = watch_over(&stage, NAME, &THREADS);
    let stores = stage.number("cmd_set") - before;
    println!("{stores} stores on the server for {entered} acquisitions");
    assert!(
        stores < entered as u64 / 4,
        "{stores} stores for {entered} acquisitions"
    );
}

/// Runs a crowd. Checks that no two bodies ran at once, and that tokens rose.
fn watch_over(stage: &Stage, name: &str, crowd: &Crowd) -> usize {
    let traces = Traces::new(name);
    let mut contenders: Vec<Peer> = (0..crowd.processes)
        .map(|_| {
            Peer::of("contender")
                .test(name)
                .env("MEMLOCK_SERVERS", stage.address())
                .env(TRACES, &traces.0)
                .start()
        })
        .collect();
    for contender in &contenders {
        assert_eq!(contender.expect_line(PATIENCE), "ready");
    }
    let started = Instant::now();
    for contender in &mut contenders {
        contender.send("go");
    }
    let mut violations = 0;
    let mut longest = 0;
    for contender in &contenders {
        let answer = contender.expect_line(LIMIT);
        let (violated, waited) = answer.split_once(' ').expect("two numbers");
        violations += violated.parse::<u32>().expect("a count");
        longest = longest.max(waited.parse::<u128>().expect("milliseconds"));
    }
    let took = started.elapsed();

    let mut entered = 0;
    for key in 0..crowd.keys {
        let trace = fs::read_to_string(traces.of(key)).expect("its key was locked");
        let tokens: Vec<u64> = trace.lines().map(|line| line.parse().expect("a token")).collect();
        assert!(
            tokens.is_sorted_by(|earlier, later| earlier < later),
            "the tokens of key {key} do not rise"
        );
        entered += tokens.len();
    }
    println!("{entered} acquisitions in {took:.1?}, {violations} violations; the longest wait took {longest} ms");
    assert_eq!(violations, 0, "of {entered} bodies so many were not alone");
    assert_eq!(entered, crowd.processes * crowd.threads * crowd.turns);
    assert!(entered >= 20_000);
    wait_until("no lock to be left on the server", PATIENCE, || {
        stage.items_of_locks() == 0
    });
    entered
}

fn contend(parent: &Parent, crowd: &Crowd) {
    let traces = Traces(env::var_os(TRACES).expect("the test says where").into());
    let locks = Locks::from_env().expect("the test says where");
    let violations = AtomicU32::new(0);
    let start = Barrier::new(crowd.threads + 1);
    let longest = thread::scope(|scope| {
        let threads: Vec<_> = (0..crowd.threads)
            .map(|thread| {
                let (locks, traces, violations, start) = (&locks, &traces, &violations, &start);
                scope.spawn(move || {
                    let mut longest = Duration::ZERO;
                    let mut files: Vec<File> = (0..crowd.keys).map(|key| open(traces, key)).collect();
                    start.wait();
                    for turn in 0..crowd.turns {
                        let key = (turn + thread) % crowd.keys;
                        let asked = Instant::now();
                        let guard = locks.lock(key).acquire().expect("nothing is wrong with the server");
                        longest = longest.max(asked.elapsed());
                        if !is_alone(&mut files[key], guard.token().get()) {
                            violations.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    longest
                })
            })
            .collect();
        parent.say("ready");
        let _go = parent.hear(PATIENCE);
        start.wait();
        let waits = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        waits.max().unwrap_or_default()
    });
    parent.say(&format!("{} {}", violations.into_inner(), longest.as_millis()));
    // The directory is the parent's.
    std::mem::forget(traces);
}

fn open(traces: &Traces, key: usize) -> File {
    let opened = OpenOptions::new().create(true).append(true).open(traces.of(key));
    opened.expect("a file in the directory for traces")
}

/// The body.
fn is_alone(file: &mut File, token: u64) -> bool {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return false,
        Err(TryLockError::Error(error)) => panic!("{error}"),
    }
    file.write_all(format!("{token}\n").as_bytes())
        .expect("room for a line");
    file.unlock().expect("it is locked");
    true
}
