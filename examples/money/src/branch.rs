//! A branch of the bank: one process, with several tellers at work, each a thread.

use crate::accounts::{ACCOUNTS, Accounts};
use crate::{Bank, Result};
use fastrand::Rng;
use memlock_testkit::{Parent, Peer};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, thread};

pub(crate) const TELLERS: u64 = 4;
/// Enough for a picture, few enough to watch.
pub(crate) const TRANSFERS_PER_TELLER: u64 = 500;
const LARGEST_AMOUNT: i64 = 100;

const ROLE: &str = "branch";
const FILE: &str = "MONEY_FILE";
const NUMBER: &str = "MONEY_BRANCH";
const LOCKED: &str = "MONEY_LOCKED";

/// All branches begin together, when the last has opened its doors.
const START_LIMIT: Duration = Duration::from_secs(60);
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// A message of a branch to the parent: one line of text each.
pub(crate) enum News {
    Ready,
    /// So many transfers so far.
    Progress(u64),
    /// All done; the times that its transfers waited for their turn, in microseconds.
    Done(Vec<u64>),
    Failed(String),
}

/// Starts a branch in a process of its own. It locks if servers are given.
pub(crate) fn start(number: u64, file: &Path, servers: Option<&str>) -> Peer {
    let branch = Peer::of(ROLE).env(FILE, file).env(NUMBER, number.to_string());
    // This variable is all that memlock needs.
    servers
        .into_iter()
        .fold(branch, |branch, servers| {
            branch.env("MEMLOCK_SERVERS", servers).env(LOCKED, "yes")
        })
        .start()
}

/// The parent of this process, if it is a branch.
pub(crate) fn role() -> Option<Parent> {
    Parent::of_role(ROLE)
}

/// Runs a branch. Errors go to the parent, which reports them.
pub(crate) fn work(parent: &Parent) -> ExitCode {
    match transfers(parent) {
        Ok(waits) => {
            parent.say(&News::Done(waits).to_line());
            ExitCode::SUCCESS
        }
        Err(error) => {
            parent.say(&News::Failed(error.to_string()).to_line());
            ExitCode::FAILURE
        }
    }
}

fn transfers(parent: &Parent) -> Result<Vec<u64>> {
    let file = env::var_os(FILE).ok_or("no file is given")?;
    let number: u64 = env::var(NUMBER)?.parse()?;
    let is_locked = env::var_os(LOCKED).is_some();
    let banks = (0..TELLERS).map(|_| Accounts::open(Path::new(&file)).map(|accounts| Bank { accounts }));
    let banks = banks.collect::<Result<Vec<Bank>>>()?;

    parent.say(&News::Ready.to_line());
    let _go: String = parent.hear(START_LIMIT);

    let done = AtomicU64::new(0);
    let mut waits = Vec::new();
    thread::scope(|scope| {
        let (results, finished) = mpsc::channel();
        for (teller, bank) in (number * TELLERS..).zip(banks) {
            let (done, results) = (&done, results.clone());
            scope.spawn(move || {
                // The receiver is gone only if another teller has failed, and that error is reported.
                let _ = results.send(serve(&bank, teller, is_locked, done));
            });
        }
        drop(results);
        loop {
            match finished.recv_timeout(REPORT_EVERY) {
                Ok(result) => waits.extend(result?),
                Err(RecvTimeoutError::Timeout) => parent.say(&News::Progress(done.load(Ordering::Relaxed)).to_line()),
                Err(RecvTimeoutError::Disconnected) => return Ok(waits),
            }
        }
    })
}

/// The work of a teller: always the same transfers for the same teller, with or without the lock. Returns how long each
/// waited for its turn, in microseconds.
fn serve(bank: &Bank, teller: u64, is_locked: bool, done: &AtomicU64) -> Result<Vec<u64>> {
    let mut random = Rng::with_seed(teller);
    let mut waits = Vec::new();
    for _ in 0..TRANSFERS_PER_TELLER {
        let from = random.u32(..ACCOUNTS);
        let to = (from + random.u32(1..ACCOUNTS)) % ACCOUNTS;
        let amount = random.i64(1..=LARGEST_AMOUNT);

        let asked = Instant::now();
        let receipt = if is_locked {
            bank.transfer_locked(from, to, amount)
        } else {
            bank.transfer(from, to, amount)
        }?;
        waits.push(u64::try_from((receipt.began - asked).as_micros())?);
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(waits)
}

impl News {
    fn to_line(&self) -> String {
        match self {
            Self::Ready => "ready".to_owned(),
            Self::Progress(count) => format!("progress {count}"),
            Self::Done(waits) => waits.iter().fold("done".to_owned(), |mut line, wait| {
                write!(line, " {wait}").expect("a string takes everything");
                line
            }),
            Self::Failed(text) => format!("failed {}", text.replace('\n', " ")),
        }
    }

    pub(crate) fn from_line(line: &str) -> Result<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match word {
            "ready" => Self::Ready,
            "progress" => Self::Progress(rest.parse()?),
            "done" => Self::Done(
                rest.split_whitespace()
                    .map(str::parse)
                    .collect::<std::result::Result<_, _>>()?,
            ),
            "failed" => Self::Failed(rest.to_owned()),
            _ => return Err(format!("a branch said \"{line}\"").into()),
        })
    }
}
