//! As much of memcached's protocol as a test needs to see where an exchange begins and ends, and what the server keeps.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// What a batch of commands is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// `stats`, which opens every connection.
    Handshake,
    /// An attempt to store a lock where there is none.
    Acquire,
    /// A lock's item is written anew: a renewal, or a take-over.
    Rewrite,
    /// A delete: a release, or cleaning up.
    Delete,
    /// Nothing but reads.
    Look,
    /// The clock item is made.
    MakeClock,
}

/// What `request` is for, and how many replies it awaits. `None` as long as it is not complete.
pub(crate) fn parse_request(request: &[u8]) -> Option<(Kind, usize)> {
    let mut kind = Kind::Look;
    let mut commands = 0;
    let mut rest = request;
    while !rest.is_empty() {
        let (line, after) = split_line(rest)?;
        rest = after;
        commands += 1;
        let text = String::from_utf8_lossy(line);
        let words: Vec<&str> = text.split(' ').collect();
        match *words.as_slice() {
            ["stats", ..] => kind = Kind::Handshake,
            ["md", ..] => kind = Kind::Delete,
            ["ms", item, length, ..] => {
                rest = rest.get(length.parse::<usize>().ok()? + 2..)?;
                kind = if item == "memlock:clock" {
                    Kind::MakeClock
                } else if words.contains(&"ME") {
                    Kind::Acquire
                } else {
                    Kind::Rewrite
                };
            }
            _ => {}
        }
    }
    (commands > 0).then_some((kind, commands))
}

/// Reads the `awaited` replies to a batch of that kind. `None` when the server closes before the last has come.
pub(crate) fn read_replies(server: &mut TcpStream, kind: Kind, awaited: usize) -> Option<Vec<u8>> {
    let mut replies = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !are_complete(&replies, kind, awaited) {
        let count = server.read(&mut buffer).ok().filter(|count| *count > 0)?;
        replies.extend_from_slice(buffer.get(..count)?);
    }
    Some(replies)
}

fn are_complete(replies: &[u8], kind: Kind, awaited: usize) -> bool {
    let mut rest = replies;
    let mut complete = 0;
    while let Some((line, after)) = split_line(rest) {
        rest = after;
        complete += usize::from(kind != Kind::Handshake || line == b"END");
        if let Some(length) = value_length(line) {
            match rest.get(length + 2..) {
                Some(after) => rest = after,
                None => return false,
            }
        }
    }
    complete >= awaited && rest.is_empty()
}

fn value_length(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line.strip_prefix(b"VA ")?).ok()?;
    text.split(' ').next()?.parse().ok()
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 2..)?))
}

/// An item as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) cas: u64,
    pub(crate) value: String,
}

/// A connection of the test's own, on which the server tells what it keeps.
#[derive(Debug)]
pub(crate) struct Probe(TcpStream);

impl Probe {
    pub(crate) fn of(address: &str) -> Probe {
        let stream = TcpStream::connect(address).expect("the server runs");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Probe(stream)
    }

    /// The server's answer to one meta command.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.0.write_all(command.as_bytes()).expect("the server listens");
        self.0.write_all(b"\r\n").expect("the server listens");
        let replies = read_replies(&mut self.0, Kind::Look, 1).expect("the server answers");
        String::from_utf8(replies).expect("items of locks are text")
    }

    pub(crate) fn item(&mut self, name: &str) -> Option<Item> {
        let reply = self.ask(&format!("mg {name} c v"));
        let (head, rest) = reply.split_once("\r\n").expect("a line");
        let cas = head.strip_prefix("VA ")?.split(" c").nth(1)?;
        Some(Item {
            cas: cas.parse().expect("a number"),
            value: rest.trim_end().to_owned(),
        })
    }
}
