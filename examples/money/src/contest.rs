//! The contest: the same transfers without and with the lock, by the same number of processes.

use crate::Result;
use crate::accounts::{ACCOUNTS, Accounts, OPENING_BALANCE};
use crate::branch::{self, News, TELLERS, TRANSFERS_PER_TELLER};
use crate::report::{self, Progress, Run};
use memlock_testkit::{Memcached, Peer};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, process};

const BRANCHES: u64 = 4;
pub(crate) const TRANSFERS: u64 = BRANCHES * TELLERS * TRANSFERS_PER_TELLER;

/// How long a branch is listened to before the next one gets its turn.
const LISTEN: Duration = Duration::from_millis(20);
/// How long nothing may happen: longer than a transfer waits for its locks.
const SILENCE_LIMIT: Duration = Duration::from_secs(90);

/// Both runs, and the table.
pub(crate) fn hold() -> Result<ExitCode> {
    let servers = servers_from_environment()?;
    let folder = Folder::new()?;
    // memlock does not use a server in its first two seconds. The run without locks comes first.
    let own = if servers.is_none() {
        Some(Memcached::start_young())
    } else {
        None
    };
    let address = servers.unwrap_or_else(|| own.as_ref().map(Memcached::address).unwrap_or_default());

    println!("{BRANCHES} processes of {TELLERS} threads move money between {ACCOUNTS} accounts in one SQLite file:");
    println!("read, compute, write, in separate steps.");
    println!("The locks are on memcached at {address}.\n");

    let without = run("without a lock", &folder.0.join("without.sqlite"), None)?;
    if let Some(own) = &own {
        own.wait_until_usable();
    }
    let with = run("with the lock", &folder.0.join("with.sqlite"), Some(&address))?;

    report::table(&without, &with);
    Ok(if with.is_correct() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The servers that the user wants, if any.
fn servers_from_environment() -> Result<Option<String>> {
    let servers = ["MEMLOCK_SERVERS", "MEMCACHEDLOCK_SERVERS"]
        .into_iter()
        .find_map(|name| env::var(name).ok());
    match servers {
        Some(servers) if servers.starts_with("memory:") => Err(
            "MEMLOCK_SERVERS is \"memory:\", one process's own memory, but the demo has several processes: \
                 name a memcached, or unset it"
                .into(),
        ),
        servers => Ok(servers),
    }
}

/// Makes all transfers once, on new accounts; with the lock if servers are given.
fn run(name: &'static str, file: &Path, servers: Option<&str>) -> Result<Run> {
    let accounts = Accounts::create(file)?;
    let mut branches: Vec<Branch> = (0..BRANCHES)
        .map(|number| Branch::open(number, file, servers))
        .collect();
    listen(&mut branches, |branch| branch.is_ready, |_| {})?;
    let mut progress = Progress::new(name, TRANSFERS);
    let start = Instant::now();
    for branch in &mut branches {
        branch.process.send("go");
    }
    listen(
        &mut branches,
        |branch| branch.waits.is_some(),
        |branches| progress.show(branches.iter().map(|branch| branch.transfers).sum()),
    )?;
    let elapsed = start.elapsed();
    progress.finish();

    let totals = accounts.totals()?;
    Ok(Run {
        transfers: TRANSFERS,
        // Each transfer changes two accounts.
        lost_updates: i64::try_from(2 * TRANSFERS)? - totals.changes,
        money: totals.balance - i64::from(ACCOUNTS) * OPENING_BALANCE,
        elapsed,
        waits: branches
            .into_iter()
            .filter_map(|branch| branch.waits)
            .flatten()
            .map(Duration::from_micros)
            .collect(),
    })
}

/// A branch, as the contest sees it.
struct Branch {
    process: Peer,
    is_ready: bool,
    transfers: u64,
    waits: Option<Vec<u64>>,
}

impl Branch {
    fn open(number: u64, file: &Path, servers: Option<&str>) -> Self {
        Self {
            process: branch::start(number, file, servers),
            is_ready: false,
            transfers: 0,
            waits: None,
        }
    }

    fn learn(&mut self, news: News) -> Result<()> {
        match news {
            News::Ready => self.is_ready = true,
            News::Progress(transfers) => self.transfers = transfers,
            News::Done(waits) => {
                self.transfers = waits.len() as u64;
                self.waits = Some(waits);
            }
            News::Failed(why) => return Err(format!("a branch failed: {why}").into()),
        }
        Ok(())
    }
}

/// Listens to all branches, and calls `heard` after each round, until `is_there` holds for all of them.
fn listen(branches: &mut [Branch], is_there: impl Fn(&Branch) -> bool, mut heard: impl FnMut(&[Branch])) -> Result<()> {
    let mut last_news = Instant::now();
    while !branches.iter().all(&is_there) {
        for branch in branches.iter_mut().filter(|branch| !is_there(branch)) {
            // Asked before reading from it: lines that it wrote before it ended still count.
            let has_ended = branch.process.has_ended();
            // On a busy machine its last lines may take a while to arrive. After them the end of the pipe is seen at once.
            let listen = if has_ended { SILENCE_LIMIT } else { LISTEN };
            match branch.process.next_line(listen) {
                Some(line) => {
                    let before = branch.transfers;
                    branch.learn(News::from_line(&line)?)?;
                    if branch.transfers > before {
                        last_news = Instant::now();
                    }
                }
                None if has_ended => return Err("a branch ended early".into()),
                None if last_news.elapsed() > SILENCE_LIMIT => return Err("no branch gets anything done".into()),
                None => {}
            }
        }
        heard(branches);
    }
    Ok(())
}

/// A folder for the files of one run of the demo, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("memlock-money-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system removes from its temporary folder what cannot be removed here.
        let _ = fs::remove_dir_all(&self.0);
    }
}
