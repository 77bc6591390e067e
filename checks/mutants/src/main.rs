//! Deliberate faults, each of which a test must catch: `cargo xtask mutants [NAME…]`.
//!
//! A test that has never failed proves nothing. Each row of the [table] breaks one promise of `docs/safety.md`, or
//! one decision of the protocol, in a copy of the workspace. The tests that the row names must fail there. A fault is
//! an error when no test catches it, when it does not apply to the code any more, and when it does not compile. The
//! work tree is never touched: everything happens below `target/mutants`.
//!
//! # Adding a row
//!
//! There is one row for each promise and each decision, and no more, because a row quotes the source and must follow
//! its changes. A new decision in the protocol brings a row. A decision that goes takes its row along.
//!
//! * Find the shortest text of one line whose change breaks the decision. It must stand once in its file. Quote no
//!   comments, and no more of the indentation than needed.
//! * The name says what is wrong with the code then; `decision` is the rule that it breaks.
//! * Name the tests that must notice, as few as possible. Where the model or the interleavings decide the question,
//!   name one of theirs, too. Each of those must notice by itself.
//! * Run it: `cargo xtask mutants NAME`.
//!
//! The tests of this crate check that every row applies to the code as it is, and that every promise has a row. They
//! are part of `cargo xtask test`, which so notices a change of a quoted line.
//!
//! General faults (a condition turned around, a function that returns a default) are not for this table. `cargo mutants`
//! (<https://mutants.rs>) makes them without quoting anything.

mod table;
mod tree;
mod workshop;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use table::{Mutant, mutants};
use workshop::{Verdict, Workshop};

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    match run(&names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("mutants: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Tries the mutants of these names, or all.
fn run(names: &[String]) -> Result<(), String> {
    let mutants = choose(names)?;
    let workshop = Workshop::open()?;
    // Before anything is built, so that all rows that must follow a change of the code are told at once.
    let stale: Vec<String> = mutants
        .iter()
        .filter_map(|mutant| workshop.mutated(mutant).err())
        .collect();
    if !stale.is_empty() {
        return Err(stale.join("\n"));
    }

    let began = Instant::now();
    workshop.check_unmutated(&mutants)?;
    eprintln!(
        "mutants: without a fault all tests pass ({} s)",
        began.elapsed().as_secs()
    );
    let mut rows = Vec::new();
    for mutant in mutants {
        let began = Instant::now();
        let verdict = workshop.try_mutant(mutant)?;
        eprintln!("mutants: {}: {}", mutant.name, verdict.word());
        rows.push(Row {
            mutant,
            verdict,
            took: began.elapsed(),
        });
    }
    print(&rows);
    println!(
        "\n{} mutants in {} s, the build without a fault included",
        rows.len(),
        began.elapsed().as_secs()
    );

    let bad: Vec<&str> = rows
        .iter()
        .filter(|row| !matches!(row.verdict, Verdict::Caught(_)))
        .map(|row| row.mutant.name)
        .collect();
    if bad.is_empty() {
        Ok(())
    } else {
        Err(format!("not caught by a failing test: {}", bad.join(", ")))
    }
}

/// The mutants of these names, or all.
fn choose(names: &[String]) -> Result<Vec<&'static Mutant>, String> {
    if names.is_empty() {
        return Ok(mutants().collect());
    }
    let find = |name: &String| {
        mutants().find(|mutant| mutant.name == name).ok_or_else(|| {
            let known: Vec<&str> = mutants().map(|mutant| mutant.name).collect();
            format!("there is no mutant \"{name}\"; there are {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

/// One row of the table that is printed.
struct Row {
    mutant: &'static Mutant,
    verdict: Verdict,
    took: Duration,
}

fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.mutant.name.len()).max().unwrap_or(0);
    println!(
        "\n{:<width$}  breaks  seconds  caught by (and the broken decision, below the name)",
        "mutant"
    );
    for row in rows {
        let Mutant {
            name, breaks, decision, ..
        } = row.mutant;
        let seconds = row.took.as_secs_f64();
        print!("{name:<width$}  {breaks:<6}  {seconds:>7.1}  ");
        match &row.verdict {
            Verdict::Caught(tests) => println!("{}", tests.join(", ")),
            Verdict::Survived => println!("SURVIVED: no test fails, or its model or scenario does not"),
            Verdict::Broken(why) => println!("BROKEN: {why}"),
        }
        println!("  {decision}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::tree::Tree;
    use super::workshop::workspace;
    use super::*;

    #[test]
    fn every_mutant_applies_to_the_code_as_it_is() {
        let tree = Tree::at(workspace());
        let stale: Vec<String> = mutants().filter_map(|mutant| tree.mutated(mutant).err()).collect();
        assert!(
            stale.is_empty(),
            "change the mutants along with the code:\n{}",
            stale.join("\n")
        );
    }

    #[test]
    fn every_promise_has_a_mutant_and_every_mutant_breaks_a_promise() {
        let safety = fs::read_to_string(workspace().join("docs/safety.md")).expect("it is there");
        // `| S1 | under the assumptions …`
        let promise = |line: &str| Some(line.strip_prefix("| ")?.split_once(' ')?.0.to_owned());
        let promises: BTreeSet<String> = safety.lines().filter_map(promise).filter(|code| code != "|").collect();
        let broken: BTreeSet<String> = mutants()
            .flat_map(|mutant| mutant.breaks.split(' '))
            .map(str::to_owned)
            .collect();
        assert_eq!(broken, promises);
    }

    #[test]
    fn mutants_are_chosen_by_their_names_which_differ() {
        let names: BTreeSet<&str> = mutants().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), mutants().count());
        assert_eq!(choose(&[]).map(|all| all.len()), Ok(mutants().count()));
        for mutant in mutants() {
            assert!(choose(&[mutant.name.to_owned()]).is_ok_and(|chosen| chosen.len() == 1));
        }
        assert!(choose(&["no-such-fault".to_owned()]).is_err());
    }
}
