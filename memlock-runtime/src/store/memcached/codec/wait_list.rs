//! The value of a lock's wait list: a line of text, `2 <process>:<interval> !<process>:<interval>@<address>/<secret> …`,
//! the first waiter first. The interval is in milliseconds. A `!` marks a process that was passed.
//!
//! The list is a hint, so a text that cannot be read is not an error: an entry of an unknown form is left out, and so
//! are all entries of a line of another version. The next process that waits writes the list anew.

use std::time::Duration;

use crate::protocol::{Member, WaitList, WakeTarget};
use crate::text::digits;
use crate::text::secret::Secret;

/// The version that this file reads and writes.
const VERSION: &str = "2";

/// Writes `line`. Never empty.
pub(crate) fn encode(line: &WaitList) -> Vec<u8> {
    let mut text = VERSION.as_bytes().to_vec();
    for entry in &line.0 {
        text.extend_from_slice(if entry.is_passed { b" !" } else { b" " });
        digits::push_hex(&mut text, entry.process.to_be_bytes());
        text.extend_from_slice(format!(":{}", entry.interval.as_millis()).as_bytes());
        if let Some(wake) = entry.wake {
            text.extend_from_slice(format!("@{}/", wake.address).as_bytes());
            digits::push_hex(&mut text, wake.secret.expose().to_be_bytes());
        }
    }
    text
}

/// Reads a line.
pub(crate) fn decode(bytes: &[u8]) -> WaitList {
    let words = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.strip_prefix(VERSION));
    let entries = words.unwrap_or_default().split(' ').filter_map(entry);
    WaitList(entries.take(WaitList::LONGEST).collect())
}

fn entry(word: &str) -> Option<Member> {
    let (is_passed, word) = match word.strip_prefix('!') {
        Some(word) => (true, word),
        None => (false, word),
    };
    let (waiter, wake) = match word.split_once('@') {
        None => (word, None),
        Some((waiter, wake)) => {
            let (address, secret) = wake.rsplit_once('/')?;
            let (address, secret) = (address.parse().ok()?, Secret::new(number(secret)?));
            (waiter, Some(WakeTarget { address, secret }))
        }
    };
    let (process, interval) = waiter.split_once(':')?;
    let milliseconds: u32 = interval.parse().ok()?;
    Some(Member {
        process: number(process)?,
        interval: Duration::from_millis(milliseconds.into()),
        is_passed,
        wake,
    })
}

fn number(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(processes: &[u64]) -> WaitList {
        WaitList(processes.iter().map(|&process| Member::new(process, None)).collect())
    }

    #[test]
    fn a_line_is_written_as_it_has_always_been() {
        let text = "2 00000000000000ff:0 ffffffffffffffff:0";
        let line = line(&[255, u64::MAX]);
        assert_eq!(encode(&line), text.as_bytes());
        assert_eq!(decode(text.as_bytes()), line);
        for (is_passed, address, text) in [
            (
                false,
                "10.0.0.1:4711",
                "2 0000000000000001:50@10.0.0.1:4711/00000000000000ff",
            ),
            (
                true,
                "[2001:db8::1]:4711",
                "2 !0000000000000001:50@[2001:db8::1]:4711/00000000000000ff",
            ),
        ] {
            let wake = Some(WakeTarget {
                address: address.parse().expect("an address"),
                secret: Secret::new(255),
            });
            let line = WaitList(vec![Member {
                interval: Duration::from_millis(50),
                is_passed,
                ..Member::new(1, wake)
            }]);
            assert_eq!(encode(&line), text.as_bytes());
            assert_eq!(decode(text.as_bytes()), line);
        }
    }

    #[test]
    fn entries_that_cannot_be_read_are_left_out() {
        for (text, expected) in [
            ("", &[][..]),
            ("2", &[]),
            ("1 00000000000000ff", &[]),
            ("2 ff:0", &[]),
            (
                "2 00000000000000ff 00000000000000ff: 00000000000000ff:x 00000000000000ff:4294967296",
                &[],
            ),
            ("2 00000000000000fg:0 00000000000000ff:0", &[255]),
            ("2 00000000000000ff:0@10.0.0.1:1/77 00000000000000fe:0", &[254]),
            ("2 00000000000000ff:0@host:1/00000000000000ff 00000000000000ff:0@", &[]),
            ("2  00000000000000ff:0 !!00000000000000fe:0 ! ", &[255]),
        ] {
            assert_eq!(decode(text.as_bytes()), line(expected), "{text:?}");
        }
        assert_eq!(decode(b"2 \xff"), WaitList::default());
    }

    #[test]
    fn a_list_that_is_read_has_no_more_than_the_most_entries() {
        let endless = "2".to_owned() + &" 00000000000000ff:0".repeat(3000);
        assert_eq!(decode(endless.as_bytes()).0.len(), WaitList::LONGEST);
    }

    #[test]
    fn the_longest_list_fits_into_what_is_read() {
        let wake = Some(WakeTarget {
            address: "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"
                .parse()
                .expect("an address"),
            secret: Secret::new(u64::MAX),
        });
        let longest = Member {
            interval: Duration::from_millis(u32::MAX.into()),
            is_passed: true,
            ..Member::new(u64::MAX, wake)
        };
        let length = encode(&WaitList(vec![longest; WaitList::LONGEST])).len();
        assert!(length < 32 * 1024, "{length} bytes");
    }
}
