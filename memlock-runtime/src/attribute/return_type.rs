//! What a function's return type allows: decided by the type, not by how it is spelled.
//!
//! [`Return<R>`] stands for the return type. An expansion calls methods on it that exist several times, on the steps of
//! a ladder of types that `Deref` ties together; method resolution walks down and takes the first whose bounds hold:
//!
//! 1. [`Return`]: `Result<T, E>` with `E: From<Error>` reports a lock that is not to be had;
//! 2. [`NoFrom`]: any other `Result` is refused, unless the attribute says what to do instead;
//! 3. [`IsFuture`]: a future that the attribute did not see is refused, for the lock would be gone before it runs;
//! 4. [`Other`]: anything else cannot report, and falls back.
//!
//! A refusing step's method has a bound of its own that no type meets and whose diagnostic says what to do.
#![allow(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    clippy::return_self_not_must_use,
    reason = "methods of one name have one shape on every step; keys and options are dropped in here, before the body"
)]

use std::future::Future;

use super::call_guard::{AwaitRelease, CallGuard, DetachRelease, run_zlock};
use super::entering::{Entering, Reports, Soft, Tries, TriesResult};
use super::options::Options;
use crate::error::Error;
use crate::error::conflict::Classify;
use crate::key::Key;
use crate::locks::policy::Reporting;

/// The steps of a ladder: each has its own methods, and those of the steps below it.
macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident $(=> $next:ident)?;)*) => {
        use std::fmt;
        use std::marker::PhantomData;
        use std::ops::Deref;

    $(
        $(#[$doc])*
        pub struct $step<R>(PhantomData<fn() -> R>);

        impl<R> Clone for $step<R> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<R> Copy for $step<R> {}

        impl<R> fmt::Debug for $step<R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($step))
            }
        }

        $(impl<R> Deref for $step<R> {
            type Target = $next<R>;

            fn deref(&self) -> &$next<R> {
                &$next(PhantomData)
            }
        })?
    )*};
}
use super::diagnostics::{
    GivesNoFuture, MadeFromConflict, MadeFromLockError, NotAFuture, ReportsBusy, ReportsConflicts, ReportsLost,
    ReportsUnavailable,
};
pub(crate) use steps;

steps! {
    /// The return type `R`, and the step of the results that can report.
    Return => NoFrom;
    /// The step of the results that cannot report.
    NoFrom => IsFuture;
    /// The step of the futures (of an async function: of those whose future gives another).
    IsFuture => Other;
    /// The step of everything else.
    Other => NotSend;
    /// The step of what may not be `Send`.
    NotSend;
}

/// Stands for a return type that cannot be named: `impl Trait`, or `!`. Nothing is ever returned as one.
#[derive(Debug)]
pub enum Opaque {}

impl<R> Return<R> {
    /// The return type `R`.
    #[allow(
        clippy::new_without_default,
        reason = "an expansion names the constructor, and nobody else does"
    )]
    pub const fn new() -> Return<R> {
        Return(PhantomData)
    }
}

// Entering: `Err` is what the function is to return.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Enters; a lock that is not to be had is the function's error.
    pub fn __memlock_enter<const N: usize>(
        self,
        options: Options<'_>,
        keys: [Key; N],
    ) -> Result<CallGuard, Result<T, E>> {
        options
            .enter(&keys, Reporting::Yes)
            .map_err(|error| Err(E::from(error)))
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// Refuses.
    #[track_caller]
    pub fn __memlock_enter<const N: usize>(
        self,
        options: Options<'_>,
        keys: [Key; N],
    ) -> Result<CallGuard, Result<T, E>>
    where
        E: MadeFromLockError,
    {
        Other(PhantomData).__memlock_enter(options, keys)
    }
}

impl<R: Future> IsFuture<R> {
    /// Refuses.
    #[track_caller]
    pub fn __memlock_enter<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Result<CallGuard, R>
    where
        R: NotAFuture,
    {
        Other(PhantomData).__memlock_enter(options, keys)
    }

    /// Refuses.
    pub fn __memlock_try_enter<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Result<CallGuard, Error>
    where
        R: NotAFuture,
    {
        Other::<R>(PhantomData).__memlock_try_enter(options, keys)
    }
}

impl<R> Other<R> {
    /// Enters, softly: without a server the body runs unlocked.
    ///
    /// # Panics
    ///
    /// On a mistake in the program, which this function has no other way to report.
    #[track_caller]
    pub fn __memlock_enter<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Result<CallGuard, R> {
        match options.enter(&keys, Reporting::No) {
            Ok(held) => Ok(held),
            Err(error) => panic!("{error}"),
        }
    }

    /// Enters, for an expansion that knows what to do with a lock error.
    pub fn __memlock_try_enter<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Result<CallGuard, Error> {
        options.enter(&keys, Reporting::Yes)
    }
}

// Entering an async function: the same, in two steps. This one evaluates, the next one waits.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Prepares to enter; a lock that is not to be had is the function's error.
    pub fn __memlock_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Reports> {
        Entering::new(options.prepare(&keys))
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// Refuses.
    #[track_caller]
    pub fn __memlock_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Soft>
    where
        E: MadeFromLockError,
    {
        Other::<E>(PhantomData).__memlock_enter_async(options, keys)
    }

    /// Prepares to enter, for an expansion that knows what to do with a lock error.
    pub fn __memlock_try_enter_async<const N: usize>(
        self,
        options: Options<'_>,
        keys: [Key; N],
    ) -> Entering<TriesResult> {
        Entering::new(options.prepare(&keys))
    }
}

impl<R: Future> IsFuture<R> {
    /// Refuses.
    #[track_caller]
    pub fn __memlock_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Soft>
    where
        R: GivesNoFuture,
    {
        Other::<R>(PhantomData).__memlock_enter_async(options, keys)
    }

