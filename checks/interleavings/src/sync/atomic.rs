//! Atomics. Other threads may see a store late, unless it asks for sequential consistency: see [`buffer`].

use std::sync::Arc;

use shuttle::sync::atomic as checked;
pub(crate) use std::sync::atomic::Ordering;

use super::buffer::{self, Cell};

/// A number.
#[derive(Debug)]
pub(crate) struct AtomicU64(Cell);

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> AtomicU64 {
        AtomicU64(Arc::new(checked::AtomicU64::new(value)))
    }

    pub(crate) fn load(&self, _: Ordering) -> u64 {
        buffer::unseen(&self.0).unwrap_or_else(|| self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        if order == Ordering::SeqCst {
            buffer::flush();
            self.0.store(value, order);
        } else {
            buffer::write(&self.0, value);
        }
    }

    pub(crate) fn swap(&self, value: u64, _: Ordering) -> u64 {
        buffer::flush();
        self.0.swap(value, Ordering::SeqCst)
    }
}

/// A truth value.
#[derive(Debug)]
pub(crate) struct AtomicBool(AtomicU64);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> AtomicBool {
        AtomicBool(AtomicU64::new(value.into()))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order) != 0
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        self.0.store(value.into(), order);
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value.into(), order) != 0
    }
}
