//! Real memcached servers and real processes, for memlock's own tests, examples and benches.
//!
//! The crate does not use memlock, so that a test of memlock cannot pass because both share a mistake. It is not
//! published.
//!
//! Functions panic instead of returning errors, since a test cannot go on without its servers and processes.
//!
//! | you want | take |
//! |---|---|
//! | a server of your own | [`Memcached::start`], [`Memcached::start_with`], [`Memcached::start_on_socket`] |
//! | a server that tests share | [`Memcached::shared`] |
//! | another version of memcached | the environment variable `MEMLOCK_TESTKIT_MEMCACHED`, [`Memcached::version`] |
//! | a server that hangs, dies, comes back | [`Memcached::pause`], [`Memcached::kill`], [`Memcached::restart`] |
//! | a port that refuses connections | [`unused_port`] |
//! | a `PostgreSQL` of your own | [`Postgres::start`] |
//! | another server's process | [`Daemon`], [`program`] |
//! | a second process | [`Peer`], and [`Parent`] inside it |
//! | to stop any process for a while | [`pause`], [`resume`] |
//! | to wait for something | [`wait_until`] |

mod daemon;
mod memcached;
mod peer;
mod port;
mod postgres;
mod signal;
mod until;
mod watchdog;

pub use daemon::Daemon;
pub use memcached::{ITEMS_THAT_STAY, Memcached};
pub use peer::{Parent, Peer, PeerBuilder};
pub use port::unused_port;
pub use postgres::{Postgres, program};
pub use signal::{pause, resume};
pub use until::wait_until;
