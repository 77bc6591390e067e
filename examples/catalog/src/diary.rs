//! The record of what a writer did, and when. The table and the timeline are made of it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::catalog::CatalogError;

/// A writer's notes on itself. All times are counted from when the writers began, together.
#[derive(Debug)]
pub(crate) struct Diary {
    began: Instant,
    /// When the current deed began.
    since: Cell<Duration>,
    entries: RefCell<Vec<Entry>>,
}

/// One thing that a writer did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    pub(crate) deed: Deed,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Waited for its turn: for a lock, or between two attempts.
    Waited,
    /// Computed, and committed in the end.
    Committed,
    /// Computed in vain: another writer had written the catalogue meanwhile.
    ThrewAway,
}

impl Diary {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            since: Cell::default(),
            entries: RefCell::default(),
        }
    }

    /// A computation begins; the time before it was waiting.
    pub(crate) fn computes(&self) {
        self.write(Deed::Waited);
    }

    /// The computation ended with `done`.
    pub(crate) fn ended(&self, done: &Result<(), CatalogError>) {
        self.write(match done {
            Ok(()) => Deed::Committed,
            Err(_) => Deed::ThrewAway,
        });
    }

    fn write(&self, deed: Deed) {
        let to = self.began.elapsed();
        let from = self.since.replace(to);
        self.entries.borrow_mut().push(Entry { deed, from, to });
    }

    /// How often the writer did `deed` so far.
    pub(crate) fn count(&self, deed: Deed) -> usize {
        self.entries.borrow().iter().filter(|entry| entry.deed == deed).count()
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries.into_inner()
    }
}

impl Entry {
    pub(crate) fn took(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// A word for the line to the parent.
    pub(crate) fn to_text(self) -> String {
        let letter = match self.deed {
            Deed::Waited => 'w',
            Deed::Committed => 'c',
            Deed::ThrewAway => 't',
        };
        format!("{letter}:{}:{}", self.from.as_micros(), self.to.as_micros())
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let deed = match parts.next()? {
            "w" => Deed::Waited,
            "c" => Deed::Committed,
            "t" => Deed::ThrewAway,
            _ => return None,
        };
        let mut time = || Some(Duration::from_micros(parts.next()?.parse().ok()?));
        Some(Self {
            deed,
            from: time()?,
            to: time()?,
        })
    }
}
