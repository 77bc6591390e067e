//! The call tree: one frame for each annotated body that is running, with the locks that it holds.
//!
//! A *frame* says under which lease a body runs, and which body called it. While a body runs, its frame is the current
//! frame of its thread. A synchronous body's frame is current from the beginning of the body to its end. An
//! asynchronous body's frame *replaces* the current one for each poll of the body. So the frame goes with the body from
//! thread to thread, and other futures that the executor polls in between do not see it.
//!
//! Each current frame is stored with the tokio task in which it became current. It does not count in another task: a
//! synchronous body may block on an executor that polls other tasks on the same thread.

pub(crate) mod lock_kind;
pub(crate) mod scope;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

use pin_project_lite::pin_project;
use tokio::task;

use self::lock_kind::LockKind;
use self::scope::Scope;
use crate::driver::caller::Caller;
use crate::driver::core::Core;
use crate::error::Error;
use crate::error::call_site::CallSite;
use crate::hold::HeldLock;
use crate::hold::lease::Lease;
use crate::key::ItemName;

thread_local! {
    // Never dropped: a thread's other locals may call annotated functions when they are dropped. Nothing leaks, since
    // each body removes its own frame.
    static CURRENT: ManuallyDrop<RefCell<Current>> =
        const { ManuallyDrop::new(RefCell::new(Current { frame: None, task: None })) };
}

/// The current frame of a thread.
#[derive(Debug)]
struct Current {
    frame: Option<Arc<Frame>>,
    /// The tokio task in which the frame became current. `None`: it became current outside of a task.
    task: Option<task::Id>,
}

impl Current {
    /// A record that `frame` is current in this task.
    fn in_this_task(frame: Option<Arc<Frame>>) -> Current {
        Current {
            frame,
            task: task::try_id(),
        }
    }
}

/// A running body, and the body that called it.
#[derive(Debug)]
pub(crate) struct Frame {
    outer: Option<Arc<Frame>>,
    running: RunningBody,
}

#[derive(Debug)]
enum RunningBody {
    /// An annotated function, and its lease. Without a lease it runs unlocked.
    Function {
        kind: LockKind,
        site: CallSite,
        lease: Option<Lease>,
    },
    /// The closure of a transaction.
    Transaction(Arc<Scope>),
    /// The closure of [`CallTree::outside`], on this thread. It is part of no call tree: the bodies outward of it are
    /// not its callers. They only stand on the same stack.
    Outside(ThreadId),
}

impl Frame {
    /// A function that runs under `lease`, called by the body whose frame is `outer`.
    pub(crate) fn new(outer: Option<Arc<Frame>>, kind: LockKind, site: CallSite, lease: Option<Lease>) -> Arc<Frame> {
        let running = RunningBody::Function { kind, site, lease };
        Arc::new(Frame { outer, running })
    }

    /// The closure of a transaction, called by the body whose frame is `outer`.
    pub(crate) fn of_transaction(outer: Option<Arc<Frame>>, scope: &Arc<Scope>) -> Arc<Frame> {
        let running = RunningBody::Transaction(Arc::clone(scope));
        Arc::new(Frame { outer, running })
    }

    /// Iterates over `frame`, then its callers, the innermost first.
    fn outward(frame: Option<&Arc<Frame>>) -> impl Iterator<Item = &Arc<Frame>> {
        Frame::all_outward(frame).take_while(|frame| !matches!(frame.running, RunningBody::Outside(_)))
    }

    /// Iterates over the bodies that wait for that of `frame` on this thread, without having called it.
    fn below_outside(frame: Option<&Arc<Frame>>) -> impl Iterator<Item = &Arc<Frame>> {
        let is_called = |frame: &&Arc<Frame>| match frame.running {
            RunningBody::Outside(thread) => thread != thread::current().id(),
            RunningBody::Function { .. } | RunningBody::Transaction(_) => true,
        };
        Frame::all_outward(frame).skip_while(is_called)
    }

    fn all_outward(frame: Option<&Arc<Frame>>) -> impl Iterator<Item = &Arc<Frame>> {
        std::iter::successors(frame, |frame| frame.outer.as_ref())
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.running {
            RunningBody::Function { lease, .. } => lease.as_ref(),
            RunningBody::Transaction(_) | RunningBody::Outside(_) => None,
        }
    }

