//! The commands that run cargo.

use std::path::{Path, PathBuf};

use crate::cargo::{cargo, cargo_with};
use crate::{debian, no_arguments, setup};

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

/// A variable of the environment, which tells the testkit which memcached to start.
const MEMCACHED: &str = "MEMLOCK_TESTKIT_MEMCACHED";

/// What is built and run by `cargo xtask test`. All features at once, `server-tests` among them, since the tests without a
/// server are part of that build too. One failure should not hide the next. The bench's peers are many crates, which
/// nobody else needs.
const TESTS: &[&str] = &[
    "test",
    "--workspace",
    "--exclude",
    "memlock-bench",
    "--all-features",
    "--no-fail-fast",
];

/// The test executables whose outcome depends on the version of memcached: the facts, the contract, the store, the servers,
/// and the testkit's own. The faults are those of the network in between, which do not depend on the version.
const SERVER_SUITES: &[&str] = &["facts", "contract", "store", "server", "memcached"];

/// On which memcached the server suites run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Servers {
    Installed,
    Newest,
    All,
}

/// `cargo xtask test`: everything on the installed memcached; with `--memcached`, the server suites on the versions named.
pub(crate) fn test(arguments: &[String]) -> Result<(), String> {
    let (servers, rest) = servers_of(arguments)?;
    let Some(servers) = servers else {
        setup::run(&[])?;
        let programs = setup::postgresql();
        let command = [TESTS, &rest].concat();
        return cargo_with_programs(programs.as_deref(), &command);
    };
    let mut programs = Vec::new();
    if servers != Servers::Newest {
        setup::run(&[])?;
        programs.push(PathBuf::from("memcached"));
    }
    if servers != Servers::Installed {
        programs.push(debian::newest_memcached()?);
    }
    let mut command = TESTS.to_vec();
    command.extend(SERVER_SUITES.iter().flat_map(|suite| ["--test", suite]));
    command.extend(rest);
    // Both are run also when the first fails: whether a failure is one version's or all of them's is what one wants to know.
    let mut problems = Vec::new();
    for program in &programs {
        let version = setup::version_of(program)?;
        eprintln!("xtask: the server suites on {version} ({})", program.display());
        let program = program.to_str().ok_or("the path of memcached is not text")?;
        match cargo_with(&[(MEMCACHED, program)], &command) {
            Ok(()) => eprintln!("xtask: the server suites are green on {version}"),
            Err(problem) => problems.push(format!("on {version}: {problem}")),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// The value of `--memcached`, and the other arguments.
fn servers_of(arguments: &[String]) -> Result<(Option<Servers>, Vec<&str>), String> {
    let mut rest: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // What follows `--` is not for us.
    let ours = rest.iter().take_while(|argument| **argument != "--").count();
    let Some(place) = rest[..ours].iter().position(|argument| *argument == "--memcached") else {
        return Ok((None, rest));
    };
    let value = rest.get(place + 1).copied().unwrap_or_default();
    let servers = match value {
        "installed" => Servers::Installed,
        "newest" => Servers::Newest,
        "all" => Servers::All,
        other => {
            return Err(format!(
                "--memcached is followed by installed, newest or all, not by \"{other}\""
            ));
        }
    };
    rest.drain(place..place + 2);
    Ok((Some(servers), rest))
}

/// `cargo xtask mutants`. Some of its tests start a memcached.
pub(crate) fn mutants(arguments: &[String]) -> Result<(), String> {
    setup::run(&[])?;
    let mut command = vec!["run", "--package", "memlock-mutants", "--"];
    command.extend(arguments.iter().map(String::as_str));
    cargo(&command)
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
    )?;
    cargo(&["run", "--quiet", "--package", "memlock-floors"])
}

#[cfg(test)]
mod tests {
    use super::{Servers, demo_of, servers_of};

    fn chosen(arguments: &[&str]) -> Result<&'static str, String> {
        let demo = demo_of(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
        demo.map(|demo| demo.name)
    }

    #[test]
    fn the_memcached_is_chosen_by_name_and_other_arguments_go_on() {
        let chosen = |arguments: &str| {
            let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
            servers_of(&arguments).map(|(servers, rest)| (servers, rest.join(" ")))
        };
        assert_eq!(chosen("--test facts"), Ok((None, "--test facts".to_owned())));
        assert_eq!(chosen("--memcached all"), Ok((Some(Servers::All), String::new())));
        assert_eq!(
            chosen("cas --memcached newest -- --nocapture"),
            Ok((Some(Servers::Newest), "cas -- --nocapture".to_owned()))
        );
        assert_eq!(
            chosen("cas -- --memcached"),
            Ok((None, "cas -- --memcached".to_owned()))
        );
        assert!(chosen("--memcached").unwrap_err().contains("installed, newest or all"));
        assert!(chosen("--memcached 1.6.38").unwrap_err().contains("\"1.6.38\""));
    }

    #[test]
    fn a_demo_is_chosen_by_its_name_alone() {
        assert_eq!(chosen(&[]), Ok("catalog"));
        assert_eq!(chosen(&["tickets"]), Ok("tickets"));
        assert!(chosen(&["ticket"]).unwrap_err().contains("money, tickets"));
        assert!(chosen(&["tickets", "5"]).unwrap_err().contains("\"5\""));
    }
}
