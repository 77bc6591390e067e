//! The verdict, from the seats that customers were promised; and the table.

use std::collections::HashSet;
use std::time::Duration;

use hyper::StatusCode;

use crate::customers::{Answer, EVENTS, SEATS};

/// One run of all requests.
pub(crate) struct Run {
    pub(crate) instances: usize,
    pub(crate) answers: Vec<Answer>,
    pub(crate) elapsed: Duration,
    /// How many tickets are sold, by the box office's own count.
    pub(crate) booked: u32,
}

impl Run {
    pub(crate) fn is_correct(&self) -> bool {
        self.sold_again() == 0
            && self.oversold() == 0
            && self.booked as usize == self.promised(|_| true).len()
            && self.with_other_status() == 0
    }

    /// Promises of a seat that another customer was promised before.
    pub(crate) fn sold_again(&self) -> usize {
        let promised = self.promised(|_| true);
        let seats: HashSet<(u32, u32)> = promised.iter().copied().collect();
        promised.len() - seats.len()
    }

    /// Promises beyond the seats that there are.
    pub(crate) fn oversold(&self) -> usize {
        let promised = |event| self.promised(|answer| answer.event == event).len();
        (0..EVENTS)
            .map(|event| promised(event).saturating_sub(SEATS as usize))
            .sum()
    }

    /// The seats that were promised, by event and number.
    pub(crate) fn promised(&self, which: impl Fn(&Answer) -> bool) -> Vec<(u32, u32)> {
        let answers = self.answers.iter().filter(|answer| which(answer));
        answers
            .filter_map(|answer| Some((answer.event, answer.seat?)))
            .collect()
    }

    fn with_status(&self, status: StatusCode) -> usize {
        self.answers.iter().filter(|answer| answer.status == status).count()
    }

    /// Answers with a status that the service should not give here.
    pub(crate) fn with_other_status(&self) -> usize {
        let expected = [SOLD, SOLD_OUT, TRY_AGAIN].map(|status| self.with_status(status));
        self.answers.len() - expected.iter().sum::<usize>()
    }

    /// The time within which `percent` of the answers that `which` chooses came.
    fn latency(&self, percent: usize, which: impl Fn(&Answer) -> bool) -> Duration {
        let answers = self.answers.iter().filter(|answer| which(answer));
        let mut times: Vec<Duration> = answers.map(|answer| answer.took).collect();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1) - 1;
        times.get(rank).copied().unwrap_or_default()
    }
}

const SOLD: StatusCode = StatusCode::CREATED;
const SOLD_OUT: StatusCode = StatusCode::CONFLICT;
const TRY_AGAIN: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// Prints the table, and a verdict in a sentence.
pub(crate) fn table(without: &Run, with: &Run) {
    let row =
        |name: &str, cell: &dyn Fn(&Run) -> String| println!("  {name:<32}{:>16}{:>16}", cell(without), cell(with));
    println!("  {:<32}{:>16}{:>16}", "", "without a lock", "with the lock");
    println!("  {}", "-".repeat(64));
    row("requests", &|run| run.answers.len().to_string());
    row("  201 here is your seat", &|run| run.with_status(SOLD).to_string());
    row("  409 sold out", &|run| run.with_status(SOLD_OUT).to_string());
    row("  503 try again", &|run| run.with_status(TRY_AGAIN).to_string());
    row("  anything else", &|run| run.with_other_status().to_string());
    row("sold in the box office's books", &|run| run.booked.to_string());
    row("sales of a seat already sold", &|run| run.sold_again().to_string());
    row("tickets beyond the last seat", &|run| run.oversold().to_string());
    row("requests per second", &|run| {
        (run.answers.len() as u128 * 1000 / run.elapsed.as_millis().max(1)).to_string()
    });
    row("answered within: median", &|run| {
        milliseconds(run.latency(50, |_| true))
    });
    row("                 99 %", &|run| milliseconds(run.latency(99, |_| true)));
    for instance in 0..without.instances {
        let here = |answer: &Answer| answer.instance == instance;
        let number = instance + 1;
        row(&format!("instance {number}: seats promised"), &|run| {
            run.promised(here).len().to_string()
        });
        row("            median", &|run| milliseconds(run.latency(50, here)));
        row("            99 %", &|run| milliseconds(run.latency(99, here)));
    }
    println!("\n{}", verdict(without, with));
}

fn verdict(without: &Run, with: &Run) -> &'static str {
    match (without.is_correct(), with.is_correct()) {
        (false, true) => "Without the lock, seats were sold twice. With it, none was.",
        (true, true) => {
            "With the lock, no seat was sold twice. Without it none was sold twice either this time, by luck: run it again."
        }
        (_, false) => "With the lock, something went WRONG. This must not happen: please report it.",
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
