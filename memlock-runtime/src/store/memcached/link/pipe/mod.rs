//! The connection that all tasks share. Batches are sent one after the other without waiting for replies, and the
//! replies arrive in the same order.
//!
//! The caller that submits a batch writes it on its own thread, as far as the kernel takes it at once. A task on the
//! background thread writes the rest and reads all replies. The task outlives the callers: a batch that was sent cannot
//! be recalled, so the task listens for its replies even after its caller has stopped waiting. A batch that was not
//! sent is taken back.
//!
//! ```text
//!  open ── late, idle for long, or the store was dropped ──► retired ── no caller listens any more ──► closed
//!    │                                                         ▲
//!    └── the server violates the protocol ─────────────────────┘
//! ```
//!
//! A retired pipe takes no more batches. It listens for the replies to those that it has until the server answers or
//! closes.

mod task;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, mem};

use smallvec::SmallVec;
use tokio::io::Interest;
use tokio::sync::{Notify, oneshot};

use super::connection::{Connection, check_no_more};
use super::pool::LONGEST_IDLE;
use crate::protocol::{Exchanged, Instance, Replies, Request, Unanswered};
use crate::store::memcached::answers::{complete, incomplete, not_sent, protocol_violation};
use crate::store::memcached::codec::handshake::{GREETING, Handshake, Peer};
use crate::store::memcached::codec::progress::Progress;
use crate::store::memcached::codec::translate::{self, Names};
use crate::store::memcached::failure::{ConnectError, TransferError};
use crate::store::memcached::health::Health;
use crate::store::memcached::socket::split::{self, Reader, Writer};
use crate::store::memcached::socket::transport::{ReadBuffer, Stream, is_for_later};

/// With more batches in flight than this, callers leave writing to the background thread. On two cores that raised the
/// rate of 64 tasks by a quarter, since client and server make fewer system calls. With few batches, writing at once is
/// faster.
const MAX_DIRECT_WRITES: usize = 4;

/// How often an open pipe checks whether it is still used. It is closed at the second check without use, so that no
/// pipe is used that was idle for longer than [`LONGEST_IDLE`].
const USAGE_CHECK_INTERVAL: Duration = LONGEST_IDLE.checked_div(2).expect("not zero");

/// After so many events in a row the task yields to the others on the background thread: a server that sends without
/// end must delay only its own callers.
const EVENTS_PER_TURN: u32 = 32;

/// For how many such checks a retired pipe goes on listening: a server that has not answered in ten minutes is not
/// going to.
const MAX_CHECKS_AFTER_RETIRING: u32 = 27;

/// The connection that all tasks share.
#[derive(Debug)]
pub(crate) struct Pipe {
    peer: Peer,
    state: Mutex<PipeState>,
    health: Arc<Health>,
    /// Wakes the task: there is something to write, or the pipe was retired.
    changed: Notify,
}

#[derive(Debug)]
struct PipeState {
    /// `None`: nothing more can be sent.
    writer: Option<Writer>,
    /// Bytes that the kernel has not taken yet.
    output: Vec<u8>,
    /// How many bytes the kernel has taken since the pipe was opened.
    taken: u64,
    next_opaque: u64,
    /// Batches without all their replies, in the order in which they were submitted.
    sent: VecDeque<Sent>,
    /// Whether no more batches are taken.
    is_retired: bool,
    /// Whether an error line has arrived that may have answered more than its request. Later error lines prove nothing.
    is_in_doubt: bool,
    /// How the server violated the protocol. What it sends is discarded.
    violation: Option<String>,
    /// Whether a batch was submitted since the last check.
    is_used: bool,
    /// The first batch without all its replies at the last check.
    first_at_last_check: Option<u64>,
    /// How many checks were made since the pipe was retired.
    checks_since_retired: u32,
}

/// A batch that was submitted.
#[derive(Debug)]
struct Sent {
    /// The opaque of its first request. Ids rise from batch to batch.
    id: u64,
    /// The position of its first byte, counted from the opening of the pipe.
    begins: u64,
    /// Its length in bytes.
    length: usize,
    progress: Progress,
    answer: oneshot::Sender<Exchanged>,
}

