//! Where the crates' sources come from, and the two copies of each: as it is, and with the attributes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::TokenTree;

use crate::crates::Crate;
use crate::rewrite::{Tally, rewrite};

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where all of this happens: nothing in it is committed.
pub(crate) fn folder() -> PathBuf {
    workspace().join("target/transparency")
}

/// Has cargo fetch the sources of `chosen` from crates.io, and checks that they are the ones that were pinned.
pub(crate) fn fetch(chosen: &[&Crate]) -> Result<PathBuf, String> {
    let fetched = folder().join("fetched");
    let mut manifest = String::from(
        "[package]\nname = \"fetched\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n",
    );
    for on_trial in chosen {
        let _ = writeln!(manifest, "{} = \"={}\"", on_trial.name, on_trial.version);
    }
    write(&fetched.join("Cargo.toml"), &manifest)?;
    write(&fetched.join("src/lib.rs"), "")?;
    // cargo checks each package against Cargo.lock, and Cargo.lock is checked here.
    let vendored = fetched.join("vendor");
    let output = cargo()
        .args(["vendor", "--quiet", "--versioned-dirs"])
        .arg(&vendored)
        .current_dir(&fetched)
        .output()
        .map_err(|error| format!("could not run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo vendor failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let lock = read(&fetched.join("Cargo.lock"))?;
    for Crate {
        name,
        version,
        checksum,
        ..
    } in chosen
    {
        let entry = format!(
            "name = \"{name}\"\nversion = \"{version}\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
             checksum = \"{checksum}\"\n"
        );
        if !lock.contains(&entry) {
            return Err(format!(
                "{name} {version} is not the package that was pinned: its checksum differs"
            ));
        }
    }
    Ok(vendored)
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The variables of that cargo speak of this package, and would have others compiled again.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// A copy of a crate that can be built.
pub(crate) struct Copy {
    pub(crate) root: PathBuf,
    pub(crate) tally: Tally,
}

/// The lines of each file where the attribute was refused.
pub(crate) type Refused = BTreeMap<PathBuf, Vec<usize>>;

pub(crate) fn are_among(some: &Refused, all: &Refused) -> bool {
    some.iter().all(|(file, lines)| {
        let known = all.get(file);
        lines.iter().all(|line| known.is_some_and(|known| known.contains(line)))
    })
}

/// Copies `on_trial` from among the `vendored`, as it is, or with the attributes but where they were refused.
pub(crate) fn copy(on_trial: &Crate, vendored: &Path, wrapped: Option<&Refused>) -> Result<Copy, String> {
    let from = vendored.join(format!("{}-{}", on_trial.name, on_trial.version));
    let kind = if wrapped.is_some() { "wrapped" } else { "plain" };
    let mut copy = Copy {
        root: folder().join(kind).join(on_trial.name),
        tally: Tally::default(),
    };
    for file in ["src", "tests"] {
        let wrapped = wrapped.filter(|_| !(on_trial.tests_only && file == "src"));
        copy_folder(
            on_trial,
            &from.join(file),
            &copy.root.join(file),
            wrapped,
            &mut copy.tally,
        )?;
    }
    // Read by `include_str!`, and run before the build.
    for file in ["README.md", "build.rs"] {
        if from.join(file).exists() {
            write(&copy.root.join(file), &read(&from.join(file))?)?;
        }
    }
    let manifest = manifest(&read(&from.join("Cargo.toml"))?, on_trial, wrapped.is_some());
    write(&copy.root.join("Cargo.toml"), &manifest)?;
    // The same dependencies for all, so that they are built once.
    let lock = read(&workspace().join("Cargo.lock"))?;
    if !copy.root.join("Cargo.lock").exists() {
        write(&copy.root.join("Cargo.lock"), &lock)?;
    }
    Ok(copy)
}

fn copy_folder(
    on_trial: &Crate,
    from: &Path,
    to: &Path,
    wrapped: Option<&Refused>,
    tally: &mut Tally,
) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let entry = entry.map_err(|error| format!("could not read {}: {error}", from.display()))?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if on_trial.left_out.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if path.is_dir() {
            copy_folder(on_trial, &path, &to, wrapped, tally)?;
        } else if let Some(refused) = wrapped.filter(|_| path.extension().is_some_and(|extension| extension == "rs")) {
            let refused = refused.get(&to).map_or(&[][..], Vec::as_slice);
            let named: Vec<&str> = on_trial.skipped.iter().map(|(name, _)| *name).collect();
            let (content, added) = rewrite(&read(&path)?, &attribute, &named, refused)
                .map_err(|problem| format!("{}: {problem}", path.display()))?;
            tally.add(&added);
            write(&to, &content)?;
        } else {
            write(&to, &read(&path)?)?;
        }
    }
    Ok(())
}

/// The attribute in front of a function that returns `returns`.
///
/// A `Result` with an error that is not `From<memlock::Error>` needs `on_unavailable`, and other results may have it. The
/// type behind a `Self`, a path or a macro's `$type` cannot be seen from here.
fn attribute(returns: &[TokenTree]) -> String {
    let may_be_a_result = returns.iter().any(|token| {
        let text = token.to_string();
        ["Self", ":", "$"].contains(&text.as_str()) || text.contains("Result")
    });
    let soft = if may_be_a_result {
        ", on_unavailable = unlocked"
    } else {
        ""
    };
    format!("#[::memlock::rlock(key = ::memlock_probe::key(), name = \"transparency\"{soft})] ")
}

/// The published manifest without benches, examples and what only they need; wrapped, with memlock.
fn manifest(published: &str, on_trial: &Crate, wrapped: bool) -> String {
    let goes = |section: &str| {
        let is_without = |name: &&str| section.starts_with(&format!("[dev-dependencies.{name}]"));
        let is_left_out = |name: &&str| section.starts_with("[[test]]") && section.contains(&format!("/{name}\""));
        ["[[bench]]", "[[example]]"]
            .iter()
            .any(|kind| section.starts_with(kind))
            || on_trial.without.iter().any(is_without)
            || on_trial.left_out.iter().any(is_left_out)
    };
    let sections = published.split_inclusive("\n\n");
    let mut manifest: String = sections.filter(|section| !goes(section)).collect();
    manifest.push('\n');
    manifest.push_str("\n[workspace]\n");
    if wrapped {
        let root = workspace();
        // A procedural macro's own dependencies are not linked to its tests.
        let section = if on_trial.tests_only {
            "dev-dependencies"
        } else {
            "dependencies"
        };
        for (name, path) in [
            ("memlock", root.clone()),
            ("memlock-probe", root.join("transparency/probe")),
        ] {
            let _ = writeln!(manifest, "\n[{section}.{name}]\npath = '{}'", path.display());
        }
    }
    manifest
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("could not read {}: {error}", path.display()))
}

/// Leaves a file that is the same already alone, so that it is not compiled again.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, content))
        .map_err(|error| format!("could not write {}: {error}", path.display()))
}
