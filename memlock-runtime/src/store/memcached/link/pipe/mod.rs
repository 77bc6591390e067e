//! One connection that all tasks share: batches go out one behind the other without waiting for replies, and the replies
//! come back in the same order.
//!
//! A batch is written by whoever submits it, on their own thread, as far as the kernel takes it at once. The rest is
//! written, and all is read, by a task on the background thread, which outlives every caller: what was sent cannot be
//! recalled, so it is listened for even when its caller does not wait any more. What was not sent is taken back.
//!
//! ```text
//!  open ── late, idle for long, or nobody uses the store any more ──► retired ── nobody listens any more ──► closed
//!    │                                                                  ▲
//!    └── nonsense from the server ── says that it has finished ─────────┘
//! ```
//!
//! A retired pipe takes no more batches; those that it has are listened for until the server answers or closes.

mod task;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, mem};

use smallvec::SmallVec;
use tokio::io::Interest;
use tokio::sync::{Notify, oneshot};

use super::connection::{Connection, nothing_more};
use super::pool::LONGEST_IDLE;
use crate::protocol::{Instance, Replies, Request, Unanswered};
use crate::store::Answer;
use crate::store::memcached::answers::{answered, complete, nonsensical, not_sent};
use crate::store::memcached::codec::handshake::{GREETING, Handshake, Peer};
use crate::store::memcached::codec::progress::Progress;
use crate::store::memcached::codec::translate::{self, Names};
use crate::store::memcached::failure::{ConnectError, TransferError};
use crate::store::memcached::health::Health;
use crate::store::memcached::socket::halves::{self, Reader, Writer};
use crate::store::memcached::socket::transport::{ReadBuffer, Stream, is_for_later};

/// With more batches in flight than this, whoever submits one leaves it to the background thread to send it. On two cores
/// that raised the rate of 64 tasks by a quarter, as client and server make fewer system calls; a few are served sooner without.
const DIRECT: usize = 4;

/// How often an open pipe looks whether anybody still uses it. After two looks without use it is closed, so that none is used
/// that was idle for longer than that limit.
const IDLE_LOOK: Duration = LONGEST_IDLE.checked_div(2).expect("not zero");

/// After so many reads and writes in one go others on the background thread have their turn: a server that sends and sends
/// is to keep nobody waiting but those who ask it.
const TURN: u32 = 32;

/// For how many such looks a retired pipe goes on listening: a server that has not answered in ten minutes is not going
/// to.
const LONGEST_LISTENING: u32 = 27;

/// The connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    peer: Peer,
    state: Mutex<PipeState>,
    health: Arc<Health>,
    /// There is something to write, or the pipe was retired.
    changed: Notify,
}

#[derive(Debug)]
struct PipeState {
    /// `None`: nothing more is sent.
    writer: Option<Writer>,
    /// What the kernel has not taken yet.
    output: Vec<u8>,
    /// How many bytes it has taken since the pipe was opened.
    taken: u64,
    next_opaque: u64,
    /// Batches whose replies have not all come, in the order in which they were sent.
    sent: VecDeque<Sent>,
    /// Takes no more batches.
    is_retired: bool,
    /// An error line has come that may have been about more than its request: the next ones prove nothing.
    is_in_doubt: bool,
    /// The server does not keep to the protocol; what it says is thrown away.
    nonsense: Option<String>,
    /// Whether a batch was submitted since the last look.
    is_used: bool,
    /// The batch that was the first without all its replies at the last look.
    first_at_last_look: Option<u64>,
    /// How many looks there were since it was retired.
    looks_since_retired: u32,
}

/// A batch that was submitted.
#[derive(Debug)]
struct Sent {
    /// The opaque of its first request, which rises from batch to batch.
    id: u64,
    /// Where it begins, in bytes since the pipe was opened.
    begins: u64,
    /// How many bytes it has.
    length: usize,
    progress: Progress,
    outcome: oneshot::Sender<Answer>,
}

/// A batch that was taken: where its outcome will be told.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) id: u64,
    /// Whether one of its requests writes.
    pub(crate) writes: bool,
    pub(crate) outcome: oneshot::Receiver<Answer>,
}

/// Outcomes to be told when the state is unlocked again.
type Outcomes = SmallVec<[(oneshot::Sender<Answer>, Answer); 4]>;

