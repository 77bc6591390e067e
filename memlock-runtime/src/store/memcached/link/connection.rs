//! One connection to one instance of a server: the handshake, sending a batch, receiving its replies. It is at most in
//! one exchange at a time, and decides nothing about what a failure means.

use std::time::Instant;

use crate::protocol::{Instance, Request};
use crate::store::memcached::codec::handshake::{GREETING, Handshake, Peer};
use crate::store::memcached::codec::progress::{Progress, Step};
use crate::store::memcached::codec::translate::{self, Names};
use crate::store::memcached::failure::{ConnectError, Failure, TransferError, quoted};
use crate::store::memcached::socket::transport::{Limit, ReadBuffer, Stream, Transport};

/// How often it is read from at most, when nobody is to wait for it: the longest reply fits in several times.
const MOST_READS: u32 = 64;

/// A connection that has passed the handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: Transport,
    peer: Peer,
    /// Counts all requests of the connection, so that a reply that is late by an exchange never fits.
    next_opaque: u64,
    /// Reused for every batch.
    output: Vec<u8>,
    /// The replies to the batch that was sent last.
    pub(crate) progress: Progress,
    /// Whether the server has been told that nothing more will come.
    has_finished: bool,
    /// Since when it may have been idle.
    pub(crate) idle_since: Instant,
}

impl Connection {
    /// Opens a connection over `stream`: one packet there, its replies back.
    pub(crate) fn open(stream: Stream, limit: &mut Limit) -> Result<Box<Connection>, ConnectError> {
        let mut transport = Transport::new(stream);
        let mut handshake = Handshake::default();
        limit.look();
        // A server that refuses the connection may close before it has read anything; its reason is in the input.
        let mut unsent = transport.write_all(GREETING, limit).err().map(|(_, error)| error);
        loop {
            if let Some(peer) = handshake.read(&mut transport.input)? {
                nothing_more(&transport.input)?;
                return Ok(Box::new(Connection {
                    peer,
                    idle_since: limit.began(),
                    next_opaque: 1,
                    output: Vec::new(),
                    progress: Progress::default(),
                    has_finished: false,
                    transport,
                }));
            }
            let read = if limit.look().is_zero() {
                Err(TransferError::TimedOut)
            } else {
                transport.read(limit)
            };
            if let Err(error) = read {
                return Err(unsent.take().unwrap_or(error).into());
            }
        }
    }

    /// Takes an idle connection apart: its stream, the peer, and the next opaque.
    pub(crate) fn into_parts(self) -> (Stream, Peer, u64) {
        (self.transport.into_stream(), self.peer, self.next_opaque)
    }

    pub(crate) fn instance(&self) -> Instance {
        self.peer.instance
    }

    pub(crate) fn evicts(&self) -> bool {
        self.peer.evicts
    }

    /// Whether an idle connection is still open and quiet.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.transport.is_idle()
    }

    /// Prepares `batch` for [`send`](Self::send). The error says what is wrong with a request; the connection is as good as
    /// before.
    pub(crate) fn encode(&mut self, batch: &[Request], names: Names<'_>) -> Result<(), String> {
        self.output.clear();
        self.progress.start(batch, self.next_opaque, self.peer.opaque_on_miss);
        for request in batch {
            translate::encode(request, names, self.next_opaque, &mut self.output)?;
            self.next_opaque = self.next_opaque.wrapping_add(1);
        }
        Ok(())
    }

    /// Sends the encoded batch in one packet. The error comes with the number of bytes that the kernel took.
    pub(crate) fn send(&mut self, limit: &mut Limit) -> Result<(), (usize, TransferError)> {
        self.transport.write_all(&self.output, limit)
    }

    /// Receives until all replies are there, or no more can come. After [`TransferError::TimedOut`] it can be called again.
    pub(crate) fn receive(&mut self, limit: &mut Limit) -> Result<(), TransferError> {
        while !self.advance()? {
            // The clock is read only after bytes that were not enough.
            if self.progress.begun && limit.look().is_zero() {
                return Err(TransferError::TimedOut);
            }
            self.transport.read(limit)?;
        }
        Ok(())
    }

    /// The same with what has come, without blocking, and without being kept by a server that sends and sends.
    pub(crate) fn receive_now(&mut self) -> Result<(), TransferError> {
        for _ in 0..MOST_READS {
            if self.advance()? {
                return Ok(());
            }
            if !self.transport.read_now()? {
                break;
            }
        }
        Err(TransferError::TimedOut)
    }

    /// Uses up what has been read. Whether all replies are there.
    fn advance(&mut self) -> Result<bool, TransferError> {
        match self.progress.advance(&mut self.transport.input) {
            Step::Complete => Ok(true),
            Step::Reading => Ok(false),
            // Nothing can have been changed, so nothing needs to be waited for.
            Step::Draining if !self.progress.is_write_open() => {
                Err(TransferError::Closed(std::io::ErrorKind::InvalidData.into()))
            }
            // What was sent will be executed all the same. Only when the server has closed is that over.
            Step::Draining => {
                if !std::mem::replace(&mut self.has_finished, true) {
                    self.transport.finish();
                }
                Ok(false)
            }
        }
    }

    /// Whether the connection may be used for another batch, now that all replies to the last one are there.
    pub(crate) fn is_reusable(&self) -> bool {
        // A byte too many belongs to no request: what comes next on this connection would not be in step.
        self.progress.is_in_step() && self.transport.input.unread().is_empty()
    }
}

/// What has come before it was asked for would be taken for the reply to what is asked next.
pub(crate) fn nothing_more(input: &ReadBuffer) -> Result<(), ConnectError> {
    match input.unread() {
        [] => Ok(()),
        more => Err(ConnectError::from(Failure::new(format!(
            "it does not keep to the protocol: after its reply to `stats` comes {}",
            quoted(more)
        )))),
    }
}
