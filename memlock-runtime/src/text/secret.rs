//! A value that nothing may show: a password, or the number that proves a wake-up.

use std::fmt;

/// A value that cannot be printed: it has no `Display`, and its `Debug` tells nothing of it, not even its length.
///
/// Whatever shows it by mistake has to write [`expose`](Secret::expose) first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Keeps `value` to itself.
    pub const fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value, to be compared, sent or parsed.
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
    fn a_secret_tells_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
        assert_eq!(format!("{:#?}", Some(Secret::new(7_u64))), "Some(\n    Secret(…),\n)");
        assert_eq!(*Secret::new(7_u64).expose(), 7);
    }
}
