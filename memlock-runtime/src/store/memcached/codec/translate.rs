//! Requests as commands of memcached's meta protocol, and reply lines as [`Reply`]s. This is the only file that names
//! the `memcache` crate: its [`MetaCommand`] writes the commands up to their flags, and their values, and its
//! [`ReturnCode`] reads the first word of a reply.
//!
//! Replies are judged strictly: what a server may not answer to a command is a protocol violation, never a success. The
//! crate's parsers will not do for that: `parse_header` hides the length of the value, and `parse_meta_result` takes
//! the last of two equal flags and accepts `c+5`.

use memcache::exp::{MetaCommand, MetaOp, ReturnCode};

use super::{record, wait_list};
use crate::key::ItemName;
use crate::protocol::lease::{CLOCK_ITEM_EXPIRY, clock_item_ttl};
use crate::protocol::{Cas, Content, Refusal, Reply, Request, WaitList};
use crate::store::memcached::failure::quoted;
use crate::store::memcached::socket::transport::LONGEST_VALUE;
use crate::system::clock;
use crate::text::digits;

/// The value of the clock item. Nothing reads it. It is not empty, since some clients take an empty item for a
/// placeholder.
const CLOCK_VALUE: &[u8] = b"1 clock";

/// What kind of reply a request expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpectedReply {
    Clock,
    Raised,
    Added,
    Replaced,
    Deleted,
    Item,
    WaitList,
}

impl ExpectedReply {
    pub(crate) fn to(request: &Request) -> ExpectedReply {
        match request {
            Request::ReadClock => ExpectedReply::Clock,
            Request::RaiseCounter => ExpectedReply::Raised,
            Request::CreateClock | Request::Add { .. } | Request::StoreWaitList { cas: None, .. } => {
                ExpectedReply::Added
            }
            Request::Replace { .. } | Request::StoreWaitList { cas: Some(_), .. } => ExpectedReply::Replaced,
            Request::Delete { .. } | Request::DeleteWaitList { .. } => ExpectedReply::Deleted,
            Request::Read => ExpectedReply::Item,
            Request::ReadWaitList => ExpectedReply::WaitList,
        }
    }

    /// Whether the request changes the server's state: [`Request::writes`].
    pub(crate) fn writes(self) -> bool {
        !matches!(
            self,
            ExpectedReply::Clock | ExpectedReply::Raised | ExpectedReply::Item | ExpectedReply::WaitList
        )
    }

    /// Whether the request has a data block. A server that refuses the command line may take the block for commands.
    pub(crate) fn has_data_block(self) -> bool {
        matches!(self, ExpectedReply::Added | ExpectedReply::Replaced)
    }
}

/// The items that requests are about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// The lock's item. The name of its wait list follows from it.
    pub(crate) item: &'a ItemName,
    pub(crate) shared: &'a SharedItems,
}

/// The two items that all locks on a server share: the clock item, which tells the server's second, and the counter
/// from which fencing tokens are made.
#[derive(Debug)]
pub(crate) struct SharedItems {
    clock: ItemName,
    /// Commands without flags. They are in every batch that acquires a lock, and always the same.
    read_clock: Result<Vec<u8>, String>,
    raise_counter: Result<Vec<u8>, String>,
}

impl SharedItems {
    /// The items whose names begin with `prefix`.
    pub(crate) fn new(prefix: &str) -> SharedItems {
        let command = |op, name: &ItemName| {
            let mut out = Vec::new();
            write(op, name.as_ref(), None, &mut out).map(|_| out)
        };
        let clock = ItemName::of_clock(prefix);
        SharedItems {
            read_clock: command(MetaOp::Get, &clock),
            raise_counter: command(MetaOp::Arithmetic, &ItemName::of_counter(prefix)),
            clock,
        }
    }
}

