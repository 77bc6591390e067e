//! The commands that run cargo.

use std::path::Path;

use crate::cargo::{cargo, cargo_with};
use crate::{no_arguments, setup};

/// What `cargo xtask demo` can show.
#[derive(Debug, PartialEq)]
struct Demo {
    name: &'static str,
    /// What follows `cargo run --package`.
    run: &'static [&'static str],
    needs_postgres: bool,
}

/// The first one, unless another is named.
const DEMOS: &[Demo] = &[
    Demo {
        name: "catalog",
        run: &["catalog"],
        needs_postgres: false,
    },
    Demo {
        name: "catalog-postgres",
        run: &["catalog", "--features", "postgres", "--", "postgres"],
        needs_postgres: true,
    },
    Demo {
        name: "money",
        run: &["money"],
        needs_postgres: false,
    },
    Demo {
        name: "tickets",
        run: &["tickets"],
        needs_postgres: false,
    },
];

/// A variable of the environment, which tells the testkit of a folder with programs besides those of the PATH.
const PROGRAMS: &str = "MEMLOCK_TESTKIT_PROGRAMS";

/// `cargo xtask demo`. In the development profile: the first line comes sooner, and the demos measure waiting, not
/// computing.
pub(crate) fn demo(arguments: &[String]) -> Result<(), String> {
    let demo = demo_of(arguments)?;
    setup::run(&[])?;
    let programs = if demo.needs_postgres { setup::postgresql() } else { None };
    let command = [&["run", "--package"], demo.run].concat();
    cargo_with_programs(programs.as_deref(), &command)
}

fn demo_of(arguments: &[String]) -> Result<&'static Demo, String> {
    let name = match arguments {
        [] => DEMOS[0].name,
        [name] => name,
        [_, second, ..] => return Err(format!("a demo takes no arguments, but got \"{second}\"")),
    };
    DEMOS.iter().find(|demo| demo.name == name).ok_or_else(|| {
        let names: Vec<&str> = DEMOS.iter().map(|demo| demo.name).collect();
        format!("there is no demo \"{name}\", only: {}", names.join(", "))
    })
}

/// Runs `cargo`, and has the testkit look for programs in this folder, too.
fn cargo_with_programs(programs: Option<&Path>, command: &[&str]) -> Result<(), String> {
    let programs = programs.and_then(Path::to_str);
    let variables: Vec<(&str, &str)> = programs.iter().map(|folder| (PROGRAMS, *folder)).collect();
    cargo_with(&variables, command)
}

/// `cargo xtask test`. All features at once, `server-tests` among them, since the tests without a server are part of that
/// build too.
pub(crate) fn test(arguments: &[String]) -> Result<(), String> {
    setup::run(&[])?;
    let programs = setup::postgresql();
    // One failure should not hide the next. The bench's peers are many crates, which nobody else needs.
    let mut command = vec!["test", "--workspace", "--all-features", "--no-fail-fast"];
    command.extend(["--exclude", "memlock-bench"]);
    command.extend(arguments.iter().map(String::as_str));
    cargo_with_programs(programs.as_deref(), &command)
}

/// `cargo xtask bench`.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    setup::run(&[])?;
    // Two builds of memlock are measured without its peers.
    let is_against = |argument: &String| argument == "--against" || argument.starts_with("--against=");
    let programs = if arguments.iter().any(is_against) {
        None
    } else {
        setup::peers()
    };
    let mut command = vec!["run", "--release", "--package", "memlock-bench", "--"];
    command.extend(arguments.iter().map(String::as_str));
    cargo_with_programs(programs.as_deref(), &command)
}

/// `cargo xtask cost`. Nobody waits for a server in it.
pub(crate) fn cost(arguments: &[String]) -> Result<(), String> {
    let mut command = vec!["run", "--release", "--package", "memlock-cost", "--"];
    command.extend(arguments.iter().map(String::as_str));
    cargo(&command)
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
        let demo = demo_of(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
        demo.map(|demo| demo.name)
    }

    #[test]
    fn a_demo_is_chosen_by_its_name_alone() {
        assert_eq!(chosen(&[]), Ok("catalog"));
        assert_eq!(chosen(&["tickets"]), Ok("tickets"));
        assert!(chosen(&["ticket"]).unwrap_err().contains("money, tickets"));
        assert!(chosen(&["tickets", "5"]).unwrap_err().contains("\"5\""));
    }
}
