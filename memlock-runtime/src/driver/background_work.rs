//! Work that goes on although no caller waits for it: releases of dropped guards and futures, and the settling of
//! writes.
//!
//! Each piece of work is a task of its own, so a server that hangs delays only the work for that server.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::sync::oneshot;

use super::core::Core;
use super::inherited::in_this_process;
use crate::error::Error;
use crate::system::background;

/// Counts one piece of a [`Core`]'s background work until this is dropped.
struct CountedWork(Arc<Core>);

impl CountedWork {
    fn new(core: &Arc<Core>) -> CountedWork {
        core.background_work.begin_one();
        CountedWork(Arc::clone(core))
    }
}

impl Drop for CountedWork {
    fn drop(&mut self) {
        self.0.background_work.end_one();
    }
}

/// Runs `work` in the background. [`Locks::flush`](crate::Locks::flush) waits for it.
pub(crate) fn spawn(core: &Arc<Core>, work: impl Future<Output = ()> + Send + 'static) {
    if core.is_inherited() {
        // The work is the parent's. In a child it would delete the parent's locks.
        std::mem::forget(work);
        return;
    }
    let counted = CountedWork::new(core);
    background::spawn(async move {
        work.await;
        drop(counted);
    });
}

/// As [`spawn`], but polls `work` here first, so that its request is sent at once.
pub(crate) fn begin(core: &Arc<Core>, work: impl Future<Output = ()> + Send + 'static) {
    // Without this, no tokio future is ready in a tokio task that has used up its budget.
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
    in_this_process(core, receiver).await?.unwrap_or_else(|_| {
        Err(Error::config(
            "the background thread of memlock could not be started, or its task panicked: see the log, or the panic's \
             message",
        ))
    })
}
