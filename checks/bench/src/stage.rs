//! The servers: started here on free loopback ports, with folders of their own, and ended with this program.
//!
//! memcached must be there. Contestants that need a server that is not installed are left out.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;
use std::{env, iter};

use memlock_testkit::{Daemon, Memcached, Postgres, program, unused_port, wait_until};

use crate::contestants::Kind;

/// A start takes milliseconds, on a machine busy with builds much longer.
const START_LIMIT: Duration = Duration::from_secs(30);

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

/// The addresses of the servers, as far as there are any. A second process gets them from the first.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) memcached: String,
    pub(crate) redis: Option<String>,
    pub(crate) postgres: Option<String>,
}

const VARIABLES: [&str; 3] = [
    "MEMLOCK_BENCH_MEMCACHED",
    "MEMLOCK_BENCH_REDIS",
    "MEMLOCK_BENCH_POSTGRES",
];

impl Stage {
    pub(crate) fn set(is_quick: bool) -> Stage {
        let folder = Folder::new("servers");
        let redis = Redis::start(&folder.0);
        let postgres = start_postgres(&folder.0);
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

    /// How much to do: `usually`, or `quick` in a quick run.
    pub(crate) fn much<T>(&self, usually: T, quick: T) -> T {
        if self.is_quick { quick } else { usually }
    }

    /// Commands that the server of `kind` has executed so far, if it counts them.
    pub(crate) fn commands(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::Rslock => self.redis_commands(),
            Kind::Postgres | Kind::Memory => None,
            _ => Some(memcached_commands(&self.memcached)),
        }
    }

    /// Commands that Redis has executed so far, those that a script calls among them.
    pub(crate) fn redis_commands(&self) -> Option<u64> {
        self.redis.as_ref().map(Redis::commands)
    }
}

/// Commands that `server` has executed so far: each `ms`, `mg` and `md` counts once.
pub(crate) fn memcached_commands(server: &Memcached) -> u64 {
    let stats = server.stats().expect("memcached is up");
    ["cmd_get", "cmd_set", "cmd_touch", "delete_hits", "delete_misses"]
        .iter()
        .filter_map(|name| stats.get(*name)?.parse::<u64>().ok())
        .sum()
}

impl Addresses {
    /// The addresses that a second process has been given.
    pub(crate) fn from_env() -> Addresses {
        let [memcached, redis, postgres] = VARIABLES.map(|name| env::var(name).ok());
        Addresses {
            memcached: memcached.expect("the first process says where memcached is"),
            redis,
            postgres,
        }
    }

    /// The variables with the addresses for a second process.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = [Some(&self.memcached), self.redis.as_ref(), self.postgres.as_ref()];
        iter::zip(VARIABLES, values).filter_map(|(name, value)| Some((name, value?.as_str())))
    }
}

/// A folder that is removed with this value.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// A new folder among the system's temporary files. `purpose` tells the folders of one process apart.
    pub(crate) fn new(purpose: &str) -> Folder {
        let path = env::temp_dir().join(format!("memlock-bench-{purpose}-{}", process::id()));
        fs::create_dir(&path).expect("a folder for temporary files");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed lies among the system's temporary files.
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
            // Redis writes nothing to the disk: the locks are in memory, as memcached's are.
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

/// With default settings, since advisory locks write nothing to the disk. More than a hundred connections are needed, one
/// for each thread.
fn start_postgres(folder: &Path) -> Option<Postgres> {
    Postgres::start(folder, &["-N", "200"], |address| {
        postgres::Client::connect(address, postgres::NoTls).is_ok()
    })
}

/// Without input and output.
fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn is_listened_to(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err() && TcpStream::connect(("127.0.0.1", port)).is_ok()
}
