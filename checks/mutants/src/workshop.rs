//! Puts one fault at a time into a copy of the workspace, and runs the tests that are to notice.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::table::{INTERLEAVINGS, MODEL, Mutant, Suite};
use crate::tree::{Tree, write};

/// How long one suite may run. They take seconds; a fault may make one run for ever.
const PATIENCE: Duration = Duration::from_secs(2 * 60);

/// The outcome of one mutant.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// These tests failed.
    Caught(Vec<String>),
    /// All tests passed, or a model or a scenario did that the row names.
    Survived,
    /// It shows nothing, for this reason: it does not compile, or its tests did not end.
    Broken(String),
}

impl Verdict {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Verdict::Caught(_) => "caught",
            Verdict::Survived => "SURVIVED",
            Verdict::Broken(_) => "BROKEN",
        }
    }
}

/// The copy of the workspace, and its builds.
pub(crate) struct Workshop {
    tree: Tree,
    folder: PathBuf,
    /// Held as long as the process lives: two runs in one folder would test each other's faults.
    _lock: File,
}

impl Workshop {
    pub(crate) fn open() -> Result<Workshop, String> {
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

    /// The files that `mutant` changes, with its fault in them.
    pub(crate) fn mutated(&self, mutant: &Mutant) -> Result<(PathBuf, String), String> {
        self.tree.mutated(mutant)
    }

    /// Checks that the suites of `mutants` have tests, and that these pass: others would "catch" any fault.
    pub(crate) fn check_unmutated(&self, mutants: &[&Mutant]) -> Result<(), String> {
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
    pub(crate) fn try_mutant(&self, mutant: &Mutant) -> Result<Verdict, String> {
        let (file, original) = self.tree.apply(mutant)?;
        let verdict = self.judge(mutant);
        // Whatever the verdict: the next mutant must not inherit this one's fault.
        write(&file, &original)?;
        verdict
    }

    fn judge(&self, mutant: &Mutant) -> Result<Verdict, String> {
        let mut caught_by = Vec::new();
        for suite in mutant.suites {
            match self.test(suite)? {
                // Each model or scenario that the row names must notice by itself, whatever other tests notice.
                Tested::Passed(_) if [MODEL, INTERLEAVINGS].contains(&suite.package) => {
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

    /// Builds and runs one suite. These are two steps, because a build that fails is not a test that fails.
    fn test(&self, suite: &Suite) -> Result<Tested, String> {
        match self.build(suite)? {
            Ok(executable) => self.execute(&executable, suite),
            Err(diagnostics) => Ok(Tested::Broken(format!("it does not compile:\n{diagnostics}"))),
        }
    }

    /// The suite's executable, or the compiler's diagnostics.
    fn build(&self, suite: &Suite) -> Result<Result<PathBuf, String>, String> {
        // Set by the cargo that runs this program: the same toolchain then does the rest.
        let program = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        // A fault may leave something unused behind. That must not keep it from compiling.
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

    /// Runs the executable itself, not through cargo, so that it can be killed when it hangs.
    fn execute(&self, executable: &Path, suite: &Suite) -> Result<Tested, String> {
        let problem = |error| format!("could not run {}: {error}", executable.display());
        // Into a file, because a pipe would have to be emptied meanwhile.
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

/// The outcome of a suite.
enum Tested {
    /// This many tests passed, and none failed.
    Passed(usize),
    /// These tests failed.
    Failed(Vec<String>),
    /// It had no result, for this reason.
    Broken(String),
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The one executable that cargo's messages name. A JSON reader would be a dependency.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, rest) = messages.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    Some(PathBuf::from(path.replace(r"\\", r"\")))
}

/// The tests that failed, according to the test harness.
fn failed(said: &str) -> Vec<String> {
    let name = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    said.lines().filter_map(name).collect()
}

/// The promises that are broken, according to the model.
fn promises(said: &str) -> BTreeSet<String> {
    let promise = |line: &str| {
        let (_, promise) = line.strip_suffix(": not so after")?.split_once(": ")?;
        Some(format!("\"{promise}\""))
    };
    said.lines().filter_map(promise).collect()
}

/// The number of tests that passed, according to the test harness.
fn passed(said: &str) -> usize {
    let is_passed = |line: &&str| line.starts_with("test ") && line.ends_with(" ... ok");
    said.lines().filter(is_passed).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_the_test_harness_is_understood() {
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
