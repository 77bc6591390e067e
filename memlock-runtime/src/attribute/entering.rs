//! A call of an async function on its way in, and the future that runs its body once it is in.
//!
//! The body is stored once in that future: what an async fn of ours would do with it, keep it both as an argument and as
//! what it awaits, would double the future of every locked function.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::enter::FunctionCall;
use super::held::{AfterBody, AsyncHeld};
use crate::error::Error;
use crate::error::conflict::Classify;
use crate::locks::policy::Reporting;

/// What becomes of a lock error, for a body that returns an `R`.
pub trait Policy<R> {
    /// What the function gets.
    type Outcome;

    /// Whether the function can report.
    const REPORTS: bool;

    /// The body has returned.
    fn returned(returned: R) -> Self::Outcome;

    /// The lock was not to be had, or was lost.
    fn failed(error: Error) -> Self::Outcome;

    /// Whether what the body returned is a success.
    fn succeeded(returned: &R) -> bool;
}

/// The error is the function's.
#[derive(Debug)]
pub enum Reports {}

/// There is no place for an error.
#[derive(Debug)]
pub enum Soft {}

/// The expansion gets the error.
#[derive(Debug)]
pub enum Tries {}

/// The same, where the body returns a `Result`.
#[derive(Debug)]
pub enum TriesResult {}

impl<T, E: From<Error>> Policy<Result<T, E>> for Reports {
    type Outcome = Result<T, E>;

    const REPORTS: bool = true;

    fn returned(returned: Result<T, E>) -> Result<T, E> {
        returned
    }

    fn failed(error: Error) -> Result<T, E> {
        Err(E::from(error))
    }

    fn succeeded(returned: &Result<T, E>) -> bool {
        returned.is_ok()
    }
}

impl<R> Policy<R> for Soft {
    type Outcome = R;

    const REPORTS: bool = false;

    fn returned(returned: R) -> R {
        returned
    }

    fn failed(error: Error) -> R {
        panic!("{error}")
    }

    fn succeeded(_: &R) -> bool {
        true
    }
}

impl<R> Policy<R> for Tries {
    type Outcome = Result<R, Error>;

    const REPORTS: bool = true;

    fn returned(returned: R) -> Result<R, Error> {
        Ok(returned)
    }

    fn failed(error: Error) -> Result<R, Error> {
        Err(error)
    }

    fn succeeded(_: &R) -> bool {
        true
    }
}

impl<T, E> Policy<Result<T, E>> for TriesResult {
    type Outcome = Result<Result<T, E>, Error>;

    const REPORTS: bool = true;

    fn returned(returned: Result<T, E>) -> Self::Outcome {
        Ok(returned)
    }

    fn failed(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn succeeded(returned: &Result<T, E>) -> bool {
        returned.is_ok()
    }
}

/// A call whose keys and options are evaluated. Borrows nothing.
#[must_use]
pub struct Entering<P> {
    prepared: Result<FunctionCall, Error>,
    policy: PhantomData<fn() -> P>,
}

impl<P> fmt::Debug for Entering<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entering").field(&self.prepared).finish()
    }
}

impl<P> Entering<P> {
    pub(crate) fn new(prepared: Result<FunctionCall, Error>) -> Entering<P> {
        Entering {
            prepared,
            policy: PhantomData,
        }
    }

    /// Acquires, for an expansion that knows what to do with a lock error.
    pub async fn enter(self) -> Result<AsyncHeld, Error> {
        opening(self.prepared, Reporting::Yes).await
    }

    /// Acquires, runs the body, and releases.
    pub fn run<B: Future>(self, ending: impl AfterBody<B::Output>, body: B) -> impl Future<Output = P::Outcome>
    where
        P: Policy<B::Output>,
    {
        self.then(body, |held, body| held.run(ending, body), P::returned)
    }

    /// The same; and after a conflict, of which `conflict` knows, the locks are kept for the caller's retry.
    pub fn run_zlock<B: Future>(
        self,
        ending: impl AfterBody<B::Output>,
        conflict: impl Classify<B::Output>,
        body: B,
    ) -> impl Future<Output = P::Outcome>
    where
        P: Policy<B::Output>,
    {
        self.then(body, |held, body| held.run_zlock(ending, conflict, body), P::returned)
    }

    /// The same; and a success under a lease that did not last is a failure (`on_lost = error`).
    pub fn run_and_check<B: Future>(
        self,
        ending: impl AfterBody<(B::Output, Option<Error>)>,
        body: B,
    ) -> impl Future<Output = P::Outcome>
    where
        P: Policy<B::Output>,
    {
        self.then(
            body,
            |held, body| held.run_and_check(ending, body),
            |(returned, lost)| match lost {
                Some(lost) if P::succeeded(&returned) => P::failed(lost),
                _ => P::returned(returned),
            },
        )
    }

    fn then<B: Future, Run: Future>(
        self,
        body: B,
        run: impl FnOnce(AsyncHeld, B) -> Run,
        finish: impl FnOnce(Run::Output) -> P::Outcome,
    ) -> impl Future<Output = P::Outcome>
    where
        P: Policy<B::Output>,
    {
        let prepared = self.prepared;
        let reporting = if P::REPORTS { Reporting::Yes } else { Reporting::No };
        Stages::First {
            first: opening(prepared, reporting),
            next: move |entered| match entered {
                Ok(held) => ControlFlow::Continue((run(held, body), finish)),
                Err(error) => ControlFlow::Break(P::failed(error)),
            },
        }
    }
}

/// Acquires. The future has one type for all bodies, so it is compiled once. It is on the heap: it is large, and over when the
/// body begins, which would carry it along.
fn opening(
    prepared: Result<FunctionCall, Error>,
    reporting: Reporting,
) -> Pin<Box<impl Future<Output = Result<AsyncHeld, Error>> + Send>> {
    Box::pin(async move { prepared?.enter_async(reporting).await })
}

pin_project! {
    /// One future, then perhaps another that is made of what the first one gave.
    #[project = Stage]
    #[project_replace = Taken]
    enum Stages<First, Next, Second, Finish> {
        First {
            #[pin]
            first: First,
            next: Next,
        },
        Second {
            #[pin]
            second: Second,
            finish: Finish,
        },
        Done,
    }
}

impl<First, Next, Second, Finish, R> Future for Stages<First, Next, Second, Finish>
where
    First: Future,
    Next: FnOnce(First::Output) -> ControlFlow<R, (Second, Finish)>,
    Second: Future,
    Finish: FnOnce(Second::Output) -> R,
{
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        if let Stage::First { first, .. } = self.as_mut().project() {
            let given = ready!(first.poll(context));
            if let Taken::First { next, .. } = self.as_mut().project_replace(Stages::Done) {
                match next(given) {
                    ControlFlow::Continue((second, finish)) => self.set(Stages::Second { second, finish }),
                    ControlFlow::Break(outcome) => return Poll::Ready(outcome),
                }
            }
        }
        if let Stage::Second { second, .. } = self.as_mut().project() {
            let given = ready!(second.poll(context));
            if let Taken::Second { finish, .. } = self.project_replace(Stages::Done) {
                return Poll::Ready(finish(given));
            }
        }
        panic!("`async fn` resumed after completion");
    }
}

/// Runs the future that a body returns, once that body runs.
pub async fn returned<F: Future>(body: impl FnOnce() -> F) -> F::Output {
    body().await
}
