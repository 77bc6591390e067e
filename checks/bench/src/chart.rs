//! The chart of the README and of `docs/benchmarks.md`, from the results of all contests.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

/// A part of the picture: one column of one table, as bars.
struct Panel {
    file: &'static str,
    table: &'static str,
    column: &'static str,
    title: &'static str,
}

const PANELS: [Panel; 4] = [
    Panel {
        file: "uncontended",
        table: "uncontended",
        column: "pairs/s",
        title: "one thread, one key: lock + unlock per second",
    },
    Panel {
        file: "threads",
        table: "threads",
        column: "pairs/s",
        title: "8 threads of one process, one key: lock + unlock per second",
    },
    Panel {
        file: "tasks",
        table: "tasks/multi-thread",
        column: "64 tasks, 64 keys",
        title: "64 tasks, 64 keys: lock + unlock per second",
    },
    Panel {
        file: "processes",
        table: "processes/empty",
        column: "hand-overs/s",
        title: "4 processes, one key: times per second that it goes from one to another",
    },
];

/// A lock that is not on a server has no bar, which would dwarf the others.
const LEFT_OUT: &str = "memlock attribute on `memory:`";

const WIDTH: u32 = 760;
const NAMES: u32 = 250;
const NUMBERS: u32 = 70;
const LINE: u32 = 22;
const BAR: u32 = 14;

/// Draws the chart into the folder with the results, as far as there are any, and returns its path.
pub(crate) fn draw(results: &str) -> String {
    let mut below = 8;
    let mut drawn = String::new();
    for panel in &PANELS {
        let rows = rows(results, panel);
        if !rows.is_empty() {
            below = draw_panel(&mut drawn, panel.title, &rows, below);
        }
    }
    // One grey for text, which can be read on white and on black.
    let picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{below}\" viewBox=\"0 0 {WIDTH} {below}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#808080\">\n{drawn}</svg>\n"
    );
    let file = format!("{results}/chart.svg");
    fs::write(&file, picture).expect("a file for the picture");
    file
}

/// Names and numbers of a panel's bars.
fn rows(results: &str, panel: &Panel) -> Vec<(String, f64)> {
    // A contest without results has no file, and no panel.
    let lines = fs::read_to_string(format!("{results}/{}.jsonl", panel.file)).unwrap_or_default();
    lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|row| row["table"] == panel.table && row["contestant"] != LEFT_OUT)
        .filter_map(|row| {
            let name = row["contestant"].as_str()?.to_owned();
            Some((name, row["values"][panel.column].as_f64()?))
        })
        .collect()
}

/// Returns where the next panel begins.
fn draw_panel(drawn: &mut String, title: &str, rows: &[(String, f64)], top: u32) -> u32 {
    let longest = rows.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let title_line = top + 16;
    // Writing to a text cannot fail.
    let _ = writeln!(
        drawn,
        "<text x=\"8\" y=\"{title_line}\" font-weight=\"bold\">{title}</text>"
    );
    let mut line = top + 26;
    for (name, value) in rows {
        let length = value / longest * f64::from(WIDTH - NAMES - NUMBERS);
        let color = if name.starts_with("memlock") {
            "#d97706"
        } else {
            "#94a3b8"
        };
        let name = name.replace('`', "");
        let text = line + 12;
        let number = f64::from(NAMES) + length + 6.0;
        let end = NAMES - 8;
        let _ = writeln!(
            drawn,
            "<text x=\"{end}\" y=\"{text}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{NAMES}\" y=\"{line}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\
             <text x=\"{number:.1}\" y=\"{text}\">{value:.0}</text>"
        );
        line += LINE;
    }
    line + 14
}
