//! The call tree: one frame for each annotated body that is running, with the locks that it holds.
//!
//! A *frame* says under which lease a body runs, and which body called it. While a body runs, its frame is the current one of
//! its thread. A synchronous body's frame is current from its begin to its end. An asynchronous body's frame *replaces* the
//! current one whenever the body is polled, and the one before is put back after: so it goes with the body from thread to
//! thread, and whatever else its executor polls in between sees nothing of it.
//!
//! With each current frame stands the task in which it became current, as tokio counts tasks. In another task it does not
//! count: a synchronous body may block on an executor that polls others' tasks on its thread.

pub(crate) mod scope;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task;

use self::scope::Scope;
use crate::driver::core::Core;
use crate::error::Error;
use crate::hold::HeldLock;
use crate::hold::lease::Lease;
use crate::key::ItemName;

thread_local! {
    // Never dropped, and so there to the end: a thread's other locals may call annotated functions when they are dropped.
    // Nothing is left in it then, for every frame goes with its body.
    static CURRENT: ManuallyDrop<RefCell<Current>> =
        const { ManuallyDrop::new(RefCell::new(Current { frame: None, task: None })) };
}

/// The current frame of a thread.
#[derive(Debug)]
struct Current {
    frame: Option<Arc<Frame>>,
    /// The task in which it became current; `None` outside of tokio's.
    task: Option<task::Id>,
}

impl Current {
    /// `frame`, in this task.
    fn here(frame: Option<Arc<Frame>>) -> Current {
        Current {
            frame,
            task: task::try_id(),
        }
    }
}

/// A running body.
#[derive(Debug)]
pub(crate) struct Frame {
    outer: Option<Arc<Frame>>,
    running: RunningBody,
}

#[derive(Debug)]
enum RunningBody {
    /// An annotated function, and what it runs under; `None` where it runs unlocked.
    Function { kind: Kind, lease: Option<Lease> },
    /// A transaction's closure.
    Transaction(Arc<Scope>),
}

impl Frame {
    /// A function that runs under `lease`, called by the body whose frame is `outer`.
    pub(crate) fn new(outer: Option<Arc<Frame>>, kind: Kind, lease: Option<Lease>) -> Arc<Frame> {
        let running = RunningBody::Function { kind, lease };
        Arc::new(Frame { outer, running })
    }

    /// The closure of a transaction, called by the body whose frame is `outer`.
    pub(crate) fn of_transaction(outer: Option<Arc<Frame>>, scope: &Arc<Scope>) -> Arc<Frame> {
        let running = RunningBody::Transaction(Arc::clone(scope));
        Arc::new(Frame { outer, running })
    }

    fn outward(frame: Option<&Arc<Frame>>) -> impl Iterator<Item = &Arc<Frame>> {
        std::iter::successors(frame, |frame| frame.outer.as_ref())
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.running {
            RunningBody::Function { lease, .. } => lease.as_ref(),
            RunningBody::Transaction(_) => None,
        }
    }

    /// The error of a body whose lease did not last.
    pub(crate) fn lost(&self) -> Option<Error> {
        self.lease().and_then(|lease| lease.check().err())
    }
}

/// A synchronous body's frame while it is the current one. Dropping it puts the one before back.
#[derive(Debug)]
pub(crate) struct Entered {
    frame: Arc<Frame>,
    /// `None` once it has been put back.
    before: Option<Current>,
}

/// A lock that this call tree holds already, and the attribute that acquired it.
pub(crate) struct Found {
    pub(crate) hold: Arc<HeldLock>,
    pub(crate) kind: Kind,
}

/// Begins what runs synchronously in `frame`.
pub(crate) fn enter(frame: Arc<Frame>) -> Entered {
    let before = CURRENT.with(|current| current.replace(Current::here(Some(Arc::clone(&frame)))));
    Entered {
        frame,
        before: Some(before),
    }
}

impl Entered {
    pub(crate) fn frame(&self) -> &Frame {
        &self.frame
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Some(before) = self.before.take() else { return };
        // A frame that is no longer the current one is left alone: its body's value was dropped out of order, or on
        // another thread.
        let replaced = CURRENT.try_with(|current| {
            let mut current = current.borrow_mut();
            let is_current = current
                .frame
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, &self.frame));
            is_current.then(|| std::mem::replace(&mut *current, before))
        });
        drop(replaced);
    }
}

/// The frame of the innermost annotated body that is running here.
pub(crate) fn here() -> Option<Arc<Frame>> {
    CURRENT.with(|current| {
        let current = current.borrow();
        let frame = current.frame.as_ref()?;
        (current.task == task::try_id()).then(|| Arc::clone(frame))
    })
}

