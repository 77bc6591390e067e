//! Acquiring all of several locks, or none: what attributes and requests have in common.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Locks;
use super::options::Order;
use crate::driver::core::Counters;
use crate::driver::limits::CallLimits;
use crate::driver::waiting::Stopped;
use crate::error::Error;
use crate::hold::guard::Lease;
use crate::hold::renewal::{self, RenewPolicy};
use crate::hold::{HeldLock, acquire};
use crate::key::ItemName;
use crate::protocol::Spec;
use crate::protocol::label::Label;
use crate::protocol::lease::Now;
use crate::system::background;
use crate::system::worker::warn_if_blocking_tasks;

/// The longest name and key together, in bytes as they are stored: far beyond what keys have, and well within what a
/// server stores in an item.
const LONGEST_NAME: usize = 50_000;

impl Locks {
    /// Acquires all of `items`, or none. They come in the order of their names and without repetition, and are taken
    /// in it, so two callers cannot wait for each other.
    pub(crate) fn acquire_all(&self, items: &[ItemName], order: &Order) -> Result<Lease, Error> {
        let asked = self.asked(items, order)?;
        warn_if_blocking_tasks(order.function);
        self.acquire_asked(items, &asked, asked.limits.began)
    }

    /// The same within the limits of a call that has begun before, now that it is `now`.
    pub(crate) fn acquire_asked(&self, items: &[ItemName], asked: &Asked<'_>, mut now: Now) -> Result<Lease, Error> {
        for _ in 0..ROUNDS {
            match self.acquire_once(items, asked, now) {
                Err(Stopped::CompanionLost) if !asked.limits.are_over(self.core().now()) => now = self.core().now(),
                ended => return self.ended(ended, items, asked.order),
            }
        }
        self.ended(Err(Stopped::CompanionLost), items, asked.order)
    }

    /// The same without blocking the thread. What a dropped future has acquired is released in the background.
    pub(crate) async fn acquire_all_async(&self, items: &[ItemName], order: &Order) -> Result<Lease, Error> {
        let asked = self.asked(items, order)?;
        self.acquire_asked_async(items, &asked, asked.limits.began).await
    }

    /// The same within the limits of a call that has begun before, now that it is `now`.
    pub(crate) async fn acquire_asked_async(
        &self,
        items: &[ItemName],
        asked: &Asked<'_>,
        mut now: Now,
    ) -> Result<Lease, Error> {
        for _ in 0..ROUNDS {
            match self.acquire_once_async(items, asked, now).await {
                Err(Stopped::CompanionLost) if !asked.limits.are_over(self.core().now()) => {
                    // In a child that was forked meanwhile all of them are.
                    self.core().check_process()?;
                    now = self.core().now();
                }
                ended => return self.ended(ended, items, asked.order),
            }
        }
        self.ended(Err(Stopped::CompanionLost), items, asked.order)
    }

