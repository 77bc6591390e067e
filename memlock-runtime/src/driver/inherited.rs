//! Inherited locks: those that a process had when it forked a child. The parent goes on using them. The child makes no
//! exchange with them, hands no lock over, and waits for no thread, since it does not have the parent's threads.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::Core;
use crate::error::Error;

const INHERITED: &str = "these locks were built before the process forked, and belong to its parent: build new ones \
                         after the fork (`memlock::init` in the child installs new process-wide ones)";

impl Core {
    /// Returns whether a parent of this process made these locks. This costs a system call.
    pub(crate) fn is_inherited(&self) -> bool {
        self.identity.is_inherited()
    }

    /// Returns an error in a child that was forked with these locks.
    ///
    /// A call checks this once, before it uses anything that is shared with other threads: another thread of the parent
    /// may have held a mutex at the fork. From then on a thread need not check, since a fork copies only the thread
    /// that forks. A task need only check after it has waited: [`in_this_process`] does so.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.is_inherited() { Err(inherited()) } else { Ok(()) }
    }
}

/// Returns the error of using inherited locks.
pub(crate) fn inherited() -> Error {
    Error::config(INHERITED)
}

/// A value that belongs to the process that made it. A child that was forked meanwhile does not drop the value: it is
/// shared with other threads of the parent, which may have been using it at the fork.
#[derive(Debug)]
pub(crate) struct OfThisProcess<'a, T> {
    core: &'a Core,
    /// `None` once it is taken out. Then dropping this needs no system call.
    pub(crate) value: Option<T>,
}

impl<'a, T> OfThisProcess<'a, T> {
    pub(crate) fn new(core: &'a Core, value: T) -> OfThisProcess<'a, T> {
        OfThisProcess {
            core,
            value: Some(value),
        }
    }
}

impl<T> Drop for OfThisProcess<'_, T> {
    fn drop(&mut self) {
        if self.value.is_some() && self.core.is_inherited() {
            mem::forget(self.value.take());
        }
    }
}

/// Waits for `future` in the process that polls it first. In a child that is forked meanwhile, nothing would ever wake
/// `future`, so the output there is an error.
pub(crate) fn in_this_process<F: Future + Unpin>(core: &Core, future: F) -> InThisProcess<'_, F> {
    InThisProcess {
        future: OfThisProcess::new(core, future),
        was_polled: false,
    }
}

/// See [`in_this_process`].
#[derive(Debug)]
pub(crate) struct InThisProcess<'a, F> {
    /// `None` once its output has been returned.
    future: OfThisProcess<'a, F>,
    was_polled: bool,
}

impl<F: Future + Unpin> Future for InThisProcess<'_, F> {
    type Output = Result<F::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The first poll is in the process that began the future, so most calls need no system call.
        if mem::replace(&mut self.was_polled, true) && self.future.core.is_inherited() {
            return Poll::Ready(Err(inherited()));
        }
        let Some(future) = &mut self.future.value else {
            return Poll::Pending;
        };
        let polled = Pin::new(future).poll(context);
        if polled.is_ready() {
            self.future.value = None;
        }
        polled.map(Ok)
    }
}
