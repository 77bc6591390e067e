//! Listening on after the limit: a request cannot be recalled, so what it did has to be learned.

use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::health::Place;
use super::node::{Node, cut_off};
use super::transport::{Broken, Limit};
use crate::store::{Answer, Pending};

/// An exchange whose limit is over, with its connection and the replies as far as they have come.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) node: Arc<Node>,
    pub(super) connection: Box<Connection>,
    pub(super) _place: Place,
}

impl Pending for Listening {
    fn wait(mut self: Box<Self>, limit: Duration) -> Result<Answer, Box<dyn Pending>> {
        let mut limit = Limit::new(limit);
        let received = if limit.is_over() {
            self.connection.receive_now()
        } else {
            self.connection.receive(&mut limit)
        };
        match received {
            Ok(()) => Ok(self.node.completed(self.connection, &limit)),
            Err(Broken::Late) => Err(self),
            Err(broken) => {
                self.node.dead(&self.connection);
                Ok(cut_off(*self.connection, &broken))
            }
        }
    }
}
