//! The interface between the protocol and the store of the items: exchanges, their answers, and faults. Only plain data
//! and traits; the implementations are in the modules below.

pub(crate) mod memcached;
pub(crate) mod memory;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Source;
use crate::key::ItemName;
use crate::protocol::{Batch, Instance, Replies, Request, Unanswered};

/// Why an exchange failed, as a whole or from some reply on.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What is known of the unanswered requests.
    pub unanswered: Unanswered,
    /// What failed, as a message.
    pub source: Source,
}

/// The outcome of an exchange. It has fewer `replies` than there were requests exactly if there is a `fault`.
#[derive(Debug)]
pub struct Answer {
    /// The instance that answered, or that the connection leads to. `None` if none was reached.
    pub instance: Option<Instance>,
    /// The replies to the first requests, in the order of the requests.
    pub replies: Replies,
    /// Why the other replies are missing.
    pub fault: Option<Fault>,
    /// After [`Unanswered::Late`], the connection on which the missing replies may still arrive. `None` if it is not
    /// kept.
    pub pending: Option<Box<dyn Pending>>,
}

/// An exchange with late replies. A request cannot be recalled. The only safe way is to wait for the replies, so that
/// the effects of the request can be undone. Dropping this closes the connection.
pub trait Pending: Send + fmt::Debug {
    /// Waits for the replies for up to `limit`. A limit of zero reads what has arrived, without blocking.
    ///
    /// `Ok` has all of the outcome that can be learned: with [`Unanswered::Late`] no more replies will arrive, but the
    /// requests may still be executed. `Err` gives this back, to try again.
    fn wait(self: Box<Self>, limit: Duration) -> Result<Answer, Box<dyn Pending>>;
}

/// An exchange that does not block a thread. Dropping it ignores the replies, but does not recall the requests: see
/// [`abandon`](Self::abandon).
pub trait Exchange: Send + fmt::Debug {
    /// Returns the outcome, once it is known. It must not be polled again after that.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer>;

    /// Stops waiting for the outcome. Returns `Some` if a write may have been sent, or may still be sent, to learn what
    /// became of it.
    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>>;
}

/// An exchange that is complete.
#[derive(Debug)]
pub struct Ready(Option<Answer>);

impl Ready {
    /// An exchange with the outcome `answer`.
    pub fn new(answer: Answer) -> Ready {
        Ready(Some(answer))
    }
}

impl Exchange for Ready {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Answer> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
        self.0.and_then(|answer| answer.pending)
    }
}

impl<S: Store> Store for Arc<S> {
    fn begin(&self, item: &ItemName, batch: Batch, only_on: Option<Instance>, limit: Duration) -> Box<dyn Exchange> {
        (**self).begin(item, batch, only_on, limit)
    }

    fn exchange(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Answer {
        (**self).exchange(item, batch, only_on, limit)
    }

    fn server_of(&self, item: &ItemName) -> &str {
        (**self).server_of(item)
    }

    fn server_index(&self, item: &ItemName) -> usize {
        (**self).server_index(item)
    }

    fn servers(&self) -> usize {
        (**self).servers()
    }

    fn evicts(&self, item: &ItemName) -> Option<bool> {
        (**self).evicts(item)
    }
}

/// A store of items: a list of memcached servers, or this process's memory.
pub trait Store: Send + Sync + fmt::Debug {
    /// Sends `batch`, which is about `item`, on one connection to the server that keeps the item, and reads its
    /// replies, all within `limit`, which includes connecting. With `only_on`, nothing is sent to any other instance.
    ///
    /// With a limit of zero nothing is sent, except to a store that takes no time to answer.
    fn exchange(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Answer;

    /// Begins such an exchange without blocking. The default is for stores that take no time.
    fn begin(&self, item: &ItemName, batch: Batch, only_on: Option<Instance>, limit: Duration) -> Box<dyn Exchange> {
        Box::new(Ready::new(self.exchange(item, &batch, only_on, limit)))
    }

    /// The server that keeps `item`, as the user spelled it.
    fn server_of(&self, item: &ItemName) -> &str;

    /// The index of that server in the list.
    fn server_index(&self, item: &ItemName) -> usize;

    /// How many servers there are.
    fn servers(&self) -> usize;

    /// Whether the server that keeps `item` evicts other items to make room for a store. A server that does not evict
    /// refuses stores when it is full, and deletes the item that the refused store names. `None`: it has not been asked
    /// yet.
    fn evicts(&self, _item: &ItemName) -> Option<bool> {
        Some(true)
    }
}
