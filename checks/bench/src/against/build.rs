//! Builds the measuring program with two memlocks: each in a package of its own below `target/against`. The packages differ
//! only in where they find memlock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::worktree::{self, Worktree, text};

/// The measuring program of one commit.
#[derive(Debug)]
pub(super) struct Build {
    /// The name of the commit.
    pub(super) label: String,
    pub(super) program: PathBuf,
}

/// This checkout as it is, and `commit`.
pub(super) fn both(commit: &str) -> Result<[Build; 2], String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root
        .canonicalize()
        .map_err(|error| format!("could not find {}: {error}", root.display()))?;
    let workshop = Workshop {
        folder: root.join("target").join("against"),
        root,
    };
    let worktree = Worktree::open(&workshop.root, &workshop.folder.join("commits"), commit)?;
    let this = worktree::describe(&workshop.root)?;
    let that = worktree.hash;
    Ok([
        // A name as long as a hash: a program's name lies on its stack, and its length moves the rest of the stack.
        workshop.build(&this, "thischeckout", &workshop.root)?,
        workshop.build(&that, &that, &worktree.folder)?,
    ])
}

struct Workshop {
    root: PathBuf,
    folder: PathBuf,
}

impl Workshop {
    /// Builds the measuring program with the memlock at `memlock`. `name` tells the builds apart.
    fn build(&self, label: &str, name: &str, memlock: &Path) -> Result<Build, String> {
        let package = format!("pairs-{name}");
        let folder = self.folder.join("packages").join(name);
        let problem = |error| format!("could not write {}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(problem)?;
        fs::write(folder.join("Cargo.toml"), manifest(&package, memlock, &self.root)?).map_err(problem)?;
        // The dependencies of that commit. Cargo adds the package itself, and leaves out unused dependencies.
        let locked = memlock.join("Cargo.lock");
        fs::copy(&locked, folder.join("Cargo.lock"))
            .map_err(|error| format!("could not copy {}: {error}", locked.display()))?;

        eprintln!("building memlock of {label} …");
        // One folder for both, so that their common dependencies are compiled once.
        let target = self.folder.join("target");
        // Set by the cargo that runs this program: the same toolchain then does the rest.
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--release", "--target-dir"])
            .arg(&target)
            .current_dir(&folder)
            .status()
            .map_err(|error| format!("could not run cargo: {error}"))?;
        if !status.success() {
            return Err(format!(
                "memlock of {label} does not build with the measuring program, checks/bench/src/bin/pairs.rs: the reason stands \
                 above. Only commits that have what this program uses of memlock can be measured"
            ));
        }
        let program = target
            .join("release")
            .join(format!("{package}{}", env::consts::EXE_SUFFIX));
        Ok(Build {
            label: label.to_owned(),
            program,
        })
    }
}

/// The manifest of `package` with the memlock at `memlock`, and all other settings of the checkout at `root`.
fn manifest(package: &str, memlock: &Path, root: &Path) -> Result<String, String> {
    let (program, testkit) = (root.join("checks/bench/src/bin/pairs.rs"), root.join("checks/testkit"));
    let [memlock, program, testkit] = [text(memlock)?, text(&program)?, text(&testkit)?];
    Ok(format!(
        r#"[package]
name = {package:?}
version = "0.0.0"
edition = "2024"

[[bin]]
name = {package:?}
path = {program:?}

[dependencies]
memlock = {{ path = {memlock:?} }}
memlock-testkit = {{ path = {testkit:?} }}
tokio = {{ version = "1", default-features = false, features = ["rt-multi-thread"] }}

# Not a member of the workspace around it.
[workspace]
"#
    ))
}
