//! Which errors of a function are conflicts: decided by its error type, on the steps of a ladder as in [`super::return_type`].
//!
//! 1. [`Conflicts`]: the error says so itself, by its [`Conflict`] implementation;
//! 2. [`ByError`]: a [`std::error::Error`] is searched through its sources;
//! 3. [`ByBoxed`] and [`ByBox`]: one in a box, or `anyhow`'s, likewise;
//! 4. [`Untold`]: anything else is refused;
//! 5. [`NoResult`]: what is no `Result` was refused before.
#![allow(clippy::unused_self, reason = "methods of one name have one shape on every step")]

use std::error::Error as StdError;

use super::return_type::steps;
use crate::error::conflict::{Classify, Conflict, NoConflict, Told, is_conflict};

steps! {
    /// The return type `R`, and the step of the errors that say themselves which are conflicts.
    Conflicts => ByError;
    /// The step of the errors with sources.
    ByError => ByBoxed;
    /// The step of boxed errors that cross threads.
    ByBoxed => ByBox;
    /// The step of boxed errors that do not.
    ByBox => Untold;
    /// The step of everything else that is a `Result`.
    Untold => NoResult;
    /// The step of what is not.
    NoResult;
}

impl<R> Conflicts<R> {
    /// The return type `R`.
    #[allow(
        clippy::new_without_default,
        reason = "an expansion names the constructor, and nobody else does"
    )]
    pub const fn new() -> Conflicts<R> {
        Conflicts(PhantomData)
    }
}

impl<T, E: Conflict> Conflicts<Result<T, E>> {
    /// As the error says.
    pub fn __memlock_told(self) -> Told<fn(&E) -> bool> {
        Told(E::is_conflict)
    }
}

impl<T, E: StdError + 'static> ByError<Result<T, E>> {
    /// As is found among its sources.
    pub fn __memlock_told(self) -> Told<fn(&E) -> bool> {
        Told(|error| is_conflict(error))
    }
}

impl<T, E: AsRef<dyn StdError + Send + Sync + 'static>> ByBoxed<Result<T, E>> {
    /// As is found among its sources.
    pub fn __memlock_told(self) -> Told<fn(&E) -> bool> {
        Told(|error| is_conflict(error.as_ref()))
    }
}

impl<T, E: AsRef<dyn StdError + 'static>> ByBox<Result<T, E>> {
    /// As is found among its sources.
    pub fn __memlock_told(self) -> Told<fn(&E) -> bool> {
        Told(|error| is_conflict(error.as_ref()))
    }
}

impl<T, E> Untold<Result<T, E>> {
    /// Refuses.
    pub fn __memlock_told(self) -> Told<fn(&E) -> bool>
    where
        E: TellsConflicts,
    {
        Told(|_| false)
    }
}

impl<R> NoResult<R> {
    /// Only for the type checker, behind a refusal.
    pub fn __memlock_told(self) -> NoConflict {
        NoConflict
    }
}

impl<T, E> Untold<Result<T, E>> {
    /// As a function of the attribute's says.
    pub fn __memlock_told_by<F: Fn(&E) -> bool>(self, is_conflict: F) -> ToldBy<F, E> {
        ToldBy {
            is_conflict,
            ask: |is_conflict, error| is_conflict(error),
        }
    }
}

/// As a function tells. It is one whatever the function is: so one that does not fit is told of once, where it is given.
pub struct ToldBy<F, E> {
    is_conflict: F,
    ask: fn(&F, &E) -> bool,
}

impl<F, E> fmt::Debug for ToldBy<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToldBy")
    }
}

impl<T, E, F> Classify<Result<T, E>> for ToldBy<F, E> {
    fn is_conflict(&self, returned: &Result<T, E>) -> bool {
        returned
            .as_ref()
            .is_err_and(|error| (self.ask)(&self.is_conflict, error))
    }
}

impl<R> NoResult<R> {
    /// Only for the type checker, behind a refusal.
    pub fn __memlock_told_by<F>(self, _is_conflict: F) -> NoConflict {
        NoConflict
    }
}

/// Met by no type.
#[diagnostic::on_unimplemented(
    message = "`zlock` needs to know which errors are conflicts, and `{Self}` does not say",
    label = "the error type is `{Self}`",
    note = "implement `std::error::Error` for it, whose sources are searched for conflicts of memlock and, with its features, of databases",
    note = "or implement `memlock::Conflict` for it, or name a function in the attribute: `conflict = is_conflict`, which takes a `&{Self}` and returns a `bool`"
)]
pub trait TellsConflicts {}
