//! Requests as memcached reads them, and its replies as requests expect them. No I/O.

pub(crate) mod handshake;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod translate;
pub(crate) mod wait_list;
