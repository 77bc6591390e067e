//! The store of the items: the traits of a store and of an exchange with it. The implementations are in the modules
//! below.

pub(crate) mod memcached;
pub(crate) mod memory;

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::key::ItemName;
use crate::protocol::{Batch, Exchanged, Instance, Pending, Request};

/// An exchange that does not block a thread. Dropping it ignores the replies, but does not recall the requests: see
/// [`abandon`](Self::abandon).
pub trait Exchange: Send + fmt::Debug {
    /// Returns the outcome, once it is known. It must not be polled again after that.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Exchanged>;

    /// Stops waiting for the outcome. Returns `Some` if a write may have been sent, or may still be sent, to learn what
    /// became of it.
    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>>;
}

/// An exchange that is complete.
#[derive(Debug)]
pub struct Ready(Option<Exchanged>);

impl Ready {
    /// An exchange with the outcome `answer`.
    pub fn new(answer: Exchanged) -> Ready {
        Ready(Some(answer))
    }
}

impl Exchange for Ready {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Exchanged> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
        self.0.and_then(|answer| answer.pending)
    }
}

/// A store of items: a list of memcached servers, or this process's memory.
pub trait Store: Send + Sync + fmt::Debug {
    /// The index in the list of the server that keeps `item`. A caller asks once, and passes the index from then on.
    fn route(&self, item: &ItemName) -> usize;

    /// Sends `batch`, which is about `item`, on one connection to `server`, which keeps the item, and reads its replies,
    /// all within `limit`, which includes connecting. With `only_on`, nothing is sent to any other instance.
    ///
    /// With a limit of zero nothing is sent, except to a store that takes no time to answer.
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged;

    /// Begins such an exchange without blocking. The default is for stores that take no time.
    fn begin(
        &self,
        server: usize,
        item: &ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Box<dyn Exchange> {
        Box::new(Ready::new(self.exchange(server, item, &batch, only_on, limit)))
    }

    /// The server at index `server` in the list, as the user spelled it.
    fn server_name(&self, server: usize) -> &str;

    /// How many servers there are.
    fn servers(&self) -> usize;

    /// Whether the server evicts items to make room for a store. A server that does not evict refuses stores when it is
    /// full, and deletes the item that the refused store names. `None`: it has not been asked yet.
    fn evicts(&self, _server: usize) -> Option<bool> {
        Some(true)
    }
}
