//! One connection to one instance of a server: the handshake, sending a batch, receiving its replies. It is at most in
//! one exchange at a time, and decides nothing about what a failure means.

use std::time::Instant;

use super::handshake::{GREETING, Handshake, LARGEST_REPLY, Peer, Unfit};
use super::progress::{Progress, Step};
use super::transport::{Broken, LONGEST_LINE, Limit, Stream, Transport};
use super::trouble::{Trouble, quoted};
use crate::key::ItemName;
use crate::store::{Instance, Request};

/// A connection that has passed the handshake.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    peer: Peer,
    /// Counts all requests of the connection, so that a reply that is late by an exchange never fits.
    next_opaque: u64,
    /// Reused for every batch.
    output: Vec<u8>,
    /// The replies to the batch that was sent last.
    pub(super) progress: Progress,
    /// Since when it may have been idle.
    pub(super) idle_since: Instant,
}

/// Why a connection could not be opened. None of it sent a request.
#[derive(Debug)]
pub(super) enum NotOpened {
    Failed(Trouble),
    TooYoung(Instance),
}

/// Why a batch was not sent in full.
#[derive(Debug)]
pub(super) enum NotSent {
    /// The requests themselves are at fault; the connection is as good as before.
    Invalid(String),
    /// The kernel took so many bytes and no more.
    Broken { taken: usize, broken: Broken },
}

impl Connection {
    /// Opens a connection over `stream`: one packet there, its replies back.
    pub(super) fn open(stream: Stream, limit: &mut Limit) -> Result<Box<Connection>, NotOpened> {
        let mut transport = Transport::new(stream);
        let mut handshake = Handshake::default();
        limit.look();
        // A server that refuses the connection may close before it has read anything; its reason is in the input.
        let mut unsent = transport.write_all(GREETING, limit).err().map(|(_, broken)| broken);
        let mut received = 0;
        loop {
            while let Some(end) = transport.input.unread().iter().position(|byte| *byte == b'\n') {
                let line = transport.input.unread().get(..end).unwrap_or_default();
                let last = handshake
                    .line(line.strip_suffix(b"\r").unwrap_or(line))
                    .map_err(unfit)?;
                transport.input.consume(end + 1);
                received += end + 1;
                if last {
                    return Ok(Box::new(Connection {
                        peer: handshake.verdict().map_err(unfit)?,
                        idle_since: limit.began(),
                        next_opaque: 1,
                        output: Vec::new(),
                        progress: Progress::default(),
                        transport,
                    }));
                }
            }
            let unread = transport.input.unread();
            if unread.len() > LONGEST_LINE || received > LARGEST_REPLY {
                return Err(NotOpened::Failed(Trouble::new(format!(
                    "it does not speak memcached's text protocol: its answer to `stats` does not end, {}",
                    quoted(unread)
                ))));
            }
            let read = if limit.look().is_zero() {
                Err(Broken::Late)
            } else {
                transport.read(limit)
            };
            let broken = match read {
                Ok(()) => continue,
                Err(broken) => unsent.take().unwrap_or(broken),
            };
            return Err(NotOpened::Failed(match broken {
                Broken::Late => Trouble::new("it does not answer (no reply to `stats` within the limit)"),
                Broken::Closed(error) => Trouble::caused("it closed the connection before the reply to `stats`", error),
                Broken::Lost(error) => Trouble::caused("the connection failed before the reply to `stats`", error),
            }));
        }
    }

    pub(super) fn instance(&self) -> Instance {
        self.peer.instance
    }

    pub(super) fn evicts(&self) -> bool {
        self.peer.evicts
    }

    /// Whether an idle connection is still open and quiet.
    pub(super) fn is_idle(&mut self) -> bool {
        self.transport.is_idle()
    }

    /// Sends `batch` in one packet.
    pub(super) fn send(&mut self, batch: &[Request], clock: &ItemName, limit: &mut Limit) -> Result<(), NotSent> {
        self.output.clear();
        self.progress.start(batch, self.next_opaque, self.peer.opaque_on_miss);
        for request in batch {
            super::translate::encode(request, clock, self.next_opaque, &mut self.output).map_err(NotSent::Invalid)?;
            self.next_opaque = self.next_opaque.wrapping_add(1);
        }
        self.transport
            .write_all(&self.output, limit)
            .map_err(|(taken, broken)| NotSent::Broken { taken, broken })
    }

    /// Receives until all replies are there, or no more can come. After [`Broken::Late`] it can be called again.
    pub(super) fn receive(&mut self, limit: &mut Limit) -> Result<(), Broken> {
        let mut finished = false;
        loop {
            match self.progress.advance(&mut self.transport.input) {
                Step::Complete => return Ok(()),
                Step::Reading => {}
                Step::Draining => {
                    if !self.progress.is_write_open() {
                        // Nothing can have been changed, so nothing needs to be waited for.
                        return Err(Broken::Closed(std::io::ErrorKind::InvalidData.into()));
                    }
                    // What was sent will be executed all the same. Only when the server has closed is that over.
                    if !std::mem::replace(&mut finished, true) {
                        self.transport.finish();
                    }
                }
            }
            // The clock is read only after bytes that were not enough.
            if self.progress.begun && limit.look().is_zero() {
                return Err(Broken::Late);
            }
            self.transport.read(limit)?;
        }
    }
}

fn unfit(unfit: Unfit) -> NotOpened {
    match unfit {
        Unfit::Unsuitable(text) => NotOpened::Failed(Trouble::new(text)),
        Unfit::TooYoung(instance) => NotOpened::TooYoung(instance),
    }
}
