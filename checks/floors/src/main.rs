//! Checks that the runtime is laid out as the table in its `lib.rs` says: `cargo run --package memlock-floors`.
//!
//! * An import names only a lower floor than its own.
//! * Files form no circle: no file imports what imports it, directly or through others.
//! * No file has more than 450 lines, tests aside.
//! * A name stands for one type in the crate.
//! * The folders of `src` are those of the table, and few enough to be read at a glance.
//!
//! `--lines` counts lines of code instead, without comments, blank lines and tests.

mod crate_tree;
mod rules;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use crate_tree::CrateTree;

/// Where the floors are.
const SOURCES: &str = "memlock-runtime/src";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{}", problems.join("\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = CrateTree::read(&root.join(SOURCES)).map_err(|problem| vec![problem])?;
    match arguments {
        [] => rules::check(&tree),
        [flag] if flag == "--lines" => Ok(tree.lines_of_code()),
        [other, ..] => Err(vec![format!("unknown argument \"{other}\"; there is only --lines")]),
    }
}
