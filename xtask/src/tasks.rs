//! The commands that run cargo.

use std::path::Path;

use crate::cargo::{cargo, cargo_with};
use crate::{no_arguments, setup};

/// What `cargo xtask demo` can show, each a package of its own; the first one unless another is named.
const DEMOS: &[&str] = &["money", "tickets"];

/// `cargo xtask demo`. In the development profile: the first line comes sooner, and the demos measure waiting, not
/// computing.
pub(crate) fn demo(arguments: &[String]) -> Result<(), String> {
    let package = demo_of(arguments)?;
    setup::run(&[])?;
    cargo(&["run", "--package", package])
}

fn demo_of(arguments: &[String]) -> Result<&'static str, String> {
    let name = match arguments {
        [] => DEMOS[0],
        [name] => name,
        [_, second, ..] => return Err(format!("a demo takes no arguments, but got \"{second}\"")),
    };
    let demo = DEMOS.iter().copied().find(|demo| *demo == name);
    demo.ok_or_else(|| format!("there is no demo \"{name}\", only: {}", DEMOS.join(", ")))
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
        .map(|folder| ("MEMLOCK_TESTKIT_PROGRAMS", *folder))
        .collect();
    let mut command = vec!["run", "--release", "--package", "memlock-bench", "--"];
    command.extend(arguments.iter().map(String::as_str));
    cargo_with(&variables, &command)
}

/// `cargo xtask transparency`.
pub(crate) fn transparency(arguments: &[String]) -> Result<(), String> {
    setup::run(&[])?;
    let mut command = vec!["run", "--package", "memlock-transparency", "--"];
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

#[cfg(test)]
mod tests {
    use super::demo_of;

    fn chosen(arguments: &[&str]) -> Result<&'static str, String> {
        demo_of(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_demo_is_chosen_by_its_name_alone() {
        assert_eq!(chosen(&[]), Ok("money"));
        assert_eq!(chosen(&["tickets"]), Ok("tickets"));
        assert!(chosen(&["ticket"]).unwrap_err().contains("money, tickets"));
        assert!(chosen(&["tickets", "5"]).unwrap_err().contains("\"5\""));
    }
}