    /// Returns the error of a lease that has not lasted for the whole body.
    pub(crate) fn lease_error(&self) -> Option<Error> {
        self.lease().and_then(|lease| lease.check().err())
    }
}

/// The frame of a synchronous body while it is the current one. Dropping this restores the frame before it.
#[derive(Debug)]
pub(crate) struct Entered {
    frame: Arc<Frame>,
    /// `None` once the frame before is restored.
    before: Option<Current>,
}

/// A lock that this call tree already holds, and the function and the attribute that acquired it.
pub(crate) struct FoundLock {
    pub(crate) held: Arc<HeldLock>,
    pub(crate) kind: LockKind,
    pub(crate) site: CallSite,
}

/// Makes `frame` the current one, for a synchronous body.
pub(crate) fn enter(frame: Arc<Frame>) -> Entered {
    Entered {
        before: replace_current(Some(Arc::clone(&frame))),
        frame,
    }
}

impl Entered {
    pub(crate) fn frame(&self) -> &Frame {
        &self.frame
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Some(mut before) = self.before.take() else { return };
        // Only its own frame is replaced: another one is current if this is dropped out of order, or on another thread.
        let _ = CURRENT.try_with(|current| {
            let mut current = current.borrow_mut();
            let frame = current.frame.as_ref();
            if frame.is_some_and(|current| Arc::ptr_eq(current, &self.frame)) {
                std::mem::swap(&mut *current, &mut before);
            }
        });
        // Here, since the end of a frame may be the end of a lock, which is logged by the program's own code.
        drop(before);
    }
}

/// Returns the frame of the innermost body that is running on this thread, in this task.
pub(crate) fn current_frame() -> Option<Arc<Frame>> {
    let current = CURRENT.try_with(|current| {
        let current = current.borrow();
        let frame = current.frame.as_ref()?;
        (current.task == task::try_id()).then(|| Arc::clone(frame))
    });
    current.ok().flatten()
}

/// Makes `frame` the current one of this thread, and returns the record of the one before.
fn replace_current(frame: Option<Arc<Frame>>) -> Option<Current> {
    let next = Current::in_this_task(frame);
    CURRENT.try_with(|current| current.replace(next)).ok()
}

/// Finds the lock on `item` among those that the body of `frame` and its callers hold.
pub(crate) fn find_lock(frame: Option<&Arc<Frame>>, core: &Arc<Core>, item: &ItemName) -> Option<FoundLock> {
    find_lock_in(Frame::outward(frame), core, item)
}

/// Finds the lock on `item` that this thread holds below a [`CallTree::outside`]. A `caller` that blocks the thread until
/// that lock is free would wait for itself, although it is not part of the holder's call tree.
pub(crate) fn find_lock_below(
    caller: Caller,
    frame: Option<&Arc<Frame>>,
    core: &Arc<Core>,
    item: &ItemName,
) -> Option<FoundLock> {
    match caller {
        Caller::Thread => find_lock_in(Frame::below_outside(frame), core, item),
        Caller::Task => None,
    }
}

fn find_lock_in<'a>(
    mut frames: impl Iterator<Item = &'a Arc<Frame>>,
    core: &Arc<Core>,
    item: &ItemName,
) -> Option<FoundLock> {
    frames.find_map(|frame| match &frame.running {
        RunningBody::Function { kind, site, lease } => {
            let locks = lease.as_ref().map(Lease::locks).unwrap_or_default();
            let is_wanted = |lock: &&Arc<HeldLock>| {
                Arc::ptr_eq(lock.core(), core) && lock.spec().item == *item && !lock.is_released()
            };
            let held = locks.iter().find(is_wanted)?;
            Some(FoundLock {
                held: Arc::clone(held),
                kind: *kind,
                site: *site,
            })
        }
        RunningBody::Transaction(scope) => {
            let (held, site) = scope.find(core, item)?;
            let kind = LockKind::Zlock;
            Some(FoundLock { held, kind, site })
        }
        RunningBody::Outside(_) => None,
    })
}

/// Returns the innermost transaction around the body of `frame`.
pub(crate) fn find_transaction(frame: Option<&Arc<Frame>>) -> Option<Arc<Scope>> {
    Frame::outward(frame).find_map(|frame| match &frame.running {
        RunningBody::Transaction(scope) => Some(Arc::clone(scope)),
        RunningBody::Function { .. } | RunningBody::Outside(_) => None,
    })
}

