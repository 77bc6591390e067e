//! Builds a copy, runs its tests, and returns the results.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::crates::Crate;
use crate::sources::{Refused, cargo, folder};

/// A test binary that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// A copy that has been built.
pub(crate) struct Built {
    root: PathBuf,
    executables: Vec<Executable>,
    /// The compiler's warnings of the crate itself: file, line and text, without the column, which an attribute moves.
    pub(crate) warnings: BTreeMap<String, usize>,
    pub(crate) time: Duration,
}

struct Executable {
    /// Of which file, as cargo says.
    of: String,
    path: PathBuf,
}

/// Why there is nothing to run.
pub(crate) enum Failed {
    /// The attribute refuses these functions, which return futures of named types.
    Refused(Refused),
    Else(String),
}

impl From<String> for Failed {
    fn from(problem: String) -> Failed {
        Failed::Else(problem)
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> String {
        match failed {
            Failed::Refused(refused) => format!("functions that give futures: {refused:?}"),
            Failed::Else(problem) => problem,
        }
    }
}

/// Builds the tests in `root`.
pub(crate) fn build(on_trial: &Crate, root: &Path) -> Result<Built, Failed> {
    let begun = Instant::now();
    let mut command = cargo();
    // Not the documentation's examples: each is a program of its own.
    command
        .args([
            "test",
            "--tests",
            "--no-run",
            "--message-format",
            "short",
            "--color",
            "never",
        ])
        .args(["--features", &on_trial.features.join(",")])
        // Some tests make millions of calls.
        .args(["--config", "profile.dev.package.memlock-runtime.opt-level=2"])
        .args(["--config", "profile.dev.package.memlock-probe.opt-level=2"])
        .env("CARGO_TARGET_DIR", folder().join("build"))
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .current_dir(root);
    let output = command
        .output()
        .map_err(|error| format!("could not run cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let errors: Vec<&str> = said.lines().filter(|line| line.contains(": error")).take(40).collect();
        let refused = refused(&errors, root);
        if !refused.is_empty() {
            return Err(Failed::Refused(refused));
        }
        let shown = if errors.is_empty() {
            said.into_owned()
        } else {
            errors.join("\n")
        };
        return Err(Failed::Else(format!("{} does not compile:\n{shown}", root.display())));
    }
    let mut built = Built {
        root: root.to_owned(),
        executables: Vec::new(),
        warnings: BTreeMap::new(),
        time: begun.elapsed(),
    };
    for line in said.lines() {
        if let Some((of, path)) = line
            .trim_start()
            .strip_prefix("Executable ")
            .and_then(|rest| rest.split_once(" ("))
        {
            built.executables.push(Executable {
                of: of.to_owned(),
                path: root.join(path.trim_end_matches(')')),
            });
        } else if let Some(warning) = warning(line) {
            *built.warnings.entry(warning).or_default() += 1;
        }
    }
    if built.executables.is_empty() {
        return Err(Failed::Else(format!(
            "{} has no tests that could be run",
            root.display()
        )));
    }
    Ok(built)
}

/// How the macro's errors begin that refuse a function for the future that it gives.
const REFUSALS: [&str; 2] = [
    ": error[E0277]: this function returns a future",
    ": error[E0277]: this function's future gives another future",
];

/// Where the macro has refused a function for the future that it gives.
fn refused(errors: &[&str], root: &Path) -> Refused {
    let mut refused = Refused::new();
    for error in errors {
        if let Some((place, _)) = REFUSALS.iter().find_map(|refusal| error.split_once(refusal))
            && let [_column, line, file] = place.rsplitn(3, ':').collect::<Vec<_>>()[..]
            && let Ok(line) = line.parse()
        {
            refused.entry(root.join(file)).or_default().push(line);
        }
    }
    refused
}

/// Of `src/lib.rs:10:5: warning: text`, all but the column. Warnings of other packages have other paths, and what cargo
/// itself warns of has none.
fn warning(line: &str) -> Option<String> {
    let (place, text) = line.split_once(": warning")?;
    let mut place = place.rsplitn(3, ':');
    let (_column, line, file) = (place.next()?, place.next()?, place.next()?);
    Path::new(file)
        .is_relative()
        .then(|| format!("{file}:{line}: warning{text}"))
}

/// The results of the tests, and the locks that they took.
#[derive(Default)]
pub(crate) struct Ran {
    pub(crate) passed: BTreeSet<String>,
    pub(crate) failed: BTreeSet<String>,
    /// Problems beside failed tests.
    pub(crate) trouble: Vec<String>,
    pub(crate) counts: Counts,
    pub(crate) time: Duration,
}

/// The probe's counts.
#[derive(Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) acquired: u64,
    pub(crate) soft_runs: u64,
    pub(crate) lost: u64,
}

/// Runs all tests, with locks of `servers` for the first `budget` calls of each process.
pub(crate) fn run(built: &Built, servers: &str, budget: u64) -> Result<Ran, String> {
    let begun = Instant::now();
    let reports = built.root.join("reports");
    // Of the run before.
    let _ = fs::remove_dir_all(&reports);
    fs::create_dir_all(&reports).map_err(|error| format!("could not make {}: {error}", reports.display()))?;
    let mut ran = Ran::default();
    for executable in &built.executables {
        let mut command = Command::new(&executable.path);
        command
            .current_dir(&built.root)
            .env("CARGO_MANIFEST_DIR", &built.root)
            // For this check, 20 random cases of a property are as good as 100.
            .env("QUICKCHECK_TESTS", "20")
            .env("MEMLOCK_SERVERS", servers)
            .env("MEMLOCK_TRANSPARENCY_BUDGET", budget.to_string())
            .env("MEMLOCK_TRANSPARENCY_REPORT", &reports)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .map_err(|error| format!("could not run {}: {error}", executable.path.display()))?;
        watch(child, &executable.of, &mut ran)?;
    }
    ran.counts = counts(&reports)?;
    ran.time = begun.elapsed();
    Ok(ran)
}

/// Reads the output of a test binary until it ends, and ends it if it hangs.
fn watch(mut child: Child, of: &str, ran: &mut Ran) -> Result<(), String> {
    let (sender, lines) = mpsc::channel();
    let stdout = child.stdout.take().ok_or("no output")?;
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut stderr = child.stderr.take().ok_or("no output")?;
    let errors = thread::spawn(move || {
        let mut said = String::new();
        // What is not text is missing from a message, no more.
        let _ = stderr.read_to_string(&mut said);
        said
    });
    let end = Instant::now() + LONGEST;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => note(&line, of, ran),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                ran.trouble.push(format!("{of} hangs"));
                // Fails only when it has ended after all.
                let _ = child.kill();
                break;
            }
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("could not wait for {of}: {error}"))?;
    if status.code().is_none_or(|code| code != 0 && code != 101) {
        let said = errors.join().unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        ran.trouble
            .push(format!("{of} ended with {status}: {}", last.join(" / ")));
    }
    Ok(())
}

