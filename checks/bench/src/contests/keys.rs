//! Thousands of keys, so that callers seldom meet: what the pools and the queues cost.

use std::time::Duration;

use tokio::runtime::Builder;

use crate::contestants::{Kind, Lock};
use crate::crowd::{on_many_keys, walk};
use crate::futures::{self, Process};
use crate::measure::{median, quartiles, rounds};
use crate::report::{Cell, Table};
use crate::stage::Stage;

const KEYS: u64 = 5_000;
const THREADS: usize = 8;
const TASKS: usize = 64;

const WITH_THREADS: [Kind; 5] = [
    Kind::Bare,
    Kind::Guard,
    Kind::MemcacheCrate,
    Kind::Rslock,
    Kind::Postgres,
];
const WITH_TASKS: [Kind; 4] = [Kind::Bare, Kind::Guard, Kind::MemcacheCrate, Kind::Rslock];

pub(crate) fn run(stage: &Stage) -> Vec<Table> {
    vec![threads(stage), tasks(stage)]
}

fn threads(stage: &Stage) -> Table {
    let kinds = playing(stage, &WITH_THREADS);
    let mut crowds: Vec<Vec<Box<dyn Lock>>> = kinds
        .iter()
        .map(|kind| {
            let process = kind.process(&stage.addresses);
            (0..THREADS).map(|_| process.thread()).collect()
        })
        .collect();
    contest(
        stage,
        "keys/threads",
        &format!("{THREADS} threads"),
        &kinds,
        |index, window| on_many_keys(&mut crowds[index], window, KEYS),
    )
}

fn tasks(stage: &Stage) -> Table {
    let kinds = playing(stage, &WITH_TASKS);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let processes: Vec<Process> = kinds
        .iter()
        .map(|kind| runtime.block_on(Process::open(*kind, &stage.addresses)))
        .collect();
    let callers = format!("{TASKS} tasks on tokio with two worker threads");
    contest(stage, "keys/tasks", &callers, &kinds, |index, window| {
        futures::crowd(&runtime, &processes[index], TASKS, window, |me| walk(me, KEYS))
    })
}

fn playing(stage: &Stage, kinds: &[Kind]) -> Vec<Kind> {
    let kinds = kinds.iter().copied();
    kinds.filter(|kind| kind.can_play(&stage.addresses)).collect()
}

fn contest(
    stage: &Stage,
    name: &'static str,
    callers: &str,
    kinds: &[Kind],
    mut turn: impl FnMut(usize, Duration) -> f64,
) -> Table {
    let (count, window) = stage.much((12, Duration::from_millis(500)), (2, Duration::from_millis(100)));
    let rounds = rounds(count, kinds.len(), |index| turn(index, window));
    let mut table = Table::new(
        name,
        format!("keys: {callers}, {KEYS} keys at random, {count} rounds of {window:?}"),
        ["pairs/s", "rate, of the first's"],
    );
    for (index, kind) in kinds.iter().enumerate() {
        table.row(
            kind.name(),
            [
                Cell::Number(median(rounds.iter().map(|rates| rates[index])), 0),
                Cell::Spread(quartiles(rounds.iter().map(|rates| rates[index] / rates[0])), 2),
            ],
        );
    }
    table.note("the bare sockets and the memcache crate do not wait: where they find a key taken, they do without");
    table
}
