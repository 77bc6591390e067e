//! Crates that are written for this check: many functions, bare or under an attribute, in a folder that is removed
//! afterwards.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The attribute on each function of a crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    None,
    Instrument,
    Lock,
}

impl Attribute {
    pub(crate) const ALL: [Attribute; 3] = [Attribute::None, Attribute::Instrument, Attribute::Lock];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Attribute::None => "bare",
            Attribute::Instrument => "instrument",
            Attribute::Lock => "lock",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Attribute::None => "",
            Attribute::Instrument => "#[tracing::instrument(skip_all)]\n",
            Attribute::Lock => "#[memlock::lock(\"account/{id}\")]\n",
        }
    }
}

/// One crate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) attribute: Attribute,
    pub(crate) is_async: bool,
    /// How many functions it has.
    pub(crate) functions: usize,
}

impl Subject {
    pub(crate) fn package(self) -> String {
        let form = if self.is_async { "async" } else { "sync" };
        format!("{form}-{}-{}", self.attribute.name(), self.functions)
    }

    /// A program that calls each function, so that the compiler drops none.
    fn source(self) -> String {
        let attribute = self.attribute.text();
        let (keyword, wait, call) = if self.is_async {
            (
                "async ",
                "std::future::ready(()).await;",
                "wait(std::pin::pin!(NAME(id)))",
            )
        } else {
            ("", "", "NAME(id)")
        };
        let mut source = String::from("use std::io;\n");
        let mut calls = String::new();
        for number in 0..self.functions {
            let name = format!("function_{number}");
            let _ = write!(
                source,
                "\n{attribute}pub {keyword}fn {name}(id: u64) -> io::Result<u64> {{\n    {wait}\n    \
                 if id > {number} {{\n        return Err(io::Error::other(\"too large\"));\n    }}\n    \
                 Ok(id * 3 + {number})\n}}\n"
            );
            let _ = writeln!(calls, "    sum += {}.unwrap_or(0);", call.replace("NAME", &name));
        }
        let _ = write!(
            source,
            "\nfn main() {{\n    let id = std::env::args().count() as u64;\n    let mut sum = 0;\n{calls}    \
             println!(\"{{sum}}\");\n}}\n"
        );
        if self.is_async {
            source.push_str(
                "\nfn wait<T>(future: std::pin::Pin<&mut dyn Future<Output = io::Result<T>>>) -> io::Result<T> {\n    \
                 match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {\n        \
                 std::task::Poll::Ready(output) => output,\n        \
                 std::task::Poll::Pending => Err(io::Error::other(\"it waits\")),\n    }\n}\n",
            );
        }
        source
    }
}

/// A workspace of them.
pub(crate) struct Scratch {
    root: PathBuf,
}

impl Scratch {
    /// Writes the crates, and compiles all that they depend on, as `profiles` have it.
    pub(crate) fn new(subjects: &[Subject], profiles: &[Profile]) -> Result<Scratch, String> {
        let root = env::temp_dir().join(format!("memlock-cost-{}", std::process::id()));
        let scratch = Scratch { root };
        let ours = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let packages: Vec<String> = subjects
            .iter()
            .map(|subject| format!("{:?}", subject.package()))
            .collect();
        scratch.write(
            "Cargo.toml",
            &format!(
                "[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[profile.release]\nstrip = true\n",
                packages.join(", ")
            ),
        )?;
        // The same versions as here.
        let locked = fs::read_to_string(ours.join("Cargo.lock")).map_err(|error| error.to_string())?;
        scratch.write("Cargo.lock", &locked)?;
        for subject in subjects {
            let package = subject.package();
            let dependency = match subject.attribute {
                Attribute::None => String::new(),
                Attribute::Instrument => {
                    "tracing = { version = \"0.1\", default-features = false, features = [\"std\", \"attributes\"] }"
                        .to_owned()
                }
                Attribute::Lock => format!("memlock = {{ path = {:?} }}", ours.display().to_string()),
            };
            scratch.write(
                &format!("{package}/Cargo.toml"),
                &format!(
                    "[package]\nname = {package:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n"
                ),
            )?;
            scratch.write(&format!("{package}/src/main.rs"), &subject.source())?;
        }
        for profile in profiles {
            scratch.cargo(*profile, &["--workspace"])?;
        }
        Ok(scratch)
    }

    /// How long the compiler works on a crate with compiled dependencies.
    pub(crate) fn compile(&self, subject: Subject, profile: Profile) -> Result<Duration, String> {
        let package = subject.package();
        // Written again it counts as changed.
        self.write(&format!("{package}/src/main.rs"), &subject.source())?;
        self.cargo(profile, &["--package", &package])
    }

    /// The size of a program, in bytes.
    pub(crate) fn size(&self, subject: Subject) -> Result<u64, String> {
        let program = self.root.join("target/release").join(subject.package());
        let program = program.with_extension(env::consts::EXE_EXTENSION);
        let metadata = fs::metadata(&program).map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(metadata.len())
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.root.join(file);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn cargo(&self, profile: Profile, which: &[&str]) -> Result<Duration, String> {
        // Set by the cargo that runs this program: the same toolchain then does the rest.
        let program = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let began = Instant::now();
        let output = Command::new(program)
            .args(profile.arguments())
            .args(which)
            .arg("--target-dir")
            .arg(self.root.join("target"))
            // A change to one function among many is not measured here.
            .env("CARGO_INCREMENTAL", "0")
            .current_dir(&self.root)
            .output()
            .map_err(|error| format!("could not run cargo: {error}"))?;
        if output.status.success() {
            Ok(began.elapsed())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that cannot be removed lies among the system's temporary files.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The compiler's task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    /// Look for errors.
    Check,
    /// A debug build.
    Build,
    /// A release build.
    Release,
}

impl Profile {
    pub(crate) const ALL: [Profile; 3] = [Profile::Check, Profile::Build, Profile::Release];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Check => "cargo check",
            Profile::Build => "cargo build",
            Profile::Release => "cargo build --release",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Profile::Check => &["check"],
            Profile::Build => &["build"],
            Profile::Release => &["build", "--release"],
        }
    }
}
