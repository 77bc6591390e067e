//! Asynchronous tasks: one alone, sixty-four on keys of their own, and sixty-four on one key.

use std::iter;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::contestants::Kind;
use crate::futures::{Process, crowd};
use crate::measure::{median, quartiles, rounds};
use crate::report::{Cell, Table};
use crate::stage::Stage;

const TASKS: usize = 64;

const KINDS: [Kind; 5] = [
    Kind::Bare,
    Kind::Guard,
    Kind::Attribute,
    Kind::MemcacheCrate,
    Kind::Rslock,
];

/// Pairs per second.
struct Turn {
    alone: f64,
    together: f64,
    /// `None` for contestants that are not locks.
    on_one_key: Option<f64>,
}

pub(crate) fn run(stage: &Stage) -> Vec<Table> {
    let multi_thread = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let current_thread = Builder::new_current_thread().enable_all().build();
    vec![
        on(
            stage,
            &multi_thread.expect("a runtime"),
            "tasks/multi-thread",
            "tokio with two worker threads",
        ),
        on(
            stage,
            &current_thread.expect("a runtime"),
            "tasks/current-thread",
            "tokio on one thread",
        ),
    ]
}

fn on(stage: &Stage, runtime: &Runtime, name: &'static str, title: &str) -> Table {
    let (count, window) = stage.much((12, Duration::from_millis(400)), (2, Duration::from_millis(100)));
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| kind.can_play(&stage.addresses))
        .collect();
    let processes: Vec<Process> = kinds
        .iter()
        .map(|kind| runtime.block_on(Process::open(*kind, &stage.addresses)))
        .collect();
    let rounds: Vec<Vec<Turn>> = rounds(count, kinds.len(), |index| {
        let crowd =
            |tasks, key: fn(usize) -> u64| crowd(runtime, &processes[index], tasks, window, |me| iter::repeat(key(me)));
        let is_lock = !matches!(kinds[index], Kind::Bare | Kind::MemcacheCrate);
        Turn {
            alone: crowd(1, |_| 0),
            together: crowd(TASKS, |me| me as u64),
            on_one_key: is_lock.then(|| crowd(TASKS, |_| 0)),
        }
    });

    let together = format!("{TASKS} tasks, {TASKS} keys");
    let mut table = Table::new(
        name,
        format!("tasks: pairs/s on {title}, {count} rounds of {window:?}"),
        [
            "1 task",
            "of the first's",
            &together,
            "of the first's",
            &format!("{TASKS} : 1"),
            &format!("{TASKS} tasks, one key"),
        ],
    );
    for (index, kind) in kinds.iter().enumerate() {
        let spread = |ratio: fn(&Turn, &Turn) -> f64| {
            Cell::Spread(quartiles(rounds.iter().map(|turns| ratio(&turns[index], &turns[0]))), 2)
        };
        let median = |value: fn(&Turn) -> f64| median(rounds.iter().map(|turns| value(&turns[index])));
        table.row(
            kind.name(),
            [
                Cell::Number(median(|turn| turn.alone), 0),
                spread(|turn, first| turn.alone / first.alone),
                Cell::Number(median(|turn| turn.together), 0),
                spread(|turn, first| turn.together / first.together),
                spread(|turn, _| turn.together / turn.alone),
                Cell::Number(median(|turn| turn.on_one_key.unwrap_or(f64::NAN)), 0),
            ],
        );
    }
    table
}
