//! How far the replies to one batch have come. Bytes in, replies out; no I/O, so that it can stop anywhere and go on
//! later.
//!
//! ```text
//! Reading ──last reply──────────────> Complete
//!    │
//!    └──nonsense──> Draining ──(the server closes)
//! ```
//!
//! Only [`Progress::advance`] moves it. Invariant: `replies` answer the first requests of the batch, each proved by its
//! opaque, or by its place where nothing before it can have put the places out of step.

use smallvec::SmallVec;

use super::translate::{Awaited, Judged, judge};
use super::transport::{Input, LONGEST_LINE, LONGEST_VALUE};
use super::trouble::quoted;
use crate::digits;
use crate::store::{Replies, Request};

/// The replies to one batch, as far as they have come. Reused for the next.
#[derive(Debug, Default)]
pub(super) struct Progress {
    awaited: SmallVec<[Awaited; 4]>,
    first_opaque: u64,
    opaque_on_miss: bool,
    pub(super) replies: Replies,
    /// Whether a byte has come.
    pub(super) begun: bool,
    /// How far the places of replies can be relied on.
    places: Places,
    /// What the server said that it may not say. Nothing after it counts.
    pub(super) nonsense: Option<String>,
}

/// How far the order of replies tells to which request each belongs. Opaques tell in any case; error lines have none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Places {
    /// One reply for each request, and the connection may be used again.
    #[default]
    InStep,
    /// The same, but not beyond this batch: close the connection after it.
    InStepSoFar,
    /// The line before a data block was refused, so that the block may have been read as commands, and error lines may
    /// be the answers to those.
    Doubtful,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// All replies are there.
    Complete,
    /// More bytes are needed.
    Reading,
    /// The server talked nonsense; what it says is thrown away until it closes.
    Draining,
}

impl Progress {
    /// Awaits the replies to `batch`, whose requests have the opaques from `first_opaque` on.
    pub(super) fn start(&mut self, batch: &[Request], first_opaque: u64, opaque_on_miss: bool) {
        self.awaited.clear();
        self.awaited.extend(batch.iter().map(Awaited::by));
        self.first_opaque = first_opaque;
        self.opaque_on_miss = opaque_on_miss;
        self.replies.clear();
        self.begun = false;
        self.places = Places::InStep;
        self.nonsense = None;
    }

    /// Error lines prove nothing any more: one before it on this connection may have been about anything.
    pub(super) fn doubt_places(&mut self) {
        self.places = Places::Doubtful;
    }

    /// Whether the next reply is sure to be the next request's.
    pub(super) fn is_in_step(&self) -> bool {
        self.places == Places::InStep
    }

    /// Whether a request without a reply may have changed, or may yet change, the server's state.
    pub(super) fn is_write_open(&self) -> bool {
        self.awaited
            .get(self.replies.len()..)
            .unwrap_or_default()
            .iter()
            .any(|awaited| awaited.writes())
    }

    /// Uses up what has been read.
    pub(super) fn advance(&mut self, input: &mut Input) -> Step {
        self.begun |= !input.unread().is_empty();
        loop {
            if self.nonsense.is_some() {
                input.consume(input.unread().len());
                return Step::Draining;
            }
            let Some(awaited) = self.awaited.get(self.replies.len()).copied() else {
                return Step::Complete;
            };
            let (line, value, length) = match frame(input.unread()) {
                Frame::Partial => return Step::Reading,
                Frame::Whole { line, value, length } => (line, value, length),
                Frame::Malformed(what) => {
                    self.nonsense = Some(what);
                    continue;
                }
            };
            let opaque = self.first_opaque.wrapping_add(self.replies.len() as u64);
            match judge(awaited, opaque, self.opaque_on_miss, line, value) {
                Judged::Reply(reply) => self.replies.push(reply),
                Judged::Refused { .. } if self.places == Places::Doubtful => {
                    self.nonsense = Some(format!(
                        "{} after another that may have been about more than its request",
                        quoted(line)
                    ));
                    continue;
                }
                Judged::Refused { reply, understood } => {
                    self.replies.push(reply);
                    if !understood {
                        self.places = if awaited.has_data_block() {
                            Places::Doubtful
                        } else {
                            Places::InStepSoFar
                        };
                    }
                }
                Judged::Nonsense(what) => {
                    self.nonsense = Some(what);
                    continue;
                }
            }
            input.consume(length);
        }
    }
}

