//! One connection that all tasks share: batches go out one behind the other without waiting for replies, and the replies
//! come back in the same order.
//!
//! A batch is written by whoever submits it, on their own thread, as far as the kernel takes it at once. The rest is
//! written, and all is read, by a task on the background thread, which outlives every caller: a request cannot be
//! recalled, so what was sent is listened for even when nobody waits for it any more.
//!
//! ```text
//!  open ── late, idle for long, or nobody uses the store any more ──► retired ── all outcomes known ──► closed
//!    │                                                                  ▲
//!    └── nonsense from the server ── says that it has finished ─────────┘
//! ```
//!
//! A retired pipe takes no more batches; those that it has are listened for until the server answers or closes.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::io::{Interest, Ready};
use tokio::net::tcp;
#[cfg(unix)]
use tokio::net::unix;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use super::connection::NotOpened;
use super::handshake::{GREETING, Handshake, Peer};
use super::node::{answered, failed, nonsensical};
use super::progress::{Progress, Step};
use super::transport::{Broken, Input};
use super::trouble::Trouble;
use crate::background::{Either, either};
use crate::key::ItemName;
use crate::store::{Answer, Damage, Instance, Request};

/// How often an open pipe looks whether anybody still uses it; after two looks without use it is closed.
const IDLE_LOOK: Duration = Duration::from_secs(30);

/// For how many such looks a retired pipe goes on listening: a server that has not answered in ten minutes is not going
/// to.
const LONGEST_LISTENING: u32 = 20;

/// The sending half of a socket. Dropping it tells the server that no more will come.
#[derive(Debug)]
pub(super) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Local(unix::OwnedWriteHalf),
}

/// The receiving half.
#[derive(Debug)]
pub(super) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Local(unix::OwnedReadHalf),
}

impl Writer {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writer::Tcp(half) => half.try_write(bytes),
            #[cfg(unix)]
            Writer::Local(half) => half.try_write(bytes),
        }
    }
}

