//! Bytes to and from a server: one limit for a whole exchange, one system call for a whole batch, and a read buffer of
//! bounded size. It knows no commands.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::store::memcached::failure::TransferError;
use crate::system::clock;

#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// How much later than the limit a blocked call may return. A socket's timers are set again only if they are off by
/// more: the limits of consecutive exchanges differ by microseconds, and setting the timers costs two system calls.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The shortest timer that is set; zero would mean "for ever".
const SHORTEST_TIMER: Duration = Duration::from_millis(1);

/// Longer limits are cut to this, so that adding one to an `Instant` does not overflow.
const LONGEST_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// The longest reply line. Usual lines have fewer than 100 bytes, and error lines are a sentence.
pub(crate) const LONGEST_LINE: usize = 2048;

/// The longest value that is written or read. A record has a few hundred bytes, or a few thousand with the full name of
/// a huge key. No memory is allocated for a longer value that a peer announces.
pub(crate) const LONGEST_VALUE: usize = 64 * 1024;

/// A whole reply: its line, its value, and two line ends.
const LARGEST_INPUT: usize = LONGEST_LINE + LONGEST_VALUE + 4;

/// The initial size of a read buffer: many times the replies to a usual batch.
const USUAL_INPUT: usize = 4096;

/// The time limit of an exchange. What is left is as of the last [`refresh`](Self::refresh), so that a usual exchange
/// reads the clock once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    began: Instant,
    until: Instant,
    left: Duration,
}

impl Limit {
    pub(crate) fn new(limit: Duration) -> Limit {
        let began = clock::instant();
        let left = limit.min(LONGEST_LIMIT);
        Limit {
            began,
            until: began + left,
            left,
        }
    }

    /// When the limit began: an instant in the past that costs no system call.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// When the limit ends.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// The whole length of the limit.
    pub(crate) fn length(&self) -> Duration {
        self.until.saturating_duration_since(self.began)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left.is_zero()
    }

    /// What was left at the last refresh.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// When the last refresh was.
    pub(crate) fn refreshed_at(&self) -> Instant {
        self.until.checked_sub(self.left).unwrap_or(self.began)
    }

    /// Whether `part` is at least three quarters of the limit.
    pub(crate) fn is_most(&self, part: Duration) -> bool {
        part >= self.length() / 4 * 3
    }

    /// Reads the clock. Returns what is left, zero when the limit is over.
    pub(crate) fn refresh(&mut self) -> Duration {
        self.left = self.until.saturating_duration_since(clock::instant());
        self.left
    }
}

/// Whether a non-blocking call has to be made again later.
pub(crate) fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// A connected socket. TLS will be one more of these.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Local(UnixStream),
}

/// Calls a method that both kinds of socket have.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            #[cfg(unix)]
            Stream::Local($socket) => $call,
        }
    };
}

/// A connected socket with its timers and its unread input.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: Stream,
    /// The value of both timers of the socket; zero if they are not set yet.
    armed: Duration,
    pub(crate) input: ReadBuffer,
}

