//! `zlock`: the lock in front of a database that detects conflicts itself, so that of those who write one hot object each waits
//! before its expensive work instead of losing it at commit.
//!
//! Alone, it does three things that `lock` does not:
//!
//! 1. A reservation from its caller's earlier conflict is taken.
//! 2. A body that ends in a conflict leaves its lock reserved for its caller's retry, for a moment.
//! 3. Where another holds the lock, the body is not run: what its caller has read of the database will be out of date by the
//!    time that it gets in. The lock is waited for and reserved, and the caller is told of a conflict: it starts again with
//!    fresh data, and finds the lock waiting for it.
//!
//! In a transaction the lock belongs to the transaction, which holds it until its closure has returned. There it never waits:
//! see [`super`].

use std::sync::Arc;
use std::time::Duration;

use crate::call_tree as current;
use crate::call_tree::Frame;
use crate::call_tree::scope::{Met, Scope};
use crate::driver::background_work;
use crate::driver::core::Counters;
use crate::driver::waiting::Stopped;
use crate::error::{Error, OnUnavailable};
use crate::hold::guard::Lease;
use crate::hold::reservation::Owner;
use crate::hold::{HeldLock, acquire};
use crate::key::ItemName;
use crate::locks::Locks;
use crate::locks::acquire::{Asked, Holds, keep_alive};
use crate::locks::options::Order;
use crate::system::on_thread;
use crate::system::worker::warn_if_blocking_tasks;

/// What one call asks for.
pub(crate) struct Zlock<'a> {
    pub(crate) locks: &'a Locks,
    pub(crate) order: &'a Order,
    /// In the order of their names, each once.
    pub(crate) items: &'a [ItemName],
    /// How long the lock stays reserved after a conflict.
    pub(crate) reserve: Duration,
    /// What to do when the server cannot be asked.
    pub(crate) policy: OnUnavailable,
    /// The body that called.
    pub(crate) outer: Option<&'a Arc<Frame>>,
    /// The transaction that it is in.
    pub(crate) scope: Option<Arc<Scope>>,
}

/// The lease to run under, and whether it is to be given up after: a transaction's is not.
pub(crate) fn acquire(zlock: &Zlock<'_>) -> Result<(Lease, bool), Error> {
    let asked = zlock.locks.asked(zlock.items, zlock.order)?;
    let once = asked.once();
    let limit = asked.limits.asking;
    warn_if_blocking_tasks(zlock.order.function);
    let owner = Owner::thread();
    let mut got = Got::new(zlock, |holds| {
        holds.iter().rev().for_each(|hold| hold.release_within(limit));
    });
    for item in zlock.items {
        if got.has(item) {
            continue;
        }
        let (core, spec) = (zlock.locks.core(), once.spec(item));
        let reserved = if zlock.locks.reservations().is_reserved(item, owner) {
            on_thread::block_on(zlock.locks.reservations().claim(&spec, owner, limit))
        } else {
            None
        };
        let answer = match reserved {
            Some(hold) => Ok(hold),
            None => acquire::acquire(core, spec, once.limits, core.now(), &[]),
        };
        if got.take(&asked, item, answer)? {
            continue;
        }
        if zlock.scope.is_some() {
            return Err(got.met_by_another(&asked, item));
        }
        let holder = got.give_up();
        let (order, now) = (zlock.for_a_retry(), zlock.locks.core().now());
        let lease = zlock.locks.acquire_asked(zlock.items, &asked.again(&order), now)?;
        on_thread::block_on(lease.reserve_within(&zlock.locks.retry(zlock.reserve), owner, limit));
        return Err(zlock.conflict(&asked, zlock.items.first(), holder));
    }
    got.done()
}

/// The same without blocking the thread. What a dropped future has acquired is released in the background.
pub(crate) async fn acquire_async(zlock: &Zlock<'_>) -> Result<(Lease, bool), Error> {
    let asked = zlock.locks.asked(zlock.items, zlock.order)?;
    let once = asked.once();
    let mut got = Got::new(zlock, |holds| {
        Lease::new(holds).iter().for_each(Lease::release_in_background);
    });
    for item in zlock.items {
        if got.has(item) {
            continue;
        }
        let core = zlock.locks.core();
        let answer = match claim(zlock.locks, item, &once).await? {
            Some(hold) => Ok(hold),
            None => acquire::acquire_async(core, once.spec(item), once.limits, core.now(), &[]).await,
        };
        if got.take(&asked, item, answer)? {
            continue;
        }
        if zlock.scope.is_some() {
            return Err(got.met_by_another(&asked, item));
        }
        let holder = got.give_up();
        let (order, now) = (zlock.for_a_retry(), zlock.locks.core().now());
        let again = asked.again(&order);
        let lease = zlock.locks.acquire_asked_async(zlock.items, &again, now).await?;
        // Nobody renews it, so it is there when this returns.
        lease.reserve_in_background(&zlock.locks.retry(zlock.reserve), Owner::Process);
        return Err(zlock.conflict(&asked, zlock.items.first(), holder));
    }
    got.done()
}

