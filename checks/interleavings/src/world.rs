//! What the threads of a scenario share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use shuttle::thread::{self, JoinHandle};

use crate::key::ItemName;
use crate::ledger::Ledger;
use crate::protocol::{Nonce, Pending, WaitListView};
use crate::queue::{Cleanup, Joined, Queues};
use crate::sync::{self, Condvar, Mutex, MutexGuard};
use crate::time::Time;

/// For how long each caller wants the lock.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(8);

/// One process, its clock, and the lock.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) queues: Arc<Queues>,
    pub(crate) time: Arc<Time>,
    pub(crate) patience: Duration,
    ledger: Mutex<Ledger>,
    /// How often the background was told to look after a kept place in line.
    minded: Mutex<usize>,
    is_minded: Condvar,
    /// How often the line was left.
    left: AtomicUsize,
}

impl World {
    /// A process in which only a lease ends a turn.
    pub(crate) fn new() -> Arc<World> {
        World::with_patience(Duration::MAX)
    }

    /// A process in which a caller loses its turn if it does not move for `patience`.
    pub(crate) fn with_patience(patience: Duration) -> Arc<World> {
        let time = Arc::<Time>::default();
        let world = Arc::new(World {
            queues: Queues::new(Arc::clone(&time), patience),
            patience,
            time,
            ledger: Mutex::new(Ledger::new()),
            minded: Mutex::new(0),
            is_minded: Condvar::default(),
            left: AtomicUsize::new(0),
        });
        let cleanup: Weak<World> = Arc::downgrade(&world);
        world.queues.set_cleanup(cleanup);
        world
    }

    pub(crate) fn item() -> ItemName {
        ItemName::of_lock("memlock", "interleavings", "x")
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts another thread of the process.
    pub(crate) fn spawn(self: &Arc<World>, body: impl FnOnce(&Arc<World>) + Send + 'static) -> JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || {
            body(&world);
            // A thread that has joined this one sees what it has written.
            sync::flush();
        })
    }

    /// Waits until the background was told to look after a kept place in line.
    pub(crate) fn wait_until_minded(&self) {
        drop(self.is_minded.wait_until(&self.minded, |minded| *minded > 0));
    }

    /// How often the background was told to look after a kept place in line.
    pub(crate) fn times_minded(&self) -> usize {
        *self.minded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn times_left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    /// Removes this process from the line.
    pub(crate) fn gives_up_place(&self) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }

    /// Checks, after the end of all threads, that nothing of them is left, and that they were served in order. Returns
    /// what is remembered of others in line.
    pub(crate) fn ends(&self) -> Option<Box<WaitListView>> {
        self.ledger().is_in_order();
        self.ends_out_of_order()
    }

    /// The same, in a scenario in which a waiter was passed over.
    pub(crate) fn ends_out_of_order(&self) -> Option<Box<WaitListView>> {
        self.ledger().ends();
        let joined = self.queues.join(&World::item(), TIMEOUT, self.time.now(), false, || {
            Waker::noop().clone()
        });
        let Joined::Head(mut turn) = joined else {
            panic!("a queue is left in which nobody has the turn");
        };
        turn.wait_list.take()
    }
}

impl Cleanup for World {
    fn settle(self: Arc<World>, _: &ItemName, nonce: Nonce, _: Duration, _: Option<Box<dyn Pending>>) {
        self.ledger().is_orphaned(nonce);
    }

    fn leave_line(self: Arc<World>, _: &ItemName, _: Box<WaitListView>) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }

    fn expire_kept_place(self: Arc<World>, _: &ItemName) {
        *self.minded.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.is_minded.notify_all();
    }
}
