//! A non-blocking socket in two halves: all callers write to one, and the background thread reads from the other.

use std::io;

use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, tcp};

use super::transport::{ReadBuffer, is_for_later};
use crate::store::memcached::failure::TransferError;

#[cfg(unix)]
use tokio::net::{UnixStream, unix};

/// The sending half of a socket. Dropping it tells the server that no more bytes will come.
#[derive(Debug)]
pub(crate) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Local(unix::OwnedWriteHalf),
}

/// The receiving half of a socket.
#[derive(Debug)]
pub(crate) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Local(unix::OwnedReadHalf),
}

/// Both halves of a socket.
pub(crate) type SplitSocket = (Reader, Writer);

pub(crate) fn split_tcp(stream: TcpStream) -> SplitSocket {
    let (reader, writer) = stream.into_split();
    (Reader::Tcp(reader), Writer::Tcp(writer))
}

#[cfg(unix)]
pub(crate) fn split_local(stream: UnixStream) -> SplitSocket {
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
    /// Waits until the socket (not only this half) is ready for some of `interest`.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Reader::Tcp(half) => half.ready(interest).await,
            #[cfg(unix)]
            Reader::Local(half) => half.ready(interest).await,
        }
    }

    /// Reads what has arrived. `false` if nothing has.
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
