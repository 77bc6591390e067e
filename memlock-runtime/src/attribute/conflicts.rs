//! Decides which errors of a function are conflicts, by its error type. The steps of a ladder are tried as in
//! [`super::return_type`].
//!
//! 1. [`Conflicts`]: the error implements [`Conflict`], which decides;
//! 2. [`IsStdError`]: the sources of a [`std::error::Error`] are searched;
//! 3. [`IsSendBox`] and [`IsBox`]: so are the sources of a boxed error, or of `anyhow`'s;
//! 4. [`Unclassified`]: any other error type is refused. Here a function that the attribute names classifies any error;
//! 5. [`NotResult`]: any other return type has already been refused.
#![allow(clippy::unused_self, reason = "methods of one name have one shape on every step")]

use std::error::Error as StdError;

use super::return_type::steps;
use crate::error::conflict::{Classify, Conflict, NoConflict, Told, is_conflict};

steps! {
    /// The return type `R`, and the step of the errors that implement [`Conflict`].
    Conflicts => IsStdError;
    /// The step of the errors that implement [`std::error::Error`].
    IsStdError => IsSendBox;
    /// The step of the boxed errors that are `Send` and `Sync`.
    IsSendBox => IsBox;
    /// The step of the other boxed errors.
    IsBox => Unclassified;
    /// The step of every other `Result`.
    Unclassified => NotResult;
    /// The step of the types that are not a `Result`.
    NotResult;
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
    /// Classifies errors by their [`Conflict`] implementation.
    pub fn __memlock_classify(self) -> Told<fn(&E) -> bool> {
        Told(E::is_conflict)
    }
}

impl<T, E: StdError + 'static> IsStdError<Result<T, E>> {
    /// Classifies an error by its sources.
    pub fn __memlock_classify(self) -> Told<fn(&E) -> bool> {
        Told(|error| is_conflict(error))
    }
}

impl<T, E: AsRef<dyn StdError + Send + Sync + 'static>> IsSendBox<Result<T, E>> {
    /// Classifies an error by its sources.
    pub fn __memlock_classify(self) -> Told<fn(&E) -> bool> {
        Told(|error| is_conflict(error.as_ref()))
    }
}

impl<T, E: AsRef<dyn StdError + 'static>> IsBox<Result<T, E>> {
    /// Classifies an error by its sources.
    pub fn __memlock_classify(self) -> Told<fn(&E) -> bool> {
        Told(|error| is_conflict(error.as_ref()))
    }
}

impl<T, E> Unclassified<Result<T, E>> {
    /// Refuses the error type.
    pub fn __memlock_classify(self) -> Told<fn(&E) -> bool>
    where
        E: IdentifiesConflicts,
    {
        Told(|_| false)
    }
}

impl<R> NotResult<R> {
    /// Type-checks the rest of a function that is refused.
    pub fn __memlock_classify(self) -> NoConflict {
        NoConflict
    }
}

impl<T, E> Unclassified<Result<T, E>> {
    /// Classifies errors by the function that the attribute names.
    pub fn __memlock_classify_with<F: Fn(&E) -> bool>(self, is_conflict: F) -> ClassifyWith<F, E> {
        ClassifyWith {
            is_conflict,
            call: |is_conflict, error| is_conflict(error),
        }
    }
}

/// Classifies errors by a function. It implements [`Classify`] for every `F`, so that a function that does not fit is
/// reported once, where it is written.
pub struct ClassifyWith<F, E> {
    is_conflict: F,
    call: fn(&F, &E) -> bool,
}

impl<F, E> fmt::Debug for ClassifyWith<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClassifyWith")
    }
}

impl<T, E, F> Classify<Result<T, E>> for ClassifyWith<F, E> {
    fn is_conflict(&self, returned: &Result<T, E>) -> bool {
        returned
            .as_ref()
            .is_err_and(|error| (self.call)(&self.is_conflict, error))
    }
}

impl<R> NotResult<R> {
    /// Type-checks the rest of a function that is refused.
    pub fn __memlock_classify_with<F>(self, _is_conflict: F) -> NoConflict {
        NoConflict
    }
}

/// No type implements this trait.
#[diagnostic::on_unimplemented(
    message = "`zlock` needs to know which errors are conflicts, and `{Self}` does not say",
    label = "the error type is `{Self}`",
    note = "implement `std::error::Error` for it: its sources are searched for conflicts of memlock and, with memlock's features, of databases",
    note = "or implement `memlock::Conflict` for it, or name a function in the attribute: `conflict = is_conflict`, which takes a `&{Self}` and returns a `bool`"
)]
pub trait IdentifiesConflicts {}
