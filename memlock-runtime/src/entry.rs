//! What an attribute asks for, and what it gets: the one door between generated code and the runtime.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::current::{self, Entered};
use crate::driver::hold::Hold;
use crate::error::Error;
use crate::guard::Lease;
use crate::key::{ItemName, Key};
use crate::locks::{Locks, Order};

/// Which of the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The plain lock.
    Lock,
    /// The re-entrant lock.
    Rlock,
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
    /// Whether the locks were acquired for this body, and are to be released after it: not on re-entry.
    owns: bool,
}

impl Held {
    fn new(kind: Kind, lease: Option<Lease>, owns: bool) -> Held {
        Held {
            entered: current::push(kind, lease),
            owns,
        }
    }

    /// The error to return in place of a success, when the lease did not last for the whole body (`on_lost = error`).
    pub fn lost(&self) -> Option<Error> {
        self.entered.lease().and_then(|lease| lease.check().err())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.owns
            && let Some(lease) = self.entered.lease()
        {
            lease.release();
        }
    }
}

/// What an annotated async function holds while its body runs.
#[derive(Debug)]
#[must_use]
pub struct AsyncHeld {
    held: Held,
}

impl AsyncHeld {
    /// Runs the body, and releases.
    pub async fn run<F: Future>(self, body: F) -> F::Output {
        body.await
    }

    /// The same; and the error, when the lease did not last for the whole body (`on_lost = error`).
    pub async fn run_and_check<F: Future>(self, body: F) -> (F::Output, Option<Error>) {
        let output = body.await;
        (output, self.held.lost())
    }
}

/// A call of an annotated async function, with all that is evaluated before it waits. It borrows nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    locks: Locks,
    kind: Kind,
    on_unavailable: Option<OnUnavailable>,
    order: Order,
    items: Items,
}

/// Prepares to acquire the locks on `keys` for `call`, which is waited for by [`enter_async`].
pub(crate) fn prepare(call: &Call<'_>, keys: &[Key]) -> Result<Prepared, Error> {
    let locks = locks_of(call)?;
    let (order, items) = ask(locks, call, keys)?;
    Ok(Prepared {
        locks: locks.clone(),
        kind: call.kind,
        on_unavailable: call.on_unavailable,
        order,
        items,
    })
}

/// Does what [`enter`] does, without blocking the thread.
pub(crate) async fn enter_async(prepared: Prepared, reporting: Reporting) -> Result<AsyncHeld, Error> {
    let Prepared {
        locks,
        kind,
        on_unavailable,
        order,
        items,
    } = prepared;
    let held = acquire(&locks, kind, &order, &items)
        .or_else(|error| fall_back(&locks, kind, order.function, on_unavailable, reporting, error))?;
    Ok(AsyncHeld { held })
}

/// Acquires the locks on `keys` (one, or several at once; a key that asks for no lock is left out) for `call`.
///
/// Applies the failure policy: what comes back as an error is to be returned by the function. Where `reporting` is
/// [`Reporting::No`] it never returns `Err(Unavailable)`; remaining errors are mistakes in the program.
#[track_caller]
pub(crate) fn enter(call: &Call<'_>, keys: &[Key], reporting: Reporting) -> Result<Held, Error> {
    let locks = locks_of(call)?;
    let (order, items) = ask(locks, call, keys)?;
    acquire(locks, call.kind, &order, &items)
        .or_else(|error| fall_back(locks, call.kind, call.function, call.on_unavailable, reporting, error))
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

/// Applies the failure policy to an error of acquiring.
#[track_caller]
fn fall_back(
    locks: &Locks,
    kind: Kind,
    function: &str,
    on_unavailable: Option<OnUnavailable>,
    reporting: Reporting,
    error: Error,
) -> Result<Held, Error> {
    let by_type = match reporting {
        Reporting::Yes => OnUnavailable::Error,
        Reporting::No => OnUnavailable::Unlocked,
    };
    let policy = on_unavailable.or(locks.settings().on_unavailable).unwrap_or(by_type);
    match (&error, policy, reporting) {
        (Error::Unavailable { .. }, OnUnavailable::Panic, _)
        | (Error::Lost { .. }, OnUnavailable::Panic, Reporting::No) => panic!("{function}: {error}"),
        (Error::Unavailable { .. }, OnUnavailable::Unlocked, _)
        | (Error::Unavailable { .. } | Error::Lost { .. }, _, Reporting::No) => {
            locks.count_soft_run();
            tracing::warn!(target: "memlock", function, %error, "running without the lock");
            Ok(Held::new(kind, None, false))
        }
        _ => Err(error),
    }
}

fn acquire(locks: &Locks, kind: Kind, order: &Order, items: &[ItemName]) -> Result<Held, Error> {
    if items.is_empty() {
        return Ok(Held::new(kind, None, false));
    }
    if let Some(lease) = reenter(locks, kind, items)? {
        return Ok(Held::new(kind, Some(lease), false));
    }
    let lease = locks.acquire_all(items, order)?;
    Ok(Held::new(kind, Some(lease), true))
}

/// The lease of an outer body, where that holds all of `items` and both are `rlock`.
fn reenter(locks: &Locks, kind: Kind, items: &[ItemName]) -> Result<Option<Lease>, Error> {
    let mut holds: SmallVec<[Arc<Hold>; 1]> = SmallVec::new();
    for item in items {
        let Some(found) = current::find(locks.core(), item) else {
            continue;
        };
        if (kind, found.kind) != (Kind::Rlock, Kind::Rlock) {
            return Err(Error::Reentered { key: item.to_string() });
        }
        // Room for the inner body, at a round trip only when the lease is half over.
        found.hold.keep_at_least_half(locks.core().exchange_limit)?;
        holds.push(found.hold);
    }
    if holds.is_empty() {
        return Ok(None);
    }
    if holds.len() < items.len() {
        // Waiting for the others with these in hand could wait for somebody who does the reverse.
        return Err(Error::config(
            "an `rlock` on several keys was entered by a function that holds only some of them: two such callers could \
             wait for each other; take all the keys in the outer function",
        ));
    }
    Ok(Lease::new(holds))
}
