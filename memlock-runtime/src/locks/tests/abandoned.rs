//! Futures that are dropped while their exchange is under way. What it does to the server is found out, and undone.

use std::task::Waker;

use super::*;
use crate::system::on_thread::block_on;

const PATIENCE: Duration = Duration::from_secs(30);

/// What becomes of an exchange that is not heard of as long as somebody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unheard {
    /// It is executed, and its reply comes when nobody waits any more.
    Executed,
    /// Its connection is cut before it arrives.
    Cut,
    /// Its connection fails, and it is executed right after somebody has looked for it.
    Failed,
}

/// [`Memory`], which tasks hear nothing of for a while.
#[derive(Debug, Default)]
struct Slow {
    memory: Memory,
    unheard: Mutex<Option<Unheard>>,
    /// What is executed after the next look.
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
        let answer = match *self.unheard.lock().expect("no panic") {
            Some(Unheard::Cut) => Exchanged {
                pending: None,
                ..failed(Unanswered::Cut, "it is closed")
            },
            Some(Unheard::Failed) => {
                if batch.iter().any(Request::writes) {
                    *self.delayed.lock().expect("no panic") = Some(batch.clone());
                }
                failed(Unanswered::Late, "the network failed")
            }
            Some(Unheard::Executed) | None => self.exchange(server, item, &batch, only_on, limit),
        };
        match *self.unheard.lock().expect("no panic") {
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

/// An exchange whose outcome comes only when nobody waits for it any more.
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
        locks.on(Core::new(Box::new(Arc::clone(store)), EXCHANGE, None).expect("random numbers"))
    })
}

/// Polls `begun` once, while nothing is heard of what it asks, and drops it.
fn abandon(store: &Slow, unheard: Unheard, begun: impl Future) {
    *store.unheard.lock().expect("no panic") = Some(unheard);
    let mut begun = Box::pin(begun);
    let polled = begun.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it was to be dropped under way");
    *store.unheard.lock().expect("no panic") = None;
    drop(begun);
}

#[test]
fn what_a_dropped_acquisition_may_have_stored_is_deleted() {
    let store = Arc::new(Slow::default());
    let [locks, others] = two_on(&store);
    for unheard in [Unheard::Executed, Unheard::Cut, Unheard::Failed] {
        abandon(&store, unheard, locks.lock("k").acquire_async());
        assert!(locks.flush(PATIENCE));
        assert!(others.lock("k").try_acquire().is_ok(), "{unheard:?}: an orphan is left");
    }
}

#[test]
fn a_dropped_release_goes_on() {
    let store = Arc::new(Slow::default());
    let [locks, others] = two_on(&store);
    for unheard in [Unheard::Executed, Unheard::Cut] {
        let guard = block_on(locks.lock("k").acquire_async()).expect("it is free");
        abandon(&store, unheard, guard.release());
        assert!(locks.flush(PATIENCE));
        assert!(
            others.lock("k").try_acquire().is_ok(),
            "{unheard:?}: it was not released"
        );
    }
}

#[test]
fn a_lease_of_a_task_counts_from_the_request_however_long_it_stood_in_line() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let mut waiting = Box::pin(stage.locks.lock("k").timeout(LEASE).acquire_async());
    let nobody = &mut Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(nobody).is_pending());
    // The slice is over: it goes back to the server.
    stage.clock.advance(LEASE * 3 / 4);
    drop(first);
    let second = block_on(waiting).expect("it is next");
    assert!(second.remaining() > LEASE * 9 / 10, "{:?}", second.remaining());
    assert_eq!(stage.sent(), [2, 1, 0], "a grant was given back as too short");
}
