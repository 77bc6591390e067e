//! What an attribute asks for, and what it gets: the one door between generated code and the runtime.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use smallvec::SmallVec;

use crate::acquiring::Order;
use crate::conflict::{Judge, NoConflict};
use crate::current::{self, Entered, Frame, InFrame};
use crate::driver::hold::Hold;
use crate::driver::reservations::{self, Owner};
use crate::driver::waiting::WAIT_GRACE;
use crate::driver::{Core, Counters};
use crate::error::Error;
use crate::guard::Lease;
use crate::key::{ItemName, Key};
use crate::locks::Locks;
use crate::zlock::{self, Zlock};

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

/// What to do when the server cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// Return the error.
    Error,
    /// Run the body without the lock, with a warning.
    Unlocked,
    /// Panic with the error's text.
    Panic,
}

/// How long a lease is kept alive while the body runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renew {
    /// Until the body is done.
    Always,
    /// Until the body is done, at most this long after the lock was acquired.
    For(Duration),
}

/// One call of an annotated function.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    /// Which attribute.
    pub kind: Kind,
    /// The namespace of the key.
    pub name: &'a str,
    /// The function, `module::path::function`, for labels and messages.
    pub function: &'static str,
    /// The lifetime of the lock. `None`: the default of `locks`.
    pub timeout: Option<Duration>,
    /// The longest pause between two looks. `None`: the default of `locks`.
    pub interval: Option<Duration>,
    /// How long to wait. `None`: for ever.
    pub wait: Option<Duration>,
    /// Whether the lease is kept alive.
    pub renew: Option<Renew>,
    /// What to do when the server cannot be asked. `None`: the default of `locks`, else what suits the return type.
    pub on_unavailable: Option<OnUnavailable>,
    /// How long a `zlock` stays reserved after a conflict.
    pub reserve: Duration,
    /// The locks to use. `None`: the process-wide ones.
    pub locks: Option<&'a Locks>,
}

/// Whether the function's return type can carry a lock error. Decides what happens when nothing else says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reporting {
    /// `Result<_, E>` with `E: From<Error>`, or a function with `otherwise`.
    Yes,
    /// Anything else: when memcached cannot be asked the body runs unlocked; mistakes in the program panic.
    No,
}

/// What an annotated function holds while its body runs. Releases on drop.
#[derive(Debug)]
#[must_use]
pub struct Held {
    /// The body's frame, until the end.
    entered: Entered,
    /// Whether the locks were acquired for this body, and are to be released after it: not on re-entry, nor in a transaction.
    owns: bool,
    /// How long they stay reserved after a conflict.
    reserve: Duration,
}

impl Held {
    /// The error to return in place of a success, when the lease did not last for the whole body (`on_lost = error`).
    pub fn lost(&self) -> Option<Error> {
        self.entered.frame().lost()
    }

    /// The body is done. After a conflict its locks are kept for its caller's retry.
    pub(crate) fn end(mut self, is_conflict: bool) {
        if !is_conflict || !self.owns {
            return;
        }
        self.owns = false;
        let (lease, reserve) = (self.entered.frame().lease().cloned(), self.reserve);
        drop(self);
        for hold in lease.iter().flat_map(Lease::holds) {
            reservations::reserve(hold, reserve, Owner::thread());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.owns
            && let Some(lease) = self.entered.frame().lease()
        {
            lease.release();
        }
    }
}

/// What an annotated asynchronous function holds while its body runs. Releases in the background when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct AsyncHeld {
    frame: Arc<Frame>,
    /// Whether the locks were acquired for this body, and are to be released after it: not on re-entry, nor in a transaction.
    owns: bool,
    /// How long they stay reserved after a conflict.
    reserve: Duration,
}

impl AsyncHeld {
    /// Runs the body, and releases.
    pub fn run<F: Future, E: Ending<F::Output>>(self, ending: E, body: F) -> Run<F, E, NoConflict> {
        self.run_zlock(ending, NoConflict, body)
    }

