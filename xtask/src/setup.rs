//! `cargo xtask setup`: installs memcached with the system's package manager; for the bench, also its peers.
//!
//! [`plan`] decides and is pure; the rest looks at the machine and does it.

use crate::no_arguments;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fmt, fs};

/// memlock speaks memcached's meta commands, which have their present form since this version.
const OLDEST: [u32; 3] = [1, 6, 13];

/// Something to install.
struct Software {
    /// What people call it.
    name: &'static str,
    /// Which one, and where it is to be had.
    advice: &'static str,
    /// It is there when this program is.
    program: &'static str,
    /// What a package manager calls it.
    package: fn(&str) -> &'static str,
}

const MEMCACHED: Software = Software {
    name: "memcached",
    advice: "memcached 1.6.13 or newer, see https://memcached.org/downloads",
    program: "memcached",
    package: |_| "memcached",
};

const REDIS: Software = Software {
    name: "Redis",
    advice: "redis-server, see https://redis.io/docs/latest/operate/oss_and_stack/install/",
    program: "redis-server",
    package: |manager| match manager {
        "apt-get" => "redis-server",
        _ => "redis",
    },
};

const POSTGRESQL: Software = Software {
    name: "PostgreSQL",
    advice: "the PostgreSQL server, see https://www.postgresql.org/download/",
    program: "postgres",
    package: |manager| match manager {
        "dnf" | "yum" | "zypper" => "postgresql-server",
        _ => "postgresql",
    },
};

/// A package manager: its program, and what to run in which order, the name of the package being added to the last step.
/// Any step but the last may fail, since an outdated list of packages usually does, too.
struct Manager {
    program: &'static str,
    steps: &'static [&'static [&'static str]],
    needs_root: bool,
}

const MANAGERS: &[Manager] = &[
    Manager {
        program: "apt-get",
        steps: &[
            &["apt-get", "update"],
            // Asks nothing, on machines with and without a terminal.
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
            ],
        ],
        needs_root: true,
    },
    Manager {
        program: "dnf",
        steps: &[&["dnf", "install", "--assumeyes"]],
        needs_root: true,
    },
    Manager {
        program: "yum",
        steps: &[&["yum", "install", "--assumeyes"]],
        needs_root: true,
    },
    Manager {
        program: "apk",
        steps: &[&["apk", "add", "--update-cache"]],
        needs_root: true,
    },
    Manager {
        program: "pacman",
        steps: &[&["pacman", "-S", "--needed", "--noconfirm"]],
        needs_root: true,
    },
    Manager {
        program: "zypper",
        steps: &[&["zypper", "--non-interactive", "install"]],
        needs_root: true,
    },
    // Refuses to run as root.
    Manager {
        program: "brew",
        steps: &[&["brew", "install"]],
        needs_root: false,
    },
];

/// What is known of the machine.
struct Machine<'a> {
    has: &'a dyn Fn(&str) -> bool,
    is_root: bool,
    /// Somebody is there to type a password.
    is_attended: bool,
}

/// The commands to run, in order.
#[derive(Debug, PartialEq)]
struct Plan(Vec<Vec<&'static str>>);

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|step| step.join(" ")).collect();
        f.write_str(&lines.join(" && "))
    }
}

/// Installs memcached when it is missing, and says so.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    no_arguments(arguments)?;
    if !is_installed(MEMCACHED.program) {
        install(&MEMCACHED)?;
        if !is_installed(MEMCACHED.program) {
            return Err("memcached was installed, but is not on the PATH".to_owned());
        }
    }
    let version = version_of(Path::new(MEMCACHED.program))?;
    check(&version)?;
    eprintln!("xtask: using {version}");
    Ok(())
}

/// Installs also what memlock is compared with. Where that cannot be had, the bench does without. Gives the folder of
/// `PostgreSQL`'s programs, where the PATH does not have them.
pub(crate) fn peers() -> Option<PathBuf> {
    if !is_installed(REDIS.program)
        && let Err(problem) = install(&REDIS)
    {
        eprintln!("xtask: {problem}");
    }
    postgresql()
}

/// Installs `PostgreSQL` when it is missing. Gives the folder of its programs, where the PATH does not have them. Who needs it
/// says so when there is none.
pub(crate) fn postgresql() -> Option<PathBuf> {
    if is_installed(POSTGRESQL.program) {
        return None;
    }
    off_the_path(POSTGRESQL.program).or_else(|| {
        if let Err(problem) = install(&POSTGRESQL) {
            eprintln!("xtask: {problem}");
        }
        off_the_path(POSTGRESQL.program)
    })
}

/// Where packages put `PostgreSQL`'s programs that do not put them on the PATH: one folder for each version.
const OFF_THE_PATH: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", "bin"),
    ("/usr/libexec", ""),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
];

fn off_the_path(program: &str) -> Option<PathBuf> {
    OFF_THE_PATH.iter().find_map(|(versions, below)| {
        let folders = fs::read_dir(versions).ok()?.filter_map(Result::ok);
        folders
            .map(|version| version.path().join(below))
            .find(|folder| is_executable(&folder.join(program)))
    })
}

