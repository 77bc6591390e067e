//! Work that goes on although no caller waits for it: releases of dropped guards and futures, and the settling of
//! writes.
//!
//! Each piece of work is a task of its own, so a server that hangs delays only the work for that server.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::sync::oneshot;

use super::core::Core;
use super::inherited::here;
use crate::error::Error;
use crate::system::background;

/// One piece of a [`Core`]'s work, counted until it is dropped.
struct Counted(Arc<Core>);

impl Counted {
    fn new(core: &Arc<Core>) -> Counted {
        core.background_work.begin_one();
        Counted(Arc::clone(core))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.background_work.end_one();
    }
}

/// Runs `work` in the background. [`Locks::flush`](crate::Locks::flush) waits for it.
pub(crate) fn spawn(core: &Arc<Core>, work: impl Future<Output = ()> + Send + 'static) {
    if core.is_inherited() {
        // It is the parent's work. In a child it would delete the parent's locks.
        std::mem::forget(work);
        return;
    }
    let counted = Counted::new(core);
    background::spawn(async move {
        work.await;
        drop(counted);
    });
}

/// As [`spawn`], but polls `work` here first, so that its request is sent at once.
pub(crate) fn begin(core: &Arc<Core>, work: impl Future<Output = ()> + Send + 'static) {
    // In a tokio task that has used up its budget, no tokio future would be ready.
    let mut work = Box::pin(tokio::task::unconstrained(work));
    let mut context = Context::from_waker(Waker::noop());
    if work.as_mut().poll(&mut context).is_pending() {
        spawn(core, work);
    }
}

/// Runs `work` to its end in the background, and waits for it. It goes on if the waiting future is dropped.
pub(crate) async fn finish<T: Send + 'static>(
    core: &Core,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = oneshot::channel();
    background::spawn(async move {
        // The waiting future may have been dropped.
        let _ = sender.send(work.await);
    });
    here(core, receiver).await?.unwrap_or_else(|_| {
        Err(Error::config(
            "the background thread of memlock could not be started, or its task panicked",
        ))
    })
}