    /// The same; and after a conflict, of which `conflict` knows, the locks are kept for the caller's retry.
    pub fn run_zlock<F, E, C>(self, _: E, conflict: C, body: F) -> Run<F, E, C>
    where
        F: Future,
        E: Ending<F::Output>,
        C: Judge<F::Output>,
    {
        Run {
            body: InFrame::new(Some(Arc::clone(&self.frame)), body),
            held: Some(self),
            conflict,
            release: None,
            kept: E::Kept::default(),
        }
    }

    /// The same; and the error, when the lease did not last for the whole body (`on_lost = error`).
    pub fn run_and_check<F: Future>(
        self,
        ending: impl Ending<(F::Output, Option<Error>)>,
        body: F,
    ) -> impl Future<Output = (F::Output, Option<Error>)> {
        let frame = Arc::clone(&self.frame);
        // Looked at before the release, which ends the lease.
        let checked = async move {
            let output = body.await;
            (output, frame.lost())
        };
        self.run(ending, checked)
    }

    fn reserve(mut self) {
        self.owns = false;
        for hold in self.frame.lease().iter().flat_map(|lease| lease.holds()) {
            reservations::reserve(hold, self.reserve, Owner::Process);
        }
    }

    async fn release(self) {
        if self.owns
            && let Some(lease) = self.frame.lease()
        {
            lease.release_async().await;
        }
    }
}

impl Drop for AsyncHeld {
    fn drop(&mut self) {
        if self.owns
            && let Some(lease) = self.frame.lease()
        {
            lease.release_in_background();
        }
    }
}

/// Whether the release is waited for, after a body that returns an `R`.
pub trait Ending<R> {
    /// What the future keeps of the body's output meanwhile.
    type Kept: Default;

    /// The output comes back where the release is not waited for.
    fn keep(kept: &mut Self::Kept, output: R) -> Option<R>;

    /// What was kept.
    fn kept(kept: &mut Self::Kept) -> Option<R>;
}

/// The release is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Waits;

/// The release is begun, and ends in the background: for outputs that are not `Send`, with which the future would not be.
#[derive(Debug, Clone, Copy)]
pub struct Leaves;

impl<R> Ending<R> for Waits {
    type Kept = Option<R>;

    fn keep(kept: &mut Option<R>, output: R) -> Option<R> {
        *kept = Some(output);
        None
    }

    fn kept(kept: &mut Option<R>) -> Option<R> {
        kept.take()
    }
}

impl<R> Ending<R> for Leaves {
    type Kept = ();

    fn keep((): &mut (), output: R) -> Option<R> {
        Some(output)
    }

    fn kept((): &mut ()) -> Option<R> {
        None
    }
}

pin_project! {
    /// A body under its locks. Dropping it drops the body, and then releases in the background.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Run<F: Future, E: Ending<F::Output>, C> {
        #[pin]
        body: InFrame<F>,
        held: Option<AsyncHeld>,
        conflict: C,
        // The release, once the body is done.
        release: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
        kept: E::Kept,
    }
}

impl<F: Future, E: Ending<F::Output>, C: Judge<F::Output>> Future for Run<F, E, C> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(held) = this.held.take() {
            let Poll::Ready(output) = this.body.as_mut().poll(context) else {
                *this.held = Some(held);
                return Poll::Pending;
            };
            if !held.owns {
                return Poll::Ready(output);
            }
            if this.conflict.is_conflict(&output) {
                held.reserve();
                return Poll::Ready(output);
            }
            if let Some(output) = E::keep(this.kept, output) {
                // Dropped, it releases in the background.
                return Poll::Ready(output);
            }
            *this.release = Some(Box::pin(held.release()));
        }
        if let Some(release) = this.release {
            std::task::ready!(release.as_mut().poll(context));
        }
        *this.release = None;
        E::kept(this.kept).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<F: Future, E: Ending<F::Output>, C> fmt::Debug for Run<F, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("held", &self.held).finish_non_exhaustive()
    }
}

/// A call of an annotated async function, with all that is evaluated before it waits. It borrows nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    locks: Locks,
    kind: Kind,
    on_unavailable: Option<OnUnavailable>,
    reserve: Duration,
    order: Order,
    items: Items,
    /// The body that called.
    outer: Option<Arc<Frame>>,
}

