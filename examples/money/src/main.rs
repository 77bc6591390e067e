//! Money moved between accounts by several processes of several threads at once: first without a lock, then with one.
//!
//! `cargo xtask demo money` sets up what is needed and runs it. The accounts are rows of one `SQLite` file that all processes
//! share. A memcached is started on a free port, unless `MEMLOCK_SERVERS` names one.

mod accounts;
mod branch;
mod contest;
mod report;

use accounts::Accounts;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// Any error. The attribute needs one that can be made from a `memlock::Error`, as a box of any error can.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The bank's work between reading and writing: it asks another system, and waits.
const FRAUD_CHECK: Duration = Duration::from_millis(1);

struct Bank {
    accounts: Accounts,
}

/// When a transfer began to work, after it had waited for its turn.
struct Receipt {
    began: Instant,
}

impl Bank {
    /// Moves money the way much code in the world does it: read, compute, write, in separate steps. A process that
    /// reads an account between another process's read and write overwrites that process's change.
    fn transfer(&self, from: u32, to: u32, amount: i64) -> Result<Receipt> {
        let began = Instant::now();
        let mut giver = self.accounts.read(from)?;
        let mut taker = self.accounts.read(to)?;
        thread::sleep(FRAUD_CHECK);
        giver.change(-amount);
        taker.change(amount);
        self.accounts.write(from, &giver)?;
        self.accounts.write(to, &taker)?;
        Ok(Receipt { began })
    }

    /// The same, by one process at a time for each account: the attribute is the whole difference. It takes both locks or
    /// none, in the same order for every caller, so transfers there and back do not wait for each other for ever. A
    /// holder that dies blocks its accounts for 5 seconds at the most. A caller gives up after a minute, with an error.
    #[memlock::lock(keys = ["account/{from}", "account/{to}"], timeout = 5, interval = 0.01, wait = "60s")]
    fn transfer_locked(&self, from: u32, to: u32, amount: i64) -> Result<Receipt> {
        self.transfer(from, to, amount)
    }
}

fn main() -> ExitCode {
    // The other processes run this program, too.
    let done = match branch::role() {
        Some(parent) => Ok(branch::work(&parent)),
        None => contest::hold(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("money: {error}");
            ExitCode::FAILURE
        }
    }
}
