//! Conflicts: errors that say that a transaction has worked on data which another transaction has changed meanwhile.
//! Such a transaction must be rolled back, and may be started again.

use std::error::Error as StdError;
use std::sync::Arc;
use std::{fmt, io};

use super::{Error, HeldByAnother, LastConflict};

/// An error type that tells which of its values are conflicts.
///
/// [`zlock`](https://docs.rs/memlock/latest/memlock/attr.zlock.html) uses it if the error type implements it.
/// [`Transaction::run`](crate::Transaction::run) requires it.
///
/// ```
/// # use memlock_runtime as memlock;
/// #[derive(Debug, thiserror::Error)]
/// enum CatalogError {
///     #[error("another transaction has changed the catalogue")]
///     Changed,
///     #[error(transparent)]
///     Lock(#[from] memlock::Error),
///     #[error("no such document")]
///     Missing,
/// }
///
/// impl memlock::Conflict for CatalogError {
///     fn is_conflict(&self) -> bool {
///         // Also finds memlock's own conflicts among the sources, and with its features those of databases.
///         matches!(self, CatalogError::Changed) || memlock::is_conflict(self)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a transaction needs to know which errors are conflicts, and `{Self}` does not say",
    label = "the closure's error is `{Self}`",
    note = "implement `memlock::Conflict` for it: `fn is_conflict(&self) -> bool {{ memlock::is_conflict(self) }}` searches its sources",
    note = "or say it here: `memlock::transaction().conflict(|error: &{Self}| …)`"
)]
pub trait Conflict {
    /// Whether the transaction that met this error must be rolled back, and may be started again.
    fn is_conflict(&self) -> bool;
}

/// Returns whether `error`, or an error in its chain of [sources](StdError::source), is a conflict: one of memlock's
/// ([`Error::is_conflict`]), or one of a database, with the feature for its crate:
///
/// | feature | conflicts |
/// |---|---|
/// | `rusqlite` | `SQLITE_BUSY_SNAPSHOT` (517), and `SQLITE_BUSY` (5), which a reader with an old snapshot meets at once when it writes |
/// | `sqlx` | SQLSTATE 40001 (serialization failure) and 40P01 (deadlock); for `SQLite` the same as above |
/// | `tokio-postgres` | SQLSTATE 40001 and 40P01 (also of the crate `postgres`) |
///
/// It looks into [`io::Error`] and into shared errors (`Arc`), which do not name their inner error as a source. It also
/// finds a conflict behind errors that pass on only the sources of their inner error (`#[error(transparent)]`): each of
/// these conflicts has a source of its own, by which it is recognized.
pub fn is_conflict(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if is_conflict_itself(error) {
            return true;
        }
        next = error.source();
    }
    false
}

fn is_conflict_itself(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.is_conflict();
    }
    if let Some(error) = error.downcast_ref::<Arc<Error>>() {
        return error.is_conflict();
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.get_ref().is_some_and(|inner| is_conflict(inner));
    }
    if let Some(error) = error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
        return is_conflict(&**error);
    }
    error.is::<HeldByAnother>() || error.is::<LastConflict>() || is_conflict_of_a_database(error)
}

/// `SQLITE_BUSY`: the transaction has read before it writes, while another transaction writes. `SQLITE_BUSY_SNAPSHOT`:
/// another transaction has written since this one began to read. <https://www.sqlite.org/rescode.html>
#[cfg(feature = "rusqlite")]
const SQLITE_BUSY: [i32; 2] = [5, 517];

/// Serialization failure and deadlock:
/// <https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html>.
#[cfg(feature = "tokio-postgres")]
const SQLSTATES: [&str; 2] = ["40001", "40P01"];

/// The same codes, as sqlx spells them.
#[cfg(feature = "sqlx")]
const CODES: [&str; 4] = ["40001", "40P01", "5", "517"];