/// Prepares to acquire the locks on `keys` for `call`, which is waited for by [`enter_async`].
pub(crate) fn prepare(call: &Call<'_>, keys: &[Key]) -> Result<Prepared, Error> {
    let locks = locks_of(call)?;
    let (order, items) = ask(locks, call, keys)?;
    Ok(Prepared {
        locks: locks.clone(),
        kind: call.kind,
        on_unavailable: call.on_unavailable,
        reserve: call.reserve,
        order,
        items,
        outer: current::here(),
    })
}

/// Does what [`enter`] does, without blocking the thread.
pub(crate) async fn enter_async(prepared: Prepared, reporting: Reporting) -> Result<AsyncHeld, Error> {
    let policy = policy(&prepared.locks, prepared.kind, prepared.on_unavailable, reporting);
    let (lease, owns) = match acquire_async(&prepared, policy).await {
        Ok(acquired) => acquired,
        Err(error) => {
            fall_back(prepared.locks.core(), prepared.order.function, policy, reporting, error)?;
            (None, false)
        }
    };
    Ok(AsyncHeld {
        frame: Frame::new(prepared.outer, prepared.kind, lease),
        owns,
        reserve: prepared.reserve,
    })
}

/// The lease to run under, and whether it is to be released after.
async fn acquire_async(prepared: &Prepared, policy: OnUnavailable) -> Result<(Option<Lease>, bool), Error> {
    let Prepared {
        locks,
        kind,
        order,
        items,
        outer,
        ..
    } = prepared;
    if items.is_empty() {
        return Ok((None, false));
    }
    if let Some(lease) = reentered(outer.as_ref(), locks, *kind, items)? {
        for hold in lease.holds() {
            let kept = hold.keep_at_least_half_async(locks.core().exchange_limit).await;
            unless_database_decides(*kind, kept)?;
        }
        return Ok((Some(lease), false));
    }
    if *kind == Kind::Zlock {
        let zlock = Zlock {
            locks,
            order,
            items,
            reserve: prepared.reserve,
            policy,
            scope: current::transaction(outer.as_ref()),
        };
        let (lease, owns) = zlock::acquire_async(&zlock).await?;
        return Ok((Some(lease), owns));
    }
    let lease = locks.acquire_all_async(items, order).await?;
    Ok((Some(lease), true))
}

/// A lease that did not last is no error of a `zlock`: its database finds out what came of that.
fn unless_database_decides(kind: Kind, kept: Result<(), Error>) -> Result<(), Error> {
    match kind {
        Kind::Zlock => Ok(()),
        Kind::Lock | Kind::Rlock => kept,
    }
}

/// Acquires the locks on `keys` (one, or several at once; a key that asks for no lock is left out) for `call`.
///
/// Applies the failure policy: what comes back as an error is to be returned by the function. Where `reporting` is
/// [`Reporting::No`] it never returns `Err(Unavailable)`; remaining errors are mistakes in the program.
#[track_caller]
pub(crate) fn enter(call: &Call<'_>, keys: &[Key], reporting: Reporting) -> Result<Held, Error> {
    let locks = locks_of(call)?;
    let (order, items) = ask(locks, call, keys)?;
    let policy = policy(locks, call.kind, call.on_unavailable, reporting);
    let (lease, owns) = match acquire(locks, call, policy, &order, &items) {
        Ok(acquired) => acquired,
        Err(error) => {
            fall_back(locks.core(), call.function, policy, reporting, error)?;
            (None, false)
        }
    };
    Ok(Held {
        entered: current::push(call.kind, lease),
        owns,
        reserve: call.reserve,
    })
}

fn locks_of<'a>(call: &Call<'a>) -> Result<&'a Locks, Error> {
    match call.locks {
        Some(locks) => Ok(locks),
        None => Locks::process_wide(),
    }
}

/// The names of locks, in order, each once.
type Items = SmallVec<[ItemName; 1]>;

/// What `call` asks of `locks`.
fn ask(locks: &Locks, call: &Call<'_>, keys: &[Key]) -> Result<(Order, Items), Error> {
    let settings = locks.settings();
    let order = Order {
        function: call.function,
        timeout: call.timeout.unwrap_or(settings.timeout),
        interval: call.interval.unwrap_or(settings.interval),
        wait: call.wait,
        grace: WAIT_GRACE,
        renew: call.renew,
    };
    order.check()?;
    let item = |key: &Key| {
        key.text()
            .map(|key| ItemName::of_lock(&settings.prefix, call.name, key))
    };
    let mut items: Items = keys.iter().filter_map(item).collect();
    items.sort_unstable();
    items.dedup();
    Ok((order, items))
}

