//! memlock as it stands against memlock at another commit: `cargo xtask bench [contest…] --against <commit> [--quick]`.
//!
//! Both are built with the same program, `src/bin/pairs.rs`, see [`build`]. The two programs run side by side and work in
//! turns of a fraction of a second, so that other work on the machine affects both alike. Each round gives one ratio.

mod build;
mod worktree;

use std::time::Duration;

use memlock_testkit::{Memcached, Peer};

use crate::measure::{median, median_interval, quartiles, rate, rounds};
use crate::report::{Cell, Table};
use crate::stage;
use build::Build;

/// How long the turns of one contest take together.
const USUALLY: Duration = Duration::from_secs(20);
const QUICK: Duration = Duration::from_secs(2);

/// How long a program may take to answer beyond its turn. A lock is waited for 30 seconds.
const PATIENCE: Duration = Duration::from_secs(50);

/// The role that the measuring program asks for.
const ROLE: &str = "pairs";

/// One contest, which can be asked for by its name.
pub(crate) struct Contest {
    pub(crate) name: &'static str,
    /// The names of its parts in the measuring program. Each part is a row of the table.
    parts: &'static [&'static str],
    /// `false` for `memory:`.
    needs_server: bool,
    turn: Duration,
}

pub(crate) const CONTESTS: [Contest; 4] = [
    Contest {
        name: "uncontended",
        parts: &["uncontended"],
        needs_server: true,
        turn: Duration::from_millis(50),
    },
    Contest {
        name: "threads",
        parts: &["threads"],
        needs_server: true,
        // Many slices of 256 holders, after which the lock goes back to the server.
        turn: Duration::from_millis(100),
    },
    Contest {
        name: "tasks",
        parts: &["tasks/current-thread", "tasks/multi-thread"],
        needs_server: true,
        turn: Duration::from_millis(50),
    },
    Contest {
        name: "memory",
        parts: &["memory"],
        needs_server: false,
        turn: Duration::from_millis(50),
    },
];

/// Measures the contests of these names, and prints the table.
pub(crate) fn run(commit: &str, names: &[&str], is_quick: bool) -> Result<(), String> {
    let builds = build::both(commit)?;
    let contests: Vec<&Contest> = CONTESTS
        .iter()
        .filter(|contest| names.contains(&contest.name))
        .collect();
    let needs_server = contests.iter().any(|contest| contest.needs_server);
    let server = needs_server.then(Memcached::start);
    let limit = if is_quick { QUICK } else { USUALLY };

    let [this, that] = &builds;
    let mut table = Table::new(
        "against",
        format!("against: this is {}, that is {}", this.label, that.label),
        [
            "this, pairs/s",
            "that, pairs/s",
            "this / that",
            "95 % interval",
            "this, commands/pair",
            "that, commands/pair",
        ],
    );
    for contest in contests {
        eprintln!("measuring {}, for {limit:?} …", contest.name);
        for part in contest.parts {
            let count = contest.rounds(limit);
            let server = server.as_ref().filter(|_| contest.needs_server);
            let rounds = measure(&builds, part, contest.turn, count, server);
            let row = format!("{part}, {count} rounds of {:?}", contest.turn);
            table.row(row, Comparison::of(&rounds).cells());
        }
    }
    table.note("this / that: the median of the rounds' ratios, and their quartiles. Above 1, this is faster.");
    table.note("95 % interval: where the median lies. Where it contains 1, these rounds show no difference.");
    table.print();
    Ok(())
}

impl Contest {
    /// How many rounds fit into `limit`, for each part.
    fn rounds(&self, limit: Duration) -> usize {
        let parts = self.parts.len() as u128;
        let round = self.turn.as_nanos() * 2 * parts;
        usize::try_from(limit.as_nanos() / round).map_or(1, |rounds| rounds.max(1))
    }
}

/// The measurement of a build in its turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Pairs per second.
    rate: f64,
    /// Commands for each pair, where there is a server.
    commands: Option<f64>,
}

/// All rounds of one part. Both programs live as long as this takes.
fn measure(
    builds: &[Build; 2],
    part: &str,
    turn: Duration,
    count: usize,
    server: Option<&Memcached>,
) -> Vec<Vec<Turn>> {
    let servers = server.map_or_else(|| "memory:".to_owned(), Memcached::address);
    // Keys of their own: neither finds items of the other, and the two may store different items.
    let mut programs: Vec<Program> = builds
        .iter()
        .zip(["1", "2"])
        .map(|(build, key)| Program::start(build, &[part, &servers, key]))
        .collect();
    rounds(count, programs.len(), |index| {
        let before = server.map(stage::memcached_commands);
        let (pairs, took) = programs[index].pairs(turn);
        let after = server.map(stage::memcached_commands);
        let rate = rate(pairs, took);
        Turn {
            rate,
            commands: after
                .zip(before)
                .map(|(after, before)| self::rate(after - before, took) / rate),
        }
    })
}

