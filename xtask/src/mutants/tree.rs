//! The copy of the workspace that mutants are tried in, and putting a fault into it. Files only; nothing is run here but
//! `git ls-files`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::table::{Edit, Mutant};

/// Where the files are that mutants change.
const SOURCES: &str = "memlock-runtime/src";

/// A copy of the workspace.
pub(super) struct Tree {
    root: PathBuf,
}

/// Files and what stands in them.
pub(super) type Files = BTreeMap<PathBuf, String>;

impl Tree {
    /// The workspace at `root` as it is.
    #[cfg(test)]
    pub(super) fn at(root: PathBuf) -> Tree {
        Tree { root }
    }

    /// Makes `to` the same as the work tree `from`, but for what git ignores. A file that is the same already is left
    /// alone, so that it is not compiled again.
    pub(super) fn copy(from: &Path, to: &Path) -> Result<Tree, String> {
        let files = files(from)?;
        let mut copied = BTreeSet::new();
        for file in &files {
            let (source, copy) = (from.join(file), to.join(file));
            let problem = |error| format!("could not copy {file} to {}: {error}", to.display());
            let content = match fs::read(&source) {
                Ok(content) => content,
                // Deleted, and git does not know yet.
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

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The files that `mutant` changes, as they are with its fault.
    pub(super) fn mutated(&self, mutant: &Mutant) -> Result<Files, String> {
        let mut changed = Files::new();
        for edit in mutant.edits {
            let path = self.root.join(SOURCES).join(edit.file);
            let before = match changed.remove(&path) {
                Some(content) => content,
                None => read(&path)?,
            };
            let after = edited(&before, edit).map_err(|problem| format!("mutant {}: {problem}", mutant.name))?;
            changed.insert(path, after);
        }
        Ok(changed)
    }

    /// Puts the fault in. To [`write()`] what this returns takes it out again.
    pub(super) fn apply(&self, mutant: &Mutant) -> Result<Files, String> {
        let changed = self.mutated(mutant)?;
        let originals = changed.keys().map(|path| Ok((path.clone(), read(path)?)));
        let originals = originals.collect::<Result<Files, String>>()?;
        write(&changed)?;
        Ok(originals)
    }
}

/// Writes these files.
pub(super) fn write(files: &Files) -> Result<(), String> {
    files.iter().try_for_each(|(path, content)| {
        fs::write(path, content).map_err(|error| format!("could not write {}: {error}", path.display()))
    })
}

/// Exactly one place, or else the fault is not the one that was meant.
fn edited(content: &str, edit: &Edit) -> Result<String, String> {
    match content.matches(edit.from).count() {
        1 => Ok(content.replacen(edit.from, edit.to, 1)),
        count => Err(format!(
            "what it replaces is to stand in {SOURCES}/{} once, and stands there {count} times:\n{}",
            edit.file, edit.from
        )),
    }
}

/// All files that git knows or would know if they were added: a new module belongs to the build before it is.
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
        let edit = Edit {
            file: "x.rs",
            from: "a",
            to: "b",
        };
        assert_eq!(edited("cat", &edit), Ok("cbt".to_owned()));
        for content in ["dog", "a cat"] {
            assert!(edited(content, &edit).is_err_and(|problem| problem.contains("x.rs")));
        }
    }
}