/// Checks the error by which the server or the library of a database says what happened. It is the source of the error
/// that the crate returns, and it is found even if only the sources of that one are passed on.
#[allow(
    clippy::missing_const_for_fn,
    unused_variables,
    reason = "without features there is nothing to look at"
)]
fn is_conflict_of_a_database(error: &(dyn StdError + 'static)) -> bool {
    #[cfg(feature = "rusqlite")]
    if let Some(failure) = error.downcast_ref::<rusqlite::ffi::Error>() {
        return SQLITE_BUSY.contains(&failure.extended_code);
    }
    #[cfg(feature = "sqlx")]
    if let Some(failure) = error.downcast_ref::<Box<dyn sqlx_core::error::DatabaseError>>() {
        return failure.code().is_some_and(|code| CODES.contains(&code.as_ref()));
    }
    #[cfg(feature = "tokio-postgres")]
    if let Some(failure) = error.downcast_ref::<tokio_postgres::error::DbError>() {
        return SQLSTATES.contains(&failure.code().code());
    }
    false
}

/// Tells whether the value that a body returned is a conflict.
pub trait Classify<R> {
    /// Whether `returned` is a conflict.
    fn is_conflict(&self, returned: &R) -> bool;
}

/// For a body without a `zlock`: no value is a conflict.
#[derive(Debug, Clone, Copy)]
pub struct NoConflict;

impl<R> Classify<R> for NoConflict {
    fn is_conflict(&self, _: &R) -> bool {
        false
    }
}

/// Asks a function of the error.
#[derive(Clone, Copy)]
pub struct Told<F>(pub(crate) F);

impl<F> fmt::Debug for Told<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl<T, E, F: Fn(&E) -> bool> Classify<Result<T, E>> for Told<F> {
    fn is_conflict(&self, returned: &Result<T, E>) -> bool {
        returned.as_ref().is_err_and(&self.0)
    }
}

impl Conflict for Error {
    fn is_conflict(&self) -> bool {
        Error::is_conflict(self)
    }
}

macro_rules! by_source {
    ($($(#[$condition:meta])* $error:ty => $as_error:expr;)*) => {$(
        /// Searches the error and its sources: see [`is_conflict`].
        $(#[$condition])*
        impl Conflict for $error {
            fn is_conflict(&self) -> bool {
                let as_error: fn(&$error) -> &(dyn StdError + 'static) = $as_error;
                is_conflict(as_error(self))
            }
        }
    )*};
}
by_source! {
    io::Error => |error| error;
    Box<dyn StdError> => |error| error.as_ref();
    Box<dyn StdError + Send + Sync> => |error| error.as_ref();
    #[cfg(feature = "rusqlite")]
    rusqlite::Error => |error| error;
    #[cfg(feature = "sqlx")]
    sqlx_core::Error => |error| error;
    #[cfg(feature = "tokio-postgres")]
    tokio_postgres::Error => |error| error;
    #[cfg(feature = "anyhow")]
    anyhow::Error => |error| error.as_ref();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn conflict() -> Error {
        Error::conflict("k".into(), None, Duration::ZERO)
    }

    /// Passes on only the sources of its inner error.
    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(Error);

    /// An error with a source.
    #[derive(Debug)]
    struct Above<T>(T);

    impl<T> fmt::Display for Above<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("above")
        }
    }

    impl<T: StdError + 'static> StdError for Above<T> {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_conflict_is_found_at_any_depth_and_in_any_wrapper() {
        let shared: Arc<dyn StdError + Send + Sync> = Arc::new(Above(conflict()));
        let found: [&dyn StdError; 9] = [
            &conflict(),
            &Above(Above(conflict())),
            &io::Error::from(conflict()),
            &Above(io::Error::other(Above(conflict()))),
            &Above(Arc::new(conflict())),
            &Above(shared),
            &Transparent(conflict()),
            &Above(Transparent(conflict())),
            &Transparent(Error::gave_up(3, Duration::ZERO, Arc::new(io::Error::other("locked")))),
        ];
        for error in found {
            assert!(is_conflict(error), "{error:?}");
        }
        let boxed: Box<dyn StdError + Send + Sync> = Box::new(Above(conflict()));
        assert!(boxed.is_conflict());
    }

    #[cfg(feature = "sqlx")]
    #[test]
    fn conflicts_of_sqlx_are_recognized_by_their_code() {
        use sqlx_core::error::{DatabaseError, ErrorKind};

        /// A server's error, as a driver of sqlx reports it.
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Said(&'static str);

        impl DatabaseError for Said {
            fn message(&self) -> &str {
                self.0
            }

            fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
                Some(self.0.into())
            }

            fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
                self
            }

            fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
                self
            }

            fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
                self
            }

            fn kind(&self) -> ErrorKind {
                ErrorKind::Other
            }
        }

        #[derive(Debug, thiserror::Error)]
        #[error(transparent)]
        struct Catalog(sqlx_core::Error);

        for (code, is_one) in [
            ("40001", true),
            ("40P01", true),
            ("5", true),
            ("517", true),
            ("23505", false),
        ] {
            let error = || sqlx_core::Error::Database(Box::new(Said(code)));
            assert_eq!(error().is_conflict(), is_one, "{code}");
            assert_eq!(is_conflict(&Catalog(error())), is_one, "{code}");
        }
        assert!(!sqlx_core::Error::RowNotFound.is_conflict());
    }

    #[test]
    fn other_errors_are_not_conflicts() {
        let config = || Error::config("wrong");
        let none: [&dyn StdError; 4] = [
            &config(),
            &Above(config()),
            &io::Error::other("text"),
            &io::Error::from(io::ErrorKind::NotFound),
        ];
        for error in none {
            assert!(!is_conflict(error), "{error:?}");
        }
    }
}
