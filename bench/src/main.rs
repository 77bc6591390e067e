//! memlock beside its peers: `cargo xtask bench [contest…] [--quick]`.
//!
//! | you want | look into |
//! |---|---|
//! | what is measured | [`contests`] |
//! | who takes part | [`contestants`] (threads), [`futures`] (tasks) |
//! | the servers | [`stage`] |
//! | how measurements become numbers, tables, a picture | [`measure`], [`report`], [`chart`] |
//!
//! Times are printed and never asserted. Tables go to the terminal; a run that is not quick also leaves them in `results/`,
//! one file of JSON lines for each contest, and draws the picture of the README anew from all of them.

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

use contests::Contest;
use stage::Stage;

/// Where results are left.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");

fn main() -> ExitCode {
    // A second process has a part to play, and no arguments.
    if contests::processes::take_part() || contests::waiters::take_part() {
        return ExitCode::SUCCESS;
    }
    let (flags, names): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let is_known = |name: &String| contests::ALL.iter().any(|contest| contest.name == name);
    let wrong = flags.iter().find(|flag| *flag != "--quick");
    if let Some(wrong) = wrong.or(names.iter().find(|name| !is_known(name))) {
        let known: Vec<&str> = contests::ALL.iter().map(|contest| contest.name).collect();
        eprintln!(
            "there is no \"{wrong}\"; contests are {}, and there is --quick",
            known.join(", ")
        );
        return ExitCode::FAILURE;
    }
    let stage = Stage::set(!flags.is_empty());
    for contest in &contests::ALL {
        if names.is_empty() || names.iter().any(|name| name == contest.name) {
            hold(contest, &stage);
        }
    }
    if !stage.is_quick {
        let drawn = chart::draw(RESULTS);
        println!("results and the picture: {drawn}");
    }
    ExitCode::SUCCESS
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
