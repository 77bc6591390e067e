//! The timeline: a picture of when each process computed, waited, committed, and threw work away.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs, io};

use crate::diary::{Deed, Entry};
use crate::run::Run;

const WIDTH: f64 = 1200.0;
/// Room for names on the left.
const NAMES: f64 = 90.0;
const MARGIN: f64 = 10.0;
const TITLE: f64 = 34.0;
const ROW: f64 = 16.0;
const BAR: f64 = 12.0;

/// One grey for text, which can be read on white and on black.
const TEXT: &str = "#808080";
const COLORS: [(Deed, &str, &str); 3] = [
    (Deed::Waited, "#cbd5e1", "waited"),
    (Deed::Committed, "#16a34a", "computed and committed"),
    (Deed::ThrewAway, "#dc2626", "computed and threw it away"),
];
const CLICK: &str = "#2563eb";

/// Writes it beside this program, and returns its path.
pub(crate) fn draw(name: &str, runs: &[Run]) -> io::Result<PathBuf> {
    let file = env::current_exe()?.with_file_name(format!("{name}.svg"));
    fs::write(&file, picture(runs))?;
    Ok(file)
}

fn picture(runs: &[Run]) -> String {
    // All runs have one scale: a longer run is a longer picture.
    let longest = runs.iter().map(|run| run.elapsed).max().unwrap_or_default();
    let mut drawn = legend();
    let mut below = TITLE;
    for run in runs {
        below = draw_run(&mut drawn, run, longest, below);
    }
    let height = below + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"{TEXT}\">\n{drawn}</svg>\n"
    )
}

fn legend() -> String {
    let mut drawn = String::new();
    let clicks = (CLICK, "a click, by another process");
    let entries = COLORS
        .map(|(_, color, meaning)| (color, meaning))
        .into_iter()
        .chain([clicks]);
    for (place, (color, meaning)) in (0..).zip(entries) {
        let left = NAMES + 220.0 * f64::from(place);
        let text = left + 18.0;
        // Writing to a text cannot fail, here and below.
        let _ = writeln!(
            drawn,
            "<rect x=\"{left}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{color}\"/><text x=\"{text}\" y=\"22\">{meaning}</text>"
        );
    }
    drawn
}

/// Returns where the next run begins.
fn draw_run(drawn: &mut String, run: &Run, longest: Duration, top: f64) -> f64 {
    let scale = Scale { longest };
    let title = top + 22.0;
    let _ = writeln!(
        drawn,
        "<text x=\"{NAMES}\" y=\"{title}\" font-weight=\"bold\">{}: {:.1} s, {} % of the computations thrown away, \
         {} clicks while all worked</text>",
        run.way.name(),
        run.elapsed.as_secs_f64(),
        run.percent_thrown_away(),
        run.clicks()
    );
    let mut row = top + 30.0;
    let name = |drawn: &mut String, row: f64, name: &str| {
        let (end, line) = (NAMES - 8.0, row + 10.0);
        let _ = writeln!(
            drawn,
            "<text x=\"{end}\" y=\"{line}\" text-anchor=\"end\">{name}</text>"
        );
    };
    for (writer, number) in run.writers.iter().zip(1..) {
        name(drawn, row, &format!("writer {number}"));
        for (deed, color, _) in COLORS {
            let bars = writer.entries.iter().filter(|entry| entry.deed == deed);
            let mut path = String::new();
            for bar in bars {
                scale.draw_bar(&mut path, bar, row);
            }
            let _ = writeln!(drawn, "<path fill=\"{color}\" d=\"{path}\"/>");
        }
        row += ROW;
    }
    name(drawn, row, "clicks");
    let clicks = run.clicker.entries.iter().filter(|entry| entry.deed == Deed::Committed);
    let mut path = String::new();
    for click in clicks {
        let _ = write!(path, "M{:.1} {row}v{BAR}", scale.place(click.to));
    }
    let _ = writeln!(drawn, "<path stroke=\"{CLICK}\" d=\"{path}\"/>");
    row + ROW
}

struct Scale {
    longest: Duration,
}

impl Scale {
    fn place(&self, time: Duration) -> f64 {
        NAMES + (WIDTH - NAMES - MARGIN) * time.as_secs_f64() / self.longest.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// A bar is drawn a little shorter than it is, so that two of a kind can be told apart: its end is the commit.
    fn draw_bar(&self, path: &mut String, entry: &Entry, row: f64) {
        let from = self.place(entry.from);
        let length = (self.place(entry.to) - from - 0.5).max(0.2);
        let _ = write!(path, "M{from:.1} {row}h{length:.1}v{BAR}h-{length:.1}z");
    }
}
