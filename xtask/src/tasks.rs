//! The commands that run cargo.

use std::path::Path;

use crate::cargo::{cargo, cargo_with};
use crate::{no_arguments, setup};

/// `cargo xtask demo`. In the development profile: the first line comes sooner, and the demo measures waiting, not
/// computing.
pub(crate) fn demo(arguments: &[String]) -> Result<(), String> {
    no_arguments(arguments)?;
    setup::run(&[])?;
    cargo(&["run", "--package", "money"])
}

/// `cargo xtask test`. All features at once, `server-tests` among them, since the tests without a server are part of that
/// build too.
pub(crate) fn test(arguments: &[String]) -> Result<(), String> {
    setup::run(&[])?;
    // One failure should not hide the next. The bench's peers are many crates, which nobody else needs.
    let mut command = vec!["test", "--workspace", "--all-features", "--no-fail-fast"];
    command.extend(["--exclude", "memlock-bench"]);
    command.extend(arguments.iter().map(String::as_str));
    cargo(&command)
}

/// `cargo xtask bench`.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    setup::run(&[])?;
    let programs = setup::peers();
    let programs = programs.as_deref().and_then(Path::to_str);
    let variables: Vec<(&str, &str)> = programs
        .iter()
        .map(|folder| ("MEMLOCK_BENCH_PROGRAMS", *folder))
        .collect();
    let mut command = vec!["run", "--release", "--package", "memlock-bench", "--"];
    command.extend(arguments.iter().map(String::as_str));
    cargo_with(&variables, &command)
}

/// `cargo xtask lint`.
pub(crate) fn lint(arguments: &[String]) -> Result<(), String> {
    no_arguments(arguments)?;
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "--deny",
        "warnings",
    ])?;
    cargo_with(
        &[("RUSTDOCFLAGS", "-D warnings")],
        &["doc", "--workspace", "--all-features", "--no-deps"],
    )
}
