//! Development commands, run as `cargo xtask <command>`.
//!
//! std only: this is the first thing that a newcomer's machine compiles.

mod cargo;
mod debian;
mod setup;
mod tasks;

use std::env;
use std::process::ExitCode;

/// One command. All that is known about it stands here, `help` included.
struct Command {
    name: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> Result<(), String>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "help",
        summary: "list these commands",
        run: help,
    },
    Command {
        name: "setup",
        summary: "install memcached with the system's package manager if it is missing",
        run: setup::run,
    },
    Command {
        name: "demo",
        summary: "several processes index the same catalogues in four ways; also: catalog-postgres, money, tickets",
        run: tasks::demo,
    },
    Command {
        name: "test",
        summary: "run all tests; --memcached installed, newest or all: only those against memcached, on these; arguments go on",
        run: tasks::test,
    },
    Command {
        name: "mutants",
        summary: "put one fault for each promise and decision into a copy of the runtime, and see that tests catch it; names choose some",
        run: tasks::mutants,
    },
    Command {
        name: "bench",
        summary: "measure memlock beside its peers, which it installs, or --against <commit> of its own; names choose \
                  contests, --quick makes it short",
        run: tasks::bench,
    },
    Command {
        name: "cost",
        summary: "measure what the attribute costs a function: time, time to compile, size; --quick makes it short",
        run: tasks::cost,
    },
    Command {
        name: "transparency",
        summary: "put the attribute on every function of published crates, and run their own tests; names choose some",
        run: tasks::transparency,
    },
    Command {
        name: "lint",
        summary: "formatting, clippy, the documentation, and the floors of the runtime: imports go down, and form no circle",
        run: tasks::lint,
    },
];

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "help".to_owned());
    let arguments: Vec<String> = arguments.collect();
    let done = match find(&name) {
        Some(command) => (command.run)(&arguments),
        None => Err(format!(
            "there is no command \"{name}\"; \"cargo xtask help\" lists them"
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn find(name: &str) -> Option<&'static Command> {
    let name = if matches!(name, "-h" | "--help") { "help" } else { name };
    COMMANDS.iter().find(|command| command.name == name)
}

fn help(arguments: &[String]) -> Result<(), String> {
    no_arguments(arguments)?;
    println!("cargo xtask <command>\n");
    for Command { name, summary, .. } in COMMANDS {
        println!("  {name:<12} {summary}");
    }
    Ok(())
}

/// For commands that take none: an argument that is silently ignored would be taken for obeyed.
fn no_arguments(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => Ok(()),
        [first, ..] => Err(format!("this command takes no arguments, but got \"{first}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS, find};

    #[test]
    fn every_command_is_found_by_its_name_and_no_other() {
        assert!(COMMANDS.iter().all(|command| find(command.name).is_some()));
        assert!(find("--help").is_some());
        assert!(find("tset").is_none());
    }
}
