//! One thread and one key: the cost of a lock and an unlock.

use std::time::{Duration, Instant};

use crate::contestants::{Kind, Lock};
use crate::measure::{median, quartiles, rate, rounds};
use crate::report::{Cell, Table};
use crate::stage::Stage;

const KINDS: [Kind; 7] = [
    Kind::Bare,
    Kind::Guard,
    Kind::Attribute,
    Kind::MemcacheCrate,
    Kind::Rslock,
    Kind::Postgres,
    Kind::Memory,
];

pub(crate) fn run(stage: &Stage) -> Vec<Table> {
    let (count, pairs) = stage.much((60, 1_000), (3, 200));
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| kind.can_play(&stage.addresses))
        .collect();
    let mut locks: Vec<Box<dyn Lock>> = kinds
        .iter()
        .map(|kind| kind.process(&stage.addresses).thread())
        .collect();
    let rounds: Vec<Vec<Duration>> = rounds(count, kinds.len(), |index| {
        let start = Instant::now();
        for _ in 0..pairs {
            locks[index].locked(0, &mut || ());
        }
        start.elapsed()
    });

    let mut table = Table::new(
        "uncontended",
        format!("uncontended: lock + unlock by one thread, {count} rounds of {pairs}"),
        ["pairs/s", "µs each", "rate, of the first's"],
    );
    for (index, kind) in kinds.iter().enumerate() {
        let rate = median(rounds.iter().map(|times| rate::<u64>(pairs, times[index])));
        let ratio = |times: &Vec<Duration>| times[0].as_secs_f64() / times[index].as_secs_f64();
        table.row(
            kind.name(),
            [
                Cell::Number(rate, 0),
                Cell::Number(1e6 / rate, 1),
                Cell::Spread(quartiles(rounds.iter().map(ratio)), 2),
            ],
        );
    }
    vec![table]
}
