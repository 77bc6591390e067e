//! Catalogues find documents by their words. Nothing in here knows of memlock's attributes, as Zope's catalogue knew
//! nothing of the patch that locked it; see `patch.rs`.

use std::error::Error;
use std::time::Duration;
use std::{fmt, thread};

use crate::diary::Diary;
use crate::index::Index;
use crate::store::{Store, Stored, Transaction, in_transaction};
use crate::text::Document;

/// A catalogue, seen from one process.
pub(crate) struct Catalog<'a> {
    path: &'a str,
    store: &'a dyn Store,
    effort: Effort,
    diary: &'a Diary,
}

/// The work for one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Waiting, which stands for calls to other systems.
    pub(crate) wait: Duration,
    /// Computing, in steps of [`Index::weigh`].
    pub(crate) steps: u32,
}

/// Indexes a document: reads the catalogue, computes *outside any transaction*, and writes in a short one, if no other
/// process has written meanwhile.
pub(crate) fn catalog_object(catalog: &Catalog<'_>, object: &Document) -> Result<(), CatalogError> {
    let index = || {
        let read = catalog.store.read(catalog.path)?;
        let computed = catalog.with(object, &read)?;
        in_transaction(catalog.store, Transaction::Locking, || {
            catalog.store.update(catalog.path, &computed)
        })
    };
    catalog.diary.computes();
    let done = index();
    catalog.diary.ended(&done);
    done
}

/// Indexes a document under the database's own lock, which is held from reading to writing.
pub(crate) fn catalog_object_exclusively(catalog: &Catalog<'_>, object: &Document) -> Result<(), CatalogError> {
    let done = in_transaction(catalog.store, Transaction::Locking, || {
        let read = catalog.store.read_for_update(catalog.path)?;
        catalog.diary.computes();
        let computed = catalog.with(object, &read)?;
        catalog.store.update(catalog.path, &computed)
    });
    catalog.diary.ended(&done);
    done
}

/// Indexes a document in one transaction, which sees the database as it was at its first statement.
pub(crate) fn catalog_object_in_snapshot(catalog: &Catalog<'_>, object: &Document) -> Result<(), CatalogError> {
    catalog.diary.computes();
    let done = in_transaction(catalog.store, Transaction::Snapshot, || {
        let read = catalog.store.read(catalog.path)?;
        let computed = catalog.with(object, &read)?;
        catalog.store.update(catalog.path, &computed)
    });
    catalog.diary.ended(&done);
    done
}

impl<'a> Catalog<'a> {
    pub(crate) fn new(path: &'a str, store: &'a dyn Store, effort: Effort, diary: &'a Diary) -> Self {
        Self {
            path,
            store,
            effort,
            diary,
        }
    }

    /// The name that distinguishes it from all other catalogues, in all processes.
    pub(crate) fn path(&self) -> &str {
        self.path
    }

    /// Adds one document to the index that was read: the work.
    fn with(&self, object: &Document, read: &Stored) -> Result<Stored, CatalogError> {
        let mut index = Index::from_text(&read.index).ok_or_else(|| CatalogError::Unreadable(self.path.to_owned()))?;
        index.add(object.number, object.words());
        index.weigh(self.effort.steps);
        thread::sleep(self.effort.wait);
        Ok(Stored {
            version: read.version,
            documents: index.documents(),
            index: index.to_text(),
        })
    }
}

/// Why a document could not be indexed.
#[derive(Debug)]
pub(crate) enum CatalogError {
    /// Another process has written the catalogue since it was read.
    Stale,
    /// The text that is stored under this path is not an index.
    Unreadable(String),
    Lock(memlock::Error),
    Database(Box<dyn Error + Send + Sync>),
}

/// A transaction is attempted again after these errors. `is_conflict` finds those of the database and of memlock below
/// the error.
impl memlock::Conflict for CatalogError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Stale) || memlock::is_conflict(self)
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str("another process has written the catalogue since it was read"),
            Self::Unreadable(path) => write!(f, "the text stored as {path} is not an index"),
            Self::Lock(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl Error for CatalogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stale | Self::Unreadable(_) => None,
            Self::Lock(error) => Some(error),
            Self::Database(error) => Some(&**error),
        }
    }
}

impl From<memlock::Error> for CatalogError {
    fn from(error: memlock::Error) -> Self {
        Self::Lock(error)
    }
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

#[cfg(feature = "postgres")]
impl From<postgres::Error> for CatalogError {
    fn from(error: postgres::Error) -> Self {
        Self::Database(error.into())
    }
}
