//! What may stand for a length of time in an option: `Duration`, or a number of seconds.

use std::time::Duration;

/// A length of time that is computed when the function is called. Numbers are seconds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a length of time",
    label = "this is a `{Self}`",
    note = "lengths of time are numbers of seconds (`30`, `0.05`), texts with a unit (`\"250ms\"`, `\"1h\"`) and `Duration`s"
)]
pub trait IntoDuration {
    /// The duration, or `None` for what no duration can be: negative, not a number, or without end.
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
    fn what_no_duration_can_be_is_none() {
        assert_eq!((-1).into_duration(), None);
        assert_eq!((-0.5).into_duration(), None);
        assert_eq!(f64::NAN.into_duration(), None);
        assert_eq!(f32::INFINITY.into_duration(), None);
    }
}
