//! Items on real memcached servers: [`Memcached`] is the [`Store`] of production. It routes, connects, writes, reads
//! and checks. It decides nothing about locks. No other module opens a socket or names the `memcache` crate.
//!
//! A batch passes these files, top to bottom:
//!
//! | file | what it has |
//! |---|---|
//! | `list` | the server list as its user wrote it, which may hold a password |
//! | `address` | one entry of the list, parsed |
//! | `router` | which server keeps an item |
//! | `server` | one server of the list, with its connections |
//! | `direct` | a batch on a connection of its own, on the caller's thread; what a failure means |
//! | `pipelined` | a batch on the connection that all tasks share, without blocking; what a failure means |
//! | `health` | whether the server answers, and how many callers may try it while it does not |
//! | `instances` | which instances answer at the address, and whether two servers do by turns |
//! | `link/pool` | the idle connections |
//! | `link/connection` | a connection for one batch at a time |
//! | `link/pipe` | the connection that all tasks share |
//! | `link/ticket` | one batch that was submitted to the pipe |
//! | `codec/handshake` | which instance is at the other end, and whether locks are safe on it |
//! | `codec/translate` | requests to commands, reply lines to replies |
//! | `codec/progress` | which replies to a batch have arrived |
//! | `codec/record` | the value of a lock's item |
//! | `codec/wait_list` | the value of a lock's wait list |
//! | `socket/dial` | name lookup and connecting, within a limit |
//! | `socket/transport` | a blocking socket, limits, the read buffer |
//! | `socket/split` | a non-blocking socket: a half that writes and a half that reads |
//! | `answers` | the answers to failed exchanges |
//! | `failure` | why a connection was not opened, and why it ended |
//!
//! Of the `memcache` crate only the wire layer is used: commands and return codes. Its clients call definite refusals
//! ambiguous and hide which server process answered; here a held connection *is* the proof of the process.

mod address;
mod answers;
pub(crate) mod codec;
mod direct;
mod failure;
mod health;
mod instances;
pub(crate) mod link;
mod list;
pub(crate) mod pipelined;
mod router;
mod server;
pub(crate) mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::pipelined::PipelinedExchange;
use self::server::Server;
use self::socket::transport::Limit;
use super::{Exchange, Exchanged, Ready, Store};
use crate::key::ItemName;
use crate::protocol::{Batch, Instance, Request};

pub use self::address::ServerAddress;
pub(crate) use self::list::{Listed, ServerList};

/// A list of memcached servers over which the items are spread. It connects at the first request, keeps a few idle
/// connections to each server, and closes them when it is dropped.
#[derive(Debug)]
pub struct Memcached {
    servers: Vec<Arc<Server>>,
}

impl Memcached {
    /// A store on the servers at `addresses`. `prefix` begins the names of each server's clock item and counter.
    /// Nothing is connected yet.
    ///
    /// The order of the list does not matter. No two entries may have the same [`ServerAddress::id`]; the caller checks
    /// that.
    pub fn new(addresses: Vec<ServerAddress>, prefix: &str) -> Memcached {
        Memcached {
            servers: addresses
                .into_iter()
                .map(|address| Arc::new(Server::new(address, prefix)))
                .collect(),
        }
    }
}

fn no_servers() -> Exchanged {
    answers::not_sent(None, "the list of servers is empty")
}

impl Store for Memcached {
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        match self.servers.get(server) {
            Some(server) => server.exchange(item, batch, only_on, Limit::new(limit)),
            None => no_servers(),
        }
    }

    fn begin(
        &self,
        server: usize,
        item: &ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Box<dyn Exchange> {
        match self.servers.get(server) {
            Some(server) => {
                let (server, limit) = (Arc::clone(server), Limit::new(limit));
                PipelinedExchange::begin(server, item.clone(), batch, only_on, limit)
            }
            None => Box::new(Ready::new(no_servers())),
        }
    }

    fn server_name(&self, server: usize) -> &str {
        self.servers.get(server).map_or("", |server| server.address().as_str())
    }

    fn route(&self, item: &ItemName) -> usize {
        router::route(self.servers.iter().map(|server| server.address().id()), item)
    }

    fn servers(&self) -> usize {
        self.servers.len()
    }

    fn evicts(&self, server: usize) -> Option<bool> {
        self.servers.get(server).and_then(|server| server.evicts())
    }
}
