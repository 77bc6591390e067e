//! The copy of the workspace in which mutants are tried. This handles files only, and runs nothing but `git ls-files`.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::table::Mutant;

/// The folder of the files that mutants change.
const SOURCES: &str = "memlock-runtime/src";

/// A copy of the workspace.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The workspace at `root` as it is.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf) -> Tree {
        Tree { root }
    }

    /// Makes `to` a copy of the work tree `from`, without the files that git ignores. A file that is the same already
    /// stays as it is, so that it is not compiled again.
    pub(crate) fn copy(from: &Path, to: &Path) -> Result<Tree, String> {
        let files = files(from)?;
        let mut copied = BTreeSet::new();
        for file in &files {
            let (source, copy) = (from.join(file), to.join(file));
            let problem = |error| format!("could not copy {file} to {}: {error}", to.display());
            let content = match fs::read(&source) {
                Ok(content) => content,
                // Deleted in the work tree, but not in the index yet.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(problem(error)),
            };
            if !fs::read(&copy).is_ok_and(|there| there == content) {
                if let Some(folder) = copy.parent() {
                    fs::create_dir_all(folder).map_err(problem)?;
                }
                fs::write(&copy, content).map_err(problem)?;
            }
            copied.insert(copy);
        }
        remove_all_but(&copied, to).map_err(|error| format!("could not tidy {}: {error}", to.display()))?;
        Ok(Tree { root: to.to_owned() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file that `mutant` changes, with its fault in it.
    pub(crate) fn mutated(&self, mutant: &Mutant) -> Result<(PathBuf, String), String> {
        let path = self.root.join(SOURCES).join(mutant.file);
        let problem = |problem| format!("mutant {}: {problem}", mutant.name);
        let content = read(&path).map_err(problem)?;
        let mutated = replace_once(&content, mutant).map_err(problem)?;
        Ok((path, mutated))
    }

    /// Puts the fault in. Returns the file that it changed, and its content before.
    pub(crate) fn apply(&self, mutant: &Mutant) -> Result<(PathBuf, String), String> {
        let (path, mutated) = self.mutated(mutant)?;
        let original = read(&path)?;
        write(&path, &mutated)?;
        Ok((path, original))
    }
}

pub(crate) fn write(path: &Path, content: &str) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("could not write {}: {error}", path.display()))
}

/// Replaces exactly one place: with none or several the fault would not be the one that was meant.
fn replace_once(content: &str, mutant: &Mutant) -> Result<String, String> {
    match content.matches(mutant.from).count() {
        1 => Ok(content.replacen(mutant.from, mutant.to, 1)),
        count => Err(format!(
            "the text that it replaces must stand in {SOURCES}/{} once, and stands there {count} times:\n{}",
            mutant.file, mutant.from
        )),
    }
}

/// All files that git tracks, and those that it would track: a new module belongs to the build before it is added.
fn files(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("could not run git: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let names = String::from_utf8(output.stdout).map_err(|_| "a file's name is not UTF-8")?;
    Ok(names.split_terminator('\0').map(str::to_owned).collect())
}

/// Removes the files below `folder` that are not among `kept`.
fn remove_all_but(kept: &BTreeSet<PathBuf>, folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_all_but(kept, &entry.path())?;
        } else if !kept.contains(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("could not read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_does_not_fit_exactly_once_is_refused() {
        let mutant = Mutant {
            name: "x",
            breaks: "S1",
            decision: "",
            file: "x.rs",
            from: "a",
            to: "b",
            suites: &[],
        };
        assert_eq!(replace_once("cat", &mutant), Ok("cbt".to_owned()));
        for content in ["dog", "a cat"] {
            assert!(replace_once(content, &mutant).is_err_and(|problem| problem.contains("x.rs")));
        }
    }
}
