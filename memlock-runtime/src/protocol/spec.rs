//! [`Spec`]: the lock that a caller asks for, and its times.

use std::time::Duration;

use super::label::Label;
use super::lease::LeaseLengths;
use super::messages::{Nonce, Record};
use crate::key::ItemName;

/// A lock that a caller asks for, and the times that go with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The lock's item.
    pub item: ItemName,
    /// The index of the server that keeps the item, in the list of servers.
    pub server: usize,
    /// The caller's label, for people to read.
    pub label: Label,
    /// How long a holder may believe in a grant.
    pub timeout: Duration,
    /// The longest pause between two looks at a held lock by the process that is next. The processes behind it look up
    /// to four times less often.
    pub interval: Duration,
    /// How long to wait for other holders. `None`: without a limit. The driver decides how long the server may take to
    /// answer.
    pub wait: Option<Duration>,
}

impl Spec {
    /// The durations derived from the timeout.
    pub(super) fn lengths(&self) -> LeaseLengths {
        LeaseLengths::of(self.timeout)
    }

    /// The lease that goes into the item.
    pub(crate) fn lease(&self) -> Duration {
        self.lengths().lease
    }

    /// Returns the content of an item that is stored under `nonce`.
    pub(super) fn record(&self, nonce: Nonce, lengths: LeaseLengths) -> Record {
        Record {
            nonce,
            lease: lengths.lease,
            renewal: 0,
            label: self.label.clone(),
            full_name: self.item.full().cloned(),
        }
    }
}
