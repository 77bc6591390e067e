//! The store buffer of a thread: the stores that other threads do not see yet.
//!
//! The checker runs one thread at a time and lets each thread see at once what another has written, as if every access
//! were sequentially consistent. No processor does that for a plain store: it may go on to read before others see what
//! it wrote, and two threads that each write one location and then read the other's may both miss the other's write. So
//! a store that does not ask for [`Ordering::SeqCst`](super::atomic::Ordering::SeqCst) is held back here, at random,
//! until the thread does something that orders it. x86 processors do the same. What weaker processors do beyond that
//! (reads out of order, writes out of order) is not tried.

use std::cell::RefCell;
use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::{AtomicU64, Ordering};

/// The memory of an atomic.
pub(super) type Cell = Arc<AtomicU64>;

shuttle::thread_local! {
    static BUFFER: RefCell<Vec<(Cell, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Stores `value`: this thread sees it at once, others see it now or later.
pub(super) fn write(cell: &Cell, value: u64) {
    if thread_rng().r#gen() {
        flush();
        cell.store(value, Ordering::SeqCst);
    } else {
        BUFFER.with(|buffer| buffer.borrow_mut().push((Arc::clone(cell), value)));
    }
}

/// The value that this thread has stored last, if others do not see it yet.
pub(super) fn unseen(cell: &Cell) -> Option<u64> {
    BUFFER.with(|buffer| {
        let buffer = buffer.borrow();
        let last = buffer.iter().rev().find(|(other, _)| Arc::ptr_eq(other, cell));
        last.map(|(_, value)| *value)
    })
}

/// Lets others see all that this thread has stored, in the order of the stores.
pub(crate) fn flush() {
    let unseen = BUFFER.with(|buffer| std::mem::take(&mut *buffer.borrow_mut()));
    for (cell, value) in unseen {
        cell.store(value, Ordering::SeqCst);
    }
}
