//! A `PostgreSQL` server for one test.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use crate::{Daemon, unused_port, wait_until};

/// How long it may take to create its folder and to start. That takes a second or two, or longer on a machine that is
/// busy with builds.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The name of its superuser, and of the system's user that its packages create.
const POSTGRES: &str = "postgres";

/// The environment variable that names a folder with further programs, besides those on the PATH.
const PROGRAMS: &str = "MEMLOCK_TESTKIT_PROGRAMS";

/// A `PostgreSQL` server on a free loopback port, with a new and empty database. It ends when the handle is dropped,
/// and when this process dies in any other way.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    _process: Daemon,
}

impl Postgres {
    /// Starts a server that keeps its data below `folder`, and waits until it is usable. `is_ready` tells whether a
    /// client can connect to an [address](Postgres::address), which this crate cannot try. `arguments` are passed to
    /// the server, such as `&["-c", "fsync=off"]`. Returns `None` if `PostgreSQL` is not installed: see [`program`].
    ///
    /// # Panics
    ///
    /// When it is installed, but does not start.
    #[must_use]
    pub fn start(folder: &Path, arguments: &[&str], is_ready: impl Fn(&str) -> bool) -> Option<Self> {
        let (server, initdb) = (program("postgres")?, program("initdb")?);
        let data = folder.join("postgresql");
        fs::create_dir(&data).expect("a folder for temporary files");
        // It refuses to run as root. Root runs it as the user that its package has created, which needs the folder.
        let user = user();
        if let Some([uid, gid]) = user {
            std::os::unix::fs::chown(&data, Some(uid), Some(gid)).expect("root may give a folder away");
        }
        let run = |program: &Path| {
            let mut command = Command::new(program);
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            quiet.arg("-D").arg(&data).current_dir(&data);
            if let Some([uid, gid]) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let made = run(&initdb)
            .args(["--username", POSTGRES, "--auth", "trust", "--no-sync"])
            .stderr(Stdio::piped())
            .output()
            .expect("initdb can be run");
        assert!(
            made.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = unused_port();
        let process = Daemon::start(
            run(&server)
                .args(["-h", "127.0.0.1", "-k"])
                .arg(&data)
                .args(["-p", &port.to_string()])
                .args(arguments),
        );
        let postgres = Self {
            port,
            _process: process,
        };
        wait_until("PostgreSQL to start", START_LIMIT, || is_ready(&postgres.address()));
        Some(postgres)
    }

    /// The connection string for clients.
    #[must_use]
    pub fn address(&self) -> String {
        format!("host=127.0.0.1 port={} user={POSTGRES} dbname={POSTGRES}", self.port)
    }
}

/// The path of a program on the PATH, or in the folder that `MEMLOCK_TESTKIT_PROGRAMS` names, which `cargo xtask` sets.
/// Prints a note if there is none.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(env::var_os(PROGRAMS).map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("{name} is not on the PATH; \"cargo xtask test\" and \"cargo xtask bench\" install and find it");
    }
    found
}

/// The user and group to run as, if this process runs as root.
fn user() -> Option<[u32; 2]> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        let mut text = String::new();
        output.stdout.as_slice().read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    Some([id(&["-u", POSTGRES])?, id(&["-g", POSTGRES])?])
}
