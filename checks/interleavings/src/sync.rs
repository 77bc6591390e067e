//! What the queue uses in place of `std::sync`. Each use is a step after which the checker may let another thread go
//! on.

pub(crate) mod atomic;
mod buffer;

use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError};

pub(crate) use buffer::flush;
use shuttle::sync as checked;

/// A mutex. Unlocking it makes all earlier stores of the thread visible.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(checked::Mutex<T>);

/// See [`Mutex`].
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T>(checked::MutexGuard<'a, T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(checked::Mutex::new(value))
    }

    #[allow(clippy::unnecessary_wraps, reason = "as in std")]
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        // A thread that panics while it holds a lock ends the scenario.
        Ok(MutexGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        flush();
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub(crate) struct Condvar(checked::Condvar);

impl Condvar {
    /// Waits under `mutex` until `is_met` returns `true`.
    pub(crate) fn wait_until<'a, T>(&self, mutex: &'a Mutex<T>, is_met: impl Fn(&T) -> bool) -> MutexGuard<'a, T> {
        let mut guard = mutex.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !is_met(&guard) {
            flush();
            guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        MutexGuard(guard)
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A cell that is written once.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_set: checked::atomic::AtomicBool,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> OnceLock<T> {
        OnceLock {
            value: std::sync::OnceLock::new(),
            is_set: checked::atomic::AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        let is_set = self.is_set.load(atomic::Ordering::SeqCst);
        is_set.then(|| self.value.get()).flatten()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        flush();
        self.value.set(value)?;
        self.is_set.store(true, atomic::Ordering::SeqCst);
        Ok(())
    }
}
