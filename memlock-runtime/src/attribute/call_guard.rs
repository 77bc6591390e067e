//! Call guards: what an annotated function holds while its body runs, and how that ends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::call_tree::lock_kind::LockKind;
use crate::call_tree::{self, Entered, Frame, InFrame};
use crate::error::Error;
use crate::error::call_site::CallSite;
use crate::error::conflict::{Classify, NoConflict};
use crate::hold::body_locks::BodyLocks;
use crate::system::on_thread;

/// The locks of an annotated function while its body runs. Dropping this releases them.
#[derive(Debug)]
#[must_use]
pub struct CallGuard {
    // Dropped in this order: the frame of the body ends before its locks do.
    entered: Entered,
    locks: BodyLocks,
}

impl CallGuard {
    pub(crate) fn new(entered: Entered, locks: BodyLocks) -> CallGuard {
        CallGuard { entered, locks }
    }

    /// The guard of a body of the function `site` that runs without its locks.
    pub(super) fn unlocked(site: CallSite) -> CallGuard {
        CallGuard::new(call_tree::enter(unlocked_frame(site)), BodyLocks::None)
    }

    /// Runs the body. Returns an error in place of a success, if the lease did not last for the whole body
    /// (`on_lost = error`).
    pub(super) fn run_and_check<R>(self, body: impl FnOnce() -> R, succeeded: fn(&R) -> bool) -> Result<R, Error> {
        let returned = body();
        match self.entered.frame().lease_error() {
            Some(lost) if succeeded(&returned) => Err(lost),
            _ => Ok(returned),
        }
    }

    /// Ends the locks after the body: reserves them for the caller's retry after a conflict, else releases them.
    pub(crate) fn end(self, is_conflict: bool) {
        let CallGuard { entered, locks } = self;
        drop(entered);
        on_thread::block_on(locks.end(is_conflict));
    }
}

/// Runs the body of a `zlock`. After a conflict, as `conflict` decides, reserves the locks for the caller's retry.
pub fn run_zlock<R>(guard: CallGuard, conflict: &impl Classify<R>, body: impl FnOnce() -> R) -> R {
    let returned = body();
    guard.end(conflict.is_conflict(&returned));
    returned
}

/// Returns the frame of a body of the function `site` that runs without a lease, so that its attribute does not matter.
fn unlocked_frame(site: CallSite) -> Arc<Frame> {
    Frame::new(call_tree::current_frame(), LockKind::Lock, site, None)
}

/// The locks of an annotated async function while its body runs. If this is dropped, the background releases them.
#[derive(Debug)]
#[must_use]
pub struct AsyncCallGuard {
    frame: Arc<Frame>,
    locks: BodyLocks,
}

impl AsyncCallGuard {
    pub(crate) fn new((frame, locks): (Arc<Frame>, BodyLocks)) -> AsyncCallGuard {
        AsyncCallGuard { frame, locks }
    }

    /// The guard of a body of the function `site` that runs without its locks.
    pub(super) fn unlocked(site: CallSite) -> AsyncCallGuard {
        AsyncCallGuard::new((unlocked_frame(site), BodyLocks::None))
    }

    /// Runs the body, and releases the locks.
    pub fn run<F: Future, E: AfterBody<F::Output>>(self, ending: E, body: F) -> Run<F, E, NoConflict> {
        self.run_zlock(ending, NoConflict, body)
    }

    /// As [`run`](Self::run). After a conflict, as `conflict` decides, it reserves the locks for the caller's retry.
    pub fn run_zlock<F, E, C>(self, _: E, conflict: C, body: F) -> Run<F, E, C>
    where
        F: Future,
        E: AfterBody<F::Output>,
        C: Classify<F::Output>,
    {
        Run {
            body: InFrame::new(Some(Arc::clone(&self.frame)), body),
            guard: Some(self),
            conflict,
            release: None,
            kept: E::Kept::default(),
        }
    }

    /// As [`run`](Self::run). Also returns an error, if the lease did not last for the whole body (`on_lost = error`).
    pub fn run_and_check<F: Future>(
        self,
        ending: impl AfterBody<(F::Output, Option<Error>)>,
        body: F,
    ) -> impl Future<Output = (F::Output, Option<Error>)> {
        let frame = Arc::clone(&self.frame);
        // Before the release, which ends the lease.
        let checked = async move {
            let output = body.await;
            (output, frame.lease_error())
        };
        self.run(ending, checked)
    }
}

/// The release, or the reservation, of a body's locks. It has one type for all bodies, and is on the heap: the
/// function's future would keep space for it while the body runs.
type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether the function waits for the release, after a body that returns an `R`.
pub trait AfterBody<R> {
    /// What the future keeps of the body's output during the release.
    type Kept: Default;

    /// Keeps the output, or returns it if the function does not wait for the release.
    fn keep(kept: &mut Self::Kept, output: R) -> Option<R>;

    /// Takes out the output that was kept.
    fn take(kept: &mut Self::Kept) -> Option<R>;
}

/// The function waits for the release.
#[derive(Debug, Clone, Copy)]
pub struct AwaitRelease;

/// The release begins, and goes on in the background: for outputs that are not `Send`, which would make the future not
/// `Send`.
#[derive(Debug, Clone, Copy)]
pub struct DetachRelease;

impl<R> AfterBody<R> for AwaitRelease {
    type Kept = Option<R>;

    fn keep(kept: &mut Option<R>, output: R) -> Option<R> {
        *kept = Some(output);
        None
    }

    fn take(kept: &mut Option<R>) -> Option<R> {
        kept.take()
    }
}

impl<R> AfterBody<R> for DetachRelease {
    type Kept = ();

    fn keep((): &mut (), output: R) -> Option<R> {
        Some(output)
    }

    fn take((): &mut ()) -> Option<R> {
        None
    }
}

pin_project! {
    /// A body under its locks. Dropping this drops the body, then the background releases the locks.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Run<F: Future, E: AfterBody<F::Output>, C> {
        #[pin]
        body: InFrame<F>,
        // `None` once the body is done.
        guard: Option<AsyncCallGuard>,
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
        if let Some(guard) = this.guard.take() {
            let Poll::Ready(output) = this.body.as_mut().poll(context) else {
                *this.guard = Some(guard);
                return Poll::Pending;
            };
            if !guard.locks.are_own() {
                return Poll::Ready(output);
            }
            let is_conflict = this.conflict.is_conflict(&output);
            match E::keep(this.kept, output) {
                None => *this.release = Some(Box::pin(guard.locks.end(is_conflict))),
                Some(output) => {
                    guard.locks.end_in_background(is_conflict);
                    return Poll::Ready(output);
                }
            }
        }
        if let Some(release) = this.release {
            std::task::ready!(release.as_mut().poll(context));
        }
        *this.release = None;
        E::take(this.kept).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<F: Future, E: AfterBody<F::Output>, C> fmt::Debug for Run<F, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
