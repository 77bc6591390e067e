//! The output: progress while it runs, and the table at the end.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// One run of all transfers.
pub(crate) struct Run {
    pub(crate) transfers: u64,
    /// Account updates that another update overwrote.
    pub(crate) lost_updates: i64,
    /// Money in the bank at the end, less that at the beginning.
    pub(crate) money: i64,
    pub(crate) elapsed: Duration,
    pub(crate) waits: Vec<Duration>,
}

impl Run {
    pub(crate) fn is_correct(&self) -> bool {
        self.lost_updates == 0 && self.money == 0
    }

    /// The time within which `percent` of the transfers got their turn.
    fn wait(&self, percent: usize) -> Duration {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        let rank = (waits.len() * percent).div_ceil(100).max(1) - 1;
        waits.get(rank).copied().unwrap_or_default()
    }
}

/// Prints the table, and a verdict in a sentence.
pub(crate) fn table(without: &Run, with: &Run) {
    let row =
        |name: &str, cell: &dyn Fn(&Run) -> String| println!("  {name:<28}{:>16}{:>16}", cell(without), cell(with));
    println!("\n  {:<28}{:>16}{:>16}", "", "without a lock", "with the lock");
    println!("  {}", "-".repeat(60));
    row("transfers", &|run| run.transfers.to_string());
    row("account updates", &|run| (2 * run.transfers).to_string());
    row("updates lost", &|run| run.lost_updates.to_string());
    row("money created or destroyed", &|run| {
        if run.money == 0 {
            "0".to_owned()
        } else {
            format!("{:+}", run.money)
        }
    });
    row("elapsed", &|run| format!("{:.1} s", run.elapsed.as_secs_f64()));
    row("transfers per second", &|run| {
        (u128::from(run.transfers) * 1000 / run.elapsed.as_millis().max(1)).to_string()
    });
    row("waited for a turn: median", &|run| milliseconds(run.wait(50)));
    row("                   99 %", &|run| milliseconds(run.wait(99)));
    row("                   longest", &|run| milliseconds(run.wait(100)));
    println!();
    println!("{}", verdict(without, with));
}

fn verdict(without: &Run, with: &Run) -> &'static str {
    match (without.is_correct(), with.is_correct()) {
        (false, true) => "Without the lock, updates were overwritten and lost. With it, none were.",
        (true, true) => {
            "With the lock, no update was lost. Without it none was lost either this time, by luck: run it again."
        }
        (_, false) => "With the lock, updates were LOST. This must not happen: please report it.",
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// A line that is overwritten again and again on a terminal, and printed now and then elsewhere.
pub(crate) struct Progress {
    name: &'static str,
    goal: u64,
    start: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new(name: &'static str, goal: u64) -> Self {
        Self {
            name,
            goal,
            start: Instant::now(),
            shown: None,
            is_terminal: io::stdout().is_terminal(),
        }
    }

    pub(crate) fn show(&mut self, count: u64) {
        let pause = if self.is_terminal {
            Duration::from_millis(100)
        } else {
            Duration::from_secs(2)
        };
        if self.shown.is_none_or(|shown| shown.elapsed() >= pause) {
            self.shown = Some(Instant::now());
            self.print(count);
        }
    }

    pub(crate) fn finish(&self) {
        self.print(self.goal);
        if self.is_terminal {
            println!();
        }
    }

    fn print(&self, count: u64) {
        const WIDTH: usize = 30;
        let filled = usize::try_from(count * WIDTH as u64 / self.goal).map_or(WIDTH, |filled| filled.min(WIDTH));
        let bar = "#".repeat(filled) + &".".repeat(WIDTH - filled);
        let seconds = self.start.elapsed().as_secs_f64();
        let line = format!(
            "{:<14} [{bar}] {count:>5} of {} transfers, {seconds:>5.1} s",
            self.name, self.goal
        );
        if self.is_terminal {
            print!("\r{line}");
            // If the terminal cannot be written to, the demo still goes on.
            let _ = io::stdout().flush();
        } else {
            println!("{line}");
        }
    }
}
