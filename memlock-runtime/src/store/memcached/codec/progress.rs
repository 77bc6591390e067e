//! Reads the replies to one batch. Bytes in, replies out; no I/O, so that reading can stop at any byte and go on later.
//!
//! ```text
//! Reading ──last reply──────────────> Complete
//!    │
//!    └──protocol violation──> Draining ──(the server closes)
//! ```
//!
//! Only [`Progress::advance`] changes the step. Invariant: `replies` answer the first requests of the batch. Each reply
//! is proved by its opaque, or by its place if nothing before it can have put the replies out of step.

use smallvec::SmallVec;

use super::translate::{ExpectedReply, Judged, Value, judge};
use crate::protocol::{Replies, Request};
use crate::store::memcached::failure::quoted;
use crate::store::memcached::socket::transport::{LONGEST_LINE, LONGEST_VALUE, ReadBuffer};
use crate::text::digits;

/// The longest value that memcached stores: its option `-I` allows at most 1 GiB.
const LONGEST_ITEM: u64 = 1024 * 1024 * 1024;

/// The replies to one batch, as far as they have arrived. Reused for the next batch.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    expected: SmallVec<[ExpectedReply; 4]>,
    first_opaque: u64,
    opaque_on_miss: bool,
    pub(crate) replies: Replies,
    /// Whether a byte has arrived.
    pub(crate) begun: bool,
    /// How far the order of the replies can be relied on.
    order: ReplyOrder,
    /// How many bytes are still missing of the last reply's value and its line end, if the value is too long to be this
    /// library's. They are discarded as they arrive.
    skipped: Option<u64>,
    /// How the server violated the protocol. Nothing that it sends after that counts.
    pub(crate) violation: Option<String>,
}

/// How far the order of the replies shows which request each belongs to. Opaques show that in any case; error lines
/// have none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ReplyOrder {
    /// One reply for each request. The connection may be used again.
    #[default]
    InStep,
    /// The same, but only until the end of this batch. The connection is closed after it.
    InStepUntilEnd,
    /// The server refused the command line before a data block. It may have read the block as commands, and error lines
    /// may answer those.
    Doubtful,
}

/// What [`Progress::advance`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// All replies have arrived.
    Complete,
    /// More bytes are needed.
    Reading,
    /// The server violated the protocol. What it sends is discarded until it closes the connection.
    Draining,
}

impl Progress {
    /// Starts to read the replies to `batch`. Its requests have the opaques from `first_opaque` on.
    pub(crate) fn start(&mut self, batch: &[Request], first_opaque: u64, opaque_on_miss: bool) {
        self.expected.clear();
        self.expected.extend(batch.iter().map(ExpectedReply::to));
        self.first_opaque = first_opaque;
        self.opaque_on_miss = opaque_on_miss;
        self.replies.clear();
        self.begun = false;
        self.order = ReplyOrder::InStep;
        self.skipped = None;
        self.violation = None;
    }

    /// From now on error lines prove nothing: an earlier error line on this connection may have answered anything.
    pub(crate) fn doubt_order(&mut self) {
        self.order = ReplyOrder::Doubtful;
    }

    /// Whether the next reply on the connection is sure to answer the next request.
    pub(crate) fn is_in_step(&self) -> bool {
        self.order == ReplyOrder::InStep && self.skipped.is_none()
    }

    /// Whether all replies are known. The rest of the last value may still be missing.
    pub(crate) fn is_answered(&self) -> bool {
        self.replies.len() == self.expected.len()
    }

    /// Whether a request without a reply may have changed the server's state, or may still change it.
    pub(crate) fn is_write_open(&self) -> bool {
        self.expected
            .get(self.replies.len()..)
            .unwrap_or_default()
            .iter()
            .any(|expected| expected.writes())
    }

