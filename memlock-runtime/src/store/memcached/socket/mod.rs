//! Sockets: name lookup, connecting, writing and reading, each within a limit.

pub(crate) mod dial;
pub(crate) mod split;
pub(crate) mod transport;
