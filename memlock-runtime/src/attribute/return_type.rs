//! Decides what a function's return type allows, by the type and not by how it is written.
//!
//! [`Return<R>`] stands for the return type. An expansion calls its methods. A method may exist on several steps of a
//! ladder of types, each of which dereferences to the next; method resolution walks down and takes the first one whose
//! `impl` fits:
//!
//! 1. [`Return`]: `Result<T, E>` with `E: From<Error>` reports a lock error;
//! 2. [`NoFrom`]: any other `Result` is refused, unless the attribute says what to do instead;
//! 3. [`IsFuture`]: a future that the attribute did not recognize is refused, because its lock would be released before
//!    it runs;
//! 4. [`Other`]: any other type cannot report, and falls back;
//! 5. [`NotSend`]: only for the release in an async function, a type that is not known to be `Send`.
//!
//! A method that refuses has a bound that no type satisfies. The bound's diagnostic says what to do.
#![allow(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    clippy::return_self_not_must_use,
    reason = "methods of one name have one shape on every step; keys and options are dropped in here, before the body"
)]

use std::future::Future;

use super::call_guard::{AwaitRelease, CallGuard, DetachRelease, run_zlock};
use super::diagnostics::{
    MadeFromConflict, MadeFromLockError, NotAFuture, OutputIsNotAFuture, ReportsBusy, ReportsConflicts, ReportsLost,
    ReportsUnavailable,
};
use super::entering::{Entering, Reports, Soft, Tries, TriesResult};
use super::options::Options;
use crate::error::Error;
use crate::error::conflict::Classify;
use crate::key::Key;
use crate::locks::policy::Reporting;

/// Defines the steps of a ladder. Each has its own methods and, by `Deref`, those of the steps below it.
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
pub(crate) use steps;

steps! {
    /// The return type `R`, and the step of the results that can report.
    Return => NoFrom;
    /// The step of the results that cannot report.
    NoFrom => IsFuture;
    /// The step of the futures. In an async function, `R` is the output: a future whose output is another future.
    IsFuture => Other;
    /// The step of every other type.
    Other => NotSend;
    /// The step of the types that are not known to be `Send`.
    NotSend;
}

/// Stands for a return type that cannot be named: `impl Trait`, or `!`. It has no values.
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

// Entering. `Err` holds what the function returns instead of running its body.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Enters. A lock error becomes the function's error.
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
    /// Refuses the type.
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
    /// Refuses the type.
    #[track_caller]
    pub fn __memlock_enter<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Result<CallGuard, R>
    where
        R: NotAFuture,
    {
        Other(PhantomData).__memlock_enter(options, keys)
    }

    /// Refuses the type.
    pub fn __memlock_try_enter<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Result<CallGuard, Error>
    where
        R: NotAFuture,
    {
        Other::<R>(PhantomData).__memlock_try_enter(options, keys)
    }
}

impl<R> Other<R> {
    /// Enters. Without a server, the body runs unlocked.
    ///
    /// # Panics
    ///
    /// If the program is wrong, which this function cannot report in another way.
    #[track_caller]
    pub fn __memlock_enter<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Result<CallGuard, R> {
        Ok(options.enter_soft(&keys))
    }

    /// Enters, for an expansion that handles a lock error itself.
    pub fn __memlock_try_enter<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Result<CallGuard, Error> {
        options.enter(&keys, Reporting::Yes)
    }
}

// Entering an async function takes two steps: these methods evaluate the options, and `Entering` waits.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Prepares to enter. A lock error becomes the function's error.
    pub fn __memlock_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Reports> {
        Entering::prepare(options, &keys)
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// Refuses the type.
    #[track_caller]
    pub fn __memlock_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Soft>
    where
        E: MadeFromLockError,
    {
        Other::<E>(PhantomData).__memlock_enter_async(options, keys)
    }

    /// Prepares to enter, for an expansion that handles a lock error itself.
    pub fn __memlock_try_enter_async<const N: usize>(
        self,
        options: Options<'_>,
        keys: [Key; N],
    ) -> Entering<TriesResult> {
        Entering::prepare(options, &keys)
    }
}

impl<R: Future> IsFuture<R> {
    /// Refuses the type.
    #[track_caller]
    pub fn __memlock_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Soft>
    where
        R: OutputIsNotAFuture,
    {
        Other::<R>(PhantomData).__memlock_enter_async(options, keys)
    }

    /// Refuses the type.
    pub fn __memlock_try_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Tries>
    where
        R: OutputIsNotAFuture,
    {
        Other::<R>(PhantomData).__memlock_try_enter_async(options, keys)
    }
}

impl<R> Other<R> {
    /// Prepares to enter. Without a server, the body runs unlocked.
    ///
    /// # Panics
    ///
    /// If the program is wrong, which this function cannot report in another way.
    #[track_caller]
    pub fn __memlock_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Soft> {
        Entering::prepare_soft(options, &keys)
    }

    /// Prepares to enter, for an expansion that handles a lock error itself.
    pub fn __memlock_try_enter_async<const N: usize>(self, options: Options<'_>, keys: [Key; N]) -> Entering<Tries> {
        Entering::prepare(options, &keys)
    }

