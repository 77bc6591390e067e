//! Items on real memcached servers: [`Memcached`] is the [`Store`] of production. It routes, dials, speaks and checks;
//! it decides nothing about locks, and no other module may open a socket or name the `memcache` crate.
//!
//! A batch goes through these rooms, top to bottom:
//!
//! | file | what |
//! |---|---|
//! | `list` | the server list, which may hold a password |
//! | `address` | one entry of it, parsed |
//! | `router` | which server keeps an item |
//! | `node` | one server: a batch from start to end, what a failure means |
//! | `exchange` | the same for tasks, without blocking |
//! | `health` | whether it answers, and how many may try where it does not |
//! | `pool` | its idle connections |
//! | `pipe` | the one connection that all tasks share |
//! | `ticket` | a batch that was submitted to it, for whoever waits |
//! | `dial` | name lookup and connecting, under a limit |
//! | `handshake` | who is at the other end, and whether it will do |
//! | `connection` | sending a batch, receiving its replies |
//! | `progress` | which replies have come, which may still come |
//! | `pending` | listening on after the limit |
//! | `translate` | requests to commands, replies checked |
//! | `record` | what stands in an item |
//! | `line` | who stands in line for it |
//! | `transport` | bytes, limits, bounds |
//! | `halves` | a socket that is written by many and read by one |
//! | `answers` | what is answered when an exchange failed |
//!
//! Of the `memcache` crate only the wire layer is used: commands and return codes. Its clients call definite refusals ambiguous
//! and hide which server process answered; here a held connection *is* the proof of the process.

mod address;
mod answers;
pub(crate) mod codec;
mod direct;
mod failure;
mod health;
pub(crate) mod link;
mod list;
mod node;
pub(crate) mod pipelined;
mod router;
pub(crate) mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::node::Node;
use self::pipelined::Shared;
use self::router::Router;
use self::socket::transport::Limit;
use super::{Answer, Exchange, Ready, Store};
use crate::key::ItemName;
use crate::protocol::{Batch, Instance, Request};

pub use self::address::Server;
pub(crate) use self::list::{Listed, ServerList};

/// A list of memcached servers over which the items are spread. It connects when it is first asked, keeps a few idle
/// connections to each server, and closes them when it is dropped.
#[derive(Debug)]
pub struct Memcached {
    router: Router,
    nodes: Vec<Arc<Node>>,
}

impl Memcached {
    /// A store on `servers`. `prefix` begins the names of each server's clock item and counter. Nothing is connected yet.
    ///
    /// The order of the list does not matter; no two entries may have the same [`Server::id`], which the caller checks.
    pub fn new(servers: Vec<Server>, prefix: &str) -> Memcached {
        Memcached {
            router: Router::new(servers.iter().map(|server| server.id().to_owned()).collect()),
            nodes: servers
                .into_iter()
                .map(|server| Arc::new(Node::new(server, prefix)))
                .collect(),
        }
    }

    fn node(&self, item: &ItemName) -> Option<&Arc<Node>> {
        self.nodes.get(self.router.route(item))
    }
}

fn no_servers() -> Answer {
    answers::not_sent(None, "the list of servers is empty")
}

impl Store for Memcached {
    fn exchange(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Answer {
        match self.node(item) {
            Some(node) => node.exchange(item, batch, only_on, Limit::new(limit)),
            None => no_servers(),
        }
    }

    fn begin(&self, item: &ItemName, batch: Batch, only_on: Option<Instance>, limit: Duration) -> Box<dyn Exchange> {
        match self.node(item) {
            Some(node) => {
                let (node, limit) = (Arc::clone(node), Limit::new(limit));
                Box::new(Shared::begin(node, item.clone(), batch, only_on, limit))
            }
            None => Box::new(Ready::new(no_servers())),
        }
    }

    fn server_of(&self, item: &ItemName) -> &str {
        self.node(item).map_or("", |node| node.server().as_str())
    }

    fn server_index(&self, item: &ItemName) -> usize {
        self.router.route(item)
    }

    fn servers(&self) -> usize {
        self.nodes.len()
    }

    fn evicts(&self, item: &ItemName) -> Option<bool> {
        self.node(item).and_then(|node| node.evicts())
    }
}
