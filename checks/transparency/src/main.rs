//! Checks that the attributes are transparent. Tests of published crates were written without memlock in mind. This puts
//! `rlock` on each of their functions that can take one, and checks that the tests still pass, that no warning is new, and
//! that locks were really taken.
//!
//! Run as `cargo xtask transparency`; names choose some of the crates.

mod crates;
mod rewrite;
mod sources;
mod trial;

use std::env;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use memlock_testkit::Memcached;

use crate::crates::{CRATES, Crate};
use crate::rewrite::{Skip, Tally};
use crate::trial::{Failed, Ran};

/// How many calls of each test binary may take locks in memory: more than most of them make.
const IN_MEMORY: u64 = 100_000;

/// How many may take them from the real server: a sample, for each costs round trips.
const ON_SERVER: u64 = 5_000;

/// A row of the table.
struct Row {
    name: &'static str,
    version: &'static str,
    tally: Tally,
    before: usize,
    after: usize,
    calls: u64,
    in_memory: u64,
    on_server: u64,
    seconds: u64,
    problems: Vec<String>,
}

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    match all(&names) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("transparency: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn all(names: &[String]) -> Result<bool, String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| CRATES.iter().all(|on_trial| on_trial.name != **name))
    {
        let known: Vec<&str> = CRATES.iter().map(|on_trial| on_trial.name).collect();
        return Err(format!(
            "there is no crate \"{unknown}\" on trial, only: {}",
            known.join(", ")
        ));
    }
    let chosen: Vec<&Crate> = CRATES
        .iter()
        .filter(|on_trial| names.is_empty() || names.iter().any(|name| name == on_trial.name))
        .collect();
    let vendored = sources::fetch(&chosen)?;
    let server = Memcached::start();
    let mut rows = Vec::new();
    for on_trial in chosen {
        eprintln!("{} {} …", on_trial.name, on_trial.version);
        let begun = Instant::now();
        let mut row = Row {
            name: on_trial.name,
            version: on_trial.version,
            tally: Tally::default(),
            before: 0,
            after: 0,
            calls: 0,
            in_memory: 0,
            on_server: 0,
            seconds: 0,
            problems: Vec::new(),
        };
        // A crate that does not compile does not hide the next.
        if let Err(problem) = one(on_trial, &vendored, &server, &mut row) {
            row.problems.push(problem);
        }
        row.seconds = begun.elapsed().as_secs();
        for problem in &row.problems {
            eprintln!("  {problem}");
        }
        rows.push(row);
    }
    print!("{}", table(&rows));
    Ok(rows.iter().all(|row| row.problems.is_empty()))
}

fn one(on_trial: &Crate, vendored: &Path, server: &Memcached, row: &mut Row) -> Result<(), String> {
    let plain = sources::copy(on_trial, vendored, None)?;
    let plain = trial::build(on_trial, &plain.root)?;
    let before = trial::run(&plain, "memory:", 0)?;
    row.before = before.passed.len();

    let mut refused = sources::Refused::new();
    let wrapped = loop {
        let wrapped = sources::copy(on_trial, vendored, Some(&refused))?;
        row.tally = wrapped.tally;
        match trial::build(on_trial, &wrapped.root) {
            // This ends: a function that is refused is left alone from then on.
            Err(Failed::Refused(more)) if !sources::are_among(&more, &refused) => {
                for (file, lines) in more {
                    refused.entry(file).or_default().extend(lines);
                }
            }
            built => break built?,
        }
    };
    for (warning, count) in &wrapped.warnings {
        if plain.warnings.get(warning).is_none_or(|before| before < count) {
            row.problems.push(format!("a new warning: {warning}"));
        }
    }

    let in_memory = trial::run(&wrapped, "memory:", IN_MEMORY)?;
    row.after = in_memory.passed.len();
    row.calls = in_memory.counts.calls;
    row.in_memory = in_memory.counts.acquired;
    compare("in memory", &before, &in_memory, &mut row.problems);

    // The count of the server, not of the probe.
    let stored = || server.stat("cmd_set").ok_or("the server does not answer");
    let stored_before = stored()?;
    let on_server = trial::run(&wrapped, &server.address(), ON_SERVER)?;
    row.on_server = stored()? - stored_before;
    let mut before = before;
    let can_wait = |test: &String| on_trial.in_memory_only.iter().all(|(name, _)| !test.ends_with(name));
    before.passed.retain(can_wait);
    compare("on the server", &before, &on_server, &mut row.problems);
    if row.on_server < on_server.counts.acquired || on_server.counts.acquired == 0 {
        row.problems.push(format!(
            "{} locks were counted, and the server stored {} times",
            on_server.counts.acquired, row.on_server
        ));
    }
    eprintln!(
        "  build {} s and {} s, tests {} ms without, {} ms in memory, {} ms on the server",
        plain.time.as_secs(),
        wrapped.time.as_secs(),
        before.time.as_millis(),
        in_memory.time.as_millis(),
        on_server.time.as_millis()
    );
    Ok(())
}

fn compare(how: &str, before: &Ran, after: &Ran, problems: &mut Vec<String>) {
    for test in before.passed.difference(&after.passed) {
        let outcome = if after.failed.contains(test) {
            "fails"
        } else {
            "does not end"
        };
        problems.push(format!("{how}, a test that passed {outcome}: {test}"));
    }
    if before.passed.difference(&after.passed).next().is_some() || after.trouble.iter().any(|it| it.contains("hangs")) {
        problems.extend(after.trouble.iter().cloned());
    }
    let counts = after.counts;
    if counts.acquired == 0 {
        problems.push(format!("{how}, no lock was taken"));
    }
    if counts.soft_runs > 0 || counts.lost > 0 {
        problems.push(format!(
            "{how}, {} bodies ran without their locks, and {} leases were lost",
            counts.soft_runs, counts.lost
        ));
    }
}

/// In Markdown, for the documentation.
fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "\n| crate | functions | wrapped | skipped | tests before | after | calls | locks in memory | stored on the server | time |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let skipped: Vec<String> = row
            .tally
            .skipped
            .iter()
            .map(|(skip, count)| format!("{count} {}", skip.reason()))
            .collect();
        let verdict = if row.problems.is_empty() { "" } else { " **FAILED**" };
        let _ = writeln!(
            table,
            "| {} {}{verdict} | {} | {} | {} | {} | {} | {} | {} | {} | {} s |",
            row.name,
            row.version,
            row.tally.functions(),
            row.tally.wrapped,
            skipped.join(", "),
            row.before,
            row.after,
            row.calls,
            row.in_memory,
            row.on_server,
            row.seconds
        );
    }
    let named = CRATES
        .iter()
        .filter(|on_trial| rows.iter().any(|row| row.name == on_trial.name));
    for on_trial in named {
        for (name, reason) in on_trial.in_memory_only {
            let _ = writeln!(table, "\nin memory only `{}::{name}`: {reason}", on_trial.name);
        }
        for (name, reason) in on_trial.skipped {
            let _ = writeln!(
                table,
                "\n{} `{}::{name}`: {reason}",
                Skip::Named.reason(),
                on_trial.name
            );
        }
    }
    table
}