/// `test m::t ... ok`. With a failed test stands what it said, which goes to the person.
fn note(line: &str, of: &str, ran: &mut Ran) {
    let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
        if line.contains("panicked at") {
            ran.trouble.push(format!("{of}: {line}"));
        }
        return;
    };
    let name = format!("{of}: {}", name.trim_end_matches(" - should panic"));
    if outcome.starts_with("ok") {
        ran.passed.insert(name);
    } else if outcome.starts_with("FAILED") {
        ran.failed.insert(name);
    }
}

fn counts(reports: &Path) -> Result<Counts, String> {
    let mut sum = Counts::default();
    let entries = fs::read_dir(reports).map_err(|error| format!("could not read {}: {error}", reports.display()))?;
    for entry in entries.flatten() {
        if entry.path().extension().is_some() {
            continue;
        }
        let report = fs::read_to_string(entry.path()).unwrap_or_default();
        let numbers: Vec<u64> = report
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        let [calls, acquired, soft_runs, lost] = numbers[..] else {
            return Err(format!("the report \"{report}\" is not to be understood"));
        };
        sum.calls += calls;
        sum.acquired += acquired;
        sum.soft_runs += soft_runs;
        sum.lost += lost;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_known_without_its_column() {
        assert_eq!(
            warning("src/lib.rs:10:5: warning: unused variable: `x`").as_deref(),
            Some("src/lib.rs:10: warning: unused variable: `x`")
        );
        assert_eq!(warning("warning: `semver` (lib) generated 1 warning"), None);
        assert_eq!(warning("/elsewhere/lib.rs:10:5: warning: unused"), None);
    }

    #[test]
    fn only_the_macros_refusal_of_a_future_is_taken_for_one() {
        let errors = [
            "src/lib.rs:266:108: error[E0277]: this function returns a future, and its lock would be released",
            "src/lib.rs:290:102: error[E0277]: something else",
        ];
        let refused = refused(&errors, Path::new("/r"));
        assert_eq!(
            refused.into_iter().collect::<Vec<_>>(),
            [("/r/src/lib.rs".into(), vec![266])]
        );
    }

    #[test]
    fn each_outcome_is_recognised() {
        let mut ran = Ran::default();
        for line in [
            "test a::b ... ok",
            "test c - should panic ... FAILED",
            "test d ... ignored",
            "running 3 tests",
        ] {
            note(line, "tests", &mut ran);
        }
        assert_eq!(ran.passed.into_iter().collect::<Vec<_>>(), ["tests: a::b"]);
        assert_eq!(ran.failed.into_iter().collect::<Vec<_>>(), ["tests: c"]);
    }
}