    /// Is never called. It tells the compiler the type of an async body before it checks the body, and the order in
    /// which the body captures its `arguments`.
    pub fn __memlock_value<A>(self, arguments: A) -> R {
        drop(arguments);
        unreachable!("an expansion names this behind `if false`")
    }
}

// Decides whether an async function waits for its release.

impl<R: Send> Other<R> {
    /// Waits: the future may keep the returned value meanwhile.
    pub fn __memlock_ending(self) -> AwaitRelease {
        AwaitRelease
    }
}

impl<R> NotSend<R> {
    /// Does not wait: a future that kept the returned value would not be `Send`.
    pub fn __memlock_ending(self) -> DetachRelease {
        DetachRelease
    }
}

// `on_unavailable = unlocked` or `panic`: a `Result` that cannot report is accepted.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Accepts the type.
    pub fn __memlock_soft(self) -> Self {
        self
    }
}

impl<R: Future> IsFuture<R> {
    /// Leaves a future to be refused when it enters.
    pub fn __memlock_soft(self) -> Self {
        self
    }
}

impl<R> Other<R> {
    /// Accepts the type. A `Result` that cannot report continues as `Other`, which is not refused.
    pub fn __memlock_soft(self) -> Self {
        self
    }
}

// Options that need a function that can report. A refused type continues as `Other`, which needs no report, so that it
// is refused once.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Accepts the type for `wait`.
    pub fn __memlock_wait(self) -> Self {
        self
    }

    /// Accepts the type for `on_unavailable = error`.
    pub fn __memlock_on_unavailable(self) -> Self {
        self
    }

    /// Accepts the type for `on_lost = error`.
    pub fn __memlock_on_lost(self) -> Self {
        self
    }
}

impl<R> Other<R> {
    /// Refuses the type.
    pub fn __memlock_wait(self) -> Self
    where
        R: ReportsBusy,
    {
        self
    }

    /// Refuses the type.
    pub fn __memlock_on_unavailable(self) -> Self
    where
        R: ReportsUnavailable,
    {
        self
    }

    /// Refuses the type.
    pub fn __memlock_on_lost(self) -> Self
    where
        R: ReportsLost,
    {
        self
    }
}

// `zlock` needs a function that can report conflicts.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Accepts the type.
    pub fn __memlock_zlock(self) -> Self {
        self
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// Refuses the type.
    pub fn __memlock_zlock(self) -> Other<Result<T, E>>
    where
        E: MadeFromConflict,
    {
        Other(PhantomData)
    }
}

impl<R: Future> IsFuture<R> {
    /// Leaves a future to be refused when it enters.
    pub fn __memlock_zlock(self) -> Self {
        self
    }
}

impl<R> Other<R> {
    /// Refuses the type.
    pub fn __memlock_zlock(self) -> Self
    where
        R: ReportsConflicts,
    {
        self
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// Accepts the type, for an expansion that handles a lock error itself.
    pub fn __memlock_try_zlock(self) -> Self {
        self
    }
}

impl<R: Future> IsFuture<R> {
    /// Leaves a future to be refused when it enters.
    pub fn __memlock_try_zlock(self) -> Self {
        self
    }
}

impl<R> Other<R> {
    /// Refuses the type.
    pub fn __memlock_try_zlock(self) -> Self
    where
        R: ReportsConflicts,
    {
        self
    }
}

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Runs the body. After an error that `conflict` classifies as a conflict, the locks stay reserved for the caller's
    /// retry.
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
    /// Type-checks the rest of a function that is refused.
    pub fn __memlock_run_zlock<C>(
        self,
        _entered: Result<CallGuard, Error>,
        _conflict: C,
        body: impl FnOnce() -> R,
    ) -> R {
        body()
    }
}

// `on_lost = error`: the body runs in here, so that its result can be inspected before the function returns it.

impl<T, E: From<Error>> Return<Result<T, E>> {
    /// Runs the body. A success becomes an error if the lease was lost meanwhile.
    pub fn __memlock_run(self, entered: Result<CallGuard, Error>, body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        match entered.and_then(|guard| guard.run_and_check(body, Result::is_ok)) {
            Ok(returned) => returned,
            Err(error) => Err(E::from(error)),
        }
    }
}

impl<R> Other<R> {
    /// Type-checks the rest of a function that is refused.
    pub fn __memlock_run(self, _entered: Result<CallGuard, Error>, body: impl FnOnce() -> R) -> R {
        body()
    }
}

impl<T, E> NoFrom<Result<T, E>> {
    /// Runs the body, for an expansion that handles a lock error itself.
    pub fn __memlock_try_run(
        self,
        entered: Result<CallGuard, Error>,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        entered?.run_and_check(body, Result::is_ok)
    }
}

impl<R> Other<R> {
    /// Runs the body, for an expansion that handles a lock error itself.
    pub fn __memlock_try_run(self, entered: Result<CallGuard, Error>, body: impl FnOnce() -> R) -> Result<R, Error> {
        entered?.run_and_check(body, |_| true)
    }
}
