//! `cargo xtask mutants [NAME…]`: shows that the tests of the core catch deliberate faults.
//!
//! A test that has never failed proves nothing. Each mutant of [`table`] breaks one promise in a copy of the workspace,
//! and the tests that it names must fail there. A mutant that survives, that does not apply to the code any more, or that
//! does not compile is an error.
//!
//! The work tree itself is never touched: everything happens below `target/mutants`.

mod table;
mod tree;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use table::{Mutant, Suite, mutants};
use tree::Tree;

/// How long one suite may run. They take seconds; a fault may make one run for ever.
const PATIENCE: Duration = Duration::from_secs(2 * 60);

/// `cargo xtask mutants`: all of them, or those named.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mutants = choose(arguments)?;
    let workshop = Workshop::open()?;
    // Before anything is built: whoever has changed the code is told at once of all that must follow.
    let stale: Vec<String> = mutants
        .iter()
        .filter_map(|mutant| workshop.tree.mutated(mutant).err())
        .collect();
    if !stale.is_empty() {
        return Err(stale.join("\n"));
    }

    let began = Instant::now();
    workshop.check_unmutated(&mutants)?;
    eprintln!(
        "xtask: without a fault all tests pass ({} s)",
        began.elapsed().as_secs()
    );
    let mut rows = Vec::new();
    for mutant in mutants {
        let began = Instant::now();
        let verdict = workshop.try_mutant(mutant)?;
        eprintln!("xtask: {}: {}", mutant.name, verdict.word());
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

/// What became of one mutant.
#[derive(Debug)]
enum Verdict {
    /// These tests failed.
    Caught(Vec<String>),
    /// All tests passed, or those of a model or a scenario that was to notice.
    Survived,
    /// It shows nothing, because of this: it does not compile, or its tests came to no end.
    Broken(String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Verdict::Caught(_) => "caught",
            Verdict::Survived => "SURVIVED",
            Verdict::Broken(_) => "BROKEN",
        }
    }
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
        "\n{:<width$}  breaks  seconds  caught by (and the fault, below its name)",
        "mutant"
    );
    for row in rows {
        let Mutant {
            name, breaks, fault, ..
        } = row.mutant;
        let seconds = row.took.as_secs_f64();
        print!("{name:<width$}  {breaks:<6}  {seconds:>7.1}  ");
        match &row.verdict {
            Verdict::Caught(tests) => println!("{}", tests.join(", ")),
            Verdict::Survived => println!("SURVIVED: no test fails, or its model or scenario does not"),
            Verdict::Broken(why) => println!("BROKEN: {why}"),
        }
        println!("  {fault}");
    }
}

/// The copy of the workspace, and what is built of it.
struct Workshop {
    tree: Tree,
    folder: PathBuf,
    /// Held as long as the process lives: two runs in one folder would test each other's faults.
    _lock: File,
}

