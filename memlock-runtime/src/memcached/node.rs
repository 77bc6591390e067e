//! One server: a batch from start to end. Here is decided what a failure means for the requests that got no reply, and
//! when a batch may be sent a second time: only where the first time cannot have changed anything.

use std::io;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock};

use super::address::Server;
use super::connection::{Connection, NotOpened, NotSent};
use super::dial::Dialer;
use super::pending::Listening;
use super::pool::Pool;
use super::transport::{Broken, Limit};
use super::trouble::Trouble;
use crate::error::Source;
use crate::key::ItemName;
use crate::store::{Answer, Damage, Fault, Instance, Replies, Request, YOUNGEST_SERVER};

/// One server of the list.
#[derive(Debug)]
pub(super) struct Node {
    server: Server,
    clock: ItemName,
    dialer: Dialer,
    pool: Pool,
    /// Whether the server evicts, as it told on the last connection that was opened.
    evicts: RwLock<Option<bool>>,
}

impl Node {
    pub(super) fn new(server: Server, clock: ItemName) -> Node {
        Node {
            dialer: Dialer::new(&server),
            server,
            clock,
            pool: Pool::default(),
            evicts: RwLock::default(),
        }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn evicts(&self) -> Option<bool> {
        *self.evicts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Store::exchange`](crate::store::Store::exchange) with this server.
    pub(super) fn exchange(self: &Arc<Node>, batch: &[Request], only_on: Option<Instance>, mut limit: Limit) -> Answer {
        if limit.is_over() {
            return failed(
                None,
                Damage::NotSent,
                Trouble::new("there was no time left to ask it").into_source(),
            );
        }
        if let Some(connection) = self.pool.take(only_on, limit.began())
            && let Some(answer) = self.attempt(connection, batch, only_on, &mut limit, true)
        {
            return answer;
        }
        let connection = match self.open(&mut limit) {
            Ok(connection) => connection,
            Err(NotOpened::Failed(trouble)) => return failed(None, Damage::NotSent, trouble.into_source()),
            Err(NotOpened::TooYoung(instance)) => {
                let trouble = Trouble::new(format!(
                    "it has just started, and grants nothing before an uptime of {YOUNGEST_SERVER} s"
                ));
                return failed(Some(instance), Damage::TooYoung, trouble.into_source());
            }
        };
        if limit.look().is_zero() {
            let instance = connection.instance();
            self.pool.put(connection, limit.began());
            let trouble = Trouble::new("there was no time left to send the request");
            return failed(Some(instance), Damage::NotSent, trouble.into_source());
        }
        self.attempt(connection, batch, only_on, &mut limit, false)
            .unwrap_or_else(|| {
                // Not of a new connection; said for completeness.
                failed(
                    None,
                    Damage::NotSent,
                    Trouble::new("it closes every connection").into_source(),
                )
            })
    }

    fn open(&self, limit: &mut Limit) -> Result<Box<Connection>, NotOpened> {
        let stream = self.dialer.dial(limit).map_err(NotOpened::Failed)?;
        let connection = Connection::open(stream, limit)?;
        *self.evicts.write().unwrap_or_else(PoisonError::into_inner) = Some(connection.evicts());
        Ok(connection)
    }

    /// One try. `None` where a pooled connection turned out to be dead, and the batch has changed nothing and will not:
    /// it may go out on a new one.
    fn attempt(
        self: &Arc<Node>,
        mut connection: Box<Connection>,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: &mut Limit,
        pooled: bool,
    ) -> Option<Answer> {
        let instance = connection.instance();
        if only_on.is_some_and(|wanted| wanted != instance) {
            self.pool.put(connection, limit.began());
            let trouble = Trouble::new("it was restarted: another instance answers");
            return Some(failed(Some(instance), Damage::OtherInstance, trouble.into_source()));
        }
        match connection.send(batch, &self.clock, limit) {
            Ok(()) => {}
            Err(NotSent::Invalid(text)) => {
                self.pool.put(connection, limit.began());
                return Some(failed(
                    Some(instance),
                    Damage::NotSent,
                    Trouble::new(text).into_source(),
                ));
            }
            Err(NotSent::Broken { taken, broken }) => return self.not_sent(&connection, taken, broken, pooled),
        }
        let broken = match connection.receive(limit) {
            Ok(()) => return Some(self.completed(connection, limit)),
            Err(broken) => broken,
        };
        Some(match broken {
            Broken::Late => self.late(connection),
            Broken::Closed(error) => {
                self.dead(&connection);
                if pooled && !connection.progress.begun && !batch.iter().any(Request::writes) {
                    // Closed while it was idle. Reading twice does no harm.
                    return None;
                }
                closed(*connection, error)
            }
            Broken::Lost(error) => {
                self.dead(&connection);
                // Unlike a server that closed, one that cannot be reached may go on executing what it has received.
                let trouble = Trouble::caused("the connection failed before all replies had come", error);
                answered(*connection, Damage::Late, trouble)
            }
        })
    }

    /// After a batch that the kernel did not take in full.
    fn not_sent(&self, connection: &Connection, taken: usize, broken: Broken, pooled: bool) -> Option<Answer> {
        let instance = connection.instance();
        let (damage, trouble) = match (taken, broken) {
            (0, Broken::Closed(_)) if pooled => {
                self.dead(connection);
                return None;
            }
            // A command takes effect when its last byte has arrived, and the first had none.
            (0, Broken::Late) => (
                Damage::NotSent,
                Trouble::new("there was no time left to send the request"),
            ),
            (0, Broken::Closed(error) | Broken::Lost(error)) => {
                (Damage::NotSent, Trouble::caused("the request could not be sent", error))
            }
            // Half a command is never executed, but those before it may be, and even later: the server is slow, and
            // the connection cannot be used to learn of it, since half a command stands in the way.
            (_, Broken::Late) => (
                Damage::Late,
                Trouble::new("it takes no more bytes (the request was sent in part)"),
            ),
            (_, Broken::Closed(error)) => (Damage::Cut, Trouble::caused("it closed the connection", error)),
            (_, Broken::Lost(error)) => (Damage::Late, Trouble::caused("the connection failed", error)),
        };
        if damage != Damage::Late {
            self.dead(connection);
        }
        Some(failed(Some(instance), damage, trouble.into_source()))
    }

    /// All replies are there.
    pub(super) fn completed(&self, mut connection: Box<Connection>, limit: &Limit) -> Answer {
        let answer = Answer {
            instance: Some(connection.instance()),
            replies: mem::take(&mut connection.progress.replies),
            fault: None,
            pending: None,
        };
        if connection.progress.is_reusable() {
            self.pool.put(connection, limit.began());
        }
        answer
    }

    /// The limit is over and replies are missing.
    fn late(self: &Arc<Node>, connection: Box<Connection>) -> Answer {
        let progress = &connection.progress;
        let trouble = match &progress.nonsense {
            Some(nonsense) => nonsensical(nonsense),
            None => Trouble::new("it does not answer (no reply within the limit)"),
        };
        let mut answer = failed(Some(connection.instance()), Damage::Late, trouble.into_source());
        answer.replies.clone_from(&progress.replies);
        // Of reads there is nothing to learn any more.
        if progress.is_write_open() {
            answer.pending = Some(Box::new(Listening {
                node: Arc::clone(self),
                connection,
            }));
        }
        answer
    }

    /// A connection turned out to be dead: so are those to the same instance.
    pub(super) fn dead(&self, connection: &Connection) {
        self.pool.forget(connection.instance());
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.pool.len()
    }
}

/// The server closed, or is to be taken for closed, before all replies had come.
pub(super) fn closed(connection: Connection, error: io::Error) -> Answer {
    let trouble = match &connection.progress.nonsense {
        Some(nonsense) => nonsensical(nonsense),
        None => Trouble::caused("it closed the connection before all replies had come", error),
    };
    answered(connection, Damage::Cut, trouble)
}

/// The replies that had come count.
fn answered(connection: Connection, damage: Damage, trouble: Trouble) -> Answer {
    let instance = connection.instance();
    Answer {
        replies: connection.progress.replies,
        ..failed(Some(instance), damage, trouble.into_source())
    }
}

fn nonsensical(what: &str) -> Trouble {
    Trouble::new(format!("it does not keep to the protocol: {what}"))
}

/// No request got a reply.
pub(super) fn failed(instance: Option<Instance>, damage: Damage, source: Source) -> Answer {
    Answer {
        instance,
        replies: Replies::new(),
        fault: Some(Fault { damage, source }),
        pending: None,
    }
}