/// One reply at the front of the input.
#[derive(Debug, PartialEq, Eq)]
enum Frame<'a> {
    Partial,
    Whole {
        line: &'a [u8],
        value: Option<&'a [u8]>,
        length: usize,
    },
    Malformed(String),
}

fn frame(unread: &[u8]) -> Frame<'_> {
    let searched = unread.get(..LONGEST_LINE).unwrap_or(unread);
    let Some(end) = searched.iter().position(|byte| *byte == b'\n') else {
        return if unread.len() < LONGEST_LINE {
            Frame::Partial
        } else {
            Frame::Malformed(format!("an endless reply line, {}", quoted(unread)))
        };
    };
    let (line, rest) = unread.split_at(end + 1);
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Frame::Malformed(format!("a reply line that ends without CR, {}", quoted(line)));
    };
    let Some(header) = line.strip_prefix(b"VA ") else {
        return Frame::Whole {
            line,
            value: None,
            length: end + 1,
        };
    };
    let Some(announced) = value_length(header) else {
        return Frame::Malformed(format!(
            "a value whose length is none or above {LONGEST_VALUE} bytes, {}",
            quoted(line)
        ));
    };
    match rest.split_at_checked(announced) {
        Some((value, after)) if after.starts_with(b"\r\n") => Frame::Whole {
            line,
            value: Some(value),
            length: end + 1 + announced + 2,
        },
        Some((_, after)) if !b"\r\n".starts_with(after) => {
            Frame::Malformed(format!("a value that is longer than announced, {}", quoted(line)))
        }
        _ => Frame::Partial,
    }
}

/// The length that a `VA` announces, where it is one.
fn value_length(header: &[u8]) -> Option<usize> {
    let length = digits::parse(header.split(|byte| *byte == b' ').next()?)?;
    usize::try_from(length).ok().filter(|length| *length <= LONGEST_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_framed_at_every_cut() {
        let whole = b"VA 5 c1 O1\r\na\r\nb!\r\n";
        for cut in 0..whole.len() {
            assert_eq!(frame(&whole[..cut]), Frame::Partial, "{cut}");
        }
        let expected = Frame::Whole {
            line: b"VA 5 c1 O1",
            value: Some(b"a\r\nb!"),
            length: whole.len(),
        };
        assert_eq!(frame(whole), expected);
        assert_eq!(frame(&[whole.as_slice(), b"HD"].concat()), expected);
        let empty = frame(b"VA 0 c1\r\n\r\nHD");
        assert!(
            matches!(empty, Frame::Whole { value: Some(value), length: 11, .. } if value.is_empty()),
            "{empty:?}"
        );
    }

    #[test]
    fn nothing_unbounded_or_torn_is_framed() {
        for bad in [
            b"VA 1073741824 c1\r\n".as_slice(),
            b"VA 65537\r\n",
            b"VA 99999999999999999999999\r\n",
            b"VA -1\r\n",
            b"VA +1\r\n",
            b"VA  1\r\n",
            b"VA c1\r\n",
            b"VA \r\n",
            b"HD c1\n",
            b"\n",
            b"VA 1 c1\r\nab\r\n",
            b"VA 1 c1\r\na\rX",
            &[b'x'; LONGEST_LINE],
        ] {
            assert!(matches!(frame(bad), Frame::Malformed(_)), "{}", bad.escape_ascii());
        }
        assert_eq!(frame(&[b'x'; LONGEST_LINE - 1]), Frame::Partial);
        assert_eq!(frame(b"VA 65536 c1\r\n"), Frame::Partial);
    }
}
