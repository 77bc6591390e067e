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

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::io::{Interest, Ready};
use tokio::net::tcp;
#[cfg(unix)]
use tokio::net::unix;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use super::connection::{NotOpened, nothing_more};
use super::handshake::{GREETING, Handshake, Peer};
use super::node::{answered, failed, nonsensical};
use super::progress::{Progress, Step};
use super::transport::{Broken, Input};
use super::trouble::{Trouble, quoted};
use crate::background::{self, Either, either};
use crate::key::ItemName;
use crate::store::{Answer, Damage, Instance, Pending, Replies, Request};

/// With more batches in flight than this, whoever submits one leaves it to the background thread to send it. On two cores
/// that raised the rate of 64 tasks by a quarter, as client and server make fewer system calls; a few are served sooner without.
const DIRECT: usize = 4;

/// How often an open pipe looks whether anybody still uses it; after two looks without use it is closed.
const IDLE_LOOK: Duration = Duration::from_secs(30);

/// After so many reads and writes in one go others on the background thread have their turn: a server that sends and sends
/// is to keep nobody waiting but those who ask it.
const TURN: u32 = 32;

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
            Err(error) if is_for_later(&error) => Ok(false),
            Err(error) => Err(Broken::from_error(error)),
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
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
                    Err(error) if is_for_later(&error) => {}
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
        nothing_more(input)?;
        Ok(Pipe::over(writer, peer, 1))
    }

    /// Over a connection that is open already, and has used the opaques before `next_opaque`.
    pub(super) fn over(writer: Writer, peer: Peer, next_opaque: u64) -> Arc<Pipe> {
        let state = State {
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
            changed: Notify::new(),
        })
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

    /// How many bytes wait for the kernel to take them.
    /// Writes what the kernel takes at once, as the background thread does when it gets to it.
    #[cfg(test)]
    pub(super) fn write(&self) {
        self.state().write();
    }

    #[cfg(test)]
    pub(super) fn unwritten(&self) -> usize {
        self.state().output.len()
    }

    /// Takes no more batches from now on.
    pub(super) fn retire(&self) {
        self.state().is_retired = true;
        self.changed.notify_one();
    }

    /// Sends `batch`, now or as soon as the kernel takes it.
    pub(super) fn submit(self: &Arc<Pipe>, batch: &[Request], clock: &ItemName) -> Result<Ticket, NotTaken> {
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
        Ok(Ticket {
            pipe: Arc::clone(self),
            id: first_opaque,
            writes: batch.iter().any(Request::writes),
            outcome: listener,
            is_settled: false,
        })
    }

    /// Reads replies, and writes what the kernel would not take at once, until the pipe is closed.
    pub(super) async fn run(self: Arc<Pipe>, reader: Reader, mut input: Input) {
        // Also when a waker that somebody gave panics: the others are to learn of it.
        let ending = Ending(&self);
        let broken = self.serve(&reader, &mut input).await;
        mem::forget(ending);
        self.ended(&broken);
    }

    async fn serve(&self, reader: &Reader, input: &mut Input) -> Broken {
        let mut look = std::pin::pin!(sleep(IDLE_LOOK));
        let mut turns = 0;
        loop {
            let (is_over, interest, unsendable) = self.state().outlook(self.instance());
            tell(unsendable);
            if is_over {
                return Broken::Late;
            }
            let event = either(either(reader.ready(interest), self.changed.notified()), look.as_mut()).await;
            match event {
                Either::First(Either::First(Ok(ready))) => {
                    if ready.is_writable() {
                        self.state().write();
                    }
                    if ready.is_readable() || ready.is_read_closed() {
                        match reader.read(input) {
                            Ok(true) => self.received(input),
                            Ok(false) => {}
                            Err(broken) => return broken,
                        }
                    }
                    turns = (turns + 1) % TURN;
                    if turns == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Either::First(Either::First(Err(error))) => return Broken::from_error(error),
                Either::First(Either::Second(())) => {}
                Either::Second(()) => {
                    restart(look.as_mut());
                    if self.look() {
                        return Broken::Late;
                    }
                }
            }
        }
    }

    /// Looks whether it is still of use; done every now and then. Whether it has been of none for too long.
    pub(super) fn look(&self) -> bool {
        let mut state = self.state();
        let first = state.sent.front().map(|sent| sent.id);
        // It may be that nobody is late who would say that the server hangs: all give up before that.
        let hangs = first.is_some() && first == state.first_at_last_look;
        state.first_at_last_look = first;
        if !mem::take(&mut state.is_used) || hangs {
            state.is_retired = true;
        }
        state.looks_since_retired += u32::from(state.is_retired);
        state.looks_since_retired > LONGEST_LISTENING
    }

    /// Where the batch `id` stands, for whoever does not wait for it any longer. What was not sent is taken back.
    fn give_up(&self, id: u64) -> Standing {
        let mut state = self.state();
        let Ok(index) = state.sent.binary_search_by_key(&id, |sent| sent.id) else {
            return Standing::Over;
        };
        if state.take_back(index) {
            return Standing::NotSent;
        }
        match state.sent.get(index) {
            Some(sent) => Standing::Sent {
                replies: sent.progress.replies.clone(),
                is_write_open: sent.progress.is_write_open(),
                nonsense: state.nonsense.clone(),
            },
            None => Standing::Over,
        }
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
            if input.unread().is_empty() {
                break;
            }
            let (is_in_doubt, taken) = (state.is_in_doubt, state.taken);
            // Of what was not sent yet, nothing can be answered.
            let Some(first) = state.sent.front_mut().filter(|sent| sent.begins < taken) else {
                let what = format!("{}, for which nobody has asked", quoted(input.unread()));
                state.finish(Some(what), self.instance(), &mut outcomes);
                continue;
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
    /// Whether nothing is left to be done, and else what to wait for; and those that cannot be sent any more.
    fn outlook(&mut self, instance: Instance) -> (bool, Interest, Outcomes) {
        let mut unsendable = Outcomes::new();
        if self.writer.is_none() {
            while self.sent.back().is_some_and(|sent| sent.begins >= self.taken) {
                if let Some(sent) = self.sent.pop_back() {
                    let trouble = Trouble::new("the connection takes no more bytes");
                    let answer = failed(Some(instance), Damage::NotSent, trouble.into_source());
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

/// Where a batch stands.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives for a moment")]
enum Standing {
    /// Its outcome is known, or about to be told.
    Over,
    /// Nothing of it was sent, and nothing will be.
    NotSent,
    /// Some of it was sent.
    Sent {
        replies: Replies,
        is_write_open: bool,
        nonsense: Option<String>,
    },
}

/// A batch that was submitted, for whoever waits for its outcome. Dropping it gives up listening.
#[derive(Debug)]
pub(super) struct Ticket {
    pipe: Arc<Pipe>,
    id: u64,
    writes: bool,
    outcome: oneshot::Receiver<Answer>,
    /// Whether the pipe knows nothing of it any more.
    is_settled: bool,
}

impl Ticket {
    pub(super) fn instance(&self) -> Instance {
        self.pipe.instance()
    }

    /// The outcome, once it is there. Not to be polled again after that.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.outcome).poll(context).map(|outcome| {
            self.is_settled = true;
            outcome.unwrap_or_else(|_| self.never_told())
        })
    }

    /// The outcome where it is there.
    fn now(&mut self) -> Option<Answer> {
        let outcome = match self.outcome.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Closed) => self.never_told(),
        };
        self.is_settled = true;
        Some(outcome)
    }

    fn never_told(&self) -> Answer {
        let trouble = Trouble::new("the background thread failed");
        failed(Some(self.instance()), Damage::Late, trouble.into_source())
    }

    /// The limit is over and the outcome is not there. The next batch is to try another connection.
    pub(super) fn late(mut self) -> Answer {
        let standing = self.pipe.give_up(self.id);
        self.pipe.retire();
        let instance = self.instance();
        if let Standing::NotSent = standing {
            self.is_settled = true;
            let trouble = Trouble::new("it takes no more bytes (the request was not sent)");
            return failed(Some(instance), Damage::NotSent, trouble.into_source());
        }
        if let Some(answer) = self.now() {
            return answer;
        }
        let (replies, is_write_open, nonsense) = match standing {
            Standing::Sent {
                replies,
                is_write_open,
                nonsense,
            } => (replies, is_write_open, nonsense),
            // The outcome is told just after the pipe has forgotten the batch.
            Standing::Over | Standing::NotSent => (Replies::new(), self.writes, None),
        };
        let trouble = match nonsense {
            Some(nonsense) => nonsensical(&nonsense),
            None => Trouble::new("it does not answer (no reply within the limit)"),
        };
        let mut answer = answered(instance, replies, Damage::Late, trouble);
        // Of reads there is nothing to learn any more.
        if is_write_open {
            answer.pending = Some(Box::new(Outstanding(self)));
        }
        answer
    }

    /// Nobody waits for the outcome any more. `Some` where a write was sent.
    pub(super) fn abandon(mut self) -> Option<Box<dyn Pending>> {
        if let Standing::NotSent = self.pipe.give_up(self.id) {
            self.is_settled = true;
            // There may be nothing to do for the pipe any more.
            self.pipe.changed.notify_one();
            return None;
        }
        self.writes.then(|| Box::new(Outstanding(self)) as Box<dyn Pending>)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_settled {
            self.outcome.close();
            self.pipe.give_up(self.id);
            // A retired pipe is closed when nobody listens any more.
            self.pipe.changed.notify_one();
        }
    }
}

/// A batch whose caller does not wait any more, and whose outcome still comes over its pipe.
#[derive(Debug)]
struct Outstanding(Ticket);

impl Pending for Outstanding {
    fn wait(mut self: Box<Self>, limit: Duration) -> Result<Answer, Box<dyn Pending>> {
        let mut answer = self.0.now();
        if answer.is_none() && !limit.is_zero() {
            let ticket = &mut self.0;
            answer = background::wait_for(std::future::poll_fn(|context| ticket.poll(context)), limit);
        }
        let Some(mut answer) = answer else { return Err(self) };
        // Of a network that failed no more can be learned than of a server that closed.
        if let Some(fault) = answer.fault.as_mut().filter(|fault| fault.damage == Damage::Late) {
            fault.damage = Damage::Cut;
        }
        Ok(answer)
    }
}

/// Ends a pipe whose task came to a sudden end.
struct Ending<'a>(&'a Pipe);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0
            .ended(&Broken::Lost(io::Error::other("the background thread failed")));
    }
}

fn restart(look: Pin<&mut Sleep>) {
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