fn install(software: &Software) -> Result<(), String> {
    let Software { name, advice, .. } = software;
    let machine = Machine {
        has: &is_installed,
        is_root: is_root(),
        is_attended: io::stdin().is_terminal(),
    };
    let Plan(steps) = plan(software, &machine)?;
    eprintln!(
        "xtask: {name} is missing, so it is installed now. The package may also start a server of its own, on its"
    );
    eprintln!("xtask: usual port; tests, demo and bench do not use that one.");
    let last = steps.len() - 1;
    for (n, step) in steps.iter().enumerate() {
        let shown = step.join(" ");
        eprintln!("$ {shown}");
        let status = Command::new(step[0])
            .args(&step[1..])
            .status()
            .map_err(|error| format!("could not run {}: {error}", step[0]))?;
        match (status.success(), n == last) {
            (true, _) => {}
            (false, false) => eprintln!("xtask: {shown} failed ({status}); going on with what is known"),
            (false, true) => {
                return Err(format!(
                    "could not install {name}: {shown} failed ({status}); install it by hand: {advice}"
                ));
            }
        }
    }
    Ok(())
}

/// What to run on this machine, or what the user can do.
fn plan(software: &Software, machine: &Machine<'_>) -> Result<Plan, String> {
    let Software { name, advice, .. } = software;
    let Some(manager) = MANAGERS.iter().find(|manager| (machine.has)(manager.program)) else {
        return Err(format!(
            "{name} is not installed, and no package manager known here was found; install {advice}"
        ));
    };
    let mut plain = Plan(manager.steps.iter().map(|step| step.to_vec()).collect());
    if let Some(last) = plain.0.last_mut() {
        last.push((software.package)(manager.program));
    }
    if !manager.needs_root || machine.is_root {
        return Ok(plain);
    }
    if !(machine.has)("sudo") {
        return Err(format!(
            "{name} is not installed, and installing it takes root; as root, run: {plain}"
        ));
    }
    // Without a terminal, sudo fails rather than waits for a password that nobody types.
    let sudo: &[&str] = if machine.is_attended {
        &["sudo"]
    } else {
        &["sudo", "-n"]
    };
    Ok(Plan(plain.0.iter().map(|step| [sudo, step].concat()).collect()))
}

/// What this memcached calls itself, such as `memcached 1.6.18`.
pub(crate) fn version_of(program: &Path) -> Result<String, String> {
    let output = Command::new(program)
        .arg("-V")
        .output()
        .map_err(|error| format!("could not run {}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn check(version: &str) -> Result<(), String> {
    let number = version.rsplit(' ').next().unwrap_or_default();
    let parts: Vec<u32> = number.split('.').map_while(|part| part.parse().ok()).collect();
    // A version that cannot be read is the server's to refuse: memlock asks it, too.
    if !parts.is_empty() && parts.as_slice() < OLDEST.as_slice() {
        let [major, minor, patch] = OLDEST;
        return Err(format!(
            "{version} is too old: memlock needs memcached {major}.{minor}.{patch} or newer"
        ));
    }
    Ok(())
}

/// Whether the PATH has a program of this name.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| is_executable(&folder.join(program)))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// Asked from `id`, since std cannot tell.
fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::{MEMCACHED, Machine, POSTGRESQL, REDIS, Software, check, plan};

    fn planned(programs: &[&str], is_root: bool, is_attended: bool) -> Result<String, String> {
        planned_for(&MEMCACHED, programs, is_root, is_attended)
    }

    fn planned_for(software: &Software, programs: &[&str], is_root: bool, is_attended: bool) -> Result<String, String> {
        let machine = Machine {
            has: &|program| programs.contains(&program),
            is_root,
            is_attended,
        };
        plan(software, &machine).map(|plan| plan.to_string())
    }

    #[test]
    fn root_installs_directly_and_asks_nothing() {
        assert_eq!(
            planned(&["apt-get", "sudo"], true, true).unwrap(),
            "apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends memcached"
        );
    }

    #[test]
    fn others_go_through_sudo_which_waits_for_a_password_only_where_one_can_be_typed() {
        assert_eq!(
            planned(&["dnf", "sudo"], false, true).unwrap(),
            "sudo dnf install --assumeyes memcached"
        );
        assert_eq!(
            planned(&["apk", "sudo"], false, false).unwrap(),
            "sudo -n apk add --update-cache memcached"
        );
    }

    #[test]
    fn what_is_installed_is_called_what_the_package_manager_calls_it() {
        let planned = |software, manager| planned_for(software, &[manager], true, false).unwrap();
        assert!(planned(&REDIS, "apt-get").ends_with(" redis-server"));
        assert!(planned(&REDIS, "dnf").ends_with(" redis"));
        assert!(planned(&POSTGRESQL, "apt-get").ends_with(" postgresql"));
        assert!(planned(&POSTGRESQL, "dnf").ends_with(" postgresql-server"));
    }

    #[test]
    fn brew_is_never_run_by_sudo() {
        assert_eq!(
            planned(&["brew", "sudo"], false, true).unwrap(),
            "brew install memcached"
        );
    }

    #[test]
    fn who_cannot_install_is_told_what_to_type() {
        let problem = planned(&["pacman"], false, true).unwrap_err();
        assert!(
            problem.ends_with("as root, run: pacman -S --needed --noconfirm memcached"),
            "{problem}"
        );
        let problem = planned(&[], true, true).unwrap_err();
        assert!(problem.contains("install memcached 1.6.13 or newer"), "{problem}");
    }

    #[test]
    fn only_a_version_that_is_known_to_be_too_old_is_refused() {
        for old in ["memcached 1.5.22", "memcached 1.6.9", "memcached 1.6.12"] {
            assert!(check(old).unwrap_err().contains("too old"), "{old}");
        }
        for fine in [
            "memcached 1.6.13",
            "memcached 1.6.18",
            "memcached 2.0",
            "memcached 1.10.1",
            "memcached HEAD",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
    }
}
