//! The values that an option takes as a duration: a `Duration`, or a number of seconds.

use std::time::Duration;

/// A duration that is computed when the function is called. Numbers are seconds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a duration",
    label = "this is a `{Self}`",
    note = "write a number of seconds (`30`, `0.05`), a string literal with a unit (`\"250ms\"`, `\"1h\"`), or an expression of type `Duration` or of a number type"
)]
pub trait IntoDuration {
    /// Converts to a duration. Returns `None` for a number that is negative, not a number, or too large.
    fn into_duration(self) -> Option<Duration>;
}

impl IntoDuration for Duration {
    fn into_duration(self) -> Option<Duration> {
        Some(self)
    }
}

macro_rules! whole_seconds {
    ($($number:ty)*) => {$(
        impl IntoDuration for $number {
            fn into_duration(self) -> Option<Duration> {
                u64::try_from(self).ok().map(Duration::from_secs)
            }
        }
    )*};
}
whole_seconds!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

impl IntoDuration for f32 {
    fn into_duration(self) -> Option<Duration> {
        Duration::try_from_secs_f32(self).ok()
    }
}

impl IntoDuration for f64 {
    fn into_duration(self) -> Option<Duration> {
        Duration::try_from_secs_f64(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_seconds() {
        assert_eq!((2 * 15).into_duration(), Some(Duration::from_secs(30)));
        assert_eq!(0.05.into_duration(), Some(Duration::from_millis(50)));
        assert_eq!(7_u64.into_duration(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_number_that_is_negative_infinite_or_nan_is_not_a_duration() {
        assert_eq!((-1).into_duration(), None);
        assert_eq!((-0.5).into_duration(), None);
        assert_eq!(f64::NAN.into_duration(), None);
        assert_eq!(f32::INFINITY.into_duration(), None);
    }
}
