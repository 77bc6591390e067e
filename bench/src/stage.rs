//! The servers: started here on free loopback ports, with folders of their own, and ended with this program.
//!
//! memcached must be there; who compares with a server that is not installed is left out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;
use std::{env, iter};

use memlock_testkit::{Daemon, Memcached, unused_port, wait_until};

use crate::contestants::Kind;

/// `PostgreSQL` makes its folder, and starts, in a second or two; on a machine busy with builds it takes longer.
const START_LIMIT: Duration = Duration::from_secs(30);

/// `PostgreSQL`'s own name for whom it belongs to, and the name of the system's user that its packages make.
const POSTGRES: &str = "postgres";

/// All servers of one run.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) memcached: Memcached,
    pub(crate) redis: Option<Redis>,
    pub(crate) addresses: Addresses,
    /// Short, to see that all works; the numbers mean little.
    pub(crate) is_quick: bool,
    // Fields drop in order: the server ends before its folder goes.
    _postgres: Option<Postgres>,
    pub(crate) folder: Folder,
}

/// Where the servers are, as far as there are any. Also what a second process is told.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) memcached: String,
    pub(crate) redis: Option<String>,
    pub(crate) postgres: Option<String>,
}

/// A variable of the environment: a folder with programs besides those of the PATH.
const PROGRAMS: &str = "MEMLOCK_BENCH_PROGRAMS";

const VARIABLES: [&str; 3] = [
    "MEMLOCK_BENCH_MEMCACHED",
    "MEMLOCK_BENCH_REDIS",
    "MEMLOCK_BENCH_POSTGRES",
];

impl Stage {
    pub(crate) fn set(is_quick: bool) -> Stage {
        let folder = Folder::new();
        let redis = Redis::start(&folder.0);
        let postgres = Postgres::start(&folder.0);
        let memcached = Memcached::start();
        let addresses = Addresses {
            memcached: memcached.address(),
            redis: redis.as_ref().map(Redis::address),
            postgres: postgres.as_ref().map(Postgres::address),
        };
        Stage {
            memcached,
            redis,
            addresses,
            is_quick,
            _postgres: postgres,
            folder,
        }
    }

    /// How much is to be done: `usually`, or `quick` where that is what was asked for.
    pub(crate) fn much<T>(&self, usually: T, quick: T) -> T {
        if self.is_quick { quick } else { usually }
    }

    /// Commands that the server of `kind` has executed so far, where it counts them.
    pub(crate) fn commands(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::Rslock => self.redis_commands(),
            Kind::Postgres | Kind::Memory => None,
            _ => Some(self.memcached_commands()),
        }
    }

    /// Commands that memcached has executed so far: each `ms`, `mg` and `md` counts once.
    pub(crate) fn memcached_commands(&self) -> u64 {
        let stats = self.memcached.stats().expect("memcached is up");
        ["cmd_get", "cmd_set", "cmd_touch", "delete_hits", "delete_misses"]
            .iter()
            .filter_map(|name| stats.get(*name)?.parse::<u64>().ok())
            .sum()
    }

    /// Commands that Redis has executed so far, those that a script calls among them.
    pub(crate) fn redis_commands(&self) -> Option<u64> {
        self.redis.as_ref().map(Redis::commands)
    }
}

impl Addresses {
    /// As a second process has been told.
    pub(crate) fn from_env() -> Addresses {
        let [memcached, redis, postgres] = VARIABLES.map(|name| env::var(name).ok());
        Addresses {
            memcached: memcached.expect("the first process says where memcached is"),
            redis,
            postgres,
        }
    }

    /// What to tell a second process.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = [Some(&self.memcached), self.redis.as_ref(), self.postgres.as_ref()];
        iter::zip(VARIABLES, values).filter_map(|(name, value)| Some((name, value?.as_str())))
    }
}

/// A folder that goes with this value.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = env::temp_dir().join(format!("memlock-bench-{}", process::id()));
        fs::create_dir(&path).expect("a folder for temporary files");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies where the system's temporary files are.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    _process: Daemon,
}

impl Redis {
    fn start(folder: &Path) -> Option<Redis> {
        let program = program("redis-server")?;
        let port = unused_port();
        let process = Daemon::start(
            // Nothing is written to the disk: the locks live in memory, as memcached's do.
            quiet(&mut Command::new(program))
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
                .arg(port.to_string())
                .current_dir(folder),
        );
        let redis = Redis {
            port,
            _process: process,
        };
        wait_until("Redis to start", START_LIMIT, || is_listened_to(port));
        Some(redis)
    }

    fn address(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn commands(&self) -> u64 {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).expect("Redis is up"));
        stream.get_mut().write_all(b"INFO stats\r\n").expect("Redis is up");
        let mut line = String::new();
        loop {
            line.clear();
            stream.read_line(&mut line).expect("Redis is up");
            if let Some(count) = line.strip_prefix("total_commands_processed:") {
                return count.trim_end().parse().expect("a number");
            }
            assert!(!line.is_empty(), "Redis says how many commands it has processed");
        }
    }
}

#[derive(Debug)]
struct Postgres {
    port: u16,
    _process: Daemon,
}

impl Postgres {
    fn start(folder: &Path) -> Option<Postgres> {
        let (server, initdb) = (program("postgres")?, program("initdb")?);
        let data = folder.join("postgresql");
        fs::create_dir(&data).expect("a folder for temporary files");
        // It refuses to run as root: then it runs as the user that its package made, who needs the folder.
        let user = user();
        if let Some([uid, gid]) = user {
            std::os::unix::fs::chown(&data, Some(uid), Some(gid)).expect("root may give a folder away");
        }
        let run = |program: &Path| {
            let mut command = Command::new(program);
            quiet(&mut command).arg("-D").arg(&data).current_dir(&data);
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
        // As it comes: advisory locks write nothing to the disk. A connection for each thread needs more than a hundred.
        let process = Daemon::start(
            run(&server)
                .args(["-h", "127.0.0.1", "-N", "200", "-k"])
                .arg(&data)
                .args(["-p", &port.to_string()]),
        );
        let postgres = Postgres {
            port,
            _process: process,
        };
        wait_until("PostgreSQL to start", START_LIMIT, || {
            postgres::Client::connect(&postgres.address(), postgres::NoTls).is_ok()
        });
        Some(postgres)
    }

    fn address(&self) -> String {
        format!("host=127.0.0.1 port={} user={POSTGRES} dbname={POSTGRES}", self.port)
    }
}

/// Without input and output.
fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn is_listened_to(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err() && TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A program on the PATH, or where `cargo xtask bench` has found one.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(env::var_os(PROGRAMS).map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!(
            "{name} is not on the PATH, so who needs it is left out; \"cargo xtask bench\" installs and finds it"
        );
    }
    found
}

/// The user and group to run `PostgreSQL` as, where this is root.
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