impl Pipe {
    /// Shakes hands. What is left to do is [`run`](Self::run).
    pub(crate) async fn open(
        reader: &Reader,
        writer: Writer,
        input: &mut ReadBuffer,
        health: Arc<Health>,
    ) -> Result<Arc<Pipe>, ConnectError> {
        let mut handshake = Handshake::default();
        let mut rest = GREETING;
        // A server that refuses the connection may close before it has read anything; its reason is in the input.
        let mut unsent = None;
        let peer = loop {
            if let Some(peer) = handshake.read(input)? {
                break peer;
            }
            let interest = if rest.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = reader.ready(interest).await.map_err(TransferError::from)?;
            if ready.is_writable() && !rest.is_empty() {
                match writer.try_write(rest) {
                    Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                    Err(error) if is_for_later(&error) => {}
                    Err(error) => {
                        rest = &[];
                        unsent = Some(TransferError::from(error));
                    }
                }
            }
            if ready.is_readable() || ready.is_read_closed() {
                reader.read(input).map_err(|error| unsent.take().unwrap_or(error))?;
            }
        };
        nothing_more(input)?;
        Ok(Pipe::over(writer, peer, 1, health))
    }

    /// Makes an idle connection into the one that all tasks share. To be called on the background thread.
    pub(crate) fn share(connection: Connection, health: Arc<Health>) -> io::Result<(Reader, Arc<Pipe>)> {
        let (stream, peer, next_opaque) = connection.into_parts();
        let (reader, writer) = match stream {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                halves::of_tcp(tokio::net::TcpStream::from_std(stream)?)
            }
            #[cfg(unix)]
            Stream::Local(stream) => {
                stream.set_nonblocking(true)?;
                halves::of_local(tokio::net::UnixStream::from_std(stream)?)
            }
        };
        Ok((reader, Pipe::over(writer, peer, next_opaque, health)))
    }

    /// Over a connection that is open already, and has used the opaques before `next_opaque`.
    pub(crate) fn over(writer: Writer, peer: Peer, next_opaque: u64, health: Arc<Health>) -> Arc<Pipe> {
        let state = PipeState {
            writer: Some(writer),
            output: Vec::new(),
            taken: 0,
            next_opaque,
            sent: VecDeque::new(),
            is_retired: false,
            is_in_doubt: false,
            nonsense: None,
            is_used: true,
            first_at_last_look: None,
            looks_since_retired: 0,
        };
        Arc::new(Pipe {
            peer,
            state: Mutex::new(state),
            health,
            changed: Notify::new(),
        })
    }

    pub(crate) fn instance(&self) -> Instance {
        self.peer.instance
    }

    /// A batch has got no reply within its limit, and nobody waited for it who would have said so.
    pub(crate) fn was_silent(&self) {
        if !self.is_retired() {
            self.retire();
            self.health.was_silent();
        }
    }

    pub(crate) fn evicts(&self) -> bool {
        self.peer.evicts
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.state().is_retired
    }

    /// Writes what the kernel takes at once, as the background thread does when it gets to it.
    #[cfg(test)]
    pub(crate) fn write(&self) {
        self.state().write();
    }

    /// How many bytes wait for the kernel to take them.
    #[cfg(test)]
    pub(crate) fn unwritten(&self) -> usize {
        self.state().output.len()
    }

    /// Takes no more batches from now on.
    pub(crate) fn retire(&self) {
        self.state().is_retired = true;
        self.look_again();
    }

    /// There may be nothing left to do for it: a retired pipe is closed when nobody listens any more.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Sends `batch`, now or as soon as the kernel takes it. `None`: the pipe is retired. The error says what is wrong with a
    /// request; nothing is sent then.
    pub(crate) fn submit(&self, batch: &[Request], names: Names<'_>) -> Result<Option<Submitted>, String> {
        let mut state = self.state();
        if state.is_retired {
            return Ok(None);
        }
        let begins = state.taken + state.output.len() as u64;
        let before = state.output.len();
        let first_opaque = state.next_opaque;
        for request in batch {
            let opaque = state.next_opaque;
            if let Err(text) = translate::encode(request, names, opaque, &mut state.output) {
                state.output.truncate(before);
                state.next_opaque = first_opaque;
                return Err(text);
            }
            state.next_opaque = opaque.wrapping_add(1);
        }
        let mut progress = Progress::default();
        progress.start(batch, first_opaque, self.peer.opaque_on_miss);
        let (outcome, listener) = oneshot::channel();
        let length = state.output.len() - before;
        state.sent.push_back(Sent {
            id: first_opaque,
            begins,
            length,
            progress,
            outcome,
        });
        state.is_used = true;
        // What is there already waits for the socket; then this waits behind it. With many in flight it is left to the
        // background thread, which sends what has come together in one packet.
        if before == 0 && state.sent.len() <= DIRECT {
            state.write();
        }
        let is_left = !state.output.is_empty();
        drop(state);
        if is_left {
            self.changed.notify_one();
        }
        let writes = batch.iter().any(Request::writes);
        Ok(Some(Submitted {
            id: first_opaque,
            writes,
            outcome: listener,
        }))
    }

    /// Looks whether it is still of use; done every now and then. Whether it has been of none for too long.
    pub(crate) fn look(&self) -> bool {
        let mut state = self.state();
        let first = state.sent.front().map(|sent| sent.id);
        // It may be that nobody is late who would say that the server hangs: all give up before that.
        let hangs = first.is_some() && first == state.first_at_last_look;
        state.first_at_last_look = first;
        if !mem::take(&mut state.is_used) || hangs {
            state.is_retired = true;
            self.health.has_rested();
        }
        state.looks_since_retired += u32::from(state.is_retired);
        state.looks_since_retired > LONGEST_LISTENING
    }

    /// Where the batch `id` stands, for whoever does not wait for it any longer. What was not sent is taken back.
    pub(crate) fn give_up(&self, id: u64) -> Fate {
        let mut state = self.state();
        let Ok(index) = state.sent.binary_search_by_key(&id, |sent| sent.id) else {
            return Fate::Over;
        };
        if state.take_back(index) {
            return Fate::NotSent;
        }
        match state.sent.get(index) {
            // What is late is no more than the rest of a value that nobody needs.
            Some(sent) if sent.progress.is_answered() => Fate::Answered(sent.progress.replies.clone()),
            Some(sent) => Fate::Sent {
                replies: sent.progress.replies.clone(),
                is_write_open: sent.progress.is_write_open(),
                nonsense: state.nonsense.clone(),
            },
            None => Fate::Over,
        }
    }

    fn state(&self) -> MutexGuard<'_, PipeState> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PipeState {
    /// Whether nothing is left to be done, and else what to wait for; and those that cannot be sent any more.
    fn outlook(&mut self, instance: Instance) -> (bool, Interest, Outcomes) {
        let mut unsendable = Outcomes::new();
        if self.writer.is_none() {
            while self.sent.back().is_some_and(|sent| sent.begins >= self.taken) {
                if let Some(sent) = self.sent.pop_back() {
                    let answer = not_sent(Some(instance), "the connection takes no more bytes");
                    unsendable.push((sent.outcome, answer));
                }
            }
        }
        let interest = if self.output.is_empty() || self.writer.is_none() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let is_over = self.is_retired && self.sent.iter().all(|sent| sent.outcome.is_closed());
        (is_over, interest, unsendable)
    }

    /// Takes back a batch of which the kernel has taken nothing. `false` where it has.
    fn take_back(&mut self, index: usize) -> bool {
        let Some(sent) = self.sent.get(index) else { return false };
        let Some(start) = sent.begins.checked_sub(self.taken) else {
            return false;
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let length = sent.length;
        // There is no output any more where the connection takes none.
        if start.saturating_add(length) <= self.output.len() {
            self.output.drain(start..start + length);
        }
        self.sent.remove(index);
        for later in self.sent.iter_mut().skip(index) {
            later.begins -= length as u64;
        }
        true
    }

    /// Writes what the kernel takes at once. A failure shows in the reading as well, and is dealt with there.
    fn write(&mut self) {
        while let (Some(writer), false) = (&self.writer, self.output.is_empty()) {
            match writer.try_write(&self.output) {
                Ok(written) => {
                    self.output.drain(..written);
                    self.taken += written as u64;
                }
                Err(error) if is_for_later(&error) => return,
                Err(_) => {
                    self.writer = None;
                    self.is_retired = true;
                }
            }
        }
    }

    /// The server does not keep to the protocol. It is told that no more will come: what it has received it executes all
    /// the same, and only when it has closed is that over. Who has nothing to fear from that need not wait.
    fn finish(&mut self, nonsense: Option<String>, instance: Instance, outcomes: &mut Outcomes) {
        let nonsense = nonsense.unwrap_or_default();
        self.is_retired = true;
        self.writer = None;
        self.output.clear();
        for mut sent in mem::take(&mut self.sent) {
            if sent.progress.is_answered() {
                outcomes.push((sent.outcome, complete(instance, mem::take(&mut sent.progress.replies))));
                continue;
            }
            let was_taken = sent.begins < self.taken;
            if was_taken && sent.progress.is_write_open() {
                self.sent.push_back(sent);
                continue;
            }
            let unanswered = if was_taken {
                Unanswered::Cut
            } else {
                Unanswered::NotSent
            };
            let replies = mem::take(&mut sent.progress.replies);
            outcomes.push((
                sent.outcome,
                answered(instance, replies, unanswered, nonsensical(&nonsense)),
            ));
        }
        self.nonsense = Some(nonsense);
    }
}

/// Where a batch stands for whom nobody waits any more.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives for a moment")]
pub(crate) enum Fate {
    /// Its outcome is known, or about to be told.
    Over,
    /// Nothing of it was sent, and nothing will be.
    NotSent,
    /// All its replies are known.
    Answered(Replies),
    /// Some of it was sent.
    Sent {
        replies: Replies,
        is_write_open: bool,
        nonsense: Option<String>,
    },
}
