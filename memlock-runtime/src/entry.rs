//! What an attribute asks for, and what it gets: the one door between generated code and the runtime.

use std::time::Duration;

use crate::error::Error;
use crate::key::Key;
use crate::locks::Locks;

/// Which of the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The plain lock.
    Lock,
    /// The re-entrant lock.
    Rlock,
}

/// What to do when the server cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// Return the error.
    Error,
    /// Run the body without the lock, with a warning.
    Unlocked,
    /// Panic with the error's text.
    Panic,
}

/// How long a lease is kept alive while the body runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renew {
    /// Until the body is done.
    Always,
    /// Until the body is done, at most this long after the lock was acquired.
    For(Duration),
}

/// One call of an annotated function.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Which attribute.
    pub kind: Kind,
    /// The namespace of the key.
    pub name: &'a str,
    /// The function, `module::path::function`, for labels and messages.
    pub function: &'a str,
    /// The lifetime of the lock. `None`: the default of `locks`.
    pub timeout: Option<Duration>,
    /// The longest pause between two looks. `None`: the default of `locks`.
    pub interval: Option<Duration>,
    /// How long to wait. `None`: for ever.
    pub wait: Option<Duration>,
    /// Whether the lease is kept alive.
    pub renew: Option<Renew>,
    /// What to do when the server cannot be asked. `None`: the default of `locks`, else what suits the return type.
    pub on_unavailable: Option<OnUnavailable>,
    /// The locks to use. `None`: the process-wide ones.
    pub locks: Option<&'a Locks>,
}

/// Whether the function's return type can carry a lock error. Decides what happens when nothing else says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    /// `Result<_, E>` with `E: From<Error>`, or a function with `otherwise`.
    Yes,
    /// Anything else: when memcached cannot be asked the body runs unlocked; mistakes in the program panic.
    No,
}

/// What an annotated function holds while its body runs. Releases on drop.
#[derive(Debug)]
#[must_use]
pub struct Held {}

impl Held {
    /// The error to return in place of a success, when the lease did not last for the whole body (`on_lost = error`).
    pub fn lost(&self) -> Option<Error> {
        None
    }
}

/// Acquires the locks on `keys` (one, or several at once; a key that asks for no lock is left out) for `call`.
///
/// Applies the failure policy: what comes back as an error is to be returned by the function. Where `reporting` is
/// [`Reporting::No`] it never returns `Err(Unavailable)`; remaining errors are mistakes in the program.
pub fn enter(call: &Call<'_>, keys: &[Key], reporting: Reporting) -> Result<Held, Error> {
    let _ = (call, keys, reporting);
    Err(Error::config("under construction"))
}
