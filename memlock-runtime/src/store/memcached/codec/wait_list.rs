//! The value of a lock's wait list: a line of text, `1 <process> <process>@<address>/<secret> …`, the first waiter
//! first.
//!
//! The list is a hint, so a text that cannot be read is not an error: an entry of an unknown form is left out, and so
//! are all entries of a line of another version. The next process that waits writes the list anew.

use crate::protocol::{Member, WaitList, WakeTarget};
use crate::text::digits;
use crate::text::secret::Secret;

/// The version that this file reads and writes.
const VERSION: &str = "1";

/// Writes `line`. Never empty.
pub(crate) fn encode(line: &WaitList) -> Vec<u8> {
    let mut text = VERSION.as_bytes().to_vec();
    for entry in &line.0 {
        text.push(b' ');
        digits::push_hex(&mut text, entry.process.to_be_bytes());
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
    let (process, wake) = match word.split_once('@') {
        None => (word, None),
        Some((process, wake)) => {
            let (address, secret) = wake.rsplit_once('/')?;
            let (address, secret) = (address.parse().ok()?, Secret::new(number(secret)?));
            (process, Some(WakeTarget { address, secret }))
        }
    };
    let process = number(process)?;
    Some(Member { process, wake })
}

fn number(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(processes: &[u64]) -> WaitList {
        WaitList(
            processes
                .iter()
                .map(|&process| Member { process, wake: None })
                .collect(),
        )
    }

    #[test]
    fn a_line_is_written_as_it_has_always_been() {
        let text = "1 00000000000000ff ffffffffffffffff";
        let line = line(&[255, u64::MAX]);
        assert_eq!(encode(&line), text.as_bytes());
        assert_eq!(decode(text.as_bytes()), line);
        for (address, text) in [
            ("10.0.0.1:4711", "1 0000000000000001@10.0.0.1:4711/00000000000000ff"),
            (
                "[2001:db8::1]:4711",
                "1 0000000000000001@[2001:db8::1]:4711/00000000000000ff",
            ),
        ] {
            let wake = Some(WakeTarget {
                address: address.parse().expect("an address"),
                secret: Secret::new(255),
            });
            let line = WaitList(vec![Member { process: 1, wake }]);
            assert_eq!(encode(&line), text.as_bytes());
            assert_eq!(decode(text.as_bytes()), line);
        }
    }

    #[test]
    fn entries_that_cannot_be_read_are_left_out() {
        for (text, expected) in [
            ("", &[][..]),
            ("1", &[]),
            ("2 00000000000000ff", &[]),
            ("1 ff", &[]),
            ("1 00000000000000fg 00000000000000ff", &[255]),
            ("1 00000000000000ff@10.0.0.1:1/77 00000000000000fe", &[254]),
            ("1 00000000000000ff@host:1/00000000000000ff 00000000000000ff@", &[]),
            ("1  00000000000000ff ", &[255]),
        ] {
            assert_eq!(decode(text.as_bytes()), line(expected), "{text:?}");
        }
        assert_eq!(decode(b"1 \xff"), WaitList::default());
    }

    #[test]
    fn a_list_that_is_read_has_no_more_than_the_most_entries() {
        let endless = "1".to_owned() + &" 00000000000000ff".repeat(3000);
        assert_eq!(decode(endless.as_bytes()).0.len(), WaitList::LONGEST);
    }
}
