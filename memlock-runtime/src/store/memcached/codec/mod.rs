//! Between requests and bytes: commands, replies and the values of items. No I/O.

pub(crate) mod handshake;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod translate;
pub(crate) mod wait_list;
