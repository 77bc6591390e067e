//! What is a conflict: an error that says that a transaction has worked on data which another has changed meanwhile, so that
//! it is to be rolled back and may be started again.

use std::error::Error as StdError;
use std::sync::Arc;
use std::{fmt, io};

use super::{Error, HeldByAnother, LastConflict};

/// An error type that says itself which of its values are conflicts.
///
/// [`zlock`](https://docs.rs/memlock/latest/memlock/attr.zlock.html) asks it, where it is implemented, and
/// [`Transaction::run`](crate::Transaction::run) does in any case.
///
/// ```
/// # use memlock_runtime as memlock;
/// #[derive(Debug, thiserror::Error)]
/// enum CatalogError {
///     #[error("another has changed the catalogue")]
///     Changed,
///     #[error(transparent)]
///     Lock(#[from] memlock::Error),
///     #[error("no such document")]
///     Missing,
/// }
///
/// impl memlock::Conflict for CatalogError {
///     fn is_conflict(&self) -> bool {
///         // What lies below: memlock's own conflicts, and with its features those of the databases.
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
    /// Whether the transaction that met this error is to be rolled back, and may be started again.
    fn is_conflict(&self) -> bool;
}

/// Whether `error`, or one of those that it names as its [source](StdError::source), is a conflict: one of memlock's
/// ([`Error::is_conflict`]), or one of a database whose feature is switched on:
///
/// | feature | conflicts |
/// |---|---|
/// | `rusqlite` | `SQLITE_BUSY_SNAPSHOT` (517), and `SQLITE_BUSY` (5), which a reader whose snapshot is old meets at once when it writes |
/// | `sqlx` | SQLSTATE 40001 (serialization failure) and 40P01 (deadlock); of `SQLite` the same as above |
/// | `tokio-postgres` | SQLSTATE 40001 and 40P01 (also of the crate `postgres`) |
///
/// It sees through [`io::Error`] and shared errors (`Arc`), which leave out of their sources what they are made of, and through
/// errors that pass on only their sources (`#[error(transparent)]`): each of these conflicts has a source of its own by which it
/// is known.
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

/// `SQLITE_BUSY`: of a transaction that has read before it writes, while another writes. `SQLITE_BUSY_SNAPSHOT`: another has
/// written since this transaction began to read. <https://www.sqlite.org/rescode.html>
#[cfg(feature = "rusqlite")]
const SQLITE_BUSY: [i32; 2] = [5, 517];

/// Serialization failure and deadlock: <https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html>.
#[cfg(feature = "tokio-postgres")]
const SQLSTATES: [&str; 2] = ["40001", "40P01"];

/// The same, as sqlx tells them.
#[cfg(feature = "sqlx")]
const CODES: [&str; 4] = ["40001", "40P01", "5", "517"];

/// The databases' errors have one below them that says what the server or the library did: it is looked at, not the one above.
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

/// Whether what a body returned is a conflict.
pub trait Classify<R> {
    /// Looks at it.
    fn is_conflict(&self, returned: &R) -> bool;
}

/// Of a body that is under no `zlock`.
#[derive(Debug, Clone, Copy)]
pub struct NoConflict;

impl<R> Classify<R> for NoConflict {
    fn is_conflict(&self, _: &R) -> bool {
        false
    }
}

/// As a function of its error tells.
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
        /// Searches its sources: see [`is_conflict`].
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

    /// Passes on only its source's sources.
    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(Error);

    /// Something above something else.
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
    fn a_conflict_is_found_however_deep_and_however_wrapped() {
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
    fn what_sqlx_says_is_known_by_its_code() {
        use sqlx_core::error::{DatabaseError, ErrorKind};

        /// A server's error, as a driver of sqlx's has it.
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
    fn other_errors_are_none() {
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
