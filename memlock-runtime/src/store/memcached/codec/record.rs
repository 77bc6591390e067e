//! The value of a lock's item: a line that a person can read with `get` or `mg`. Text to [`Record`] and back.
//!
//! ```text
//! 1 00112233445566778899aabbccddeeff 30200000 0 host:77:app::pay memlock:app::pay:the/whole/name…
//! │ │                                │        │ │                └ the full name, only where the item's is shortened
//! │ │                                │        │ └ label, percent-encoded; `-` where there is none
//! │ │                                │        └ renewal number
//! │ │                                └ lease in microseconds, rounded up
//! │ └ nonce
//! └ version of this format
//! ```
//!
//! The line starts with a digit and has no line break. A server that has refused the command line takes the data block
//! for a command; this one does nothing.

use std::time::Duration;

use crate::protocol::label::Label;
use crate::protocol::{Content, Nonce, Record};
use crate::text::digits;

/// The version that this file reads and writes. Any other is [`Content::Foreign`].
const VERSION: &str = "1";

/// Writes the line of `record`. Never empty.
pub(crate) fn encode(record: &Record) -> Vec<u8> {
    let full_name = record.full_name.as_deref();
    let label = record.label.parts();
    let length = label.iter().map(|part| part.len()).sum::<usize>() + full_name.map_or(0, str::len);
    let mut line = Vec::with_capacity(80 + length);
    line.extend_from_slice(VERSION.as_bytes());
    line.push(b' ');
    digits::push_hex(&mut line, record.nonce.0.to_be_bytes());
    line.push(b' ');
    // Rounded *up*: a waiter takes over when the lease written here is over, which must not be before the holder's
    // lease is.
    digits::push(
        &mut line,
        u64::try_from(record.lease.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX),
    );
    line.push(b' ');
    digits::push(&mut line, u64::from(record.renewal));
    line.push(b' ');
    match label {
        ["", ..] => line.push(b'-'),
        ["-", "", ""] => line.extend_from_slice(b"%2D"),
        parts => parts
            .iter()
            .for_each(|part| push_encoded(&mut line, part, |c| c == ' ')),
    }
    if let Some(name) = full_name {
        line.push(b' ');
        push_encoded(&mut line, name, |_| false);
    }
    line
}

/// Reads a line. A line that this version would not write in exactly these bytes is foreign.
pub(crate) fn decode(bytes: &[u8]) -> Content {
    match read(bytes) {
        // Writing the record again catches every other spelling (`+7`, `007`, a needless escape) without a rule for
        // each.
        Some(record) if encode(&record) == bytes => Content::Lock(record),
        _ => Content::Foreign,
    }
}

fn read(bytes: &[u8]) -> Option<Record> {
    let mut fields = std::str::from_utf8(bytes).ok()?.splitn(6, ' ');
    if fields.next()? != VERSION {
        return None;
    }
    Some(Record {
        nonce: Nonce(u128::from_str_radix(fields.next()?, 16).ok()?),
        lease: Duration::from_micros(fields.next()?.parse().ok()?),
        renewal: fields.next()?.parse().ok()?,
        label: match fields.next()? {
            "-" => Label::default(),
            label => decoded(label)?.into(),
        },
        full_name: match fields.next() {
            Some(name) => Some(decoded(name)?.into()),
            None => None,
        },
    })
}

