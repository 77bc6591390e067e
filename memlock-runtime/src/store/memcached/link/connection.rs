//! One connection to one instance of a server, for one batch at a time: the handshake, sending a batch, receiving its
//! replies. What a failure means is decided in `direct`.

use std::time::Instant;

use crate::protocol::{Instance, Request};
use crate::store::memcached::codec::handshake::{GREETING, Handshake, Peer};
use crate::store::memcached::codec::progress::{Progress, Step};
use crate::store::memcached::codec::translate::{self, Names};
use crate::store::memcached::failure::{ConnectError, Failure, TransferError, quoted};
use crate::store::memcached::socket::transport::{Limit, ReadBuffer, Stream, Transport};

/// How many reads [`Connection::receive_now`] makes at most. The longest reply fits in several times.
const MAX_READS: u32 = 64;

/// A connection that has passed the handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: Transport,
    peer: Peer,
    /// Counts all requests on the connection, so that no reply to an earlier exchange fits.
    next_opaque: u64,
    /// Reused for every batch.
    output: Vec<u8>,
    /// The replies to the batch that was sent last.
    pub(crate) progress: Progress,
    /// Whether the sending half was closed.
    has_finished: bool,
    /// Since when it may have been idle.
    pub(crate) idle_since: Instant,
}

impl Connection {
    /// Opens a connection over `stream`: sends the greeting, and reads the replies to it.
    pub(crate) fn open(stream: Stream, limit: &mut Limit) -> Result<Box<Connection>, ConnectError> {
        let mut transport = Transport::new(stream);
        let mut handshake = Handshake::default();
        limit.refresh();
        // A server that refuses the connection may close it before it has read anything. Its reason is in the input.
        let mut unsent = transport.write_all(GREETING, limit).err().map(|(_, error)| error);
        loop {
            if let Some(peer) = handshake.read(&mut transport.input)? {
                check_no_more(&transport.input)?;
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
            let read = if limit.refresh().is_zero() {
                Err(TransferError::TimedOut)
            } else {
                transport.read(limit)
            };
            if let Err(error) = read {
                return Err(handshake.ended(&transport.input, unsent.take().unwrap_or(error)));
            }
        }
    }

    /// The parts of an idle connection: its stream, the peer, and the next opaque.
    pub(crate) fn into_parts(self) -> (Stream, Peer, u64) {
        (self.transport.into_stream(), self.peer, self.next_opaque)
    }

    pub(crate) fn instance(&self) -> Instance {
        self.peer.instance
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether an idle connection is still open and quiet.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.transport.is_idle()
    }

    /// Prepares `batch` for [`send`](Self::send). The error says what is wrong with a request; the connection can be
    /// used as before.
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

    /// Receives until all replies have arrived, or no more can. After [`TransferError::TimedOut`] it can be called
    /// again.
    pub(crate) fn receive(&mut self, limit: &mut Limit) -> Result<(), TransferError> {
        while !self.advance()? {
            // The clock is read only if the bytes that have arrived were not enough.
            if self.progress.begun && limit.refresh().is_zero() {
                return Err(TransferError::TimedOut);
            }
            self.transport.read(limit)?;
        }
        Ok(())
    }

    /// Like [`receive`](Self::receive) with what has arrived. Does not block, even if the server sends without end.
    pub(crate) fn receive_now(&mut self) -> Result<(), TransferError> {
        for _ in 0..MAX_READS {
            if self.advance()? {
                return Ok(());
            }
            if !self.transport.read_now()? {
                break;
            }
        }
        Err(TransferError::TimedOut)
    }

    /// Consumes what has been read. Returns whether all replies have arrived.
    fn advance(&mut self) -> Result<bool, TransferError> {
        match self.progress.advance(&mut self.transport.input) {
            Step::Complete => Ok(true),
            Step::Reading => Ok(false),
            // No write is open, so there is nothing to wait for.
            Step::Draining if !self.progress.is_write_open() => {
                Err(TransferError::Closed(std::io::ErrorKind::InvalidData.into()))
            }
            // The server executes all the same what was sent. That is over only when it has closed the connection.
            Step::Draining => {
                if !std::mem::replace(&mut self.has_finished, true) {
                    self.transport.finish();
                }
                Ok(false)
            }
        }
    }

    /// Whether the connection may be used for another batch, after all replies to the last one.
    pub(crate) fn is_reusable(&self) -> bool {
        // An unread byte answers no request, so the replies after it would not be in step.
        self.progress.is_in_step() && self.transport.input.unread().is_empty()
    }
}

/// Checks that nothing follows the reply to the greeting: it would be taken for the reply to the next request.
pub(crate) fn check_no_more(input: &ReadBuffer) -> Result<(), ConnectError> {
    match input.unread() {
        [] => Ok(()),
        more => Err(ConnectError::from(Failure::new(format!(
            "it does not keep to the protocol: after its reply to `stats` comes {}",
            quoted(more)
        )))),
    }
}