/// Returns the lease of the innermost annotated function that is running here, in this call tree. Returns `None` if
/// that function runs unlocked, and outside of annotated functions.
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
    let frame = current_frame();
    let function =
        Frame::outward(frame.as_ref()).find(|frame| matches!(frame.running, RunningBody::Function { .. }))?;
    function.lease().cloned()
}

/// Makes a frame the current one of this thread until this is dropped. Then the frame before it is current again.
struct FrameSwap {
    before: Option<Current>,
}

impl FrameSwap {
    fn begin(frame: Option<Arc<Frame>>) -> FrameSwap {
        FrameSwap {
            before: replace_current(frame),
        }
    }
}

impl Drop for FrameSwap {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            drop(CURRENT.try_with(|current| current.replace(before)));
        }
    }
}

pin_project! {
    /// A future whose frame is the current one while the future is polled, and while it is dropped.
    pub(crate) struct InFrame<F> {
        frame: Option<Arc<Frame>>,
        #[pin]
        body: Option<F>,
    }

    impl<F> PinnedDrop for InFrame<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.body.is_some() {
                // Values in the unfinished body may call annotated functions when they are dropped.
                let _swap = FrameSwap::begin(this.frame.take());
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
        let _swap = FrameSwap::begin(this.frame.clone());
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

/// A call tree: the annotated functions that are running here, each called by the one before. Together they are one
/// holder, which can enter an [`rlock`](https://docs.rs/memlock/latest/memlock/attr.rlock.html) again.
///
/// A thread or a task that a body starts is *not* part of the body's call tree, because it may outlive the body. If the
/// body waits for it, the body can make it part of its call tree:
///
/// ```
/// # fn work() {}
/// let here = memlock_runtime::CallTree::current();
/// std::thread::scope(|scope| {
///     scope.spawn(|| here.enter(|| work()));
/// });
/// ```
///
/// Both are then the same holder, and may be inside at the same time: the program has to exclude them from each other
/// itself.
#[derive(Debug, Clone)]
pub struct CallTree {
    frame: Option<Arc<Frame>>,
}

impl CallTree {
    /// Returns the call tree that is running here. Outside of annotated functions it is empty.
    pub fn current() -> CallTree {
        CallTree { frame: current_frame() }
    }

    /// Calls `body` as part of this call tree.
    pub fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        let _swap = FrameSwap::begin(self.frame.clone());
        body()
    }

    /// Returns a future that runs `body` as part of this call tree, under any executor.
    pub fn enter_async<F: Future>(&self, body: F) -> impl Future<Output = F::Output> + use<F> {
        InFrame::new(self.frame.clone(), body)
    }

    /// Calls `body` outside of every call tree: in it, no lock counts as held by the caller, and
    /// [`current`](crate::current()) is `None`. Afterwards, and if `body` panics, the caller goes on as before.
    ///
    /// Use it in a body that waits for work while its thread may run *other* callers' work, as the threads of a
    /// work-stealing pool do. That work runs inside the body, where memlock cannot distinguish it from a call of the
    /// body's own: an `rlock` on the same key would let it in, and it would share the body's transaction. Work that does
    /// belong to the body can be given its identity:
    ///
    /// ```
    /// # use memlock_runtime::CallTree;
    /// # fn install<R>(work: impl FnOnce() -> R) -> R { work() }
    /// # fn work() {}
    /// let here = CallTree::current();
    /// // `pool.install` of rayon, on one of the pool's own threads, also runs what others gave to the pool.
    /// CallTree::outside(|| install(|| here.enter(|| work())));
    /// ```
    ///
    /// A call in `body` that would block the thread until a lock of the caller is free would never return. It gets
    /// [`Error::Reentered`](crate::Error::Reentered), also if it is an `rlock` or a `zlock`. To avoid that, do not hold
    /// a lock while a thread of the pool waits for the pool: take it on another thread.
    pub fn outside<R>(body: impl FnOnce() -> R) -> R {
        let running = RunningBody::Outside(thread::current().id());
        let outer = current_frame();
        let _swap = FrameSwap::begin(Some(Arc::new(Frame { outer, running })));
        body()
    }

    /// Returns a future that runs `body` outside of every call tree, as [`outside`](Self::outside) does: for a body that
    /// polls futures of other callers.
    pub fn outside_async<F: Future>(body: F) -> impl Future<Output = F::Output> {
        InFrame::new(None, body)
    }
}