impl Transport {
    pub(crate) fn new(stream: Stream) -> Transport {
        Transport {
            stream,
            armed: Duration::ZERO,
            input: ReadBuffer::new(),
        }
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Writes all of `bytes`. The error comes with the number of bytes that the kernel took.
    pub(crate) fn write_all(&mut self, bytes: &[u8], limit: &mut Limit) -> Result<(), (usize, TransferError)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = bytes.len() - rest.len();
            self.arm(limit.left).map_err(|error| (taken, error))?;
            match either!(&mut self.stream, socket => socket.write(rest)) {
                Ok(0) => return Err((taken, TransferError::Closed(io::ErrorKind::WriteZero.into()))),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => self.check_retry(error, limit).map_err(|error| (taken, error))?,
            }
        }
        Ok(())
    }

    /// Reads once, into [`Transport::input`]: at least one byte.
    pub(crate) fn read(&mut self, limit: &mut Limit) -> Result<(), TransferError> {
        loop {
            self.arm(limit.left)?;
            let stream = &mut self.stream;
            let filled = self.input.fill(|room| either!(stream, socket => socket.read(room)));
            match filled {
                Ok(()) => return Ok(()),
                Err(error) => self.check_retry(error, limit)?,
            }
        }
    }

    /// Reads what has arrived, without blocking. `false` if nothing has.
    pub(crate) fn read_now(&mut self) -> Result<bool, TransferError> {
        let stream = &mut self.stream;
        let filled = self.input.fill(|room| {
            either!(stream, socket => {
                socket.set_nonblocking(true).and_then(|()| {
                    let read = socket.read(room);
                    socket.set_nonblocking(false).and(read)
                })
            })
        });
        match filled {
            Ok(()) => Ok(true),
            Err(error) if is_for_later(&error) => Ok(false),
            Err(error) => Err(TransferError::from(error)),
        }
    }

    /// Whether an idle connection can be used: it is open, and no byte has arrived unasked.
    pub(crate) fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        let nothing_to_read = either!(&mut self.stream, socket => {
            socket.set_nonblocking(true).is_ok()
                && socket.read(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
                && socket.set_nonblocking(false).is_ok()
        });
        nothing_to_read && self.input.unread().is_empty()
    }

    /// Tells the server that no more commands will come. It executes those that it has, and closes the connection.
    pub(crate) fn finish(&mut self) {
        // A failure means that the connection is closed already. The next read has the better error.
        let _ = either!(&self.stream, socket => socket.shutdown(Shutdown::Write));
    }

    /// Makes sure that no call blocks for longer than `left`.
    fn arm(&mut self, left: Duration) -> Result<(), TransferError> {
        if !self.armed.is_zero() && self.armed <= left + TIMER_SLACK {
            return Ok(());
        }
        self.set_timers(left)
    }

    fn set_timers(&mut self, left: Duration) -> Result<(), TransferError> {
        let timer = left.max(SHORTEST_TIMER);
        either!(&self.stream, socket => {
            socket.set_read_timeout(Some(timer)).and_then(|()| socket.set_write_timeout(Some(timer)))
        })
        .map_err(TransferError::Lost)?;
        self.armed = timer;
        Ok(())
    }

    /// Decides after a call that moved no byte. `Ok`: it must be made again.
    fn check_retry(&mut self, error: io::Error, limit: &mut Limit) -> Result<(), TransferError> {
        // If timers report `WouldBlock`, `TimedOut` comes from the network, which gave up on the peer.
        let timer =
            error.kind() == io::ErrorKind::WouldBlock || (cfg!(windows) && error.kind() == io::ErrorKind::TimedOut);
        if !timer && error.kind() != io::ErrorKind::Interrupted {
            return Err(TransferError::from(error));
        }
        let left = limit.refresh();
        if left.is_zero() {
            return Err(TransferError::TimedOut);
        }
        if timer {
            // The timer was set for a shorter limit, or fired early.
            self.set_timers(left)?;
        }
        Ok(())
    }
}

/// Bytes that were read and not yet used, in a reused buffer that never grows beyond the largest reply.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    pub(crate) fn new() -> ReadBuffer {
        ReadBuffer {
            bytes: vec![0; USUAL_INPUT],
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops the first `count` unread bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Reads at least one more byte. The end of the stream is an error, and so is a reply that is too long.
    pub(crate) fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        let room = self.room().ok_or_else(|| io::Error::other("the reply is too long"))?;
        match read(room)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.filled(count);
                Ok(())
            }
        }
    }

    /// Room for more bytes. `None` if the unread bytes are as long as the largest reply.
    fn room(&mut self) -> Option<&mut [u8]> {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else if self.end < LARGEST_INPUT {
                // It grows with the bytes that have arrived, not with an announced length.
                self.bytes.resize((self.end * 2).min(LARGEST_INPUT), 0);
            }
        }
        self.bytes.get_mut(self.end..).filter(|room| !room.is_empty())
    }

    fn filled(&mut self, count: usize) {
        self.end = self.bytes.len().min(self.end + count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(input: &mut ReadBuffer, mut bytes: &[u8]) -> bool {
        input.fill(|room| bytes.read(room)).is_ok()
    }

    #[test]
    fn the_buffer_never_grows_beyond_the_largest_reply() {
        let mut input = ReadBuffer::new();
        let mut pushes = 0;
        while push(&mut input, &[b'x'; 1000]) {
            pushes += 1;
            assert!(pushes < 1000, "it grows without end");
        }
        assert_eq!(input.unread().len(), LARGEST_INPUT);
        input.consume(10);
        assert!(push(&mut input, b"0123456789"));
        assert!(input.unread().ends_with(b"x0123456789"));
        input.consume(usize::MAX >> 1);
        assert!(input.unread().is_empty());
    }

    #[test]
    fn the_longest_limit_does_not_overflow() {
        assert!(!Limit::new(Duration::MAX).is_over());
        assert!(Limit::new(Duration::ZERO).is_over());
    }
}
