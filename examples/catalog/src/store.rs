//! The operations that catalogues need from a database. Each process has a connection of its own.

use crate::catalog::CatalogError;

/// A database that keeps catalogues, and clicks.
pub(crate) trait Store {
    /// The catalogue as it is now.
    fn read(&self, path: &str) -> Result<Stored, CatalogError>;

    /// The same inside a transaction. No other process writes the catalogue before that ends.
    fn read_for_update(&self, path: &str) -> Result<Stored, CatalogError>;

    /// Writes the catalogue, or fails with [`CatalogError::Stale`] if another process has written it since it was read.
    fn update(&self, path: &str, stored: &Stored) -> Result<(), CatalogError>;

    fn begin(&self, transaction: Transaction) -> Result<(), CatalogError>;
    fn commit(&self) -> Result<(), CatalogError>;
    fn rollback(&self) -> Result<(), CatalogError>;

    /// Writes a click: one row, which belongs to no catalogue.
    fn click(&self) -> Result<(), CatalogError>;

    /// How many documents the catalogues count, all together.
    fn documents(&self) -> Result<u32, CatalogError>;
}

/// A catalogue, as it is stored.
pub(crate) struct Stored {
    /// Rises with each write. A commit goes through only with the version that was read, as it is for an object in the ZODB.
    pub(crate) version: i64,
    pub(crate) documents: u32,
    pub(crate) index: String,
}

/// How a transaction and others keep from overwriting each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transaction {
    /// Others wait: for the file (`SQLite`), or for the row (`PostgreSQL`).
    Locking,
    /// It sees the data of one moment. Its write is refused if other transactions have written since.
    Snapshot,
}

/// Runs `body` in a transaction, which is rolled back if the body fails.
pub(crate) fn in_transaction(
    store: &dyn Store,
    transaction: Transaction,
    body: impl FnOnce() -> Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    store.begin(transaction)?;
    let done = body().and_then(|()| store.commit());
    if done.is_err() {
        // The first error says more. A transaction that the database has ended itself cannot be rolled back.
        let _ = store.rollback();
    }
    done
}
