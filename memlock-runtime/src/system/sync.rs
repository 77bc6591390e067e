//! The types with which the [queue](crate::queue) shares state between threads: those of the standard library, under
//! these names.
//!
//! `checks/interleavings/` compiles the queue with a checker's types in their place. The checker runs the queue's
//! threads in orders of its choosing. So everything that the queue shares between threads must come from here.

pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}