    /// Refuses.
    pub fn __memlock_try_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Tries>
    where
        R: GivesNoFuture,
    {
        Other::<R>(PhantomData).__memlock_try_enter_async(options, keys)
    }
}

impl<R> Other<R> {
    /// Prepares to enter, softly: without a server the body runs unlocked.
    ///
    /// # Panics
    ///
    /// On a mistake in the program, which this function has no other way to report.
    #[track_caller]
    pub fn __memlock_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Soft> {
        match options.prepare(&keys) {
            Ok(prepared) => Entering::new(Ok(prepared)),
            Err(error) => panic!("{error}"),
        }
    }

    /// Prepares to enter, for an expansion that knows what to do with a lock error.
    pub fn __memlock_try_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Tries> {
        Entering::new(options.prepare(&keys))
    }

    /// Never called. Tells what an async body returns before it is looked at, and in which order it takes its
    /// `arguments`.
    pub fn __memlock_value<A>(self, arguments: A) -> R {
        drop(arguments);
        unreachable!("an expansion names this behind `if false`")
    }
}

// Whether an async function waits for its release.

impl<R: Send> Other<R> {
    /// What was returned may be kept meanwhile.
    pub fn __memlock_ending(self) -> AwaitRelease {
        AwaitRelease
    }
}

impl<R> NotSend<R> {
    /// What was returned is no part of the future, which would not be `Send` with it.
    pub fn __memlock_ending(self) -> DetachRelease {
        DetachRelease
    }
}

// `on_unavailable = unlocked` or `panic`: a `Result` that cannot report need not.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// The type as it is.
    pub fn __memlock_soft(self) -> Self {
        self
    }
}

impl<R: Future> IsFuture<R> {
    /// Still a future.
    pub fn __memlock_soft(self) -> Self {
        self
    }
}

impl<R> Other<R> {
    /// Like any type that cannot report.
    pub fn __memlock_soft(self) -> Self {
        self
    }
}

// Options that need a function that can report. A refused type goes on as one that need not, so that it is refused once.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// The type as it is, for `wait`.
    pub fn __memlock_wait(self) -> Self {
        self
    }

    /// The type as it is, for `on_unavailable = error`.
    pub fn __memlock_on_unavailable(self) -> Self {
        self
    }

    /// The type as it is, for `on_lost = error`.
    pub fn __memlock_on_lost(self) -> Self {
        self
    }
}

impl<R> Other<R> {
    /// Refuses.
    pub fn __memlock_wait(self) -> Self
    where
        R: ReportsBusy,
    {
        self
    }

    /// Refuses.
    pub fn __memlock_on_unavailable(self) -> Self
    where
        R: ReportsUnavailable,
    {
        self
    }

    /// Refuses.
    pub fn __memlock_on_lost(self) -> Self
    where
        R: ReportsLost,
    {
        self
    }
}

// `zlock`: it has to report conflicts, and to see them.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// The type as it is.
    pub fn __memlock_zlock(self) -> Self {
        self
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// Refuses.
    pub fn __memlock_zlock(self) -> Other<Result<T, E>>
    where
        E: MadeFromConflict,
    {
        Other(PhantomData)
    }
}

impl<R: Future> IsFuture<R> {
    /// Still a future.
    pub fn __memlock_zlock(self) -> Self {
        self
    }
}

impl<R> Other<R> {
    /// Refuses.
    pub fn __memlock_zlock(self) -> Self
    where
        R: ReportsConflicts,
    {
        self
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// The type as it is, where the expansion knows what to do with a lock error.
    pub fn __memlock_try_zlock(self) -> Self {
        self
    }
}

impl<R: Future> IsFuture<R> {
    /// Still a future.
    pub fn __memlock_try_zlock(self) -> Self {
        self
    }
}

impl<R> Other<R> {
    /// Refuses.
    pub fn __memlock_try_zlock(self) -> Self
    where
        R: ReportsConflicts,
    {
        self
    }
}

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Runs the body; after a conflict, of which `conflict` knows, its locks are kept for its caller's retry.
    pub fn __memlock_run_zlock(
        self,
        entered: Result<CallGuard, Error>,
        conflict: impl Classify<Result<T, E>>,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        run_zlock(entered?, &conflict, body)
    }
}

impl<R> Other<R> {
    /// Only for the type checker, behind a refusal.
    pub fn __memlock_run_zlock<C>(
        self,
        _entered: Result<CallGuard, Error>,
        _conflict: C,
        body: impl FnOnce() -> R,
    ) -> R {
        body()
    }
}

// `on_lost = error`: the body runs in here, so that what it returned can be looked at before the function returns it.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Runs the body; a success under a lease that did not last becomes the error.
    pub fn __memlock_run(self, entered: Result<CallGuard, Error>, body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        match entered.and_then(|guard| guard.run_and_check(body, Result::is_ok)) {
            Ok(returned) => returned,
            Err(error) => Err(E::from(error)),
        }
    }
}

impl<R> Other<R> {
    /// Only for the type checker, behind a refusal.
    pub fn __memlock_run(self, _entered: Result<CallGuard, Error>, body: impl FnOnce() -> R) -> R {
        body()
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// Runs the body, for an expansion that knows what to do with a lock error.
    pub fn __memlock_try_run(
        self,
        entered: Result<CallGuard, Error>,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        entered?.run_and_check(body, Result::is_ok)
    }
}

impl<R> Other<R> {
    /// Runs the body, for an expansion that knows what to do with a lock error.
    pub fn __memlock_try_run(self, entered: Result<CallGuard, Error>, body: impl FnOnce() -> R) -> Result<R, Error> {
        entered?.run_and_check(body, |_| true)
    }
}
