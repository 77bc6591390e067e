//! The accounts: rows of an `SQLite` file, read and written one at a time.

use crate::Result;
use rusqlite::{Connection, Row};
use std::path::Path;
use std::time::Duration;

/// Few, so that transfers meet.
pub(crate) const ACCOUNTS: u32 = 8;
pub(crate) const OPENING_BALANCE: i64 = 10_000;

/// How long a statement waits for `SQLite`'s own lock around a single statement, which is not the demo's subject.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// One connection to the file. Every thread has its own.
pub(crate) struct Accounts {
    file: Connection,
}

/// An account, as it was when it was read.
pub(crate) struct Account {
    balance: i64,
    /// Counts changes, as part of the account. An overwritten change is missing here for ever, also if amounts happen to
    /// cancel out.
    changes: i64,
}

/// All accounts together.
pub(crate) struct Totals {
    pub(crate) balance: i64,
    pub(crate) changes: i64,
}

impl Account {
    pub(crate) fn change(&mut self, amount: i64) {
        self.balance += amount;
        self.changes += 1;
    }
}

impl Accounts {
    /// Creates the file, all accounts at their opening balance.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let accounts = Self::open(path)?;
        // Readers and one writer at a time do not disturb each other in this mode, which stays with the file.
        accounts.file.pragma_update(None, "journal_mode", "wal")?;
        accounts.file.execute(
            "CREATE TABLE account (number INTEGER PRIMARY KEY, balance INTEGER, changes INTEGER)",
            (),
        )?;
        for number in 0..ACCOUNTS {
            accounts
                .file
                .execute("INSERT INTO account VALUES (?, ?, 0)", (number, OPENING_BALANCE))?;
        }
        Ok(accounts)
    }

    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = Connection::open(path)?;
        file.busy_timeout(STATEMENT_LIMIT)?;
        // The file need not survive a power failure, and the demo should not measure the disk.
        file.pragma_update(None, "synchronous", "off")?;
        Ok(Self { file })
    }

    pub(crate) fn read(&self, number: u32) -> Result<Account> {
        let select = "SELECT balance, changes FROM account WHERE number = ?";
        let account = |row: &Row<'_>| {
            Ok(Account {
                balance: row.get(0)?,
                changes: row.get(1)?,
            })
        };
        Ok(self.file.query_row(select, [number], account)?)
    }

    pub(crate) fn write(&self, number: u32, account: &Account) -> Result<()> {
        let update = "UPDATE account SET balance = ?, changes = ? WHERE number = ?";
        self.file.execute(update, (account.balance, account.changes, number))?;
        Ok(())
    }

    pub(crate) fn totals(&self) -> Result<Totals> {
        let sums = "SELECT sum(balance), sum(changes) FROM account";
        let totals = |row: &Row<'_>| {
            Ok(Totals {
                balance: row.get(0)?,
                changes: row.get(1)?,
            })
        };
        Ok(self.file.query_row(sums, (), totals)?)
    }
}