    /// Consumes what has been read.
    pub(crate) fn advance(&mut self, input: &mut ReadBuffer) -> Step {
        self.begun |= !input.unread().is_empty();
        loop {
            if self.violation.is_some() {
                input.consume(input.unread().len());
                return Step::Draining;
            }
            if let Some(rest) = self.skipped {
                match skip(rest, input) {
                    Ok(0) => self.skipped = None,
                    Ok(rest) => {
                        self.skipped = Some(rest);
                        return Step::Reading;
                    }
                    Err(what) => self.violation = Some(what),
                }
                continue;
            }
            let Some(expected) = self.expected.get(self.replies.len()).copied() else {
                return Step::Complete;
            };
            let (line, value, length) = match frame(input.unread()) {
                ReplyFrame::Partial => return Step::Reading,
                ReplyFrame::Whole { line, value, length } => (line, value.map(Value::Whole), length),
                // The line proves that there is an item that this library did not write. That is enough, even if the
                // value does not arrive within the limit.
                ReplyFrame::Long { line, announced } => (line, Some(Value::Long(announced)), line.len() + 2),
                ReplyFrame::Malformed(what) => {
                    self.violation = Some(what);
                    continue;
                }
            };
            let opaque = self.first_opaque.wrapping_add(self.replies.len() as u64);
            match judge(expected, opaque, self.opaque_on_miss, line, value) {
                Judged::Reply(reply) => self.replies.push(reply),
                Judged::Refused { .. } if self.order == ReplyOrder::Doubtful => {
                    self.violation = Some(format!(
                        "{} after an error line that may have answered more than its request",
                        quoted(line)
                    ));
                    continue;
                }
                Judged::Refused { reply, understood } => {
                    self.replies.push(reply);
                    if !understood {
                        self.order = if expected.has_data_block() {
                            ReplyOrder::Doubtful
                        } else {
                            ReplyOrder::InStepUntilEnd
                        };
                    }
                }
                Judged::Violation(what) => {
                    self.violation = Some(what);
                    continue;
                }
            }
            if let Some(Value::Long(announced)) = value {
                self.skipped = Some(announced + LINE_END.len() as u64);
            }
            input.consume(length);
        }
    }
}

const LINE_END: &[u8] = b"\r\n";

/// Discards the unread bytes of a value and its line end, of which `rest` bytes are missing. Returns how many are
/// missing after that.
fn skip(rest: u64, input: &mut ReadBuffer) -> Result<u64, String> {
    let of_value = rest.saturating_sub(LINE_END.len() as u64);
    if of_value > 0 {
        let count = usize::try_from(of_value)
            .unwrap_or(usize::MAX)
            .min(input.unread().len());
        input.consume(count);
        let rest = rest - count as u64;
        if rest > LINE_END.len() as u64 || input.unread().is_empty() {
            return Ok(rest);
        }
    }
    match input.unread() {
        [b'\r', b'\n', ..] => {
            input.consume(LINE_END.len());
            Ok(0)
        }
        [] | [b'\r'] => Ok(LINE_END.len() as u64),
        more => Err(format!(
            "a value that is longer than announced and goes on with {}",
            quoted(more)
        )),
    }
}

/// One reply at the front of the input.
#[derive(Debug, PartialEq, Eq)]
enum ReplyFrame<'a> {
    Partial,
    Whole {
        line: &'a [u8],
        value: Option<&'a [u8]>,
        length: usize,
    },
    /// The line of a reply with a value that is longer than any of this library's.
    Long {
        line: &'a [u8],
        announced: u64,
    },
    Malformed(String),
}

fn frame(unread: &[u8]) -> ReplyFrame<'_> {
    let searched = unread.get(..LONGEST_LINE).unwrap_or(unread);
    let Some(end) = searched.iter().position(|byte| *byte == b'\n') else {
        return if unread.len() < LONGEST_LINE {
            ReplyFrame::Partial
        } else {
            ReplyFrame::Malformed(format!("an endless reply line, {}", quoted(unread)))
        };
    };
    let (line, rest) = unread.split_at(end + 1);
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return ReplyFrame::Malformed(format!("a reply line that ends without CR, {}", quoted(line)));
    };
    let Some(header) = line.strip_prefix(b"VA ") else {
        return ReplyFrame::Whole {
            line,
            value: None,
            length: end + 1,
        };
    };
    let Some(announced) = value_length(header) else {
        return ReplyFrame::Malformed(format!(
            "a value without a length, or of more than {LONGEST_ITEM} bytes, {}",
            quoted(line)
        ));
    };
    let announced = match usize::try_from(announced) {
        Ok(announced) if announced <= LONGEST_VALUE => announced,
        _ => return ReplyFrame::Long { line, announced },
    };
    match rest.split_at_checked(announced) {
        Some((value, after)) if after.starts_with(b"\r\n") => ReplyFrame::Whole {
            line,
            value: Some(value),
            length: end + 1 + announced + 2,
        },
        Some((_, after)) if !b"\r\n".starts_with(after) => {
            ReplyFrame::Malformed(format!("a value that is longer than announced, {}", quoted(line)))
        }
        _ => ReplyFrame::Partial,
    }
}

