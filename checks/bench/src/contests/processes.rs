//! Four processes on one key: how fast, and how fairly, the lock goes from one to the other.
//!
//! Each process records when it asked, acquired and released, by the system's clock, which all of them read. Together the
//! records distinguish real hand-overs from a process that takes the lock again and again, and show two that were inside at
//! once.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memlock_testkit::{Parent, Peer};

use crate::contestants::{Kind, Lock};
use crate::measure::{jain, median, number, quantile, rate, rounds};
use crate::report::{Cell, Table};
use crate::stage::{Addresses, Stage};

const ROLE: &str = "contender";
const KIND: &str = "MEMLOCK_BENCH_KIND";
const PROCESSES: usize = 4;

/// How long to wait until all processes have heard of it.
const MUSTER: Duration = Duration::from_millis(50);
/// How long a process may take to come to an end: some sleep for a while after each failure.
const LIMIT: Duration = Duration::from_secs(30);

const KINDS: [Kind; 4] = [Kind::Guard, Kind::Woken, Kind::Rslock, Kind::Postgres];

/// One acquisition, in nanoseconds of the system's clock.
#[derive(Debug, Clone, Copy)]
struct Visit {
    asked: u64,
    entered: u64,
    left: u64,
}

/// The result of one turn of one kind.
struct Turn {
    rate: f64,
    handover_rate: f64,
    jain: f64,
    /// The share of the time in which some process was inside.
    efficiency: f64,
    commands: Option<f64>,
    violations: usize,
    /// In nanoseconds.
    waits: Vec<u64>,
}

pub(crate) fn run(stage: &Stage) -> Vec<Table> {
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| kind.can_play(&stage.addresses))
        .collect();
    let mut crowds: Vec<Vec<Peer>> = kinds
        .iter()
        .map(|kind| (0..PROCESSES).map(|_| start(*kind, &stage.addresses)).collect())
        .collect();
    for peer in crowds.iter().flatten() {
        assert_eq!(peer.expect_line(LIMIT), "ready");
    }
    vec![
        contest(
            stage,
            &kinds,
            &mut crowds,
            "processes/empty",
            "empty body",
            Duration::ZERO,
        ),
        contest(
            stage,
            &kinds,
            &mut crowds,
            "processes/5ms",
            "body of 5 ms",
            Duration::from_millis(5),
        ),
    ]
}

fn start(kind: Kind, addresses: &Addresses) -> Peer {
    let peer = Peer::of(ROLE).env(KIND, kind.name());
    let peer = addresses
        .variables()
        .fold(peer, |peer, (name, value)| peer.env(name, value));
    peer.start()
}

fn contest(
    stage: &Stage,
    kinds: &[Kind],
    crowds: &mut [Vec<Peer>],
    name: &'static str,
    title: &str,
    body: Duration,
) -> Table {
    let (count, window) = stage.much((10, Duration::from_secs(2)), (1, Duration::from_millis(300)));
    let rounds: Vec<Vec<Turn>> = rounds(count, kinds.len(), |index| {
        turn(stage, kinds[index], &mut crowds[index], window, body)
    });

    let mut table = Table::new(
        name,
        format!("processes: {PROCESSES} on one key, {title}, {count} rounds of {window:?}"),
        [
            "pairs/s",
            "hand-overs/s",
            "wait p50 ms",
            "p99 ms",
            "max ms",
            "Jain",
            "inside %",
            "commands/pair",
            "violations",
        ],
    );
    for (index, kind) in kinds.iter().enumerate() {
        let turns = || rounds.iter().map(|turns| &turns[index]);
        let mut waits: Vec<u64> = turns().flat_map(|turn| &turn.waits).copied().collect();
        waits.sort_unstable();
        let milliseconds = |share| Cell::Number(quantile(&waits, share) / 1e6, 2);
        let commands: Option<Vec<f64>> = turns().map(|turn| turn.commands).collect();
        table.row(
            kind.name(),
            [
                Cell::Number(median(turns().map(|turn| turn.rate)), 0),
                Cell::Number(median(turns().map(|turn| turn.handover_rate)), 0),
                milliseconds(0.5),
                milliseconds(0.99),
                milliseconds(1.0),
                Cell::Number(median(turns().map(|turn| turn.jain)), 3),
                Cell::Number(100.0 * median(turns().map(|turn| turn.efficiency)), 1),
                commands.map_or(Cell::Empty, |commands| Cell::Number(median(commands), 1)),
                Cell::Number(number(turns().map(|turn| turn.violations).sum::<usize>()), 0),
            ],
        );
    }
    table.note("hand-overs: acquisitions whose holder was another process than the holder before");
    table
}

