//! The ways to do the same work.

use memlock::Conflict as _;

use crate::catalog::{self, Catalog, CatalogError};
use crate::patch;
use crate::text::Document;

/// How writers keep out of each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Not at all: a writer that finds at the end that another was faster computes again.
    Optimistic,
    /// By the database's own lock, held around the computation.
    Exclusive,
    /// By `#[memlock::lock]`.
    Lock,
    /// By `#[memlock::zlock]` in a transaction.
    Zlock,
    /// Not at all, and the computation is inside a transaction of the database, which detects the conflict.
    #[cfg(feature = "postgres")]
    Snapshot,
    /// The same behind `#[memlock::zlock]`, taken before the snapshot.
    ZlockSnapshot,
}

const NAMES: &[(Way, &str)] = &[
    (Way::Optimistic, "optimistic"),
    (Way::Exclusive, "exclusive"),
    (Way::Lock, "lock"),
    (Way::Zlock, "zlock"),
    #[cfg(feature = "postgres")]
    (Way::Snapshot, "snapshot"),
    (Way::ZlockSnapshot, "zlock+snapshot"),
];

/// How often a document is attempted behind a zlock. At the second attempt the lock is held before the computation.
const ATTEMPTS: u32 = 8;

impl Way {
    /// One word.
    pub(crate) fn name(self) -> &'static str {
        let (_, name) = NAMES.iter().find(|(way, _)| *way == self).expect("each way has a name");
        name
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, other)| *other == name).map(|(way, _)| *way)
    }

    /// Whether it needs memcached.
    pub(crate) fn locks(self) -> bool {
        matches!(self, Self::Lock | Self::Zlock | Self::ZlockSnapshot)
    }

    /// Indexes a document, however often it takes.
    pub(crate) fn index(self, catalog: &Catalog<'_>, object: &Document) -> Result<(), CatalogError> {
        match self {
            Self::Optimistic => until_it_holds(|| catalog::catalog_object(catalog, object)),
            Self::Exclusive => until_it_holds(|| catalog::catalog_object_exclusively(catalog, object)),
            Self::Lock => until_it_holds(|| patch::locked::catalog_object(catalog, object)),
            Self::Zlock => memlock::transaction()
                .attempts(ATTEMPTS)
                .run(|_attempt| patch::zlocked::catalog_object(catalog, object)),
            #[cfg(feature = "postgres")]
            Self::Snapshot => until_it_holds(|| catalog::catalog_object_in_snapshot(catalog, object)),
            // Without a limit: in SQLite all writes to the file conflict with it, and the locks do not help.
            Self::ZlockSnapshot => memlock::transaction()
                .attempts(u32::MAX)
                .run(|_attempt| patch::zlocked::catalog_object_in_snapshot(catalog, object)),
        }
    }
}

/// Runs `index` again at once after a conflict: the next computation takes long enough for the other writers to finish.
fn until_it_holds(mut index: impl FnMut() -> Result<(), CatalogError>) -> Result<(), CatalogError> {
    loop {
        match index() {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
}
