//! Locks that a child was forked with. They are its parent's, which goes on using them: the child asks the server nothing with
//! them, hands nothing over, and waits for no thread that it does not have.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::Core;
use crate::error::Error;

const INHERITED: &str = "these locks were made before the process forked, and belong to its parent: build them after the fork \
                         (in the child `memlock::init` installs process-wide ones once more)";

impl Core {
    /// Whether a parent of this process made these locks. It costs a system call.
    pub(crate) fn is_inherited(&self) -> bool {
        self.identity.is_inherited()
    }

    /// An error in a child that was forked with these locks.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.is_inherited() { Err(inherited()) } else { Ok(()) }
    }
}

/// The error of a use of inherited locks.
pub(crate) fn inherited() -> Error {
    Error::config(INHERITED)
}

/// A value of the process that made it. Dropping this in a child that was forked meanwhile leaves the value as it is: others of the
/// parent's threads share it, and may have been in the middle of it at the fork.
#[derive(Debug)]
pub(crate) struct OfThisProcess<'a, T> {
    core: &'a Core,
    /// `None` once it was taken out. Taking it out spares the drop a system call.
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

/// Waits for `future`, of `core`'s, in the process that polls it first. The output is an error in a child that is forked
/// meanwhile, where nothing would ever wake it.
pub(crate) fn here<F: Future + Unpin>(core: &Core, future: F) -> Here<'_, F> {
    Here {
        future: OfThisProcess::new(core, future),
        was_polled: false,
    }
}

/// See [`here`].
#[derive(Debug)]
pub(crate) struct Here<'a, F> {
    /// `None` once it is over.
    future: OfThisProcess<'a, F>,
    was_polled: bool,
}

impl<F: Future + Unpin> Future for Here<'_, F> {
    type Output = Result<F::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The first poll follows what began it, in the same process. Looking only after that spares most calls a system call.
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
