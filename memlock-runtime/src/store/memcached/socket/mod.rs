//! Bytes, addresses and limits: sockets that are dialled, written and read.

pub(crate) mod dial;
pub(crate) mod halves;
pub(crate) mod transport;
