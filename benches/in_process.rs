//! Threads of one process on one key, against a real memcached: `cargo xtask bench`.
//!
//! The yardstick is one thread alone that sends `ms … ME T c` and `md … C` on a bare socket: the least that a lock can
//! cost which asks the server each time. Rounds of both take turns, each gives one ratio, and the median counts, since a
//! machine is not the same from one second to the next. How many of the acquisitions were hand-overs inside the process is
//! told by the tokens: their last byte counts the hand-overs under one grant.

#[path = "yardstick/mod.rs"]
mod yardstick;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memlock::Locks;
use memlock_testkit::Memcached;
use yardstick::{BareSocket, quartiles};

const ROUNDS: usize = 40;
const BARE_PAIRS: u32 = 1_000;
const THREADS: u32 = 8;
const TURNS: u32 = 2_500;

fn main() {
    let server = Memcached::start();
    let locks = Locks::builder()
        .servers(server.address())
        .build()
        .expect("a server list");
    let mut socket = BareSocket::connect(&server);
    let handed_over = AtomicU64::new(0);
    let mut bare = || rate(BARE_PAIRS, time(|| (0..BARE_PAIRS).for_each(|_| socket.pair())));
    let threads = || rate(THREADS * TURNS, contend(&locks, &handed_over));
    bare();
    threads();
    handed_over.store(0, Ordering::Relaxed);
    let before = locks.counts().acquired;
    let stores = server.stat("cmd_set");
    let rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (bare(), threads())).collect();

    println!("{THREADS} threads of one process on one key, empty body, {ROUNDS} rounds of {TURNS} turns each");
    println!("{:<42} {:>12} {:>22}", "", "pairs/s", "rate, of the first's");
    let [_, alone, _] = quartiles(rounds.iter().map(|(bare, _)| *bare).collect());
    println!("{:<42} {alone:>12.0} {:>8.2}", "bare socket, one thread", 1.0);
    let [_, together, _] = quartiles(rounds.iter().map(|(_, threads)| *threads).collect());
    let [low, median, high] = quartiles(rounds.iter().map(|(bare, threads)| threads / bare).collect());
    println!(
        "{:<42} {together:>12.0} {median:>8.2} ({low:.2} to {high:.2})",
        format!("memlock guard, {THREADS} threads")
    );
    let acquired = locks.counts().acquired - before;
    let stores = server
        .stat("cmd_set")
        .zip(stores)
        .map_or(0, |(now, before)| now - before);
    let of_memlock = stores - u64::from(BARE_PAIRS) * ROUNDS as u64;
    println!(
        "{acquired} acquisitions, {} of them handed over inside the process; {of_memlock} stores on the server",
        handed_over.into_inner()
    );
}

/// All threads take their turns, at once.
fn contend(locks: &Locks, handed_over: &AtomicU64) -> Duration {
    let start = Barrier::new(THREADS as usize + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let mut of_this_thread = 0;
                    for _ in 0..TURNS {
                        let guard = locks.lock("bench").acquire().expect("nothing is wrong with the server");
                        of_this_thread += u64::from(guard.token().get().trailing_zeros() < 8);
                    }
                    handed_over.fetch_add(of_this_thread, Ordering::Relaxed);
                })
            })
            .collect();
        start.wait();
        time(|| threads.into_iter().for_each(|thread| thread.join().expect("no panic")))
    })
}

fn time(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

fn rate(pairs: u32, took: Duration) -> f64 {
    f64::from(pairs) / took.as_secs_f64()
}
