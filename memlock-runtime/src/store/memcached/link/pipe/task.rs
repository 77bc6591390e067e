//! What a pipe does in the background: it writes what the kernel did not take at once, and reads all replies.

use std::pin::Pin;
use std::sync::Arc;
use std::{io, mem};

use tokio::time::{Instant, Sleep, sleep};

use super::{IDLE_LOOK, Outcomes, Pipe, TURN};
use crate::protocol::Unanswered;
use crate::store::memcached::answers::{self, answered, complete};
use crate::store::memcached::codec::progress::Step;
use crate::store::memcached::failure::{TransferError, quoted};
use crate::store::memcached::socket::halves::Reader;
use crate::store::memcached::socket::transport::ReadBuffer;
use crate::system::background::{Either, either};

impl Pipe {
    /// Reads replies, and writes what the kernel would not take at once, until the pipe is closed.
    pub(crate) async fn run(self: Arc<Pipe>, reader: Reader, mut input: ReadBuffer) {
        // Also when a waker that somebody gave panics: the others are to learn of it.
        let ending = PipeGuard(&self);
        let error = self.serve(&reader, &mut input).await;
        mem::forget(ending);
        self.ended(&error);
    }

    async fn serve(&self, reader: &Reader, input: &mut ReadBuffer) -> TransferError {
        let mut look = std::pin::pin!(sleep(IDLE_LOOK));
        let mut turns = 0;
        let mut place = None;
        loop {
            let (is_over, interest, unsendable) = self.state().outlook(self.instance());
            tell(unsendable);
            if is_over {
                return TransferError::TimedOut;
            }
            if place.is_none() && self.is_retired() {
                place = self.health.listened.place();
                if place.is_none() {
                    // It may be executed yet, as after a failure of the network.
                    return TransferError::Lost(io::Error::other("too many connections wait for late replies already"));
                }
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
                            Err(error) => return error,
                        }
                    }
                    turns = (turns + 1) % TURN;
                    if turns == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Either::First(Either::First(Err(error))) => return TransferError::from(error),
                Either::First(Either::Second(())) => {}
                Either::Second(()) => {
                    restart(look.as_mut());
                    if self.look() {
                        return TransferError::TimedOut;
                    }
                }
            }
        }
    }

    /// Bytes have come.
    fn received(&self, input: &mut ReadBuffer) {
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
                    self.health.answered();
                    if let Some(mut sent) = state.sent.pop_front() {
                        if !sent.progress.is_in_step() {
                            state.is_in_doubt = true;
                            state.is_retired = true;
                        }
                        let replies = mem::take(&mut sent.progress.replies);
                        outcomes.push((sent.outcome, complete(self.instance(), replies)));
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
    fn ended(&self, error: &TransferError) {
        let mut state = self.state();
        state.is_retired = true;
        state.writer = None;
        let nonsense = state.nonsense.take();
        let taken = state.taken;
        let all = mem::take(&mut state.sent);
        drop(state);
        let outcomes = all.into_iter().map(|sent| {
            if sent.progress.is_answered() {
                return (sent.outcome, complete(self.instance(), sent.progress.replies));
            }
            let (mut unanswered, failure) = answers::ended(error, nonsense.as_deref());
            // Half a command is never executed, so one of which the kernel took nothing is not.
            if sent.begins >= taken {
                unanswered = Unanswered::NotSent;
            }
            let answer = answered(self.instance(), sent.progress.replies, unanswered, failure);
            (sent.outcome, answer)
        });
        tell(outcomes.collect());
    }
}

/// Ends a pipe whose task came to a sudden end.
pub(crate) struct PipeGuard<'a>(&'a Pipe);

impl Drop for PipeGuard<'_> {
    fn drop(&mut self) {
        self.0
            .ended(&TransferError::Lost(io::Error::other("the background thread failed")));
    }
}

pub(crate) fn restart(look: Pin<&mut Sleep>) {
    #[allow(clippy::disallowed_methods, reason = "a timer for I/O")]
    look.reset(Instant::now() + IDLE_LOOK);
}

/// Tells outcomes. Nobody may be listening to some.
pub(crate) fn tell(outcomes: Outcomes) {
    for (outcome, answer) in outcomes {
        let _ = outcome.send(answer);
    }
}
