//! What the [queue](crate::queue)'s threads share their state with: the standard library's, under names of our own.
//!
//! `interleavings/` compiles the queue with a checker's types in their place, which run its threads in orders of their
//! choosing. So whatever the queue shares between threads comes from here.

pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}