/// Appends `request` to `out` as a command that is marked with `opaque`. The error says what is wrong with the request;
/// nothing is appended then.
pub(crate) fn encode(request: &Request, names: Names<'_>, opaque: u64, out: &mut Vec<u8>) -> Result<(), String> {
    let Names { item, shared } = names;
    let name = item.as_ref();
    let (behind_flags, flags, ttl, cas) = match request {
        Request::ReadClock => (copy(&shared.read_clock, out)?, " t", None, None),
        Request::CreateClock => {
            let behind_flags = write(MetaOp::Set, shared.clock.as_ref(), Some(CLOCK_VALUE.to_vec()), out)?;
            (behind_flags, " ME c", Some(clock_item_ttl(clock::unix_second())), None)
        }
        // `N0` creates the counter where it is missing, without an expiry. Its number is of no use: it begins again
        // with each flush. Its CAS does not, and memcached draws it when it executes the command, while it may draw the
        // CAS of a store before the data has arrived.
        Request::RaiseCounter => (copy(&shared.raise_counter, out)?, " c N0 J1", None, None),
        Request::Add { record, ttl } => {
            let behind_flags = write(MetaOp::Set, name, Some(value_of(item, record)?), out)?;
            (behind_flags, " ME c", Some(u64::from(*ttl)), None)
        }
        Request::Replace { record, ttl, cas } => {
            let behind_flags = write(MetaOp::Set, name, Some(value_of(item, record)?), out)?;
            (behind_flags, " c", Some(u64::from(*ttl)), Some(*cas))
        }
        Request::Delete { cas } => (write(MetaOp::Delete, name, None, out)?, "", None, Some(*cas)),
        Request::Read => (write(MetaOp::Get, name, None, out)?, " v c", None, None),
        Request::ReadWaitList => (write(MetaOp::Get, item.of_line(), None, out)?, " v c", None, None),
        Request::StoreWaitList { line, ttl, cas } => {
            let behind_flags = write(MetaOp::Set, item.of_line(), Some(wait_list::encode(line)), out)?;
            let flags = if cas.is_none() { " ME c" } else { " c" };
            (behind_flags, flags, Some(u64::from(*ttl)), *cas)
        }
        Request::DeleteWaitList { cas } => (write(MetaOp::Delete, item.of_line(), None, out)?, "", None, Some(*cas)),
    };
    let written = out.len();
    out.extend_from_slice(flags.as_bytes());
    for (letter, number) in [(b'T', ttl), (b'C', cas.map(Cas::get)), (b'O', Some(opaque))] {
        if let Some(number) = number {
            out.extend_from_slice(&[b' ', letter]);
            digits::push(out, number);
        }
    }
    let length = out.len() - written;
    out[written - behind_flags..].rotate_right(length);
    Ok(())
}

/// Appends a command without flags: the crate takes each flag on the heap. Returns how many bytes follow the place of
/// the flags, which are the line end, and a value with its own.
///
/// The crate refuses a name that is too long, and encodes one with a space or a control character in base64, so that no
/// name can become a second command.
fn write(op: MetaOp, name: impl Into<Vec<u8>>, value: Option<Vec<u8>>, out: &mut Vec<u8>) -> Result<usize, String> {
    let (start, mut behind_flags) = (out.len(), LINE_END);
    let mut command = MetaCommand::new(op, name);
    if let Some(value) = value {
        behind_flags += value.len() + LINE_END;
        command = command.value(value);
    }
    let written = command.encode_into(out).map(|()| behind_flags);
    written.map_err(|error| {
        // It may have appended the start of the command.
        out.truncate(start);
        format!("the request cannot be sent: {error}")
    })
}

/// Does the same as [`write`] with what it has written before.
fn copy(command: &Result<Vec<u8>, String>, out: &mut Vec<u8>) -> Result<usize, String> {
    out.extend_from_slice(command.as_ref().map_err(String::clone)?);
    Ok(LINE_END)
}

/// The length of a line end.
const LINE_END: usize = 2;

fn value_of(item: &ItemName, record: &crate::protocol::Record) -> Result<Vec<u8>, String> {
    let value = record::encode(record);
    if value.len() > LONGEST_VALUE {
        return Err(format!(
            "the key of `{item}` is too long: its item would have {} bytes, and may have {LONGEST_VALUE}: use a \
             shorter key",
            value.len()
        ));
    }
    Ok(value)
}