fn push_encoded(line: &mut Vec<u8>, text: &str, also: impl Fn(char) -> bool) {
    // The usual case. The functions that are passed for `also` match no more than a space.
    if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%') {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    let mut utf8 = [0; 4];
    for character in text.chars() {
        let bytes = character.encode_utf8(&mut utf8).as_bytes();
        if character == '%' || character.is_control() || also(character) {
            for byte in bytes {
                let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' - 10 + value };
                line.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        } else {
            line.extend_from_slice(bytes);
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = Nonce(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);

    fn record(lease: Duration, renewal: u32, label: &str, full_name: Option<&str>) -> Record {
        Record {
            nonce: NONCE,
            lease,
            renewal,
            label: label.into(),
            full_name: full_name.map(Into::into),
        }
    }

    fn text(record: &Record) -> String {
        String::from_utf8(encode(record)).expect("text")
    }

    #[test]
    fn records_are_written_as_they_have_always_been() {
        let vectors = [
            (
                record(Duration::from_millis(30_200), 0, "host:77:app::pay", None),
                "1 00112233445566778899aabbccddeeff 30200000 0 host:77:app::pay",
            ),
            (
                record(Duration::from_secs(1), u32::MAX, "", None),
                "1 00112233445566778899aabbccddeeff 1000000 4294967295 -",
            ),
            (
                record(
                    Duration::from_micros(200_001),
                    7,
                    "a b%\r\n\tü",
                    Some("memlock:f:ein Name\n"),
                ),
                "1 00112233445566778899aabbccddeeff 200001 7 a%20b%25%0D%0A%09ü memlock:f:ein Name%0A",
            ),
            (
                record(Duration::ZERO, 1, "-", Some("")),
                "1 00112233445566778899aabbccddeeff 0 1 %2D ",
            ),
        ];
        for (record, line) in vectors {
            assert_eq!(text(&record), line);
            assert_eq!(decode(line.as_bytes()), Content::Lock(record));
        }
    }

    #[test]
    fn a_lease_is_never_rounded_down() {
        for nanos in [1, 999, 1000, 1001, 1_000_000_001] {
            let lease = Duration::from_nanos(nanos);
            match decode(&encode(&record(lease, 0, "", None))) {
                Content::Lock(read) => assert!(read.lease >= lease && read.lease < lease + Duration::from_micros(1)),
                Content::Foreign => panic!("foreign"),
            }
        }
        assert!(matches!(
            decode(&encode(&record(Duration::MAX, 0, "", None))),
            Content::Lock(_)
        ));
    }

    #[test]
    fn any_text_in_label_and_name_is_read_back() {
        for label in [
            "-",
            "--",
            "%",
            "%2D",
            " ",
            "  a ",
            "\0",
            "a\u{85}b",
            "\u{2028}",
            "日本",
            "x y z",
            "\r\nflush_all\r\n",
        ] {
            for name in [None, Some(""), Some("-"), Some(label)] {
                let record = record(Duration::from_secs(5), 3, label, name);
                let line = encode(&record);
                assert!(!line.contains(&b'\n') && !line.contains(&b'\r') && !line.is_empty());
                assert_eq!(decode(&line), Content::Lock(record));
            }
        }
    }

    #[test]
    fn a_line_that_this_version_would_not_write_is_foreign() {
        let good = "1 00112233445566778899aabbccddeeff 30200000 0 x";
        assert!(matches!(decode(good.as_bytes()), Content::Lock(_)));
        for bad in [
            "",
            "1",
            "2 00112233445566778899aabbccddeeff 30200000 0 x",
            "01 00112233445566778899aabbccddeeff 30200000 0 x",
            "1 00112233445566778899AABBCCDDEEFF 30200000 0 x",
            "1 112233445566778899aabbccddeeff 30200000 0 x",
            "1 +0112233445566778899aabbccddeeff 30200000 0 x",
            "1 00112233445566778899aabbccddeeff +30200000 0 x",
            "1 00112233445566778899aabbccddeeff 030200000 0 x",
            "1 00112233445566778899aabbccddeeff 30200000.5 0 x",
            "1 00112233445566778899aabbccddeeff -1 0 x",
            "1 00112233445566778899aabbccddeeff 18446744073709551616 0 x",
            "1 00112233445566778899aabbccddeeff 30200000 4294967296 x",
            "1 00112233445566778899aabbccddeeff 30200000 0",
            "1 00112233445566778899aabbccddeeff 30200000 0 ",
            "1 00112233445566778899aabbccddeeff 30200000 0 %41",
            "1 00112233445566778899aabbccddeeff 30200000 0 %2d",
            "1 00112233445566778899aabbccddeeff 30200000 0 %4",
            "1 00112233445566778899aabbccddeeff 30200000 0 %ü",
            "1  00112233445566778899aabbccddeeff 30200000 0 x",
            " 1 00112233445566778899aabbccddeeff 30200000 0 x",
            "1 00112233445566778899aabbccddeeff 30200000 0 x\n",
        ] {
            assert_eq!(decode(bad.as_bytes()), Content::Foreign, "{bad:?}");
        }
        assert_eq!(decode(b"\xff\xfe"), Content::Foreign);
        // Every shortened or damaged copy is foreign or a different record, never a panic.
        for cut in 0..good.len() {
            let _ = decode(&good.as_bytes()[..cut]);
            let mut damaged = good.as_bytes().to_vec();
            damaged[cut] ^= 0x80;
            assert_eq!(decode(&damaged), Content::Foreign);
        }
    }
}