/// The reservation of `item`, if there is one. A claim that is under way when the future is dropped goes on, and what it gets
/// is released.
async fn claim(locks: &Locks, item: &ItemName, asked: &Asked<'_>) -> Result<Option<Arc<HeldLock>>, Error> {
    let core = locks.core();
    if !locks.reservations().is_reserved(item, Owner::Process) {
        return Ok(None);
    }
    let (reservations, spec, limit) = (Arc::clone(locks.reservations()), asked.spec(item), asked.limits.asking);
    let claimed = background_work::finish(core, async move {
        let hold = reservations.claim(&spec, Owner::Process, limit).await;
        Ok(hold.map(Claimed::new))
    });
    Ok(claimed.await?.and_then(|mut claimed| claimed.0.take()))
}

impl Zlock<'_> {
    /// For as long as the lock is to be reserved.
    fn for_a_retry(&self) -> Order {
        Order {
            timeout: self.reserve,
            renew: None,
            ..self.order.clone()
        }
    }

    fn conflict(&self, asked: &Asked<'_>, item: Option<&ItemName>, holder: Option<String>) -> Error {
        let waited = match self.scope {
            Some(_) => Duration::ZERO,
            None => self.waited(asked),
        };
        Error::conflict(
            item.map(|item| item.as_str().to_owned()).unwrap_or_default(),
            holder,
            waited,
        )
    }

    /// How long this has taken so far.
    fn waited(&self, asked: &Asked<'_>) -> Duration {
        asked.limits.waited(self.locks.core().now())
    }
}

/// What a call has so far.
struct Got<'a, F: Fn(Holds)> {
    zlock: &'a Zlock<'a>,
    holds: Holds,
    /// Who has what it has not, where that is known.
    holder: Option<String>,
    /// Releases what there is when the call fails.
    release: F,
}

impl<'a, F: Fn(Holds)> Got<'a, F> {
    fn new(zlock: &'a Zlock<'a>, release: F) -> Got<'a, F> {
        Got {
            zlock,
            holds: Holds::new(),
            holder: None,
            release,
        }
    }

    /// Whether the transaction holds `item` already, or a function in which it runs.
    fn has(&mut self, item: &ItemName) -> bool {
        let found = current::find(self.zlock.outer, self.zlock.locks.core(), item);
        let is_there = found.is_some();
        self.holds.extend(found.map(|found| found.hold));
        is_there
    }

    /// Takes what came of asking for `item`. `false`: another holds it.
    fn take(
        &mut self,
        asked: &Asked<'_>,
        item: &ItemName,
        answer: Result<Arc<HeldLock>, Stopped>,
    ) -> Result<bool, Error> {
        match answer {
            Ok(hold) => {
                keep_alive(&hold, self.zlock.order.renew);
                self.meet(asked, item, Some(Arc::clone(&hold)));
                self.holds.push(hold);
                Ok(true)
            }
            Err(Stopped::Failed(Error::Busy { holder, .. })) => {
                Counters::count(&self.zlock.locks.core().counters.conflicts);
                self.holder = holder;
                Ok(false)
            }
            Err(Stopped::Failed(error)) => Err(self.zlock.locks.failed(error)),
            // It has no companions.
            Err(Stopped::CompanionLost) => Ok(false),
        }
    }

    /// The transaction is to take it, and those that were not reached, before its next attempt.
    fn met_by_another(&self, asked: &Asked<'_>, item: &ItemName) -> Error {
        for missing in self.zlock.items.iter().skip_while(|other| *other != item) {
            self.meet(asked, missing, None);
        }
        self.zlock.conflict(asked, Some(item), self.holder.clone())
    }

    /// Tells the transaction, which holds it from now on.
    fn meet(&self, asked: &Asked<'_>, item: &ItemName, hold: Option<Arc<HeldLock>>) {
        let Some(scope) = &self.zlock.scope else { return };
        let lost = scope.meet(Met {
            core: Arc::clone(self.zlock.locks.core()),
            spec: asked.spec(item),
            function: self.zlock.order.function,
            renew: self.zlock.order.renew,
            policy: self.zlock.policy,
            reserve: self.zlock.reserve,
            hold,
        });
        if let Some(lost) = lost {
            Lease::of(lost).release_in_background();
        }
    }

    /// Releases what there is, and says who had the rest.
    fn give_up(mut self) -> Option<String> {
        self.holder.take()
    }

    fn done(mut self) -> Result<(Lease, bool), Error> {
        let lease = Lease::new(std::mem::take(&mut self.holds));
        let lease = lease.ok_or_else(|| Error::config("no key to lock was given"))?;
        Ok((lease, self.zlock.scope.is_none()))
    }
}

impl<F: Fn(Holds)> Drop for Got<'_, F> {
    fn drop(&mut self) {
        // What a transaction has met is the transaction's.
        if self.zlock.scope.is_none() && !self.holds.is_empty() {
            (self.release)(std::mem::take(&mut self.holds));
        }
    }
}

/// A claimed lock on its way to who asked for it: released in the background where nobody waits any more.
struct Claimed(Option<Arc<HeldLock>>);

impl Claimed {
    fn new(hold: Arc<HeldLock>) -> Claimed {
        Claimed(Some(hold))
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Some(hold) = self.0.take() {
            Lease::of(hold).release_in_background();
        }
    }
}
