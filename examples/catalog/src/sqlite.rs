//! The catalogues in one `SQLite` file.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Row};

use crate::catalog::CatalogError;
use crate::store::{Store, Stored, Transaction};

/// How long a statement waits for the file, which one process at a time may write: as long as it takes.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

pub(crate) struct Sqlite {
    file: Connection,
}

impl Sqlite {
    /// Creates the file, with empty catalogues.
    pub(crate) fn create(path: &Path, catalogues: &[String]) -> Result<Self, CatalogError> {
        let Self { file } = Self::open(path)?;
        // Readers and one writer at a time do not disturb each other in this mode, which stays with the file.
        file.pragma_update(None, "journal_mode", "wal")?;
        file.execute_batch(
            "CREATE TABLE catalog (path TEXT PRIMARY KEY, version INTEGER, documents INTEGER, words TEXT);
             CREATE TABLE click (number INTEGER PRIMARY KEY);",
        )?;
        for path in catalogues {
            file.execute("INSERT INTO catalog VALUES (?, 0, 0, '0')", [path])?;
        }
        Ok(Self { file })
    }

    pub(crate) fn open(path: &Path) -> Result<Self, CatalogError> {
        let file = Connection::open(path)?;
        file.busy_timeout(PATIENCE)?;
        // The file need not survive a power failure, and the demo should not measure the disk.
        file.pragma_update(None, "synchronous", "off")?;
        Ok(Self { file })
    }
}

impl Store for Sqlite {
    fn read(&self, path: &str) -> Result<Stored, CatalogError> {
        let select = "SELECT version, documents, words FROM catalog WHERE path = ?";
        let stored = |row: &Row<'_>| {
            Ok(Stored {
                version: row.get(0)?,
                documents: row.get(1)?,
                index: row.get(2)?,
            })
        };
        Ok(self.file.query_row(select, [path], stored)?)
    }

    /// The transaction has the whole file to itself already.
    fn read_for_update(&self, path: &str) -> Result<Stored, CatalogError> {
        self.read(path)
    }

    fn update(&self, path: &str, stored: &Stored) -> Result<(), CatalogError> {
        let update =
            "UPDATE catalog SET version = version + 1, documents = ?, words = ? WHERE path = ? AND version = ?";
        let values = (stored.documents, &stored.index, path, stored.version);
        match self.file.execute(update, values)? {
            0 => Err(CatalogError::Stale),
            _ => Ok(()),
        }
    }

    fn begin(&self, transaction: Transaction) -> Result<(), CatalogError> {
        let begin = match transaction {
            Transaction::Locking => "BEGIN IMMEDIATE",
            Transaction::Snapshot => "BEGIN DEFERRED",
        };
        Ok(self.file.execute_batch(begin)?)
    }

    fn commit(&self) -> Result<(), CatalogError> {
        Ok(self.file.execute_batch("COMMIT")?)
    }

    fn rollback(&self) -> Result<(), CatalogError> {
        Ok(self.file.execute_batch("ROLLBACK")?)
    }

    fn click(&self) -> Result<(), CatalogError> {
        self.file.execute("INSERT INTO click DEFAULT VALUES", ())?;
        Ok(())
    }

    fn documents(&self) -> Result<u32, CatalogError> {
        let sum = "SELECT sum(documents) FROM catalog";
        Ok(self.file.query_row(sum, (), |row| row.get(0))?)
    }
}
