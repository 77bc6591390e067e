//! Uncontended lock + unlock against a real memcached, in pairs within one run: `cargo xtask bench`.
//!
//! The yardstick is the least that a lock can cost: a hand-written loop that sends `ms … ME T c` and `md … C` on a bare
//! socket and reads one line each. Machines are noisy, so nothing is compared between runs: contestants take turns in
//! short rounds, each round gives one ratio to the yardstick's round beside it, and the median of the ratios counts.

#[path = "yardstick/mod.rs"]
mod yardstick;

use std::time::{Duration, Instant};

use memcache::exp::{MetaClient, Ttl};
use memlock::Locks;
use memlock_testkit::Memcached;
use yardstick::{BareSocket, quartiles};

const ROUNDS: usize = 60;
const PAIRS_PER_ROUND: u32 = 1_000;

/// One lock and one unlock.
type Pair<'a> = Box<dyn FnMut() + 'a>;

fn main() {
    let server = Memcached::start();
    let locks = Locks::builder()
        .servers(server.address())
        .build()
        .expect("a server list");
    let memory = Locks::builder().servers("memory:").build().expect("a server list");
    let mut socket = BareSocket::connect(&server);
    let client = MetaClient::connect(server.address()).expect("memcached is up");

    let mut contestants: Vec<(&str, Pair<'_>)> = vec![
        ("bare socket, `ms` + `md`", Box::new(|| socket.pair())),
        (
            "memlock guard",
            Box::new(|| drop(locks.lock("bench").acquire().expect("a free lock"))),
        ),
        (
            "memlock attribute",
            Box::new(|| annotated(&locks, 7).expect("a free lock")),
        ),
        (
            "memcache crate, set(add) + delete(cas)",
            Box::new(|| client_pair(&client)),
        ),
        (
            "memlock attribute on `memory:`",
            Box::new(|| annotated(&memory, 7).expect("a free lock")),
        ),
    ];
    for (_, pair) in &mut contestants {
        time(pair);
    }
    let mut rounds: Vec<Vec<Duration>> = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let mut times = vec![Duration::ZERO; contestants.len()];
        for turn in 0..contestants.len() {
            // Each round begins with another, so that none always runs on the other's heels.
            let index = (turn + round) % contestants.len();
            times[index] = time(&mut contestants[index].1);
        }
        rounds.push(times);
    }

    println!("uncontended lock + unlock, {ROUNDS} rounds of {PAIRS_PER_ROUND}; memcached on loopback, one thread");
    println!("{:<42} {:>12} {:>22}", "", "pairs/s", "rate, of the first's");
    for (index, (name, _)) in contestants.iter().enumerate() {
        let rate = |times: &Vec<Duration>| f64::from(PAIRS_PER_ROUND) / times[index].as_secs_f64();
        let ratio = |times: &Vec<Duration>| times[0].as_secs_f64() / times[index].as_secs_f64();
        let [_, rate, _] = quartiles(rounds.iter().map(rate).collect());
        let [low, median, high] = quartiles(rounds.iter().map(ratio).collect());
        println!("{name:<42} {rate:>12.0} {median:>8.2} ({low:.2} to {high:.2})");
    }
}

#[memlock::lock(id, locks = locks)]
fn annotated(locks: &Locks, id: u64) -> Result<(), memlock::Error> {
    Ok(())
}

fn time(pair: &mut Pair<'_>) -> Duration {
    let start = Instant::now();
    for _ in 0..PAIRS_PER_ROUND {
        pair();
    }
    start.elapsed()
}

fn client_pair(client: &MetaClient) {
    let stored = client
        .set("client:lock", "0123456789abcdef")
        .ttl(Ttl::secs(38))
        .add()
        .return_cas()
        .send()
        .expect("memcached is up");
    let cas = stored.cas.expect("a CAS");
    client
        .delete("client:lock")
        .compare_cas(cas)
        .send()
        .expect("memcached is up");
}
