//! A value that must not be shown: a password, or the number that authenticates a wake-up.

use std::fmt;

/// A value that cannot be printed by mistake: it has no `Display`, and its `Debug` reveals nothing of it, not even its
/// length.
///
/// Code that uses the value has to call [`expose`](Secret::expose).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value, for comparing, sending or parsing.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_secret_reveals_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
        assert_eq!(format!("{:#?}", Some(Secret::new(7_u64))), "Some(\n    Secret(…),\n)");
        assert_eq!(*Secret::new(7_u64).expose(), 7);
    }
}