/// The failure policy of a call.
fn policy(locks: &Locks, kind: Kind, on_unavailable: Option<OnUnavailable>, reporting: Reporting) -> OnUnavailable {
    let by_type = match (kind, reporting) {
        // A database that detects conflicts itself is behind it.
        (Kind::Zlock, _) | (_, Reporting::No) => OnUnavailable::Unlocked,
        (Kind::Lock | Kind::Rlock, Reporting::Yes) => OnUnavailable::Error,
    };
    on_unavailable.or(locks.settings().on_unavailable).unwrap_or(by_type)
}

/// Applies the failure policy of a function that can report.
#[track_caller]
pub(crate) fn soften(core: &Core, function: &str, policy: OnUnavailable, error: Error) -> Result<(), Error> {
    fall_back(core, function, policy, Reporting::Yes, error)
}

/// Applies the failure policy to an error of acquiring. `Ok`: the body is to run without the lock.
#[track_caller]
fn fall_back(
    core: &Core,
    function: &str,
    policy: OnUnavailable,
    reporting: Reporting,
    error: Error,
) -> Result<(), Error> {
    match (&error, policy, reporting) {
        (Error::Unavailable { .. }, OnUnavailable::Panic, _)
        | (Error::Lost { .. }, OnUnavailable::Panic, Reporting::No) => panic!("{function}: {error}"),
        (Error::Unavailable { .. }, OnUnavailable::Unlocked, _)
        | (Error::Unavailable { .. } | Error::Lost { .. }, _, Reporting::No) => {
            Counters::count(&core.counters.soft_runs);
            tracing::warn!(target: "memlock", function, %error, "running without the lock");
            Ok(())
        }
        _ => Err(error),
    }
}

/// The lease to run under, and whether it is to be released after.
fn acquire(
    locks: &Locks,
    call: &Call<'_>,
    policy: OnUnavailable,
    order: &Order,
    items: &[ItemName],
) -> Result<(Option<Lease>, bool), Error> {
    if items.is_empty() {
        return Ok((None, false));
    }
    let outer = current::here();
    if let Some(lease) = reentered(outer.as_ref(), locks, call.kind, items)? {
        for hold in lease.holds() {
            // Room for the inner body, at a round trip only when the lease is half over.
            let kept = hold.keep_at_least_half(locks.core().exchange_limit);
            unless_database_decides(call.kind, kept)?;
        }
        return Ok((Some(lease), false));
    }
    if call.kind == Kind::Zlock {
        let (lease, owns) = zlock::acquire(&Zlock {
            locks,
            order,
            items,
            reserve: call.reserve,
            policy,
            scope: current::transaction(outer.as_ref()),
        })?;
        return Ok((Some(lease), owns));
    }
    let lease = locks.acquire_all(items, order)?;
    Ok((Some(lease), true))
}

/// The lease of an outer body, where that holds all of `items` and both are `rlock`, or both `zlock`.
fn reentered(
    outer: Option<&Arc<Frame>>,
    locks: &Locks,
    kind: Kind,
    items: &[ItemName],
) -> Result<Option<Lease>, Error> {
    let mut holds: SmallVec<[Arc<Hold>; 1]> = SmallVec::new();
    for item in items {
        let Some(found) = current::find(outer, locks.core(), item) else {
            continue;
        };
        if kind == Kind::Lock || kind != found.kind {
            return Err(Error::Reentered { key: item.to_string() });
        }
        holds.push(found.hold);
    }
    if holds.is_empty() {
        return Ok(None);
    }
    if holds.len() < items.len() {
        if kind == Kind::Zlock && current::transaction(outer).is_some() {
            // Nothing waits there.
            return Ok(None);
        }
        // Waiting for the others with these in hand could wait for somebody who does the reverse.
        return Err(Error::config(
            "a re-entrant lock on several keys was entered by a function that holds only some of them: two such callers could \
             wait for each other; take all the keys in the outer function",
        ));
    }
    Ok(Lease::new(holds))
}
