//! What an attribute asks for: the one door between generated code and the runtime. What it gets is in [`super::held`].

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::held::{AsyncHeld, Held};
use crate::call_tree as current;
use crate::call_tree::{Frame, Kind};
use crate::error::{Error, OnUnavailable};
use crate::hold::HeldLock;
use crate::hold::guard::Lease;
use crate::hold::renewal::RenewPolicy;
use crate::hold::reservation::Retry;
use crate::key::{ItemName, Key};
use crate::locks::Locks;
use crate::locks::options::Order;
use crate::locks::policy::{Reporting, fall_back, policy};
use crate::transaction::zlock::{self, Zlock};

/// One call of an annotated function.
#[derive(Debug, Clone)]
pub(crate) struct LockCall<'a> {
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
    pub renew: Option<RenewPolicy>,
    /// What to do when the server cannot be asked. `None`: the default of `locks`, else what suits the return type.
    pub on_unavailable: Option<OnUnavailable>,
    /// How long a `zlock` stays reserved after a conflict.
    pub reserve: Duration,
    /// The locks to use. `None`: the process-wide ones.
    pub locks: Option<&'a Locks>,
}

/// A call of an annotated async function, with all that is evaluated before it waits. It borrows nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    locks: Locks,
    kind: Kind,
    on_unavailable: Option<OnUnavailable>,
    reserve: Duration,
    order: Order,
    items: ItemNames,
    /// The body that called.
    outer: Option<Arc<Frame>>,
}

/// Prepares to acquire the locks on `keys` for `call`, which is waited for by [`enter_async`].
pub(crate) fn prepare(call: &LockCall<'_>, keys: &[Key]) -> Result<Prepared, Error> {
    let locks = locks_of(call)?;
    let (order, items) = ask(locks, call, keys);
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
    let frame = Frame::new(prepared.outer, prepared.kind, lease);
    let retry = retry(&prepared.locks, prepared.kind, prepared.reserve);
    Ok(AsyncHeld::new(frame, owns, retry))
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
        let limit = locks.limits(order).asking;
        for hold in lease.holds() {
            let kept = hold.keep_at_least_half_async(limit).await;
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
            outer: outer.as_ref(),
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
pub(crate) fn enter(call: &LockCall<'_>, keys: &[Key], reporting: Reporting) -> Result<Held, Error> {
    let locks = locks_of(call)?;
    let (order, items) = ask(locks, call, keys);
    let policy = policy(locks, call.kind, call.on_unavailable, reporting);
    let outer = current::here();
    let (lease, owns) = match acquire(locks, call, policy, &order, &items, outer.as_ref()) {
        Ok(acquired) => acquired,
        Err(error) => {
            fall_back(locks.core(), call.function, policy, reporting, error)?;
            (None, false)
        }
    };
    let frame = Frame::new(outer, call.kind, lease);
    let retry = retry(locks, call.kind, call.reserve);
    Ok(Held::new(current::enter(frame), owns, retry))
}

/// What keeps the locks of a `zlock` for `reserve` after a conflict. Nothing keeps other locks.
fn retry(locks: &Locks, kind: Kind, reserve: Duration) -> Option<Retry> {
    (kind == Kind::Zlock).then(|| locks.retry(reserve))
}

fn locks_of<'a>(call: &LockCall<'a>) -> Result<&'a Locks, Error> {
    match call.locks {
        Some(locks) => Ok(locks),
        None => Locks::process_wide(),
    }
}

/// The names of locks, in order, each once.
type ItemNames = SmallVec<[ItemName; 1]>;

/// What `call` asks of `locks`. Its durations have been checked, where they were given.
fn ask(locks: &Locks, call: &LockCall<'_>, keys: &[Key]) -> (Order, ItemNames) {
    let settings = locks.settings();
    let order = Order {
        function: call.function,
        timeout: call.timeout.unwrap_or(settings.timeout),
        interval: call.interval.unwrap_or(settings.interval),
        wait: call.wait,
        renew: call.renew,
    };
    let mut items = ItemNames::new();
    for key in keys.iter().filter_map(Key::text) {
        items.push(ItemName::of_lock(&settings.prefix, call.name, key));
    }
    if items.len() > 1 {
        items.sort_unstable();
        items.dedup();
    }
    (order, items)
}

/// The lease to run under, and whether it is to be released after.
fn acquire(
    locks: &Locks,
    call: &LockCall<'_>,
    policy: OnUnavailable,
    order: &Order,
    items: &[ItemName],
    outer: Option<&Arc<Frame>>,
) -> Result<(Option<Lease>, bool), Error> {
    if items.is_empty() {
        return Ok((None, false));
    }
    if let Some(lease) = reentered(outer, locks, call.kind, items)? {
        let limit = locks.limits(order).asking;
        for hold in lease.holds() {
            // Room for the inner body, at a round trip only when the lease is half over.
            let kept = hold.keep_at_least_half(limit);
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
            outer,
            scope: current::transaction(outer),
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
    if outer.is_none() {
        return Ok(None);
    }
    let mut holds: SmallVec<[Arc<HeldLock>; 1]> = SmallVec::new();
    for item in items {
        let Some(found) = current::find(outer, locks.core(), item) else {
            continue;
        };
        // The body of a parent, in a child that was forked from within it: it holds nothing here.
        locks.core().check_process()?;
        if kind == Kind::Lock || kind != found.kind {
            return Err(Error::Reentered {
                key: item.as_str().to_owned(),
            });
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
