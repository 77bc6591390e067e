//! What the compiler says of a function whose return type does not fit its options: traits that nothing implements, whose messages
//! are shown.

/// Met by no type.
#[diagnostic::on_unimplemented(
    message = "this function cannot report that its lock is not to be had: no `From<memlock::Error>` for its error `{Self}`",
    label = "the error type is `{Self}`",
    note = "implement `From<memlock::Error> for {Self}`, so that the function returns the lock's errors",
    note = "or say in the attribute what to do instead: `on_unavailable = unlocked`, `on_unavailable = panic`, or `otherwise = …` with what to return"
)]
pub trait MadeFromLockError {}

/// Met by no future.
#[diagnostic::on_unimplemented(
    message = "this function returns a future, and its lock would be released before the future runs",
    label = "`{Self}` is a future",
    note = "make it an `async fn`, or write the future's type out, by which the attribute knows it: `Pin<Box<dyn Future<Output = T>>>`, `BoxFuture<'_, T>` or `impl Future<Output = T>`"
)]
pub trait NotAFuture {}

/// Met by no future.
#[diagnostic::on_unimplemented(
    message = "this function's future gives another future, and its lock would be released before that one runs",
    label = "`{Self}` is a future",
    note = "`.await` it in the body, and return what it gives"
)]
pub trait GivesNoFuture {}

/// Met by no type.
#[diagnostic::on_unimplemented(
    message = "`zlock` reports conflicts, and this function cannot: no `From<memlock::Error>` for its error `{Self}`",
    label = "the error type is `{Self}`",
    note = "implement `From<memlock::Error> for {Self}`, so that the function returns them",
    note = "or say in the attribute what to return instead: `otherwise = …`"
)]
pub trait MadeFromConflict {}

/// Met by no type.
#[diagnostic::on_unimplemented(
    message = "`zlock` needs a function that returns a `Result`",
    label = "this function cannot report a conflict",
    note = "it stands in front of a database that detects conflicts: their errors are looked at, and a lock that another holds is reported as one",
    note = "without such a database take `lock`, which waits"
)]
pub trait ReportsConflicts {}

/// Met by no type.
#[diagnostic::on_unimplemented(
    message = "`wait` needs a function that can report that the wait is over",
    label = "this function cannot",
    note = "return a `Result` whose error is `From<memlock::Error>`, or say what to return instead: `otherwise = …`"
)]
pub trait ReportsBusy {}

/// Met by no type.
#[diagnostic::on_unimplemented(
    message = "`on_unavailable = error` needs a function that can report an error",
    label = "this function cannot",
    note = "return a `Result` whose error is `From<memlock::Error>`, or say what to return instead: `otherwise = …`"
)]
pub trait ReportsUnavailable {}

/// Met by no type.
#[diagnostic::on_unimplemented(
    message = "`on_lost = error` needs a function that can report that its lease did not last",
    label = "this function cannot",
    note = "return a `Result` whose error is `From<memlock::Error>`, or say what to return instead: `otherwise = …`"
)]
pub trait ReportsLost {}
