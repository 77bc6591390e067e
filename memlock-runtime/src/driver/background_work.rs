//! Work that goes on although no caller waits for it: releases of guards and futures that were dropped, and what is settled.
//!
//! Every piece of work waits for itself alone: a server that hangs holds up nothing but what concerns it.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::sync::oneshot;

use super::core::Core;
use super::inherited::here;
use crate::error::Error;
use crate::system::background;

/// One of the chores of a [`Core`], until it is dropped.
struct Chore(Arc<Core>);

impl Chore {
    fn begin(core: &Arc<Core>) -> Chore {
        core.chores.begin();
        Chore(Arc::clone(core))
    }
}

impl Drop for Chore {
    fn drop(&mut self) {
        self.0.chores.end();
    }
}

/// Runs `work` in the background. [`Locks::flush`](crate::Locks::flush) waits for it.
pub(crate) fn spawn(core: &Arc<Core>, work: impl Future<Output = ()> + Send + 'static) {
    if core.is_inherited() {
        // The parent does it, for what is its own. In a child it would delete that.
        std::mem::forget(work);
        return;
    }
    let counted = Chore::begin(core);
    background::spawn(async move {
        work.await;
        drop(counted);
    });
}

/// The same, and begins it here, so that its request is on its way as soon as can be.
pub(crate) fn begin(core: &Arc<Core>, work: impl Future<Output = ()> + Send + 'static) {
    // In a task of tokio's that has used up what it may do at a time, nothing of tokio's would be ready.
    let mut work = Box::pin(tokio::task::unconstrained(work));
    let nobody = &mut Context::from_waker(Waker::noop());
    if work.as_mut().poll(nobody).is_pending() {
        spawn(core, work);
    }
}

/// Runs `work` to its end in the background, and waits for it. It goes on if the waiting future is dropped.
pub(crate) async fn finish<T: Send + 'static>(
    core: &Core,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let (told, listener) = oneshot::channel();
    background::spawn(async move {
        // The waiting future may have been dropped.
        let _ = told.send(work.await);
    });
    here(core, listener).await?.unwrap_or_else(|_| {
        Err(Error::config(
            "the background thread of memlock could not be started, or failed",
        ))
    })
}
