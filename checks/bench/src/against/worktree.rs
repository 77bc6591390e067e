//! A work tree of another commit, made by `git worktree` below `target/`. The user's own checkout is never touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One commit of a repository, checked out.
#[derive(Debug)]
pub(super) struct Worktree {
    pub(super) folder: PathBuf,
    /// The commit's hash, shortened to what stays unique in practice.
    pub(super) hash: String,
}

/// How many digits of a hash are kept.
const DIGITS: usize = 12;

impl Worktree {
    /// The work tree of `commit` in the repository at `root`: `parent/<hash>`, made now where it is not there yet.
    pub(super) fn open(root: &Path, parent: &Path, commit: &str) -> Result<Worktree, String> {
        let full = resolve(root, commit)?;
        let hash = full.get(..DIGITS).unwrap_or(&full).to_owned();
        fs::create_dir_all(parent).map_err(|error| format!("could not make {}: {error}", parent.display()))?;
        // git knows work trees by their real paths.
        let parent = parent
            .canonicalize()
            .map_err(|error| format!("could not find {}: {error}", parent.display()))?;
        let folder = parent.join(&hash);
        forget_removed(root, &parent)?;
        if folder.exists() {
            check(&folder, &full)?;
        } else {
            git(root, &["worktree", "add", "--quiet", "--detach", text(&folder)?, &full])?;
        }
        Ok(Worktree { folder, hash })
    }
}

/// The name of the checkout at `root`: its commit, and whether there are changes on top.
pub(super) fn describe(root: &Path) -> Result<String, String> {
    let head = git(root, &["rev-parse", "--short", "HEAD"])?;
    let changes = git(root, &["status", "--porcelain"])?;
    Ok(if changes.is_empty() {
        head
    } else {
        format!("{head} with uncommitted changes")
    })
}

fn resolve(root: &Path, commit: &str) -> Result<String, String> {
    // Checked first, so that a missing git or repository does not look like a missing commit.
    git(root, &["rev-parse", "--git-dir"])?;
    let wanted = format!("{commit}^{{commit}}");
    git(root, &["rev-parse", "--verify", "--end-of-options", &wanted]).map_err(|_| {
        format!("there is no commit {commit:?} in this repository; one that is only in another must be fetched first")
    })
}

/// Removes git's records of work trees below `parent` that have lost their folders, as after `cargo clean`. `git worktree
/// prune` would also remove records of other folders, which may only be out of reach at the moment.
fn forget_removed(root: &Path, parent: &Path) -> Result<(), String> {
    let list = git(root, &["worktree", "list", "--porcelain"])?;
    let known = list.lines().filter_map(|line| line.strip_prefix("worktree "));
    for folder in known.map(Path::new) {
        if folder.starts_with(parent) && !folder.exists() {
            git(root, &["worktree", "remove", "--force", text(folder)?])?;
        }
    }
    Ok(())
}

/// Checks that `folder` is as it was checked out.
fn check(folder: &Path, commit: &str) -> Result<(), String> {
    let problem = |what: &str| {
        let folder = folder.display();
        format!("{folder} {what}; remove that folder, and it will be made anew")
    };
    let found = git(folder, &["rev-parse", "--show-toplevel", "HEAD"]).unwrap_or_default();
    let (top, head) = found.split_once('\n').unwrap_or_default();
    // In a folder that is not a work tree, git speaks of the checkout around it.
    if Path::new(top) != folder {
        return Err(problem("is not a work tree of this repository any more"));
    }
    if head != commit {
        return Err(problem(&format!("is at {head} and not at {commit}")));
    }
    match git(folder, &["status", "--porcelain"])?.lines().next() {
        None => Ok(()),
        Some(change) => Err(problem(&format!("has been changed (\"{}\")", change.trim()))),
    }
}

/// The output of git, without the line end.
fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .output()
        .map_err(|error| format!("could not run git: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(said.trim_end().to_owned());
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    Err(format!("git {} failed: {}", arguments.join(" "), problem.trim()))
}

/// A path as text, for a file or for git.
pub(super) fn text(path: &Path) -> Result<&str, String> {
    path.to_str()
        .ok_or_else(|| format!("the path {} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Worktree, describe, git};
    use crate::stage::Folder;

    /// A repository of two commits. `file` says which.
    fn repository(root: &Path) {
        git(root, &["init", "--quiet"]).unwrap();
        git(root, &["config", "user.name", "Test"]).unwrap();
        git(root, &["config", "user.email", "test@example.com"]).unwrap();
        fs::write(root.join(".gitignore"), "/target\n").unwrap();
        for text in ["first", "second"] {
            fs::write(root.join("file"), text).unwrap();
            git(root, &["add", "--all"]).unwrap();
            git(root, &["commit", "--quiet", "--message", text]).unwrap();
        }
    }

    #[test]
    fn a_commit_is_checked_out_once_and_the_checkout_stays_as_it_is() {
        let folder = Folder::new("worktree");
        let root = folder.0.as_path();
        repository(root);
        fs::write(root.join("file"), "third").unwrap();
        let parent = root.join("target/against");

        let made = Worktree::open(root, &parent, "HEAD~1").unwrap();
        assert_eq!(fs::read_to_string(made.folder.join("file")).unwrap(), "first");
        assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "third");
        // Ignored files there, such as a build, do not count as a change, and stay.
        fs::create_dir(made.folder.join("target")).unwrap();
        fs::write(made.folder.join("target/built"), "").unwrap();
        let again = Worktree::open(root, &parent, &made.hash).unwrap();
        assert_eq!(again.folder, made.folder);
        assert!(again.folder.join("target/built").exists());

        // Removed behind git's back, and another one is asked for.
        fs::remove_dir_all(&made.folder).unwrap();
        Worktree::open(root, &parent, "HEAD").unwrap();
        let list = git(root, &["worktree", "list"]).unwrap();
        assert!(!list.contains(&made.hash), "{list}");
    }

    #[test]
    fn unknown_commits_and_changed_checkouts_are_refused() {
        let folder = Folder::new("worktree-refused");
        let root = folder.0.as_path();
        repository(root);
        let parent = root.join("target/against");
        let open = || Worktree::open(root, &parent, "HEAD~1");

        for unknown in ["no-such-commit", "--quiet", "HEAD:file", ""] {
            let problem = Worktree::open(root, &parent, unknown).unwrap_err();
            assert!(
                problem.contains(&format!("there is no commit \"{unknown}\"")),
                "{problem}"
            );
        }
        let made = open().unwrap().folder;
        fs::write(made.join("file"), "edited").unwrap();
        let problem = open().unwrap_err();
        assert!(problem.contains("has been changed (\"M file\")"), "{problem}");
        let second = git(root, &["rev-parse", "HEAD"]).unwrap();
        git(&made, &["checkout", "--quiet", "--force", "--detach", &second]).unwrap();
        assert!(open().unwrap_err().contains("and not at"));
        fs::remove_file(made.join(".git")).unwrap();
        assert!(open().unwrap_err().contains("is not a work tree"));
    }

    #[test]
    fn a_checkout_is_called_by_its_commit_and_by_whether_it_has_changes() {
        let folder = Folder::new("worktree-described");
        let root = folder.0.as_path();
        repository(root);
        let head = git(root, &["rev-parse", "--short", "HEAD"]).unwrap();
        assert_eq!(describe(root).unwrap(), head);
        fs::write(root.join("new"), "").unwrap();
        assert_eq!(describe(root).unwrap(), format!("{head} with uncommitted changes"));
    }
}