impl Workshop {
    fn open() -> Result<Workshop, String> {
        let root = workspace();
        let folder = root.join("target").join("mutants");
        let problem = |error| format!("could not prepare {}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(problem)?;
        let lock = File::create(folder.join("lock")).map_err(problem)?;
        if lock.try_lock().is_err() {
            return Err(format!("another run is at work in {}", folder.display()));
        }
        Ok(Workshop {
            tree: Tree::copy(&root, &folder.join("tree"))?,
            folder,
            _lock: lock,
        })
    }

    /// Tests that fail anyway, or that are not there, show nothing when they "catch" a fault.
    fn check_unmutated(&self, mutants: &[&Mutant]) -> Result<(), String> {
        let suites: BTreeSet<&Suite> = mutants.iter().flat_map(|mutant| mutant.suites).collect();
        for suite in suites {
            match self.test(suite)? {
                Tested::Passed(0) => return Err(format!("no test is called \"{}\"", suite.filter)),
                Tested::Passed(_) => {}
                Tested::Failed(tests) => {
                    return Err(format!("fails without any fault: {}", tests.join(", ")));
                }
                Tested::Broken(why) => return Err(format!("without any fault: {why}")),
            }
        }
        Ok(())
    }

    /// Puts the fault in, runs its tests, and takes it out again.
    fn try_mutant(&self, mutant: &Mutant) -> Result<Verdict, String> {
        let originals = self.tree.apply(mutant)?;
        let verdict = self.judge(mutant);
        // Whatever came of it: the next mutant must not inherit this one's fault.
        tree::write(&originals)?;
        verdict
    }

    fn judge(&self, mutant: &Mutant) -> Result<Verdict, String> {
        let mut caught_by = Vec::new();
        for suite in mutant.suites {
            match self.test(suite)? {
                // Each model or scenario that is named is to notice by itself, whatever samples notice, too.
                Tested::Passed(_) if [table::MODEL, table::INTERLEAVINGS].contains(&suite.package) => {
                    return Ok(Verdict::Survived);
                }
                Tested::Passed(_) => {}
                Tested::Failed(tests) => caught_by.extend(tests),
                Tested::Broken(why) => return Ok(Verdict::Broken(why)),
            }
        }
        Ok(if caught_by.is_empty() {
            Verdict::Survived
        } else {
            Verdict::Caught(caught_by)
        })
    }

    /// Builds and runs one suite. Two steps, since a build that fails is no test that fails.
    fn test(&self, suite: &Suite) -> Result<Tested, String> {
        match self.build(suite)? {
            Ok(executable) => self.execute(&executable, suite),
            Err(diagnostics) => Ok(Tested::Broken(format!("it does not compile:\n{diagnostics}"))),
        }
    }

    /// The suite's executable, or the compiler's words.
    fn build(&self, suite: &Suite) -> Result<Result<PathBuf, String>, String> {
        // As in `crate::cargo`: the toolchain that runs this program does the rest.
        let program = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        // A fault may leave something unused behind, which is no reason not to compile it.
        let flags = format!("{} --cap-lints=warn", env::var("RUSTFLAGS").unwrap_or_default());
        let output = Command::new(program)
            .args(["test", "--no-run", "--offline", "--locked", "--package", suite.package])
            .args(suite.target)
            .arg("--message-format=json-render-diagnostics")
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TERM_COLOR", "never")
            .env("RUSTFLAGS", flags)
            .current_dir(self.tree.root())
            .output()
            .map_err(|error| format!("could not run cargo: {error}"))?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        match executable(&String::from_utf8_lossy(&output.stdout)) {
            Some(executable) => Ok(Ok(executable)),
            None => Err(format!("cargo built no tests for {}", suite.target.join(" "))),
        }
    }

    /// Runs the executable itself, and not through cargo, so that one that hangs can be ended.
    fn execute(&self, executable: &Path, suite: &Suite) -> Result<Tested, String> {
        let problem = |error| format!("could not run {}: {error}", executable.display());
        // Into a file: nobody has to empty a pipe while waiting.
        let said = self.folder.join("output");
        let mut child = Command::new(executable)
            .arg(suite.filter)
            .env("RUST_BACKTRACE", "0")
            .current_dir(self.tree.root().join(suite.folder))
            .stdin(Stdio::null())
            .stdout(File::create(&said).map_err(problem)?)
            .stderr(Stdio::null())
            .spawn()
            .map_err(problem)?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(problem)? {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill().map_err(problem)?;
                child.wait().map_err(problem)?;
                let seconds = PATIENCE.as_secs();
                return Ok(Tested::Broken(format!(
                    "its tests did not end within {seconds} s: {}",
                    suite.filter
                )));
            }
            thread::sleep(Duration::from_millis(10));
        };
        let said = fs::read(&said).map_err(problem)?;
        let said = String::from_utf8_lossy(&said);
        let mut failed = failed(&said);
        failed.extend(promises(&said));
        Ok(match (status.success(), failed.is_empty()) {
            (true, _) => Tested::Passed(passed(&said)),
            (false, false) => Tested::Failed(failed),
            (false, true) => Tested::Broken(format!("its tests ended with {status}, and none of them failed")),
        })
    }
}

/// What came of a suite.
enum Tested {
    /// So many tests passed, and none failed.
    Passed(usize),
    /// These tests failed.
    Failed(Vec<String>),
    /// It came to no result.
    Broken(String),
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The one executable that cargo's messages name. A whole JSON reader would be a dependency.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, rest) = messages.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    Some(PathBuf::from(path.replace(r"\\", r"\")))
}

/// The tests that failed, by what the test harness says.
fn failed(said: &str) -> Vec<String> {
    let name = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    said.lines().filter_map(name).collect()
}

/// The promises of which the model says that they are broken.
fn promises(said: &str) -> BTreeSet<String> {
    let promise = |line: &str| {
        let (_, promise) = line.strip_suffix(": not so after")?.split_once(": ")?;
        Some(format!("\"{promise}\""))
    };
    said.lines().filter_map(promise).collect()
}

/// How many tests passed, by what the test harness says.
fn passed(said: &str) -> usize {
    let is_passed = |line: &&str| line.starts_with("test ") && line.ends_with(" ... ok");
    said.lines().filter(is_passed).count()
}

#[cfg(test)]
mod tests {
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
    fn mutants_are_chosen_by_their_names_which_differ() {
        let names: BTreeSet<&str> = mutants().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), mutants().count());
        assert_eq!(choose(&[]).map(|all| all.len()), Ok(mutants().count()));
        for mutant in mutants() {
            assert!(choose(&[mutant.name.to_owned()]).is_ok_and(|chosen| chosen.len() == 1));
        }
        assert!(choose(&["no-such-fault".to_owned()]).is_err());
    }

    #[test]
    fn what_the_harness_says_is_understood() {
        let said =
            "\nrunning 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... ignored\n\nfailures:\n    a::c\n";
        assert_eq!(failed(said), ["a::c"]);
        assert_eq!(passed(said), 1);
        let said = "two contenders: S1: at most one believes: not so after\n  Begin(0)\n";
        assert_eq!(
            promises(said).into_iter().collect::<Vec<_>>(),
            ["\"S1: at most one believes\""]
        );
        let messages = "{\"executable\":null}\n{\"executable\":\"C:\\\\deps\\\\tests\",\"fresh\":false}";
        assert_eq!(executable(messages), Some(PathBuf::from(r"C:\deps\tests")));
        assert_eq!(executable("{\"executable\":null}"), None);
    }
}