/// A batch that the pipe has taken.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) id: u64,
    /// Whether one of its requests writes.
    pub(crate) writes: bool,
    /// Gets its answer.
    pub(crate) answer: oneshot::Receiver<Exchanged>,
}

/// Answers to send when the state is unlocked again.
type Answers = SmallVec<[(oneshot::Sender<Exchanged>, Exchanged); 4]>;

impl Pipe {
    /// Opens a pipe: sends the greeting, and reads the replies to it. The caller then spawns [`run`](Self::run).
    pub(crate) async fn open(
        reader: &Reader,
        writer: Writer,
        input: &mut ReadBuffer,
        health: Arc<Health>,
    ) -> Result<Arc<Pipe>, ConnectError> {
        let mut handshake = Handshake::default();
        let mut rest = GREETING;
        // A server that refuses the connection may close it before it has read anything. Its reason is in the input.
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
            let ready = reader.ready(interest).await;
            let ready = ready.map_err(|error| handshake.ended(input, error.into()))?;
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
                let read = reader.read(input);
                read.map_err(|error| handshake.ended(input, unsent.take().unwrap_or(error)))?;
            }
        };
        check_no_more(input)?;
        Ok(Pipe::over(writer, peer, 1, health))
    }

    /// Makes an idle connection of a thread into a pipe. Must be called on the background thread.
    pub(crate) fn share(connection: Connection, health: Arc<Health>) -> io::Result<(Reader, Arc<Pipe>)> {
        let (stream, peer, next_opaque) = connection.into_parts();
        let (reader, writer) = match stream {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                split::split_tcp(tokio::net::TcpStream::from_std(stream)?)
            }
            #[cfg(unix)]
            Stream::Local(stream) => {
                stream.set_nonblocking(true)?;
                split::split_local(tokio::net::UnixStream::from_std(stream)?)
            }
        };
        Ok((reader, Pipe::over(writer, peer, next_opaque, health)))
    }

    /// A pipe over an open connection on which the opaques before `next_opaque` were used.
    pub(crate) fn over(writer: Writer, peer: Peer, next_opaque: u64, health: Arc<Health>) -> Arc<Pipe> {
        let state = PipeState {
            writer: Some(writer),
            output: Vec::new(),
            taken: 0,
            next_opaque,
            sent: VecDeque::new(),
            is_retired: false,
            is_in_doubt: false,
            violation: None,
            is_used: true,
            first_at_last_check: None,
            checks_since_retired: 0,
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

    /// Records that a batch got no reply within its limit, for a caller that gave up before the end of the limit.
    pub(crate) fn record_silence(&self) {
        if !self.is_retired() {
            self.retire();
            self.health.record_silence();
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.state().is_retired
    }

    /// Writes what the kernel takes at once, as the background thread does.
    #[cfg(test)]
    pub(crate) fn write(&self) {
        self.state().write();
    }

    /// How many bytes the kernel has not taken yet.
    #[cfg(test)]
    pub(crate) fn unwritten(&self) -> usize {
        self.state().output.len()
    }

    /// From now on the pipe takes no more batches.
    pub(crate) fn retire(&self) {
        self.state().is_retired = true;
        self.wake_task();
    }

    /// Wakes the task to check whether it is over: a retired pipe is closed when no caller listens any more.
    pub(crate) fn wake_task(&self) {
        self.changed.notify_one();
    }

    /// Sends `batch`, now or as soon as the kernel takes it. `None`: the pipe is retired. The error says what is wrong
    /// with a request; nothing is sent then.
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
        let (sender, receiver) = oneshot::channel();
        let length = state.output.len() - before;
        state.sent.push_back(Sent {
            id: first_opaque,
            begins,
            length,
            progress,
            answer: sender,
        });
        state.is_used = true;
        // Bytes from before wait for the socket, and this batch waits behind them. With many batches in flight writing
        // is left to the background thread, which sends all of them in one packet.
        if before == 0 && state.sent.len() <= MAX_DIRECT_WRITES {
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
            answer: receiver,
        }))
    }

    /// Retires the pipe if it is not used, or if the server hangs. Called at regular intervals. Returns whether the
    /// pipe was retired so long ago that it must be closed.
    pub(crate) fn check_usage(&self) -> bool {
        let mut state = self.state();
        let first = state.sent.front().map(|sent| sent.id);
        // Callers that give up before their limit do not report that the server hangs.
        let hangs = first.is_some() && first == state.first_at_last_check;
        state.first_at_last_check = first;
        if !mem::take(&mut state.is_used) || hangs {
            state.is_retired = true;
            self.health.record_silence();
        }
        state.checks_since_retired += u32::from(state.is_retired);
        state.checks_since_retired > MAX_CHECKS_AFTER_RETIRING
    }

    /// Returns the status of batch `id` for a caller that stops waiting for it. A batch that was not sent is taken
    /// back.
    pub(crate) fn withdraw(&self, id: u64) -> BatchStatus {
        let mut state = self.state();
        let Ok(index) = state.sent.binary_search_by_key(&id, |sent| sent.id) else {
            return BatchStatus::Finished;
        };
        if state.take_back(index) {
            return BatchStatus::NotSent;
        }
        match state.sent.get(index) {
            // Only the rest of a value is missing, and nothing needs it.
            Some(sent) if sent.progress.is_answered() => BatchStatus::Answered(sent.progress.replies.clone()),
            Some(sent) => BatchStatus::Sent {
                replies: sent.progress.replies.clone(),
                is_write_open: sent.progress.is_write_open(),
                violation: state.violation.clone(),
            },
            None => BatchStatus::Finished,
        }
    }

    fn state(&self) -> MutexGuard<'_, PipeState> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PipeState {
    /// Returns whether the task is over, what it waits for otherwise, and the answers to the batches that can no longer
    /// be sent.
    fn next_wait(&mut self, instance: Instance) -> (bool, Interest, Answers) {
        let mut unsendable = Answers::new();
        if self.writer.is_none() {
            while self.sent.back().is_some_and(|sent| sent.begins >= self.taken) {
                if let Some(sent) = self.sent.pop_back() {
                    let answer = not_sent(Some(instance), "the connection takes no more bytes");
                    unsendable.push((sent.answer, answer));
                }
            }
        }
        let interest = if self.output.is_empty() || self.writer.is_none() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let is_over = self.is_retired && self.sent.iter().all(|sent| sent.answer.is_closed());
        (is_over, interest, unsendable)
    }

    /// Takes back a batch, unless the kernel has taken some of it. Returns whether it did.
    fn take_back(&mut self, index: usize) -> bool {
        let Some(sent) = self.sent.get(index) else { return false };
        let Some(start) = sent.begins.checked_sub(self.taken) else {
            return false;
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let length = sent.length;
        // The output was cleared if nothing more can be sent.
        if start.saturating_add(length) <= self.output.len() {
            self.output.drain(start..start + length);
        }
        self.sent.remove(index);
        for later in self.sent.iter_mut().skip(index) {
            later.begins -= length as u64;
        }
        true
    }

    /// Writes what the kernel takes at once. A failure shows when reading as well, and is handled there.
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

    /// Closes the sending half because the server violated the protocol. The server executes all the same what it has
    /// received, and that is over only when it closes the connection. Batches with an open write wait for that; all
    /// others are answered now.
    fn finish(&mut self, violation: Option<String>, instance: Instance, answers: &mut Answers) {
        let violation = violation.unwrap_or_default();
        self.is_retired = true;
        self.writer = None;
        self.output.clear();
        for mut sent in mem::take(&mut self.sent) {
            if sent.progress.is_answered() {
                answers.push((sent.answer, complete(instance, mem::take(&mut sent.progress.replies))));
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
            answers.push((
                sent.answer,
                incomplete(instance, replies, unanswered, protocol_violation(&violation)),
            ));
        }
        self.violation = Some(violation);
    }
}

/// The status of a batch when its caller stops waiting.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives for a moment")]
pub(crate) enum BatchStatus {
    /// Its answer was sent, or is about to be.
    Finished,
    /// Nothing of it was sent, nor will be.
    NotSent,
    /// All its replies are known.
    Answered(Replies),
    /// Some of it was sent.
    Sent {
        replies: Replies,
        is_write_open: bool,
        violation: Option<String>,
    },
}