/// The lock on `item`, if a body of the call tree that ends in `frame` holds it.
pub(crate) fn find(frame: Option<&Arc<Frame>>, core: &Arc<Core>, item: &ItemName) -> Option<Found> {
    Frame::outward(frame).find_map(|frame| {
        let (kind, hold) = match &frame.running {
            RunningBody::Function { kind, lease } => {
                let holds = lease.as_ref().map(Lease::locks).unwrap_or_default();
                let is_it = |hold: &&Arc<HeldLock>| {
                    Arc::ptr_eq(hold.core(), core) && hold.spec().item == *item && !hold.is_released()
                };
                (*kind, holds.iter().find(is_it).cloned())
            }
            RunningBody::Transaction(scope) => (Kind::Zlock, scope.find(core, item)),
        };
        hold.map(|hold| Found { hold, kind })
    })
}

/// The innermost transaction of the call tree that ends in `frame`.
pub(crate) fn transaction(frame: Option<&Arc<Frame>>) -> Option<Arc<Scope>> {
    Frame::outward(frame).find_map(|frame| match &frame.running {
        RunningBody::Transaction(scope) => Some(Arc::clone(scope)),
        RunningBody::Function { .. } => None,
    })
}

/// The lease of the innermost annotated function that is running here, in this call tree; `None` where it runs unlocked
/// (or where there is none).
///
/// ```
/// # fn publish(_token: u64) {}
/// # fn body() -> Result<(), memlock_runtime::Error> {
/// if let Some(lease) = memlock_runtime::current() {
///     publish(lease.token().get());
///     lease.check()?;
/// }
/// # Ok(()) }
/// # body().unwrap();
/// ```
pub fn current() -> Option<Lease> {
    let frame = here();
    let function =
        Frame::outward(frame.as_ref()).find(|frame| matches!(frame.running, RunningBody::Function { .. }))?;
    function.lease().cloned()
}

/// A frame that is current until this is dropped; then the one before is again, on the same thread.
struct Polling {
    before: Option<Current>,
}

impl Polling {
    fn begin(frame: Option<Arc<Frame>>) -> Polling {
        Polling {
            before: CURRENT.try_with(|current| current.replace(Current::here(frame))).ok(),
        }
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            drop(CURRENT.try_with(|current| current.replace(before)));
        }
    }
}

pin_project! {
    /// A future whose frame is the current one whenever it is polled, and while it is dropped.
    pub(crate) struct InFrame<F> {
        frame: Option<Arc<Frame>>,
        #[pin]
        body: Option<F>,
    }

    impl<F> PinnedDrop for InFrame<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.body.is_some() {
                // What the body drops when it is given up may call annotated functions, too.
                let _polling = Polling::begin(this.frame.take());
                this.body.set(None);
            }
        }
    }
}

impl<F> InFrame<F> {
    pub(crate) fn new(frame: Option<Arc<Frame>>, body: F) -> InFrame<F> {
        InFrame {
            frame,
            body: Some(body),
        }
    }
}

impl<F: Future> Future for InFrame<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _polling = Polling::begin(this.frame.clone());
        let Some(body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let polled = body.poll(context);
        if polled.is_ready() {
            this.body.set(None);
            *this.frame = None;
        }
        polled
    }
}

impl<F> fmt::Debug for InFrame<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFrame")
            .field("frame", &self.frame)
            .finish_non_exhaustive()
    }
}

/// A call tree: the annotated functions that are running here, each called by the one before. They are one holder, to whom
/// an [`rlock`](https://docs.rs/memlock/latest/memlock/attr.rlock.html) opens again.
///
/// A thread or a task that is started in a body is *not* part of the body's call tree: it may run when the body is long over.
/// Where it surely does not, because the body waits for it, the body can hand its identity over:
///
/// ```
/// # fn work() {}
/// let here = memlock_runtime::CallTree::current();
/// std::thread::scope(|scope| {
///     scope.spawn(|| here.enter(|| work()));
/// });
/// ```
///
/// Both are then the same holder, and may be inside at once: the program has to exclude them from each other itself.
#[derive(Debug, Clone)]
pub struct CallTree {
    frame: Option<Arc<Frame>>,
}

impl CallTree {
    /// The one that is running here. Outside of annotated functions it is empty.
    pub fn current() -> CallTree {
        CallTree { frame: here() }
    }

    /// Calls `body` as part of this call tree.
    pub fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        let _polling = Polling::begin(self.frame.clone());
        body()
    }

    /// `body` as part of this call tree, under whichever executor it is polled.
    pub fn enter_async<F: Future>(&self, body: F) -> impl Future<Output = F::Output> + use<F> {
        InFrame::new(self.frame.clone(), body)
    }
}

/// Which of the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The plain lock.
    Lock,
    /// The re-entrant lock.
    Rlock,
    /// The lock in front of a database that detects conflicts.
    Zlock,
}
