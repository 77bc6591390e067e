//! Futures that are dropped during an exchange. The background finds out what the exchange did on the server, and
//! undoes it.

use std::task::Waker;

use super::*;
use crate::system::on_thread::block_on;

const PATIENCE: Duration = Duration::from_secs(30);

/// What happens to an exchange without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoReply {
    /// The server executes it, and its reply comes after the future is dropped.
    Executed,
    /// Its connection is cut before the request arrives.
    Cut,
    /// Its connection fails, and the server executes it right after the next read.
    Failed,
}

/// [`Memory`] that does not reply to tasks for a while.
#[derive(Debug, Default)]
struct Slow {
    memory: Memory,
    no_reply: Mutex<Option<NoReply>>,
    /// The requests that are executed after the next read.
    delayed: Mutex<Option<Batch>>,
}

impl Store for Slow {
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        let answer = self.memory.exchange(server, item, batch, only_on, limit);
        if batch.contains(&Request::Read)
            && let Some(delayed) = self.delayed.lock().expect("no panic").take()
        {
            drop(self.memory.exchange(server, item, &delayed, None, limit));
        }
        answer
    }

    fn begin(
        &self,
        server: usize,
        item: &ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Box<dyn Exchange> {
        let answer = match *self.no_reply.lock().expect("no panic") {
            Some(NoReply::Cut) => Exchanged {
                pending: None,
                ..failed(Unanswered::Cut, "it is closed")
            },
            Some(NoReply::Failed) => {
                if batch.iter().any(Request::writes) {
                    *self.delayed.lock().expect("no panic") = Some(batch.clone());
                }
                failed(Unanswered::Late, "the network failed")
            }
            Some(NoReply::Executed) | None => self.exchange(server, item, &batch, only_on, limit),
        };
        match *self.no_reply.lock().expect("no panic") {
            None => Box::new(Ready::new(answer)),
            Some(_) => Box::new(Late {
                answer,
                writes: batch.iter().any(Request::writes),
            }),
        }
    }

    fn server_name(&self, _: usize) -> &'static str {
        "slow"
    }

    fn route(&self, _: &ItemName) -> usize {
        0
    }

    fn servers(&self) -> usize {
        1
    }
}

/// An exchange whose outcome comes only after the future is dropped.
#[derive(Debug)]
struct Late {
    answer: Exchanged,
    writes: bool,
}

impl Exchange for Late {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Exchanged> {
        Poll::Pending
    }

    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
        self.writes.then_some(self as Box<dyn Pending>)
    }
}

impl Pending for Late {
    fn wait(self: Box<Self>, _: Duration) -> Result<Exchanged, Box<dyn Pending>> {
        Ok(self.answer)
    }
}

/// The locks of two processes.
fn two_on(store: &Arc<Slow>) -> [Locks; 2] {
    [(); 2].map(|()| {
        let locks = Builder::new().servers("memory:").build().expect("a server list");
        locks.on(Core::new(store.clone(), EXCHANGE, None).expect("random numbers"))
    })
}

/// Polls `begun` once, while the server does not reply, and drops it.
fn abandon(store: &Slow, no_reply: NoReply, begun: impl Future) {
    *store.no_reply.lock().expect("no panic") = Some(no_reply);
    let mut begun = Box::pin(begun);
    let polled = begun.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it must be dropped under way");
    *store.no_reply.lock().expect("no panic") = None;
    drop(begun);
}

#[test]
fn the_item_of_a_dropped_acquisition_is_deleted() {
    let store = Arc::new(Slow::default());
    let [locks, others] = two_on(&store);
    for no_reply in [NoReply::Executed, NoReply::Cut, NoReply::Failed] {
        abandon(&store, no_reply, locks.lock("k").acquire_async());
        assert!(locks.flush(PATIENCE));
        assert!(
            others.lock("k").try_acquire().is_ok(),
            "{no_reply:?}: an orphan is left"
        );
    }
}

#[test]
fn a_dropped_release_goes_on() {
    let store = Arc::new(Slow::default());
    let [locks, others] = two_on(&store);
    for no_reply in [NoReply::Executed, NoReply::Cut] {
        let guard = block_on(locks.lock("k").acquire_async()).expect("it is free");
        abandon(&store, no_reply, guard.release());
        assert!(locks.flush(PATIENCE));
        assert!(
            others.lock("k").try_acquire().is_ok(),
            "{no_reply:?}: it was not released"
        );
    }
}

#[test]
fn the_lease_of_a_task_counts_from_the_request_and_not_from_joining_the_queue() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let mut waiting = Box::pin(stage.locks.lock("k").timeout(LEASE).acquire_async());
    let nobody = &mut Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(nobody).is_pending());
    // After its slice, the lock goes back to the server.
    stage.clock.advance(LEASE * 3 / 4);
    drop(first);
    let second = block_on(waiting).expect("it is next");
    assert!(second.remaining() > LEASE * 9 / 10, "{:?}", second.remaining());
    assert_eq!(stage.sent(), [2, 1, 0], "a grant was given back as too short");
}
