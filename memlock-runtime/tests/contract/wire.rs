//! memcached's protocol, written by hand: for facts about the server itself, and for requests that memlock never makes.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use memlock_testkit::Memcached;

/// How long a reply may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Arguments for a server that is soon full, evicts nothing, and does not move memory between slab classes.
pub(crate) const SMALL: &[&str] = &["-m", "2", "-M", "-o", "no_slab_automove"];

/// How many fillers are sent at once. The server counts as full when it refuses all of them.
const FILLERS: usize = 500;

/// The CAS of the first store on an instance.
pub(crate) fn first_cas(server: &Memcached) -> u64 {
    if server.version() >= [1, 6, 27] { 2 } else { 1 }
}

/// One connection.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
    /// Up to memcached 1.6.17, the code in the reply to a delete is followed by a space, and by another before a flag.
    codes_end_in_a_space: bool,
}

impl Wire {
    pub(crate) fn to(server: &Memcached) -> Wire {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).expect("memcached listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket takes a limit");
        stream.set_nodelay(true).expect("a socket can be told not to wait");
        Wire {
            stream: BufReader::new(stream),
            codes_end_in_a_space: server.version() < [1, 6, 18],
        }
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.stream.get_mut().write_all(bytes.as_bytes()).expect("sent");
    }

    /// The next line as newer versions of memcached write it, without its end. The tests store only text.
    pub(crate) fn line(&mut self) -> String {
        let mut line = self.raw_line();
        let has_space_too_many = matches!(line.as_bytes(), [_, _, b' '] | [_, _, b' ', b' ', ..]);
        if self.codes_end_in_a_space && has_space_too_many {
            line.remove(2);
        }
        line
    }

    /// The next line as this version of memcached writes it.
    pub(crate) fn raw_line(&mut self) -> String {
        self.next_line().expect("memcached answers")
    }

    /// The next line; `UnexpectedEof` when the server has closed.
    pub(crate) fn next_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        }
    }

    /// Sends `bytes`, and returns the first line of the reply.
    pub(crate) fn ask(&mut self, bytes: &str) -> String {
        self.send(bytes);
        self.line()
    }

    /// Waits until a reply has come, and leaves it unread: closing a connection with unread input resets it.
    pub(crate) fn leave_unread(&self) {
        let come = self.stream.get_ref().peek(&mut [0]).expect("memcached answers");
        assert_eq!(come, 1, "memcached closed");
    }

    /// Uses up all memory for items of a lock's size, and for smaller and somewhat larger ones. Each call needs a new
    /// `round`, which gives the fillers new names: a refused filler would delete an old one of its name, and make room.
    pub(crate) fn fill(&mut self, round: usize) {
        for size in sizes() {
            let mut number = 0;
            loop {
                let mut commands = String::new();
                let value = "x".repeat(size);
                for _ in 0..FILLERS {
                    write!(
                        commands,
                        "ms {} {size} ME T0 q\r\n{value}\r\n",
                        filler(round, size, number)
                    )
                    .expect("text");
                    number += 1;
                }
                // A filler that is stored has no reply. The reply to `mn` is the last.
                self.send(&(commands + "mn\r\n"));
                let mut refused = 0;
                loop {
                    match self.line().as_str() {
                        "MN" => break,
                        "SERVER_ERROR out of memory storing object" => refused += 1,
                        other => panic!("a filler was answered {other:?}"),
                    }
                }
                if refused == FILLERS {
                    break;
                }
            }
        }
    }

    /// Makes room again: deletes fillers of the first round.
    pub(crate) fn free(&mut self) {
        for size in sizes() {
            for number in 0..FILLERS {
                let said = self.ask(&format!("md {}\r\n", filler(0, size, number)));
                assert!(said == "HD" || said == "NF", "{said}");
            }
        }
    }
}

/// Sizes of fillers, in smaller steps than from one slab class to the next.
fn sizes() -> impl Iterator<Item = usize> {
    (0..320).step_by(16)
}

fn filler(round: usize, size: usize, number: usize) -> String {
    format!("filler:{round}:{size}:{number}")
}
