//! A server that stands still, again and again, while processes and threads crowd around a few locks.

#![allow(clippy::incompatible_msrv, reason = "`flock` came with 1.89; users compile no tests")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{env, process, thread};

use memlock::{Error, Guard, Locks};
use memlock_testkit::{Memcached, Parent, Peer, wait_until};

use crate::stage::{MARGIN, ORPHANED, PATIENCE, longest_stall, ms, timed, whole_machine};
use crate::wire::Probe;

const PROCESSES: usize = 3;
const THREADS: usize = 4;
/// How long a caller waits for the lock.
const WAIT: Duration = ms(1500);
/// How long the server stands still, one after the other: within an exchange, longer than a short lease, longer than any
/// caller waits.
const STOPS: [Duration; 8] = [
    ms(300),
    ms(700),
    ms(300),
    ms(1500),
    ms(300),
    ms(2200),
    ms(500),
    ms(3000),
];
/// How many turns there are between two stops.
const TURNS_BETWEEN: u64 = 300;

/// The lease of each key. The first outlast every stop; the others end in the middle of some.
const LEASES: [Duration; 4] = [Duration::from_secs(20), Duration::from_secs(20), ms(400), ms(400)];

/// The variable with the directory in which the test's peers leave their traces.
const TRACES: &str = "MEMLOCK_TEST_TRACES";

/// A directory for one file per key, removed in the end.
struct Traces(PathBuf);

impl Traces {
    fn new() -> Traces {
        let path = env::temp_dir().join(format!("memlock-stops-{}", process::id()));
        fs::create_dir(&path).expect("a directory for traces");
        Traces(path)
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // A folder that stays in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One line of a trace: the token, and two moments at which its holder believed in its lease, on the clock that all
/// processes of a machine share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Belief {
    token: u64,
    first: u128,
    last: u128,
}

impl Belief {
    fn parse(line: &str) -> Option<Belief> {
        let mut words = line.split(' ');
        Some(Belief {
            token: words.next()?.parse().ok()?,
            first: words.next()?.parse().ok()?,
            last: words.next()?.parse().ok()?,
        })
    }
}

#[test]
fn while_the_server_stops_again_and_again_there_is_one_holder_at_a_time_and_then_no_orphan() {
    const NAME: &str = "stops::while_the_server_stops_again_and_again_there_is_one_holder_at_a_time_and_then_no_orphan";
    if let Some(parent) = Parent::of_role("crowd") {
        return crowd(&parent);
    }
    let _share = whole_machine();
    let server = Memcached::start();
    let traces = Traces::new();
    let mut crowds: Vec<Peer> = (0..PROCESSES)
        .map(|_| {
            Peer::of("crowd")
                .test(NAME)
                .env("MEMLOCK_SERVERS", server.address())
                .env(TRACES, &traces.0)
                .start()
        })
        .collect();
    for crowd in &crowds {
        assert_eq!(crowd.expect_line(PATIENCE), "ready");
    }
    for stop in STOPS {
        let turns = server.stat("cmd_set").expect("the server answers");
        wait_until("the crowd to be at work", PATIENCE, || {
            server.stat("cmd_set").is_some_and(|sets| sets > turns + TURNS_BETWEEN)
        });
        server.pause();
        let stopped = Instant::now();
        wait_until("the stop to be over", PATIENCE, || stopped.elapsed() >= stop);
        server.resume();
    }
    for crowd in &mut crowds {
        crowd.send("stop");
    }
    for crowd in &crowds {
        println!("{}", crowd.expect_line(PATIENCE));
    }
    // The processes still run, and must clean away what they left behind.
    let mut probe = Probe::of(&server.address());
    let ((), took) = timed(|| {
        wait_until("no lock to be left on the server", ORPHANED, || {
            (0..LEASES.len()).all(|key| probe.item(&format!("memlock:lock:{key}")).is_none())
        });
    });
    println!("nothing was left {took:.1?} after the last caller was done");

    for (key, lease) in LEASES.iter().enumerate() {
        let trace = fs::read_to_string(traces.0.join(key.to_string())).expect("its key was locked");
        let mut beliefs: Vec<Belief> = trace.lines().map(|line| Belief::parse(line).expect("a line")).collect();
        assert_eq!(
            fs::read_to_string(traces.0.join(format!("{key}.violations"))).unwrap_or_default(),
            ""
        );
        beliefs.sort_unstable_by_key(|belief| belief.first);
        println!("key {key}, lease {lease:?}: {} holders", beliefs.len());
        assert!(beliefs.len() > STOPS.len(), "too few holders");
        for pair in beliefs.windows(2) {
            assert!(pair[0].last < pair[1].first, "two holders at once: {pair:?}");
            assert!(pair[0].token < pair[1].token, "a token that does not rise: {pair:?}");
        }
    }
}

fn crowd(parent: &Parent) {
    // The directory is the parent's.
    let traces = PathBuf::from(env::var_os(TRACES).expect("the test says where"));
    let locks = Locks::builder()
        .exchange_timeout(ms(100))
        .build()
        .expect("the test says where");
    let is_over = AtomicBool::new(false);
    let tally = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (locks, traces, is_over) = (&locks, &traces, &is_over);
                scope.spawn(move || contend(locks, traces, is_over, thread))
            })
            .collect();
        let meter = scope.spawn(|| longest_stall(|| is_over.load(Ordering::SeqCst)));
        parent.say("ready");
        assert_eq!(parent.hear(PATIENCE), "stop");
        is_over.store(true, Ordering::SeqCst);
        let stalled = meter.join().expect("no panic");
        let tallies = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        let stalled = Tally {
            stalled,
            ..Tally::default()
        };
        tallies.fold(stalled, |sum, tally| sum.and(&tally))
    });
    assert!(
        tally.longest < WAIT + MARGIN + 2 * tally.stalled,
        "a caller was kept: {tally:?}"
    );
    parent.say(&format!("{tally:?}"));
    // Ends with the parent.
    let _ = parent.hear(Duration::MAX);
}

