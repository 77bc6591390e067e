//! Replaces a lock error by the value of `otherwise`, and logs the error.

use crate::error::Error;

/// Logs the error that `otherwise` replaces, and returns what its closure makes of it.
// The expansion passes the closure to a function so that the closure's parameter needs no type.
pub fn otherwise<R>(function: &'static str, error: Error, closure: impl FnOnce(Error) -> R) -> R {
    log_replaced(function, &error);
    closure(error)
}

/// Logs and drops the error that `function` replaces by the value of `otherwise`.
#[allow(clippy::needless_pass_by_value, reason = "the error is dropped in here")]
pub fn replaced(function: &'static str, error: Error) {
    log_replaced(function, &error);
}

fn log_replaced(function: &'static str, error: &Error) {
    // A busy lock is what `otherwise` is for. Any other error is a fault, which is reported nowhere else.
    if !error.is_busy() {
        tracing::warn!(target: "memlock", function, %error, "`otherwise` takes the place of this error");
    }
}
