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
    /// Whether these locks were made by a parent of this process. It costs a system call.
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

/// Waits for `future`, of `core`'s, in the process that polls it first. In a child that is forked meanwhile nothing would ever wake
/// it; the output is an error there.
pub(crate) fn here<F: Future + Unpin>(core: &Core, future: F) -> Here<'_, F> {
    Here {
        core,
        future: Some(future),
        was_polled: false,
    }
}

/// See [`here`].
#[derive(Debug)]
pub(crate) struct Here<'a, F> {
    core: &'a Core,
    /// `None` once it is over.
    future: Option<F>,
    was_polled: bool,
}

impl<F: Future + Unpin> Future for Here<'_, F> {
    type Output = Result<F::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The first poll follows what began it, in the same process. Looking only after that spares most calls a system call.
        if mem::replace(&mut self.was_polled, true) && self.core.is_inherited() {
            return Poll::Ready(Err(inherited()));
        }
        let Some(future) = &mut self.future else {
            return Poll::Pending;
        };
        let polled = Pin::new(future).poll(context);
        if polled.is_ready() {
            self.future = None;
        }
        polled.map(Ok)
    }
}

impl<F> Drop for Here<'_, F> {
    fn drop(&mut self) {
        if self.future.is_some() && self.core.is_inherited() {
            // What it waits for is shared with threads that the child does not have. One of them may have been in the middle of it.
            mem::forget(self.future.take());
        }
    }
}
