//! A socket in two halves that never block: one that everybody writes to, and one that the background thread reads.

use std::io;

use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, tcp};

use super::transport::{ReadBuffer, is_for_later};
use crate::store::memcached::failure::TransferError;

#[cfg(unix)]
use tokio::net::{UnixStream, unix};

/// The sending half of a socket. Dropping it tells the server that no more will come.
#[derive(Debug)]
pub(crate) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Local(unix::OwnedWriteHalf),
}

/// The receiving half.
#[derive(Debug)]
pub(crate) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Local(unix::OwnedReadHalf),
}

/// Both.
pub(crate) type Halves = (Reader, Writer);

pub(crate) fn of_tcp(stream: TcpStream) -> Halves {
    let (reader, writer) = stream.into_split();
    (Reader::Tcp(reader), Writer::Tcp(writer))
}

#[cfg(unix)]
pub(crate) fn of_local(stream: UnixStream) -> Halves {
    let (reader, writer) = stream.into_split();
    (Reader::Local(reader), Writer::Local(writer))
}

impl Writer {
    /// Writes what the kernel takes at once.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writer::Tcp(half) => half.try_write(bytes),
            #[cfg(unix)]
            Writer::Local(half) => half.try_write(bytes),
        }
    }
}

impl Reader {
    /// Waits until the socket, of whose two halves this is one, can do some of `interest`.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Reader::Tcp(half) => half.ready(interest).await,
            #[cfg(unix)]
            Reader::Local(half) => half.ready(interest).await,
        }
    }

    /// Reads what has come; `false` where nothing has.
    pub(crate) fn read(&self, input: &mut ReadBuffer) -> Result<bool, TransferError> {
        let filled = input.fill(|room| match self {
            Reader::Tcp(half) => half.try_read(room),
            #[cfg(unix)]
            Reader::Local(half) => half.try_read(room),
        });
        match filled {
            Ok(()) => Ok(true),
            Err(error) if is_for_later(&error) => Ok(false),
            Err(error) => Err(TransferError::from(error)),
        }
    }
}