    /// Acquires all of `items` once through, now that it is `now`. What it has acquired when it fails is released, within the
    /// same call's limits.
    fn acquire_once(&self, items: &[ItemName], asked: &Asked<'_>, mut now: Now) -> Result<Holds, Stopped> {
        let mut acquired = Acquired::new(|holds| {
            let release = |hold: &Arc<HeldLock>| hold.release_within(asked.limits.asking);
            holds.iter().rev().for_each(release);
        });
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                now = self.core().now();
            }
            let hold = acquire::acquire(self.core(), asked.spec(item), asked.limits, now, &acquired.holds)?;
            // The first ones have aged while this one was waited for.
            let kept = acquired
                .holds
                .iter()
                .try_for_each(|aged| aged.keep_at_least_half(asked.limits.asking));
            acquired.holds.push(hold);
            kept.map_err(|_| Stopped::CompanionLost)?;
        }
        Ok(std::mem::take(&mut acquired.holds))
    }

    /// The same without blocking the thread.
    async fn acquire_once_async(&self, items: &[ItemName], asked: &Asked<'_>, mut now: Now) -> Result<Holds, Stopped> {
        let mut acquired = Acquired::new(|holds| Lease::new(holds).iter().for_each(Lease::release_in_background));
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                now = self.core().now();
            }
            let hold =
                acquire::acquire_async(self.core(), asked.spec(item), asked.limits, now, &acquired.holds).await?;
            acquired.holds.push(hold);
            if let [aged @ .., _] = acquired.holds.as_slice() {
                for hold in aged {
                    let kept = hold.keep_at_least_half_async(asked.limits.asking).await;
                    kept.map_err(|_| Stopped::CompanionLost)?;
                }
            }
        }
        Ok(std::mem::take(&mut acquired.holds))
    }

    /// Begins to acquire `items`.
    pub(crate) fn asked<'a>(&'a self, items: &[ItemName], order: &'a Order) -> Result<Asked<'a>, Error> {
        self.core().check_open()?;
        if order.renew.is_some() {
            // Now, while nothing is held: a lease that nobody can renew would end in the middle of its body.
            background::handle().map_err(|error| {
                Error::config(format!(
                    "`renew` needs a background thread, and none could be started: {error}"
                ))
            })?;
        }
        let too_long = |item: &&ItemName| item.full().is_some_and(|full| full.len() > LONGEST_NAME);
        if let Some(item) = items.iter().find(too_long) {
            return Err(Error::config(format!(
                "the key `{item}…` is too long to lock: with its name it comes to {} bytes, and may have {LONGEST_NAME}",
                item.full().map_or(0, |full| full.len()),
            )));
        }
        Ok(Asked {
            order,
            process: &self.settings().label,
            limits: self.limits(order),
        })
    }

    /// The ends of a call that begins now.
    pub(crate) fn limits(&self, order: &Order) -> CallLimits {
        CallLimits::new(self.core().now(), order.wait, self.core().exchange_limit)
    }

    /// Counts an error of acquiring.
    pub(crate) fn failed(&self, error: Error) -> Error {
        if error.is_unavailable() {
            Counters::count(&self.core().counters.unavailable);
        }
        error
    }

    /// Ends with what acquiring came to.
    fn ended(&self, ended: Result<Holds, Stopped>, items: &[ItemName], order: &Order) -> Result<Lease, Error> {
        match ended {
            Ok(holds) => {
                holds.iter().for_each(|hold| keep_alive(hold, order.renew));
                Lease::new(holds).ok_or_else(|| Error::config("no key to lock was given"))
            }
            Err(Stopped::Failed(error)) => Err(self.failed(error)),
            Err(Stopped::CompanionLost) => {
                let key = items.first().map(|item| item.as_str().to_owned()).unwrap_or_default();
                Err(Error::lost(key, AGED, None))
            }
        }
    }
}

/// Keeps the lease of `hold` alive as `renew` says.
pub(crate) fn keep_alive(hold: &Arc<HeldLock>, renew: Option<RenewPolicy>) {
    match renew {
        None => {}
        Some(RenewPolicy::Always) => renewal::keep_alive(hold, None),
        Some(RenewPolicy::For(length)) => renewal::keep_alive(hold, Some(length)),
    }
}

/// What a caller asks for, and within which limits.
pub(crate) struct Asked<'a> {
    order: &'a Order,
    /// What to call this process.
    process: &'a Arc<str>,
    pub(crate) limits: CallLimits,
}

impl<'a> Asked<'a> {
    /// For another order within the same call.
    pub(crate) fn again(&self, order: &'a Order) -> Asked<'a> {
        Asked { order, ..*self }
    }

    /// One attempt within the same call, which waits for no other holder.
    pub(crate) fn once(&self) -> Asked<'a> {
        Asked {
            limits: self.limits.without_waiting(),
            ..*self
        }
    }

    pub(crate) fn spec(&self, item: &ItemName) -> Spec {
        Spec {
            item: item.clone(),
            label: Label::new(self.process, self.order.function),
            timeout: self.order.timeout,
            interval: self.order.interval,
            wait: self.limits.wait,
        }
    }
}

/// Locks acquired together, nearly always one.
pub(crate) type Holds = SmallVec<[Arc<HeldLock>; 1]>;

/// How often several keys are acquired from the beginning, when the first were lost before the last was there.
const ROUNDS: usize = 3;

/// Why it is given up after that.
const AGED: &str = "acquiring all keys took longer than their `timeout`; give them a longer one";

/// Locks acquired so far, and how those are released that are left when it is dropped.
struct Acquired<F: Fn(Holds)> {
    holds: Holds,
    release: F,
}

impl<F: Fn(Holds)> Acquired<F> {
    fn new(release: F) -> Acquired<F> {
        Acquired {
            holds: Holds::new(),
            release,
        }
    }
}

impl<F: Fn(Holds)> Drop for Acquired<F> {
    fn drop(&mut self) {
        if !self.holds.is_empty() {
            (self.release)(std::mem::take(&mut self.holds));
        }
    }
}
