//! Who holds what in this call tree: one frame for each annotated body that is running, on the thread that runs it.

use std::cell::RefCell;
use std::sync::Arc;

use crate::driver::Core;
use crate::driver::hold::Hold;
use crate::entry::Kind;
use crate::guard::Lease;
use crate::key::ItemName;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Frame>>> = const { RefCell::new(None) };
}

/// A running body.
#[derive(Debug)]
pub(crate) struct Frame {
    outer: Option<Arc<Frame>>,
    kind: Kind,
    /// What it runs under; `None` where it runs unlocked.
    lease: Option<Lease>,
}

/// A frame while it is the current one. Dropping it puts the one before back.
#[derive(Debug)]
pub(crate) struct Entered {
    frame: Arc<Frame>,
}

/// A lock that this call tree holds already, and the attribute that acquired it.
pub(crate) struct Found {
    pub(crate) hold: Arc<Hold>,
    pub(crate) kind: Kind,
}

/// Begins a body that runs under `lease`.
pub(crate) fn push(kind: Kind, lease: Option<Lease>) -> Entered {
    CURRENT.with_borrow_mut(|current| {
        let frame = Arc::new(Frame {
            outer: current.take(),
            kind,
            lease,
        });
        *current = Some(Arc::clone(&frame));
        Entered { frame }
    })
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A frame that is no longer the current one is left alone: its body's value was dropped out of order, or on
        // another thread.
        let _ = CURRENT.try_with(|current| {
            let mut current = current.borrow_mut();
            if current.as_ref().is_some_and(|frame| Arc::ptr_eq(frame, &self.frame)) {
                current.clone_from(&self.frame.outer);
            }
        });
    }
}

impl Entered {
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.frame.lease.as_ref()
    }
}

/// The lock on `item`, if a body of this call tree holds it.
pub(crate) fn find(core: &Arc<Core>, item: &ItemName) -> Option<Found> {
    CURRENT.with_borrow(|current| {
        let mut next = current.as_ref();
        while let Some(frame) = next {
            let holds = frame.lease.as_ref().map(Lease::holds).unwrap_or_default();
            let held = holds
                .iter()
                .find(|hold| Arc::ptr_eq(hold.core(), core) && hold.spec().item == *item && !hold.is_released());
            if let Some(hold) = held {
                return Some(Found {
                    hold: Arc::clone(hold),
                    kind: frame.kind,
                });
            }
            next = frame.outer.as_ref();
        }
        None
    })
}

/// The lease of the innermost annotated function that is running on this thread; `None` where it runs unlocked (or
/// where there is none).
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
    CURRENT.with_borrow(|current| current.as_ref().and_then(|frame| frame.lease.clone()))
}