/// What a reply line proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    /// The reply to the request.
    Reply(Reply),
    /// The server refused the request. Error lines carry no opaque: only its place shows that it belongs to this
    /// request.
    Refused {
        reply: Reply,
        /// `SERVER_ERROR`: the server read the command, and its data block as a data block.
        understood: bool,
    },
    /// The server violated the protocol: the line proves nothing, and the connection cannot be trusted.
    Violation(String),
}

/// The value of a `VA` reply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Whole(&'a [u8]),
    /// A value of this length, which was not read: it is longer than any that this library writes.
    Long(u64),
}

impl Value<'_> {
    fn length(self) -> u64 {
        match self {
            Value::Whole(bytes) => bytes.len() as u64,
            Value::Long(length) => length,
        }
    }
}

/// Judges one reply: its line, without the line end, and its value if it is a `VA`.
pub(crate) fn judge(
    expected: ExpectedReply,
    opaque: u64,
    opaque_on_miss: bool,
    line: &[u8],
    value: Option<Value<'_>>,
) -> Judged {
    let mut tokens = line.split(|byte| *byte == b' ').filter(|token| !token.is_empty());
    let word = tokens.next().unwrap_or_default();
    match word {
        b"SERVER_ERROR" => return refused(line, true),
        b"CLIENT_ERROR" | b"ERROR" => return refused(line, false),
        _ => {}
    }
    let violation = |what: &str| Judged::Violation(format!("{what} in its reply {}", quoted(line)));
    let Ok(code) = ReturnCode::from_wire(word) else {
        return violation("an unknown return code");
    };
    if code == ReturnCode::Va && tokens.next().and_then(digits::parse) != value.map(Value::length) {
        return violation("a length that is not the value's");
    }
    let Some(flags) = Flags::of(tokens) else {
        return violation("a malformed or repeated flag");
    };
    match flags.opaque {
        Some(echoed) if echoed == opaque => {}
        None if code == ReturnCode::En && !opaque_on_miss => {}
        _ => return violation("no opaque, or another request's,"),
    }
    let cas = flags.cas.and_then(Cas::new);
    let reply = match (expected, code) {
        (ExpectedReply::Clock, ReturnCode::Hd) => match flags.left.and_then(clock_of) {
            Some(second) => Reply::Clock(second),
            None => return violation("no expiry of the clock item (delete that item: it is created again)"),
        },
        (ExpectedReply::Clock | ExpectedReply::Item | ExpectedReply::WaitList, ReturnCode::En)
        | (ExpectedReply::Replaced | ExpectedReply::Deleted, ReturnCode::Nf) => Reply::Missing,
        // Only a CAS above zero is a proof: a server without CAS answers zero.
        (ExpectedReply::Added | ExpectedReply::Replaced, ReturnCode::Hd) => match cas {
            Some(cas) => Reply::Stored(cas),
            None => return violation("no CAS"),
        },
        // The counter was raised or created. `NF` (without `N`), `EX` (without `C`) and `NS` do not answer the request.
        (ExpectedReply::Raised, ReturnCode::Hd) => match cas {
            Some(cas) => Reply::Raised(cas),
            None => return violation("no CAS"),
        },
        (ExpectedReply::Added, ReturnCode::Ns) => Reply::NotStored,
        (ExpectedReply::Replaced | ExpectedReply::Deleted, ReturnCode::Ex) => Reply::Exists,
        (ExpectedReply::Deleted, ReturnCode::Hd) => Reply::Deleted,
        (ExpectedReply::Item, ReturnCode::Va) => match (cas, value) {
            (Some(cas), Some(value)) => Reply::Item {
                // An item that this library did not write counts as a lock of another client.
                content: Box::new(match value {
                    Value::Whole(bytes) => record::decode(bytes),
                    Value::Long(_) => Content::Foreign,
                }),
                cas,
            },
            _ => return violation("no CAS"),
        },
        (ExpectedReply::WaitList, ReturnCode::Va) => match (cas, value) {
            (Some(cas), Some(value)) => Reply::WaitList {
                // As any wait list that cannot be read: the next process that waits writes it anew.
                line: match value {
                    Value::Whole(bytes) => wait_list::decode(bytes),
                    Value::Long(_) => WaitList::default(),
                },
                cas,
            },
            _ => return violation("no CAS"),
        },
        _ => return violation("a return code that does not answer the request"),
    };
    Judged::Reply(reply)
}