fn turn(stage: &Stage, kind: Kind, peers: &mut [Peer], window: Duration, body: Duration) -> Turn {
    let before = stage.commands(kind);
    let start = now() + nanoseconds(MUSTER);
    let end = start + nanoseconds(window);
    let file = |number: usize| stage.folder.0.join(format!("visits-{number}"));
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(&format!(
            "{start} {end} {} {}",
            nanoseconds(body),
            file(number).display()
        ));
    }
    for peer in peers.iter() {
        assert_eq!(peer.expect_line(window + LIMIT), "done");
    }
    let commands = stage
        .commands(kind)
        .zip(before)
        .map(|(after, before)| number(after - before));

    let visits: Vec<Vec<Visit>> = (0..peers.len()).map(|number| read(&file(number))).collect();
    let mut in_order: Vec<(usize, Visit)> = visits
        .iter()
        .enumerate()
        .flat_map(|(process, visits)| visits.iter().map(move |visit| (process, *visit)))
        .collect();
    in_order.sort_by_key(|(_, visit)| visit.entered);
    let violations = in_order
        .windows(2)
        .filter(|pair| pair[1].1.entered < pair[0].1.left)
        .count();
    // The last visits begin after the end: only their waits count.
    let waits = in_order.iter().map(|(_, visit)| visit.entered - visit.asked).collect();
    let all = number(in_order.len());
    in_order.retain(|(_, visit)| visit.entered < end);
    let inside: u64 = in_order
        .iter()
        .map(|(_, visit)| visit.left.min(end) - visit.entered)
        .sum();
    let handovers = in_order.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    let shares = (0..peers.len()).map(|me| number(in_order.iter().filter(|(process, _)| *process == me).count()));
    Turn {
        rate: rate(in_order.len(), window),
        handover_rate: rate(handovers, window),
        jain: jain(shares),
        efficiency: number(inside) / number(nanoseconds(window)),
        commands: commands.map(|commands| commands / all),
        violations,
        waits,
    }
}

/// Runs the other process's part, if this is that process.
pub(crate) fn take_part() -> bool {
    let Some(parent) = Parent::of_role(ROLE) else {
        return false;
    };
    let kind = std::env::var(KIND).ok().and_then(|name| Kind::of_name(&name));
    let kind = kind.expect("the first process names the contestant");
    let mut lock = kind.process(&Addresses::from_env()).thread();
    parent.say("ready");
    loop {
        // The parent ends this process when it has no more use for it.
        let order = parent.hear(Duration::MAX);
        let words: Vec<&str> = order.splitn(4, ' ').collect();
        let [start, end, body, file] = words.as_slice() else {
            panic!("the parent said \"{order}\"");
        };
        let [start, end, body] = [start, end, body].map(|word| word.parse().expect("a number"));
        let visits = contend(lock.as_mut(), start, end, body);
        write(Path::new(file), &visits);
        parent.say("done");
    }
}

fn contend(lock: &mut dyn Lock, start: u64, end: u64, body: u64) -> Vec<Visit> {
    let mut visits = Vec::new();
    thread::sleep(Duration::from_nanos(start.saturating_sub(now())));
    let mut asked = now();
    while asked < end {
        lock.locked(0, &mut || {
            let entered = now();
            // After the end, the other processes need not wait.
            if body > 0 && entered < end {
                thread::sleep(Duration::from_nanos(body));
            }
            let left = now();
            visits.push(Visit { asked, entered, left });
        });
        asked = now();
    }
    visits
}

fn write(file: &Path, visits: &[Visit]) {
    let bytes: Vec<u8> = visits
        .iter()
        .flat_map(|visit| [visit.asked, visit.entered, visit.left])
        .flat_map(u64::to_le_bytes)
        .collect();
    fs::write(file, bytes).expect("the parent's folder is there");
}

fn read(file: &Path) -> Vec<Visit> {
    let bytes = fs::read(file).expect("each process has written what it did");
    let (numbers, _) = bytes.as_chunks::<8>();
    let (visits, _) = numbers.as_chunks::<3>();
    visits
        .iter()
        .map(|visit| {
            let [asked, entered, left] = visit.map(u64::from_le_bytes);
            Visit { asked, entered, left }
        })
        .collect()
}

/// The system's clock, which all processes share; `Instant`s are each process's own.
fn now() -> u64 {
    nanoseconds(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock after 1970"),
    )
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("less than 584 years")
}
