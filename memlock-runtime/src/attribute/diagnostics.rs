//! The compile errors for a return type that does not fit the attribute's options.
//!
//! Nothing implements these traits, so rustc shows the message of the one that a refusing method requires.

/// No type implements this trait.
#[diagnostic::on_unimplemented(
    message = "this function cannot report a lock error: `{Self}` does not implement `From<memlock::Error>`",
    label = "the error type is `{Self}`",
    note = "implement `From<memlock::Error> for {Self}`, so that the function returns the lock's errors",
    note = "or say in the attribute what to do instead: `on_unavailable = unlocked`, `on_unavailable = panic`, or `otherwise = …` with what to return"
)]
pub trait MadeFromLockError {}

/// No future implements this trait.
#[diagnostic::on_unimplemented(
    message = "this function returns a future, and its lock would be released before the future runs",
    label = "`{Self}` is a future",
    note = "make it an `async fn`, or write the future's type out, so that the attribute recognizes it: `Pin<Box<dyn Future<Output = T>>>`, `BoxFuture<'_, T>` or `impl Future<Output = T>`"
)]
pub trait NotAFuture {}

/// No future implements this trait.
#[diagnostic::on_unimplemented(
    message = "this function's future gives another future, and its lock would be released before that one runs",
    label = "`{Self}` is a future",
    note = "`.await` it in the body, and return its output"
)]
pub trait OutputIsNotAFuture {}

/// No type implements this trait.
#[diagnostic::on_unimplemented(
    message = "`zlock` reports conflicts, and this function cannot: `{Self}` does not implement `From<memlock::Error>`",
    label = "the error type is `{Self}`",
    note = "implement `From<memlock::Error> for {Self}`, so that the function returns conflicts",
    note = "or say in the attribute what to return instead: `otherwise = …`"
)]
pub trait MadeFromConflict {}

/// No type implements this trait.
#[diagnostic::on_unimplemented(
    message = "`zlock` needs a function that returns a `Result`",
    label = "this function cannot report a conflict",
    note = "`zlock` works with a database that detects conflicts: it looks for them in the function's error, and reports a lock that another caller holds as one",
    note = "without such a database, use `lock`, which waits"
)]
pub trait ReportsConflicts {}

/// No type implements this trait.
#[diagnostic::on_unimplemented(
    message = "`wait` needs a function that can report that it did not get the lock in time",
    label = "this function cannot report it",
    note = "return a `Result` whose error is `From<memlock::Error>`, or say what to return instead: `otherwise = …`"
)]
pub trait ReportsBusy {}

/// No type implements this trait.
#[diagnostic::on_unimplemented(
    message = "`on_unavailable = error` needs a function that can report an error",
    label = "this function cannot report one",
    note = "return a `Result` whose error is `From<memlock::Error>`, or say what to return instead: `otherwise = …`"
)]
pub trait ReportsUnavailable {}

/// No type implements this trait.
#[diagnostic::on_unimplemented(
    message = "`on_lost = error` needs a function that can report that its lease was lost",
    label = "this function cannot report it",
    note = "return a `Result` whose error is `From<memlock::Error>`, or say what to return instead: `otherwise = …`"
)]
pub trait ReportsLost {}
