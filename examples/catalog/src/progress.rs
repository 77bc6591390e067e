//! A bar that fills.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// A line that is overwritten again and again on a terminal, and printed now and then elsewhere.
pub(crate) struct Progress {
    name: &'static str,
    goal: u32,
    start: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new(name: &'static str, goal: u32) -> Self {
        Self {
            name,
            goal,
            start: Instant::now(),
            shown: None,
            is_terminal: io::stdout().is_terminal(),
        }
    }

    pub(crate) fn show(&mut self, committed: usize, thrown_away: usize) {
        let pause = if self.is_terminal {
            Duration::from_millis(100)
        } else {
            Duration::from_secs(2)
        };
        if self.shown.is_none_or(|shown| shown.elapsed() >= pause) {
            self.shown = Some(Instant::now());
            self.print(committed, thrown_away);
        }
    }

    pub(crate) fn finish(&self, committed: usize, thrown_away: usize) {
        self.print(committed, thrown_away);
        if self.is_terminal {
            println!();
        }
    }

    fn print(&self, committed: usize, thrown_away: usize) {
        const WIDTH: usize = 30;
        let filled = (committed * WIDTH / self.goal.max(1) as usize).min(WIDTH);
        let bar = "#".repeat(filled) + &".".repeat(WIDTH - filled);
        let seconds = self.start.elapsed().as_secs_f64();
        let line = format!(
            "{:<14} [{bar}] {committed:>4} of {} documents, {thrown_away:>4} computations thrown away, {seconds:>5.1} s",
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