impl Reader {
    /// Waits until the socket, of whose two halves this is one, can do some of `interest`.
    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Reader::Tcp(half) => half.ready(interest).await,
            #[cfg(unix)]
            Reader::Local(half) => half.ready(interest).await,
        }
    }

    /// Reads what has come; `false` where nothing has.
    fn read(&self, input: &mut Input) -> Result<bool, Broken> {
        let Some(room) = input.room() else {
            return Err(Broken::Lost(io::Error::other("the reply is too long")));
        };
        let read = match self {
            Reader::Tcp(half) => half.try_read(room),
            #[cfg(unix)]
            Reader::Local(half) => half.try_read(room),
        };
        match read {
            Ok(0) => Err(Broken::Closed(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => {
                input.filled(read);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(Broken::from_error(error)),
        }
    }
}

/// The connection.
#[derive(Debug)]
pub(super) struct Pipe {
    peer: Peer,
    state: Mutex<State>,
    /// There is something to write, or the pipe was retired.
    changed: Notify,
}

#[derive(Debug)]
struct State {
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
}

/// A batch that was submitted.
#[derive(Debug)]
struct Sent {
    /// Where it begins, in bytes since the pipe was opened.
    begins: u64,
    progress: Progress,
    outcome: oneshot::Sender<Answer>,
}

/// Outcomes to be told when the state is unlocked again.
type Outcomes = SmallVec<[(oneshot::Sender<Answer>, Answer); 4]>;

/// Why a batch was not taken. Nothing was sent of it.
#[derive(Debug)]
pub(super) enum NotTaken {
    Retired,
    /// The requests themselves are at fault.
    Invalid(String),
}

impl Pipe {
    /// Shakes hands. What is left to do is [`run`](Self::run).
    pub(super) async fn open(reader: &Reader, writer: Writer, input: &mut Input) -> Result<Arc<Pipe>, NotOpened> {
        let mut handshake = Handshake::default();
        let mut rest = GREETING;
        // A server that refuses the connection may close before it has read anything; its reason is in the input.
        let mut unsent = None;
        let peer = loop {
            if let Some(peer) = handshake.read(input).map_err(NotOpened::from)? {
                break peer;
            }
            let interest = if rest.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = reader.ready(interest).await.map_err(Broken::from_error)?;
            if ready.is_writable() && !rest.is_empty() {
                match writer.try_write(rest) {
                    Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        rest = &[];
                        unsent = Some(Broken::from_error(error));
                    }
                }
            }
            if ready.is_readable() || ready.is_read_closed() {
                reader.read(input).map_err(|broken| unsent.take().unwrap_or(broken))?;
            }
        };
        let state = State {
            writer: Some(writer),
            output: Vec::new(),
            taken: 0,
            next_opaque: 1,
            sent: VecDeque::new(),
            is_retired: false,
            is_in_doubt: false,
            nonsense: None,
            is_used: true,
        };
        Ok(Arc::new(Pipe {
            peer,
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    pub(super) fn instance(&self) -> Instance {
        self.peer.instance
    }

    pub(super) fn evicts(&self) -> bool {
        self.peer.evicts
    }

    pub(super) fn is_retired(&self) -> bool {
        self.state().is_retired
    }

    /// Takes no more batches from now on.
    pub(super) fn retire(&self) {
        self.state().is_retired = true;
        self.changed.notify_one();
    }

    /// Sends `batch`, now or as soon as the kernel takes it. The outcome comes in any case, or the sender is dropped.
    pub(super) fn submit(&self, batch: &[Request], clock: &ItemName) -> Result<oneshot::Receiver<Answer>, NotTaken> {
        let mut state = self.state();
        if state.is_retired {
            return Err(NotTaken::Retired);
        }
        let begins = state.taken + state.output.len() as u64;
        let before = state.output.len();
        let first_opaque = state.next_opaque;
        for request in batch {
            let opaque = state.next_opaque;
            if let Err(text) = super::translate::encode(request, clock, opaque, &mut state.output) {
                state.output.truncate(before);
                state.next_opaque = first_opaque;
                return Err(NotTaken::Invalid(text));
            }
            state.next_opaque = opaque.wrapping_add(1);
        }
        let mut progress = Progress::default();
        progress.start(batch, first_opaque, self.peer.opaque_on_miss);
        let (outcome, listener) = oneshot::channel();
        state.sent.push_back(Sent {
            begins,
            progress,
            outcome,
        });
        state.is_used = true;
        // What is there already waits for the socket; then this waits behind it.
        if before == 0 {
            state.write();
        }
        let is_left = !state.output.is_empty();
        drop(state);
        if is_left {
            self.changed.notify_one();
        }
        Ok(listener)
    }

    /// Reads replies, and writes what the kernel would not take at once, until the pipe is closed.
    pub(super) async fn run(self: Arc<Pipe>, reader: Reader, mut input: Input) {
        let mut look = std::pin::pin!(sleep(IDLE_LOOK));
        let mut looks_since_retired = 0;
        let broken = loop {
            let (is_over, interest) = self.state().outlook();
            if is_over {
                break Broken::Late;
            }
            let event = either(either(reader.ready(interest), self.changed.notified()), look.as_mut()).await;
            match event {
                Either::First(Either::First(Ok(ready))) => {
                    if ready.is_writable() {
                        self.state().write();
                    }
                    if ready.is_readable() || ready.is_read_closed() {
                        match reader.read(&mut input) {
                            Ok(true) => self.received(&mut input),
                            Ok(false) => {}
                            Err(broken) => break broken,
                        }
                    }
                }
                Either::First(Either::First(Err(error))) => break Broken::from_error(error),
                Either::First(Either::Second(())) => {}
                Either::Second(()) => {
                    restart(look.as_mut());
                    if !mem::take(&mut self.state().is_used) {
                        self.state().is_retired = true;
                    }
                    if self.is_retired() {
                        looks_since_retired += 1;
                        if looks_since_retired > LONGEST_LISTENING {
                            break Broken::Late;
                        }
                    }
                }
            }
        };
        self.ended(&broken);
    }

    /// Bytes have come.
    fn received(&self, input: &mut Input) {
        let mut outcomes = Outcomes::new();
        let mut state = self.state();
        loop {
            if state.nonsense.is_some() {
                input.consume(input.unread().len());
                break;
            }
            let is_in_doubt = state.is_in_doubt;
            let Some(first) = state.sent.front_mut() else {
                if !input.unread().is_empty() {
                    // They belong to no request, and what would come next on this connection to another than it seems.
                    state.finish(
                        Some("bytes that nobody asked for".to_owned()),
                        self.instance(),
                        &mut outcomes,
                    );
                }
                break;
            };
            if is_in_doubt {
                first.progress.doubt_places();
            }
            match first.progress.advance(input) {
                Step::Reading => break,
                Step::Complete => {
                    if let Some(mut sent) = state.sent.pop_front() {
                        if !sent.progress.is_in_step() {
                            state.is_in_doubt = true;
                            state.is_retired = true;
                        }
                        let answer = Answer {
                            instance: Some(self.instance()),
                            replies: mem::take(&mut sent.progress.replies),
                            fault: None,
                            pending: None,
                        };
                        outcomes.push((sent.outcome, answer));
                    }
                }
                Step::Draining => {
                    let nonsense = first.progress.nonsense.clone();
                    state.finish(nonsense, self.instance(), &mut outcomes);
                }
            }
        }
        drop(state);
        tell(outcomes);
    }

    /// No more bytes come or go.
    fn ended(&self, broken: &Broken) {
        let mut state = self.state();
        state.is_retired = true;
        state.writer = None;
        let nonsense = state.nonsense.take();
        let taken = state.taken;
        let all = mem::take(&mut state.sent);
        drop(state);
        let outcomes = all.into_iter().map(|sent| {
            let trouble = match (&nonsense, broken) {
                (Some(nonsense), _) => nonsensical(nonsense),
                (None, Broken::Late) => Trouble::new("it does not answer"),
                (None, Broken::Closed(error)) => Trouble::caused(
                    "it closed the connection before all replies had come",
                    io::Error::new(error.kind(), error.to_string()),
                ),
                (None, Broken::Lost(error)) => Trouble::caused(
                    "the connection failed before all replies had come",
                    io::Error::new(error.kind(), error.to_string()),
                ),
            };
            // Half a command is never executed, so one of which the kernel took nothing is not.
            let damage = match broken {
                _ if sent.begins >= taken => Damage::NotSent,
                Broken::Closed(_) => Damage::Cut,
                // Unlike a server that closed, one that cannot be reached may go on executing what it has received.
                Broken::Lost(_) | Broken::Late => Damage::Late,
            };
            let answer = answered(self.instance(), sent.progress.replies, damage, trouble);
            (sent.outcome, answer)
        });
        tell(outcomes.collect());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether nothing is left to be done, and else what to wait for.
    fn outlook(&self) -> (bool, Interest) {
        let interest = if self.output.is_empty() || self.writer.is_none() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        (self.is_retired && self.sent.is_empty(), interest)
    }

    /// Writes what the kernel takes at once. A failure shows in the reading as well, and is dealt with there.
    fn write(&mut self) {
        while let (Some(writer), false) = (&self.writer, self.output.is_empty()) {
            match writer.try_write(&self.output) {
                Ok(written) => {
                    self.output.drain(..written);
                    self.taken += written as u64;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
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
            let was_taken = sent.begins < self.taken;
            if was_taken && sent.progress.is_write_open() {
                self.sent.push_back(sent);
                continue;
            }
            let damage = if was_taken { Damage::Cut } else { Damage::NotSent };
            let replies = mem::take(&mut sent.progress.replies);
            outcomes.push((
                sent.outcome,
                answered(instance, replies, damage, nonsensical(&nonsense)),
            ));
        }
        self.nonsense = Some(nonsense);
    }
}

fn restart(look: std::pin::Pin<&mut Sleep>) {
    #[allow(clippy::disallowed_methods, reason = "a timer for I/O")]
    look.reset(Instant::now() + IDLE_LOOK);
}

/// Tells outcomes. Nobody may be listening to some.
fn tell(outcomes: Outcomes) {
    for (outcome, answer) in outcomes {
        let _ = outcome.send(answer);
    }
}

/// When a batch never got as far as being sent.
pub(super) fn not_taken(instance: Instance, why: NotTaken) -> Answer {
    let trouble = match why {
        NotTaken::Retired => Trouble::new("it closes every connection"),
        NotTaken::Invalid(text) => Trouble::new(text),
    };
    failed(Some(instance), Damage::NotSent, trouble.into_source())
}
