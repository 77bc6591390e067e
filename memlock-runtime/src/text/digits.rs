//! Numbers in keys and in messages to memcached: decimal as in its protocol, and hexadecimal in values.
//!
//! Formatted by hand, because the cost of `fmt` is noticeable beside a lock in memory, and beside a round trip on
//! loopback.

/// How many digits the largest number has.
const MOST_DIGITS: usize = 20;

/// The decimal digits of a number.
pub(crate) struct Decimal {
    digits: [u8; MOST_DIGITS],
    start: usize,
}

impl Decimal {
    pub(crate) fn of(mut number: u64) -> Decimal {
        let mut digits = [b'0'; MOST_DIGITS];
        let mut start = MOST_DIGITS;
        for digit in digits.iter_mut().rev() {
            // A remainder below ten fits.
            *digit += (number % 10) as u8;
            number /= 10;
            start -= 1;
            if number == 0 {
                break;
            }
        }
        Decimal { digits, start }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

/// Appends `number` in decimal digits.
pub(crate) fn push(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(Decimal::of(number).as_bytes());
}

/// Appends `bytes` in hexadecimal digits.
pub(crate) fn push_hex<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' - 10 + value };
    let pairs = bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    out.extend_from_slice(pairs.as_flattened());
}

/// Reads a number as memcached writes it: no sign, no leading zero.
pub(crate) fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read_as_the_standard_library_does() {
        for number in [0, 1, 9, 10, 11, 99, 100, 1_234_567_890, u64::MAX - 1, u64::MAX] {
            let mut text = Vec::new();
            push(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
            assert_eq!(parse(&text), Some(number));
        }
        for bad in [
            "",
            "-1",
            "+1",
            "01",
            "00",
            " 1",
            "1 ",
            "1a",
            "18446744073709551616",
            "99999999999999999999",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
