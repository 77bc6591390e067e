//! The vocabulary between the protocol and whatever keeps the items: requests, replies, faults. Plain data and one
//! trait; nothing here says how it is done.

pub(crate) mod memcached;
pub(crate) mod memory;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::key::ItemName;
use crate::protocol::{Batch, Exchanged, Instance, Pending, Request};

/// An exchange that is made without blocking a thread. Dropping it gives up listening, but recalls nothing: see
/// [`abandon`](Self::abandon).
pub trait Exchange: Send + fmt::Debug {
    /// The outcome, once it is there. Not to be polled again after that.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Exchanged>;

    /// Nobody waits for the outcome any more. `Some` where a write may have been sent, or may yet be: with it one learns
    /// what became of that.
    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>>;
}

/// An exchange that is over.
#[derive(Debug)]
pub struct Ready(Option<Exchanged>);

impl Ready {
    /// It came to `answer`.
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

impl<S: Store> Store for Arc<S> {
    fn begin(
        &self,
        server: usize,
        item: &ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Box<dyn Exchange> {
        (**self).begin(server, item, batch, only_on, limit)
    }

    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        (**self).exchange(server, item, batch, only_on, limit)
    }

    fn server_name(&self, server: usize) -> &str {
        (**self).server_name(server)
    }

    fn route(&self, item: &ItemName) -> usize {
        (**self).route(item)
    }

    fn servers(&self) -> usize {
        (**self).servers()
    }

    fn evicts(&self, server: usize) -> Option<bool> {
        (**self).evicts(server)
    }
}

/// Where the items are: a memcached server list, or the in-process store.
pub trait Store: Send + Sync + fmt::Debug {
    /// The place in the list, from 0, of the server that keeps `item`. A caller asks once, and names the server from then on.
    fn route(&self, item: &ItemName) -> usize;

    /// Sends `batch`, which is about `item`, on one connection to the server that keeps it, and reads its replies, all within
    /// `limit` (which covers connecting). With `only_on`, nothing is sent to any other instance.
    ///
    /// Without any time nothing is sent, unless the store takes none: asking such a store costs its caller nothing.
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged;

    /// Begins the same without blocking. As it stands here it is for stores that take no time.
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

    /// The server at this place in the list, as its user spelled it.
    fn server_name(&self, server: usize) -> &str;

    /// How many servers there are.
    fn servers(&self) -> usize;

    /// Whether the server evicts items to make room for a store. One that does not refuses stores when
    /// it is full, and deletes what is under them. `None`: it has not been asked yet.
    fn evicts(&self, _server: usize) -> Option<bool> {
        Some(true)
    }
}
