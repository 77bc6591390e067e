//! The task of a pipe on the background thread: it writes what the kernel did not take at once, and reads all replies.

use std::pin::Pin;
use std::sync::Arc;
use std::{io, mem};

use tokio::time::{Instant, Sleep, sleep};

use super::{Answers, EVENTS_PER_TURN, Pipe, USAGE_CHECK_INTERVAL};
use crate::protocol::Unanswered;
use crate::store::memcached::answers::{complete, connection_ended, incomplete};
use crate::store::memcached::codec::progress::Step;
use crate::store::memcached::failure::{TransferError, quoted};
use crate::store::memcached::socket::split::Reader;
use crate::store::memcached::socket::transport::ReadBuffer;
use crate::system::background::{Either, either};

impl Pipe {
    /// Reads replies, and writes what the kernel did not take at once, until the pipe is closed.
    pub(crate) async fn run(self: Arc<Pipe>, reader: Reader, mut input: ReadBuffer) {
        // A caller's waker may panic: the other callers must learn of it.
        let guard = PipeGuard(&self);
        let error = self.serve(&reader, &mut input).await;
        mem::forget(guard);
        self.end(&error);
    }

    async fn serve(&self, reader: &Reader, input: &mut ReadBuffer) -> TransferError {
        let mut check = std::pin::pin!(sleep(USAGE_CHECK_INTERVAL));
        let mut events = 0;
        let mut slot = None;
        loop {
            let (is_over, interest, unsendable) = self.state().next_wait(self.instance());
            send(unsendable);
            if is_over {
                return TransferError::TimedOut;
            }
            if slot.is_none() && self.is_retired() {
                slot = self.health.listening_slots.take();
                if slot.is_none() {
                    // The server may still execute what was sent, as after a failure of the network.
                    return TransferError::Lost(io::Error::other("too many connections wait for late replies already"));
                }
            }
            let event = either(either(reader.ready(interest), self.changed.notified()), check.as_mut()).await;
            match event {
                Either::First(Either::First(Ok(ready))) => {
                    if ready.is_writable() {
                        self.state().write();
                    }
                    if ready.is_readable() || ready.is_read_closed() {
                        match reader.read(input) {
                            Ok(true) => self.receive(input),
                            Ok(false) => {}
                            Err(error) => return error,
                        }
                    }
                    events = (events + 1) % EVENTS_PER_TURN;
                    if events == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Either::First(Either::First(Err(error))) => return TransferError::from(error),
                Either::First(Either::Second(())) => {}
                Either::Second(()) => {
                    restart(check.as_mut());
                    if self.check_usage() {
                        return TransferError::TimedOut;
                    }
                }
            }
        }
    }

    /// Reads the replies in `input`.
    fn receive(&self, input: &mut ReadBuffer) {
        let mut answers = Answers::new();
        let mut state = self.state();
        loop {
            if state.violation.is_some() {
                input.consume(input.unread().len());
                break;
            }
            if input.unread().is_empty() {
                break;
            }
            let (is_in_doubt, taken) = (state.is_in_doubt, state.taken);
            // A batch that was not sent yet cannot be answered.
            let Some(first) = state.sent.front_mut().filter(|sent| sent.begins < taken) else {
                let what = format!("{}, which answers no request", quoted(input.unread()));
                state.finish(Some(what), self.instance(), &mut answers);
                continue;
            };
            if is_in_doubt {
                first.progress.doubt_order();
            }
            match first.progress.advance(input) {
                Step::Reading => break,
                Step::Complete => {
                    self.health.record_answer();
                    if let Some(mut sent) = state.sent.pop_front() {
                        if !sent.progress.is_in_step() {
                            state.is_in_doubt = true;
                            state.is_retired = true;
                        }
                        let replies = mem::take(&mut sent.progress.replies);
                        answers.push((sent.answer, complete(self.instance(), replies)));
                    }
                }
                Step::Draining => {
                    let violation = first.progress.violation.clone();
                    state.finish(violation, self.instance(), &mut answers);
                }
            }
        }
        drop(state);
        send(answers);
    }

    /// Answers all batches: no more bytes can be sent or received.
    fn end(&self, error: &TransferError) {
        let mut state = self.state();
        state.is_retired = true;
        state.writer = None;
        let violation = state.violation.take();
        let taken = state.taken;
        let all = mem::take(&mut state.sent);
        drop(state);
        let answers = all.into_iter().map(|sent| {
            if sent.progress.is_answered() {
                return (sent.answer, complete(self.instance(), sent.progress.replies));
            }
            let (mut unanswered, failure) = connection_ended(error, violation.as_deref());
            // A command that was not sent in full is never executed.
            if sent.begins >= taken {
                unanswered = Unanswered::NotSent;
            }
            let answer = incomplete(self.instance(), sent.progress.replies, unanswered, failure);
            (sent.answer, answer)
        });
        send(answers.collect());
    }
}

/// Ends the pipe if its task panics.
struct PipeGuard<'a>(&'a Pipe);

impl Drop for PipeGuard<'_> {
    fn drop(&mut self) {
        self.0
            .end(&TransferError::Lost(io::Error::other("the background thread failed")));
    }
}

fn restart(check: Pin<&mut Sleep>) {
    #[allow(clippy::disallowed_methods, reason = "a timer for I/O")]
    check.reset(Instant::now() + USAGE_CHECK_INTERVAL);
}

fn send(answers: Answers) {
    for (sender, answer) in answers {
        // The caller may have stopped waiting.
        let _ = sender.send(answer);
    }
}