/// The measuring program of one build, running.
struct Program {
    label: String,
    peer: Peer,
}

impl Program {
    fn start(build: &Build, arguments: &[&str]) -> Program {
        let program = Program {
            label: build.label.clone(),
            peer: Peer::of_program(&build.program, arguments, ROLE).start(),
        };
        program.hear(PATIENCE);
        program
    }

    /// Has it take and release its lock for as long as `turn`. Returns how many pairs it made, and how long that took.
    fn pairs(&mut self, turn: Duration) -> (u64, Duration) {
        self.peer.send(&turn.as_millis().to_string());
        let said = self.hear(turn + PATIENCE);
        pairs_of(&said).unwrap_or_else(|| panic!("memlock of {} answered {said:?}", self.label))
    }

    fn hear(&self, limit: Duration) -> String {
        let said = self.peer.next_line(limit);
        said.unwrap_or_else(|| {
            panic!(
                "the program with memlock of {} ended, or answered nothing within {limit:?}; it may have said above why",
                self.label
            )
        })
    }
}

/// A program's answer: pairs, and nanoseconds.
fn pairs_of(said: &str) -> Option<(u64, Duration)> {
    let (pairs, nanoseconds) = said.split_once(' ')?;
    Some((pairs.parse().ok()?, Duration::from_nanos(nanoseconds.parse().ok()?)))
}

/// The result of all rounds.
#[derive(Debug)]
struct Comparison {
    /// Pairs per second, of this and of that.
    rates: [f64; 2],
    ratio: [f64; 3],
    interval: [f64; 2],
    commands: [Option<f64>; 2],
}

impl Comparison {
    fn of(rounds: &[Vec<Turn>]) -> Comparison {
        let of_side = |side: usize| rounds.iter().map(move |turns| turns[side]);
        let ratios = || rounds.iter().map(|turns| turns[0].rate / turns[1].rate);
        Comparison {
            rates: [0, 1].map(|side| median(of_side(side).map(|turn| turn.rate))),
            ratio: quartiles(ratios()),
            interval: median_interval(ratios()),
            commands: [0, 1].map(|side| {
                let commands: Option<Vec<f64>> = of_side(side).map(|turn| turn.commands).collect();
                commands.map(median)
            }),
        }
    }

    fn cells(&self) -> [Cell; 6] {
        let [this, that] = self.rates.map(|rate| Cell::Number(rate, 0));
        let [this_asks, that_asks] = self
            .commands
            .map(|commands| commands.map_or(Cell::Empty, |commands| Cell::Number(commands, 2)));
        let (ratio, interval) = (Cell::Spread(self.ratio, 3), Cell::Range(self.interval, 3));
        [this, that, ratio, interval, this_asks, that_asks]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CONTESTS, Comparison, Turn, pairs_of};

    #[test]
    fn rounds_are_compared_one_by_one() {
        // The machine slows down tenfold meanwhile, and `this` is always twice as fast as `that`.
        let round = |rate: f64| {
            let turn = |rate| Turn {
                rate,
                commands: Some(2.0),
            };
            vec![turn(rate * 2.0), turn(rate)]
        };
        let rounds: Vec<Vec<Turn>> = [1000.0, 700.0, 300.0, 100.0].map(round).into();
        let comparison = Comparison::of(&rounds);
        assert_eq!(comparison.ratio.map(|ratio| ratio.to_string()), ["2", "2", "2"]);
        assert_eq!(comparison.interval.map(|end| end.to_string()), ["2", "2"]);
        assert_eq!(comparison.rates.map(|rate| rate.to_string()), ["1400", "700"]);
        assert_eq!(comparison.commands, [Some(2.0), Some(2.0)]);
    }

    #[test]
    fn without_a_server_commands_are_not_reported() {
        let turn = Turn {
            rate: 1.0,
            commands: None,
        };
        assert_eq!(Comparison::of(&[vec![turn, turn]]).commands, [None, None]);
    }

    #[test]
    fn a_contest_takes_the_same_time_however_many_parts_it_has() {
        let limit = Duration::from_secs(20);
        let rounds = CONTESTS.map(|contest| (contest.name, contest.rounds(limit)));
        assert_eq!(
            rounds,
            [("uncontended", 200), ("threads", 100), ("tasks", 100), ("memory", 200)]
        );
        assert_eq!(CONTESTS[0].rounds(Duration::ZERO), 1);
    }

    #[test]
    fn an_answer_is_two_numbers() {
        assert_eq!(pairs_of("12 5000"), Some((12, Duration::from_micros(5))));
        for wrong in ["", "12", "12 x", "-1 5"] {
            assert_eq!(pairs_of(wrong), None);
        }
    }
}
