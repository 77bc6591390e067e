//! Numbers in the texts that go to memcached: decimal ones as its protocol has them, and hexadecimal ones in values. By hand: `fmt` shows beside a loopback's round trip.

/// Appends `number`.
pub(super) fn push(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        // A digit below ten fits.
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// Appends these bytes in hexadecimal.
pub(super) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }));
    }
}

/// Reads a number as memcached writes it: no sign, no leading zero.
pub(super) fn parse(digits: &[u8]) -> Option<u64> {
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
