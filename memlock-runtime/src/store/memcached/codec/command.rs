//! A command as memcached reads it: its line, and the data block of those that have one. No name can become a second command.
//!
//! By hand: the `memcache` crate's own allocates five times for each, and looks through the name twice, which shows beside a
//! loopback's round trip. What is written here is held against that in a test.

use crate::text::digits;
use crate::text::shown::{Bytes, Shown};

/// The longest key that memcached takes.
const LONGEST_KEY: usize = 250;

/// Appends the command `operation` on `key`, with these flags and a space between them: first the `plain` ones, as they are,
/// then those with numbers. The error says what is wrong with the key; nothing is appended then.
pub(crate) fn push(
    out: &mut Vec<u8>,
    operation: &str,
    key: impl AsRef<[u8]>,
    value: Option<&[u8]>,
    plain: &str,
    numbers: &[(u8, u64)],
) -> Result<(), String> {
    let key = key.as_ref();
    // Every byte that is not a control character or a space stands for itself in a key.
    let is_key = key.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    if !is_key || key.is_empty() || key.len() > LONGEST_KEY {
        return Err(format!(
            "the request cannot be sent: `{}` is no key that memcached takes, of at most {LONGEST_KEY} bytes",
            Shown::new(Bytes(key))
        ));
    }
    out.extend_from_slice(operation.as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    if let Some(value) = value {
        out.push(b' ');
        digits::push(out, value.len() as u64);
    }
    if !plain.is_empty() {
        out.push(b' ');
        out.extend_from_slice(plain.as_bytes());
    }
    for (letter, number) in numbers {
        out.extend_from_slice(&[b' ', *letter]);
        digits::push(out, *number);
    }
    out.extend_from_slice(b"\r\n");
    if let Some(value) = value {
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use memcache::exp::{MetaCommand, MetaOp};

    use super::*;

    #[test]
    fn commands_are_those_of_the_memcache_crate() {
        for (operation, name) in [(MetaOp::Get, "mg"), (MetaOp::Set, "ms"), (MetaOp::Delete, "md")] {
            for key in ["k", "memlock:f:schlüssel", &"x".repeat(LONGEST_KEY)] {
                for value in [None, Some(""), Some("1 x\r\ny")] {
                    let (mut ours, mut theirs) = (b"before".to_vec(), b"before".to_vec());
                    let numbers = [(b'T', 38), (b'C', u64::MAX), (b'O', 0)];
                    push(&mut ours, name, key, value.map(str::as_bytes), "ME c", &numbers).expect("a key");
                    let command = MetaCommand::new(operation, key).flag("ME").flag("c");
                    let command = command.flag("T38").flag(format!("C{}", u64::MAX)).flag("O0");
                    let command = match value {
                        Some(value) => command.value(value),
                        None => command,
                    };
                    command.encode_into(&mut theirs).expect("a key");
                    assert_eq!(ours, theirs);
                }
            }
        }
    }

    #[test]
    fn what_is_no_key_is_not_sent() {
        let too_long = "x".repeat(LONGEST_KEY + 1);
        for key in [
            "",
            " ",
            "a b",
            "a\r\nflush_all\r\n",
            "a\tb",
            "\0",
            "a\u{7f}",
            too_long.as_str(),
        ] {
            let mut out = Vec::new();
            let error = push(&mut out, "mg", key, None, "", &[]).expect_err("no key");
            assert!(error.contains("no key") && out.is_empty(), "{error}");
        }
    }
}