/// What callers got.
#[derive(Debug, Default)]
struct Tally {
    granted: u32,
    busy: u32,
    unavailable: u32,
    lost: u32,
    longest: Duration,
    /// For how long the machine kept a thread that had nothing to do with locks.
    stalled: Duration,
}

impl Tally {
    fn and(self, other: &Tally) -> Tally {
        Tally {
            granted: self.granted + other.granted,
            busy: self.busy + other.busy,
            unavailable: self.unavailable + other.unavailable,
            lost: self.lost + other.lost,
            longest: self.longest.max(other.longest),
            stalled: self.stalled.max(other.stalled),
        }
    }
}

fn contend(locks: &Locks, traces: &Path, is_over: &AtomicBool, thread: usize) -> Tally {
    let mut tally = Tally::default();
    let mut files: Vec<File> = (0..LEASES.len()).map(|key| open(traces, &key.to_string())).collect();
    for turn in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let key = (turn + thread) % LEASES.len();
        let (result, took) = timed(|| locks.lock(key).timeout(LEASES[key]).wait(WAIT).acquire());
        tally.longest = tally.longest.max(took);
        match result {
            Ok(guard) => {
                tally.granted += 1;
                // Some stay for as long as they may, so that their leases end by themselves.
                let is_slow = LEASES[key] < WAIT && turn % 37 == 0;
                let is_alone = hold(&guard, &mut files[key], is_slow);
                tally.lost += u32::from(!guard.is_valid());
                if !is_alone {
                    let mut violations = open(traces, &format!("{key}.violations"));
                    writeln!(violations, "{}", guard.token()).expect("room for a line");
                }
            }
            Err(Error::Busy { .. }) => tally.busy += 1,
            Err(Error::Unavailable { .. }) => tally.unavailable += 1,
            Err(error) => panic!("another error: {error}"),
        }
    }
    tally
}

fn open(traces: &Path, name: &str) -> File {
    let opened = OpenOptions::new().create(true).append(true).open(traces.join(name));
    opened.expect("a file in the directory for traces")
}

/// The body. It is alone by a lock of the operating system that does not wait, where the lease is so long that no body
/// outlasts it; and for as long as it believes in its lease, it writes that down.
fn hold(guard: &Guard, file: &mut File, is_slow: bool) -> bool {
    let first = now();
    if !guard.is_valid() {
        return true;
    }
    let is_long = guard.remaining() > PATIENCE / 6;
    if is_long {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return false,
            Err(TryLockError::Error(error)) => panic!("{error}"),
        }
    }
    let mut last = first;
    loop {
        let moment = now();
        // Belief has no gaps: a holder that believes now believed at that moment.
        if !guard.is_valid() {
            break;
        }
        last = moment;
        if !is_slow {
            break;
        }
        thread::yield_now();
    }
    let line = format!("{} {first} {last}\n", guard.token());
    file.write_all(line.as_bytes()).expect("room for a line");
    if is_long {
        file.unlock().expect("it is locked");
    }
    true
}

fn now() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a clock that was set").as_nanos()
}
