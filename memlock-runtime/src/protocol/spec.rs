//! What is to be locked, by whom, and how long.

use std::time::Duration;

use super::label::Label;
use super::lease::LeaseLengths;
use super::messages::{Nonce, Record};
use crate::key::ItemName;

/// What is to be locked, by whom, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The lock's item.
    pub item: ItemName,
    /// The place in the list of the server that keeps it.
    pub server: usize,
    /// Who asks, for people.
    pub label: Label,
    /// How long a grant is to be believed in.
    pub timeout: Duration,
    /// The longest pause between two looks at a held lock by the process that is next. Those that stand in line behind it look up
    /// to four times as seldom.
    pub interval: Duration,
    /// How long to wait for other holders; `None` for ever. How long the server may take to answer is the driver's affair.
    pub wait: Option<Duration>,
}

impl Spec {
    pub(super) fn term(&self) -> LeaseLengths {
        LeaseLengths::of(self.timeout)
    }

    /// The lease as the item tells it.
    pub(crate) fn lease(&self) -> Duration {
        self.term().lease
    }

    pub(super) fn record(&self, nonce: Nonce, term: LeaseLengths) -> Record {
        Record {
            nonce,
            lease: term.lease,
            renewal: 0,
            label: self.label.clone(),
            full_name: self.item.full().cloned(),
        }
    }
}
