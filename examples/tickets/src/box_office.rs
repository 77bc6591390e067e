//! The box office: how many tickets are sold, in an `SQLite` file that all instances share.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use memlock::Token;
use rusqlite::{Connection, OptionalExtension as _, Row};
use tokio::task::spawn_blocking;

/// Any error of the database, or a panic.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How long a statement waits for `SQLite`'s own lock around a single statement, which is not the example's subject.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// One connection to the file. Clones share it.
#[derive(Clone)]
pub(crate) struct BoxOffice {
    file: Arc<Mutex<Connection>>,
}

/// The tickets of an event.
pub(crate) struct Stock {
    pub(crate) seats: u32,
    pub(crate) sold: u32,
}

impl BoxOffice {
    /// Creates the file, with `events` events that are called by their number, none of their seats sold.
    pub(crate) async fn create(path: &Path, events: u32, seats: u32) -> Result<Self, Failed> {
        let office = Self::open(path)?;
        let fill = move |file: &Connection| {
            // Readers and one writer at a time do not disturb each other in this mode, which stays with the file.
            file.pragma_update(None, "journal_mode", "wal")?;
            file.execute(
                "CREATE TABLE event (name TEXT PRIMARY KEY, seats INTEGER, sold INTEGER, token INTEGER)",
                (),
            )?;
            for event in 0..events {
                let insert = "INSERT INTO event VALUES (?, ?, 0, 0)";
                file.execute(insert, (event.to_string(), seats))?;
            }
            Ok(())
        };
        office.ask(fill).await?;
        Ok(office)
    }

    pub(crate) fn open(path: &Path) -> Result<Self, Failed> {
        let file = Connection::open(path)?;
        file.busy_timeout(STATEMENT_LIMIT)?;
        // The file need not survive a power failure, and the example should not measure the disk.
        file.pragma_update(None, "synchronous", "off")?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
        })
    }

    /// Reads the stock of an event, and leaves the fencing token there: from now on, no request with a lower token can
    /// write. `None` if the event does not exist.
    pub(crate) async fn read(&self, event: &str, token: Option<Token>) -> Result<Option<Stock>, Failed> {
        let (event, token) = (event.to_owned(), number(token));
        let statement = "UPDATE event SET token = max(token, ?) WHERE name = ? RETURNING seats, sold";
        let stock = |row: &Row<'_>| {
            Ok(Stock {
                seats: row.get(0)?,
                sold: row.get(1)?,
            })
        };
        self.ask(move |file| file.query_row(statement, (token, event), stock).optional())
            .await
    }

    /// Writes how many are sold. Returns whether it did, which it does not if a higher token has been left there.
    pub(crate) async fn write(&self, event: &str, sold: u32, token: Option<Token>) -> Result<bool, Failed> {
        let (event, token) = (event.to_owned(), number(token));
        let statement = "UPDATE event SET sold = ? WHERE name = ? AND token <= ?";
        let changed = self.ask(move |file| file.execute(statement, (sold, event, token)));
        Ok(changed.await? == 1)
    }

    /// How many tickets are sold, of all events.
    pub(crate) async fn total(&self) -> Result<u32, Failed> {
        self.ask(|file| file.query_row("SELECT sum(sold) FROM event", (), |row| row.get(0)))
            .await
    }

    /// Whether a holder of the lock has read the stock of this event.
    #[cfg(all(test, feature = "server-tests"))]
    pub(crate) async fn has_seen_a_token(&self, event: &str) -> Result<bool, Failed> {
        let event = event.to_owned();
        let statement = "SELECT token > 0 FROM event WHERE name = ?";
        self.ask(move |file| file.query_row(statement, [event], |row| row.get(0)))
            .await
    }

    /// Asks the database on a thread that may wait for it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failed> {
        let file = Arc::clone(&self.file);
        let answer = spawn_blocking(move || question(&file.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(answer.await??)
    }
}

/// Without a lock there is no token, and no write is refused.
fn number(token: Option<Token>) -> i64 {
    token.map_or(0, Token::to_i64)
}
