//! What a function returns in the place of a lock error, and the line that says so.

use crate::error::Error;

/// Calls the closure of `otherwise`; here so that its parameter needs no type.
pub fn otherwise<R>(function: &'static str, error: Error, closure: impl FnOnce(Error) -> R) -> R {
    log_replaced(function, &error);
    closure(error)
}

/// Ends the error in whose place `function` returns the value of `otherwise`.
#[allow(clippy::needless_pass_by_value, reason = "the error ends here")]
pub fn replaced(function: &'static str, error: Error) {
    log_replaced(function, &error);
}

/// A busy lock is what `otherwise` is for. Everything else is a fault, and nobody else hears of it.
fn log_replaced(function: &'static str, error: &Error) {
    if !error.is_busy() {
        tracing::warn!(target: "memlock", function, %error, "`otherwise` takes the place of this error");
    }
}