fn refused(line: &[u8], understood: bool) -> Judged {
    let text = String::from_utf8_lossy(line);
    Judged::Refused {
        reply: Reply::Refused(Refusal(text.trim_end().into())),
        understood,
    }
}

/// The server's second: the clock item expires at a known second, or is read as if it did, and `left` seconds are left.
fn clock_of(left: u64) -> Option<u64> {
    CLOCK_ITEM_EXPIRY.checked_sub(left)
}

/// The flags of a reply that are used.
#[derive(Debug, Default)]
struct Flags {
    cas: Option<u64>,
    /// Seconds until expiry.
    left: Option<u64>,
    opaque: Option<u64>,
}

impl Flags {
    /// Returns `None` if one of these flags is repeated, or is not a plain number. Other flags are ignored.
    fn of<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Option<Flags> {
        let mut flags = Flags::default();
        for flag in tokens {
            let (field, digits) = match flag.split_first()? {
                (b'c', digits) => (&mut flags.cas, digits),
                // `t-1`: the item has no expiry.
                (b't', b"-1") => continue,
                (b't', digits) => (&mut flags.left, digits),
                (b'O', digits) => (&mut flags.opaque, digits),
                _ => continue,
            };
            if field.replace(digits::parse(digits)?).is_some() {
                return None;
            }
        }
        Some(flags)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::{Member, Nonce, Record};

    fn record() -> Record {
        Record {
            nonce: Nonce(0xff),
            lease: Duration::from_secs(5),
            renewal: 0,
            label: "h".into(),
            full_name: None,
        }
    }

    fn wire(request: &Request) -> String {
        wire_of("k", request)
    }

    fn wire_of(key: &str, request: &Request) -> String {
        let item = &ItemName::of_lock("memlock", "f", key);
        let shared = &SharedItems::new("memlock");
        let mut out = Vec::new();
        encode(request, Names { item, shared }, 7, &mut out).expect("valid");
        String::from_utf8(out).expect("text")
    }

    fn cas(number: u64) -> Cas {
        Cas::new(number).expect("not zero")
    }

    #[test]
    fn each_request_is_one_command_of_the_meta_protocol() {
        let line = "1 000000000000000000000000000000ff 5000000 0 h";
        let record = record();
        let add = Request::Add {
            record: record.clone(),
            ttl: 13,
        };
        let replace = Request::Replace {
            record,
            ttl: 13,
            cas: cas(u64::MAX),
        };
        let delete = Request::Delete { cas: cas(9) };
        assert_eq!(wire(&Request::ReadClock), "mg memlock:clock t O7\r\n");
        assert_eq!(
            wire(&Request::CreateClock),
            "ms memlock:clock 7 ME c T2147483647 O7\r\n1 clock\r\n"
        );
        assert_eq!(wire(&Request::RaiseCounter), "ma memlock:tokens c N0 J1 O7\r\n");
        assert_eq!(wire(&add), format!("ms memlock:f:k 46 ME c T13 O7\r\n{line}\r\n"));
        assert_eq!(
            wire(&replace),
            format!("ms memlock:f:k 46 c T13 C18446744073709551615 O7\r\n{line}\r\n")
        );
        assert_eq!(wire(&delete), "md memlock:f:k C9 O7\r\n");
        assert_eq!(wire(&Request::Read), "mg memlock:f:k v c O7\r\n");
        let store = |cas| Request::StoreWaitList {
            line: WaitList(vec![Member::new(0xab, None)]),
            ttl: 300,
            cas,
        };
        let line = "2 00000000000000ab:0";
        assert_eq!(
            wire(&store(None)),
            format!("ms memlock:f:k%line 20 ME c T300 O7\r\n{line}\r\n")
        );
        assert_eq!(
            wire(&store(Some(cas(9)))),
            format!("ms memlock:f:k%line 20 c T300 C9 O7\r\n{line}\r\n")
        );
        let delete = Request::DeleteWaitList { cas: cas(9) };
        assert_eq!(wire(&delete), "md memlock:f:k%line C9 O7\r\n");
        assert_eq!(wire(&Request::ReadWaitList), "mg memlock:f:k%line v c O7\r\n");
    }

    #[test]
    fn a_prefix_with_a_line_break_does_not_become_a_second_command() {
        let item = &ItemName::of_lock("m", "f", "k");
        let shared = &SharedItems::new("p\r\nflush_all\r\n");
        let names = Names { item, shared };
        let mut out = Vec::new();
        encode(&Request::ReadClock, names, 7, &mut out).expect("base64");
        assert_eq!(out, b"mg cA0KZmx1c2hfYWxsDQo6Y2xvY2s= b t O7\r\n");
    }

    #[test]
    fn no_key_or_label_becomes_a_second_command() {
        let evil = "x\r\nflush_all\r\n";
        let mut record = record();
        record.label = evil.into();
        record.full_name = Some(evil.into());
        let text = wire_of(evil, &Request::Add { record, ttl: 13 });
        assert_eq!(text.matches("\r\n").count(), 2, "{text}");
        assert_eq!(text.matches('\n').count(), 2, "{text}");
    }

    #[test]
    fn a_record_too_long_to_be_read_back_is_not_sent() {
        let mut record = record();
        record.full_name = Some("x".repeat(LONGEST_VALUE).into());
        let item = &ItemName::of_lock("memlock", "f", &"x".repeat(LONGEST_VALUE));
        let shared = &SharedItems::new("memlock");
        let add = Request::Add { record, ttl: 13 };
        let error = encode(&add, Names { item, shared }, 7, &mut Vec::new()).expect_err("too long");
        assert!(error.contains("shorter key"), "{error}");
    }

    #[test]
    fn a_key_too_long_for_memcached_is_not_sent_and_leaves_the_output_as_it_was() {
        let item = &ItemName::of_lock("m", "f", "k");
        let shared = &SharedItems::new(&"p".repeat(251));
        let names = Names { item, shared };
        let mut out = b"before".to_vec();
        let error = encode(&Request::ReadClock, names, 7, &mut out).expect_err("too long");
        assert!(error.contains("250 bytes"), "{error}");
        assert_eq!(out, b"before");
    }

    fn reply(expected: ExpectedReply, line: &str) -> Judged {
        let value = line.starts_with("VA").then_some(Value::Whole(b"something else"));
        judge(expected, 7, true, line.as_bytes(), value)
    }

    #[test]
    fn a_clock_item_has_a_date_until_its_last_30_days() {
        for (second, ttl) in [
            (0, CLOCK_ITEM_EXPIRY),
            (2_144_891_646, CLOCK_ITEM_EXPIRY),
            (2_144_891_647, 2_592_000),
            (3_900_000_000, 2_592_000),
        ] {
            assert_eq!(clock_item_ttl(second), ttl, "created in {second}");
        }
    }

    #[test]
    fn each_legal_reply_is_understood() {
        use ExpectedReply::{Added, Clock, Deleted, Item, Raised, Replaced};
        for (awaited, line, expected) in [
            (Clock, "HD t0 O7", Reply::Clock(CLOCK_ITEM_EXPIRY)),
            (Clock, "HD t347483647 O7", Reply::Clock(1_800_000_000)),
            (Clock, "HD t2147483647 O7", Reply::Clock(0)),
            (Clock, "EN O7", Reply::Missing),
            (Added, "HD c1 O7", Reply::Stored(cas(1))),
            (Added, "HD O7 c18446744073709551615 Xnew", Reply::Stored(cas(u64::MAX))),
            (Added, "NS c0 O7", Reply::NotStored),
            (Added, "NS O7", Reply::NotStored),
            (Raised, "HD c2 O7", Reply::Raised(cas(2))),
            (Replaced, "HD c2 O7", Reply::Stored(cas(2))),
            (Replaced, "EX c0 O7", Reply::Exists),
            (Replaced, "NF c0 O7", Reply::Missing),
            (Deleted, "HD O7", Reply::Deleted),
            (Deleted, "EX O7", Reply::Exists),
            (Deleted, "NF O7", Reply::Missing),
            (Item, "EN O7", Reply::Missing),
            (
                Item,
                "VA 14 c5 W O7",
                Reply::Item {
                    content: Box::new(Content::Foreign),
                    cas: cas(5),
                },
            ),
            (ExpectedReply::WaitList, "EN O7", Reply::Missing),
            (
                ExpectedReply::WaitList,
                "VA 14 c5 W O7",
                Reply::WaitList {
                    line: WaitList::default(),
                    cas: cas(5),
                },
            ),
        ] {
            assert_eq!(reply(awaited, line), Judged::Reply(expected), "{line}");
        }
    }

    #[test]
    fn every_other_reply_is_a_violation_and_never_a_success() {
        use ExpectedReply::{Added, Clock, Deleted, Item, Replaced};
        for expected in [Clock, Added, Replaced, Deleted, Item, ExpectedReply::WaitList] {
            for line in [
                "",
                " ",
                "O7",
                "OK",
                "STORED",
                "HD",
                "HD O8",
                "HD O07",
                "HD O+7",
                "HD O",
                "HD c5",
                "HD c5 O",
                "EN",
                "EN O8",
                "HD c5 O7 O7",
                "HD c5 O7 O8",
                "HD t5 c5 c6 O7",
                "HD t5 t6 c5 O7",
                "NS c0",
                "EX c0",
                "NF",
                "NF O77",
                "MN",
                "ME O7",
                "ME x O7",
                "VA 14 c5",
                "VA c5 O7",
                "VA",
                "VA -1 c5 O7",
                "hd c5 t5 O7",
                "HD c5\tO7",
            ] {
                assert!(
                    matches!(reply(expected, line), Judged::Violation(_)),
                    "{expected:?} {line:?}"
                );
            }
        }
        for (expected, line) in [
            (Clock, "HD O7"),
            (Clock, "HD t-1 O7"),
            (Clock, "HD t-2 O7"),
            (Clock, "HD t2147483648 O7"),
            (Clock, "HD t O7"),
            (Clock, "HD t+5 O7"),
            (Clock, "NF O7"),
            (Clock, "VA 14 t5 O7"),
            (Added, "HD O7"),
            (Added, "HD c0 O7"),
            (Added, "HD c-1 O7"),
            (Added, "HD c+5 O7"),
            (Added, "HD c O7"),
            (Added, "HD c18446744073709551616 O7"),
            (Added, "EX c0 O7"),
            (Added, "NF c0 O7"),
            (Added, "EN O7"),
            (Added, "VA 14 c5 O7"),
            (Replaced, "NS c0 O7"),
            (Replaced, "HD c0 O7"),
            (Replaced, "EN O7"),
            (Deleted, "NS O7"),
            (Deleted, "EN O7"),
            (Item, "HD c5 O7"),
            (Item, "VA 14 O7"),
            (Item, "VA 14 c0 O7"),
            (Item, "NF O7"),
        ] {
            assert!(
                matches!(reply(expected, line), Judged::Violation(_)),
                "{expected:?} {line:?}"
            );
        }
    }

    #[test]
    fn a_refusal_keeps_the_servers_message() {
        for (line, understood) in [
            ("SERVER_ERROR out of memory storing object", true),
            ("CLIENT_ERROR bad command line format", false),
            ("ERROR", false),
            ("ERROR Too many open connections", false),
        ] {
            assert_eq!(
                reply(ExpectedReply::Added, line),
                Judged::Refused {
                    reply: Reply::Refused(Refusal(line.into())),
                    understood
                }
            );
        }
    }

    #[test]
    fn only_an_old_server_may_omit_the_opaque_and_only_on_a_miss() {
        let old = |expected, line: &str| judge(expected, 7, false, line.as_bytes(), None);
        assert_eq!(old(ExpectedReply::Item, "EN"), Judged::Reply(Reply::Missing));
        assert_eq!(old(ExpectedReply::Clock, "EN O7"), Judged::Reply(Reply::Missing));
        for (expected, line) in [
            (ExpectedReply::Item, "EN O8"),
            (ExpectedReply::Added, "EN"),
            (ExpectedReply::Added, "HD c5"),
            (ExpectedReply::Deleted, "NF"),
        ] {
            assert!(matches!(old(expected, line), Judged::Violation(_)), "{line}");
        }
    }
}