/// The length that a `VA` line announces, if it is valid.
fn value_length(header: &[u8]) -> Option<u64> {
    digits::parse(header.split(|byte| *byte == b' ').next()?).filter(|length| *length <= LONGEST_ITEM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Content, Reply};

    #[test]
    fn a_reply_cut_at_any_byte_is_partial() {
        let whole = b"VA 5 c1 O1\r\na\r\nb!\r\n";
        for cut in 0..whole.len() {
            assert_eq!(frame(&whole[..cut]), ReplyFrame::Partial, "{cut}");
        }
        let expected = ReplyFrame::Whole {
            line: b"VA 5 c1 O1",
            value: Some(b"a\r\nb!"),
            length: whole.len(),
        };
        assert_eq!(frame(whole), expected);
        assert_eq!(frame(&[whole.as_slice(), b"HD"].concat()), expected);
        let empty = frame(b"VA 0 c1\r\n\r\nHD");
        assert!(
            matches!(empty, ReplyFrame::Whole { value: Some(value), length: 11, .. } if value.is_empty()),
            "{empty:?}"
        );
    }

    #[test]
    fn endless_or_malformed_replies_are_refused() {
        for bad in [
            b"VA 1073741825 c1\r\n".as_slice(),
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
            assert!(matches!(frame(bad), ReplyFrame::Malformed(_)), "{}", bad.escape_ascii());
        }
        assert_eq!(frame(&[b'x'; LONGEST_LINE - 1]), ReplyFrame::Partial);
        assert_eq!(frame(b"VA 65536 c1\r\n"), ReplyFrame::Partial);
    }

    fn feed(progress: &mut Progress, input: &mut ReadBuffer, mut bytes: &[u8]) -> Step {
        loop {
            let step = progress.advance(input);
            if step != Step::Reading || bytes.is_empty() {
                return step;
            }
            // In small pieces. None ends where a part of the reply does.
            let (mut piece, rest) = bytes.split_at(bytes.len().min(997));
            bytes = rest;
            input.fill(|room| std::io::Read::read(&mut piece, room)).expect("room");
            assert!(piece.is_empty(), "the input grows");
        }
    }

    #[test]
    fn a_value_too_long_for_this_library_is_a_foreign_item_and_skipped() {
        let long = |end: &str| {
            let mut bytes = b"VA 70000 c9 O1\r\n".to_vec();
            bytes.resize(bytes.len() + 70_000, b'\n');
            [bytes.as_slice(), end.as_bytes()].concat()
        };
        for batch in [[Request::Read, Request::Read], [Request::ReadWaitList, Request::Read]] {
            let (mut progress, mut input) = (Progress::default(), ReadBuffer::new());
            progress.start(&batch, 1, true);
            assert_eq!(feed(&mut progress, &mut input, &long("\r\n")), Step::Reading);
            assert_eq!(progress.replies.len(), 1);
            assert_eq!(feed(&mut progress, &mut input, b"EN O2\r\n"), Step::Complete);
            assert!(progress.is_in_step());
            let cas = crate::protocol::Cas::new(9).expect("not zero");
            match (&batch[0], progress.replies.first()) {
                (Request::Read, Some(Reply::Item { content, cas: of_item })) => {
                    assert_eq!((&**content, *of_item), (&Content::Foreign, cas));
                }
                (Request::ReadWaitList, Some(Reply::WaitList { line, cas: of_line })) => {
                    assert_eq!((line, *of_line), (&crate::protocol::WaitList::default(), cas));
                }
                (_, other) => panic!("{other:?}"),
            }
        }
        // Its line is enough to know the reply. But the replies are in step only when all of it has arrived.
        let (mut progress, mut input) = (Progress::default(), ReadBuffer::new());
        progress.start(&[Request::Read], 1, true);
        assert_eq!(
            feed(&mut progress, &mut input, b"VA 1073741824 c9 O1\r\n123"),
            Step::Reading
        );
        assert!(progress.is_answered() && !progress.is_in_step());
        for end in ["xx", "\rx", "\n\r"] {
            let (mut progress, mut input) = (Progress::default(), ReadBuffer::new());
            progress.start(&[Request::Read], 1, true);
            assert_eq!(feed(&mut progress, &mut input, &long(end)), Step::Draining, "{end:?}");
        }
    }

    #[test]
    fn a_long_value_answers_no_other_request() {
        for request in [
            Request::ReadClock,
            Request::CreateClock,
            Request::Delete {
                cas: crate::protocol::Cas::MIN,
            },
        ] {
            let (mut progress, mut input) = (Progress::default(), ReadBuffer::new());
            progress.start(&[request], 1, true);
            assert_eq!(feed(&mut progress, &mut input, b"VA 70000 c9 O1\r\n"), Step::Draining);
            assert!(progress.replies.is_empty());
        }
    }
}
