//! The commands that run cargo.

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
    // One failure should not hide the next.
    let mut command = vec!["test", "--workspace", "--all-features", "--no-fail-fast"];
    command.extend(arguments.iter().map(String::as_str));
    cargo(&command)
}

/// `cargo xtask bench`.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    setup::run(&[])?;
    let mut command = vec!["bench", "--features", "server-tests"];
    command.extend(["--bench", "uncontended", "--bench", "in_process", "--"]);
    command.extend(arguments.iter().map(String::as_str));
    cargo(&command)
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
