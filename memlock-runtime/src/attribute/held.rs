//! Call guards: what an annotated function holds while its body runs, and how that ends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::call_tree::{Entered, Frame, InFrame};
use crate::error::Error;
use crate::error::conflict::{Classify, NoConflict};
use crate::hold::body_locks::BodyLocks;

/// What an annotated function holds while its body runs. Releases on drop.
#[derive(Debug)]
#[must_use]
pub struct Held {
    // Dropped in this order: the body's frame ends before its locks do.
    entered: Entered,
    locks: BodyLocks,
}

impl Held {
    pub(crate) fn new(entered: Entered, locks: BodyLocks) -> Held {
        Held { entered, locks }
    }

    /// The error to return in place of a success, when the lease did not last for the whole body (`on_lost = error`).
    pub fn lost(&self) -> Option<Error> {
        self.entered.frame().lost()
    }

    /// The body is done. After a conflict its locks are kept for its caller's retry.
    pub(crate) fn end(self, is_conflict: bool) {
        let Held { entered, locks } = self;
        drop(entered);
        locks.end_here(is_conflict);
    }
}

/// What an annotated asynchronous function holds while its body runs. Releases in the background when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct AsyncHeld {
    frame: Arc<Frame>,
    locks: BodyLocks,
}

impl AsyncHeld {
    pub(crate) fn new(frame: Arc<Frame>, locks: BodyLocks) -> AsyncHeld {
        AsyncHeld { frame, locks }
    }

    /// Runs the body, and releases.
    pub fn run<F: Future, E: AfterBody<F::Output>>(self, ending: E, body: F) -> Run<F, E, NoConflict> {
        self.run_zlock(ending, NoConflict, body)
    }

    /// The same; and after a conflict, of which `conflict` knows, the locks are kept for the caller's retry.
    pub fn run_zlock<F, E, C>(self, _: E, conflict: C, body: F) -> Run<F, E, C>
    where
        F: Future,
        E: AfterBody<F::Output>,
        C: Classify<F::Output>,
    {
        Run {
            body: InFrame::new(Some(Arc::clone(&self.frame)), body),
            held: Some(self),
            conflict,
            release: None,
            kept: E::Kept::default(),
        }
    }

    /// The same; and the error, when the lease did not last for the whole body (`on_lost = error`).
    pub fn run_and_check<F: Future>(
        self,
        ending: impl AfterBody<(F::Output, Option<Error>)>,
        body: F,
    ) -> impl Future<Output = (F::Output, Option<Error>)> {
        let frame = Arc::clone(&self.frame);
        // Looked at before the release, which ends the lease.
        let checked = async move {
            let output = body.await;
            (output, frame.lost())
        };
        self.run(ending, checked)
    }
}

/// The release, or the reservation, of what a body held. One type for all bodies, and on the heap: it begins when the body is
/// over, which would carry it along.
type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether the release is waited for, after a body that returns an `R`.
pub trait AfterBody<R> {
    /// What the future keeps of the body's output meanwhile.
    type Kept: Default;

    /// The output comes back where the release is not waited for.
    fn keep(kept: &mut Self::Kept, output: R) -> Option<R>;

    /// What was kept.
    fn kept(kept: &mut Self::Kept) -> Option<R>;
}

/// The release is waited for.
#[derive(Debug, Clone, Copy)]
pub struct AwaitRelease;

/// The release is begun, and ends in the background: for outputs that are not `Send`, with which the future would not be.
#[derive(Debug, Clone, Copy)]
pub struct DetachRelease;

impl<R> AfterBody<R> for AwaitRelease {
    type Kept = Option<R>;

    fn keep(kept: &mut Option<R>, output: R) -> Option<R> {
        *kept = Some(output);
        None
    }

    fn kept(kept: &mut Option<R>) -> Option<R> {
        kept.take()
    }
}

impl<R> AfterBody<R> for DetachRelease {
    type Kept = ();

    fn keep((): &mut (), output: R) -> Option<R> {
        Some(output)
    }

    fn kept((): &mut ()) -> Option<R> {
        None
    }
}

pin_project! {
    /// A body under its locks. Dropping it drops the body, and then releases in the background.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Run<F: Future, E: AfterBody<F::Output>, C> {
        #[pin]
        body: InFrame<F>,
        held: Option<AsyncHeld>,
        conflict: C,
        // The release, or the reservation, once the body is done.
        release: Option<Closing>,
        kept: E::Kept,
    }
}

impl<F: Future, E: AfterBody<F::Output>, C: Classify<F::Output>> Future for Run<F, E, C> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(held) = this.held.take() {
            let Poll::Ready(output) = this.body.as_mut().poll(context) else {
                *this.held = Some(held);
                return Poll::Pending;
            };
            if !held.locks.are_own() {
                return Poll::Ready(output);
            }
            let is_conflict = this.conflict.is_conflict(&output);
            match E::keep(this.kept, output) {
                None => *this.release = Some(Box::pin(held.locks.end(is_conflict))),
                Some(output) => {
                    held.locks.end_in_background(is_conflict);
                    return Poll::Ready(output);
                }
            }
        }
        if let Some(release) = this.release {
            std::task::ready!(release.as_mut().poll(context));
        }
        *this.release = None;
        E::kept(this.kept).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<F: Future, E: AfterBody<F::Output>, C> fmt::Debug for Run<F, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("held", &self.held).finish_non_exhaustive()
    }
}
