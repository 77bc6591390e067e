//! Eight threads of one process on one key, with an empty body: how fast a lock goes from hand to hand.

use std::time::Duration;

use crate::contestants::{Kind, Lock};
use crate::crowd::{self, Tally};
use crate::measure::{median, number, quartiles, rate, rounds};
use crate::report::{Cell, Table};
use crate::stage::Stage;

const THREADS: usize = 8;

const KINDS: [Kind; 6] = [
    Kind::Bare,
    Kind::Guard,
    Kind::Attribute,
    Kind::Separate,
    Kind::Rslock,
    Kind::Postgres,
];

pub(crate) fn run(stage: &Stage) -> Vec<Table> {
    let (count, window) = stage.much((12, Duration::from_secs(1)), (2, Duration::from_millis(200)));
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| kind.can_play(&stage.addresses))
        .collect();
    let mut crowds: Vec<Vec<Box<dyn Lock>>> = kinds
        .iter()
        .map(|kind| {
            let process = kind.process(&stage.addresses);
            // The yardstick is not a lock, so it is alone.
            let threads = if *kind == Kind::Bare { 1 } else { THREADS };
            (0..threads).map(|_| process.thread()).collect()
        })
        .collect();
    let rounds: Vec<Vec<(Tally, Option<f64>)>> = rounds(count, kinds.len(), |index| {
        let before = stage.commands(kinds[index]);
        let tally = crowd::on_one_key(&mut crowds[index], window);
        let commands = stage.commands(kinds[index]).zip(before);
        (
            tally,
            commands.map(|(after, before)| rate(after - before, window) / tally.rate),
        )
    });

    let mut table = Table::new(
        "threads",
        format!("threads: {THREADS} of one process on one key, empty body, {count} rounds of {window:?}"),
        [
            "pairs/s",
            "hand-overs/s",
            "rate, of the first's",
            "commands/pair",
            "violations",
        ],
    );
    for (index, kind) in kinds.iter().enumerate() {
        let turns = || rounds.iter().map(|turns| turns[index]);
        let of = |value: fn(Tally) -> f64| median(turns().map(|(tally, _)| value(tally)));
        let commands: Option<Vec<f64>> = turns().map(|(_, commands)| commands).collect();
        let ratios = rounds.iter().map(|turns| turns[index].0.rate / turns[0].0.rate);
        let violations: u64 = turns().map(|(tally, _)| tally.violations).sum();
        let alone = if *kind == Kind::Bare { ", one thread" } else { "" };
        table.row(
            format!("{}{alone}", kind.name()),
            [
                Cell::Number(of(|tally| tally.rate), 0),
                Cell::Number(of(|tally| tally.handover_rate), 0),
                Cell::Spread(quartiles(ratios), 2),
                commands.map_or(Cell::Empty, |commands| Cell::Number(median(commands), 2)),
                Cell::Number(number(violations), 0),
            ],
        );
    }
    table.note("hand-overs: acquisitions whose holder was another thread than the holder before");
    vec![table]
}
