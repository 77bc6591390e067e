//! Connections to one server: for one thread at a time, and the one that all tasks share.

pub(crate) mod connection;
pub(crate) mod pipe;
pub(crate) mod pool;
pub(crate) mod ticket;
