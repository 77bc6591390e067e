//! memlock beside its peers: `cargo xtask bench [contest…] [--quick]`; and beside another commit of its own: see [`against`].
//!
//! | you want | look into |
//! |---|---|
//! | what is measured | [`contests`] |
//! | the contestants | [`contestants`] (threads), [`futures`] (tasks) |
//! | the servers | [`stage`] |
//! | how measurements become numbers, tables, a picture | [`mod@measure`], [`report`], [`chart`] |
//! | one commit against another | [`against`], and the program `bin/pairs.rs` |
//!
//! Times are printed and never asserted. Tables go to the terminal. A run that is not quick also writes them to `results/`,
//! one file of JSON lines for each contest, and draws the chart from all of them.

mod against;
mod arguments;
mod chart;
mod contestants;
mod contests;
mod crowd;
mod futures;
mod measure;
mod report;
mod stage;

use std::process::ExitCode;
use std::{env, fs};

use arguments::Arguments;
use contests::Contest;
use stage::Stage;

/// The folder for results.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");

fn main() -> ExitCode {
    // A second process has a role, and no arguments.
    if contests::processes::take_part() || contests::waiters::take_part() {
        return ExitCode::SUCCESS;
    }
    match Arguments::parse(env::args().skip(1)).and_then(|arguments| measure(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), String> {
    if let Some(commit) = &arguments.against {
        return against::run(commit, &arguments.contests, arguments.is_quick);
    }
    let stage = Stage::set(arguments.is_quick);
    for contest in &contests::ALL {
        if arguments.contests.contains(&contest.name) {
            hold(contest, &stage);
        }
    }
    if !stage.is_quick {
        let drawn = chart::draw(RESULTS);
        println!("results and the picture: {drawn}");
    }
    Ok(())
}

fn hold(contest: &Contest, stage: &Stage) {
    let tables = (contest.run)(stage);
    let mut lines = String::new();
    for table in &tables {
        table.print();
        for line in table.lines() {
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
    }
    if !stage.is_quick {
        fs::create_dir_all(RESULTS).expect("a folder for the results");
        fs::write(format!("{RESULTS}/{}.jsonl", contest.name), lines).expect("a file for the results");
    }
}
