//! [`Entering`]: a call of an async function. Its future acquires the locks, then runs the body.
//!
//! That future stores the body once. An `async fn` would store it twice, as its argument and as the future that it
//! awaits, and so double the future of every locked function.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use pin_project_lite::pin_project;

use super::call_guard::{AfterBody, AsyncCallGuard};
use super::enter::FunctionCall;
use super::options::Options;
use crate::error::Error;
use crate::error::call_site::CallSite;
use crate::error::conflict::Classify;
use crate::key::Key;
use crate::locks::policy::{Reporting, must_not_panic};

/// How a function with a body that returns an `R` reports a lock error.
pub trait Policy<R> {
    /// The output of the whole call.
    type Outcome;

    /// Whether the function can report a lock error.
    const REPORTS: bool;

    /// Returns the outcome of a body that has returned.
    fn returned(returned: R) -> Self::Outcome;

    /// Returns the outcome of a call that did not get its lock, or lost it.
    fn failed(error: Error) -> Self::Outcome;

    /// Returns whether `returned` is a success.
    fn succeeded(returned: &R) -> bool;
}

/// The function returns the error.
#[derive(Debug)]
pub enum Reports {}

/// The function cannot return an error.
#[derive(Debug)]
pub enum Soft {}

/// The expansion handles the error.
#[derive(Debug)]
pub enum Tries {}

/// The expansion handles the error, and the body returns a `Result`.
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

/// A call with its keys and options evaluated. It borrows nothing.
#[must_use]
pub struct Entering<P> {
    site: CallSite,
    prepared: Result<FunctionCall, Error>,
    policy: PhantomData<fn() -> P>,
}

impl<P> fmt::Debug for Entering<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entering").field(&self.prepared).finish()
    }
}

impl<P> Entering<P> {
    /// Prepares to acquire the locks on `keys`.
    pub(super) fn prepare(options: Options<'_>, keys: &[Key]) -> Entering<P> {
        Entering {
            site: options.site(),
            prepared: options.prepare(keys),
            policy: PhantomData,
        }
    }

    /// Acquires the locks, for an expansion that handles a lock error itself.
    pub async fn enter(self) -> Result<AsyncCallGuard, Error> {
        acquire(self.site, self.prepared, Reporting::Yes).await
    }

    /// Acquires the locks, runs the body, and releases the locks.
    pub fn run<B: Future>(self, ending: impl AfterBody<B::Output>, body: B) -> impl Future<Output = P::Outcome>
    where
        P: Policy<B::Output>,
    {
        self.then(body, |guard, body| guard.run(ending, body), P::returned)
    }

    /// As [`run`](Self::run). After a conflict, as `conflict` decides, it reserves the locks for the caller's retry.
    pub fn run_zlock<B: Future>(
        self,
        ending: impl AfterBody<B::Output>,
        conflict: impl Classify<B::Output>,
        body: B,
    ) -> impl Future<Output = P::Outcome>
    where
        P: Policy<B::Output>,
    {
        self.then(body, |guard, body| guard.run_zlock(ending, conflict, body), P::returned)
    }

    /// As [`run`](Self::run). A success under a lease that did not last is a failure (`on_lost = error`).
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
            |guard, body| guard.run_and_check(ending, body),
            |(returned, lost)| match lost {
                Some(lost) if P::succeeded(&returned) => P::failed(lost),
                _ => P::returned(returned),
            },
        )
    }

    /// Acquires the locks, `run`s the body, and makes the outcome of its output with `finish`.
    fn then<B: Future, Run: Future>(
        self,
        body: B,
        run: impl FnOnce(AsyncCallGuard, B) -> Run,
        finish: impl FnOnce(Run::Output) -> P::Outcome,
    ) -> impl Future<Output = P::Outcome>
    where
        P: Policy<B::Output>,
    {
        let reporting = if P::REPORTS { Reporting::Yes } else { Reporting::No };
        Stages::First {
            first: acquire(self.site, self.prepared, reporting),
            next: move |entered| match entered {
                Ok(guard) => ControlFlow::Continue((run(guard, body), finish)),
                Err(error) => ControlFlow::Break(P::failed(error)),
            },
        }
    }
}

impl Entering<Soft> {
    /// Prepares to acquire the locks on `keys`.
    ///
    /// # Panics
    ///
    /// If the program is wrong, and the thread does not unwind from a panic already.
    #[track_caller]
    pub(super) fn prepare_soft(options: Options<'_>, keys: &[Key]) -> Entering<Soft> {
        let entering = Entering::prepare(options, keys);
        match &entering.prepared {
            Err(error) if !thread::panicking() => panic!("{error}"),
            _ => entering,
        }
    }
}

/// Acquires the locks. The future has one type for all bodies, so it is compiled once. It is on the heap, since it is
/// large: the function's future would keep its space while the body runs.
fn acquire(
    site: CallSite,
    prepared: Result<FunctionCall, Error>,
    reporting: Reporting,
) -> Pin<Box<impl Future<Output = Result<AsyncCallGuard, Error>> + Send>> {
    Box::pin(async move {
        let entered = match prepared {
            Ok(call) => call.enter_async(reporting).await,
            Err(error) => Err(error),
        };
        match (entered, reporting) {
            (Err(error), Reporting::No) if must_not_panic(site.function, &error) => Ok(AsyncCallGuard::unlocked(site)),
            (entered, _) => entered,
        }
    })
}

pin_project! {
    /// One future, then perhaps another, made of the output of the first one.
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
            let output = ready!(first.poll(context));
            if let Taken::First { next, .. } = self.as_mut().project_replace(Stages::Done) {
                match next(output) {
                    ControlFlow::Continue((second, finish)) => self.set(Stages::Second { second, finish }),
                    ControlFlow::Break(outcome) => return Poll::Ready(outcome),
                }
            }
        }
        if let Stage::Second { second, .. } = self.as_mut().project() {
            let output = ready!(second.poll(context));
            if let Taken::Second { finish, .. } = self.project_replace(Stages::Done) {
                return Poll::Ready(finish(output));
            }
        }
        panic!("`async fn` resumed after completion");
    }
}

/// Calls `body`, and runs the future that it returns.
pub async fn returned<F: Future>(body: impl FnOnce() -> F) -> F::Output {
    body().await
}
