//! Acquiring all of several locks, or none: what attributes and requests have in common.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::config::checked;
use crate::driver::hold::Hold;
use crate::driver::waiting::{self, Stopped};
use crate::driver::{Core, Counters, agent, blocking, tasks};
use crate::entry::Renew;
use crate::error::Error;
use crate::guard::Lease;
use crate::key::ItemName;
use crate::label::Label;
use crate::lease::{LONGEST_TIMEOUT, Now};
use crate::locks::Locks;
use crate::protocol::Spec;
use crate::worker::warn_if_blocking_tasks;

/// The longest name and key together, in bytes as they are stored: far beyond what keys have, and well within what a
/// server stores in an item.
const LONGEST_NAME: usize = 50_000;

/// How locks are to be acquired.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) function: &'static str,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) wait: Option<Duration>,
    /// How much longer than that the server may take to answer.
    pub(crate) grace: Duration,
    pub(crate) renew: Option<Renew>,
}

impl Order {
    /// Refuses durations that cannot be meant.
    pub(crate) fn check(&self) -> Result<(), Error> {
        checked("timeout", self.timeout, LONGEST_TIMEOUT)?;
        checked("interval", self.interval, LONGEST_TIMEOUT)?;
        Ok(())
    }
}

impl Locks {
    /// Acquires all of `items`, or none. They come in the order of their names and without repetition, and are taken
    /// in it, so two callers cannot wait for each other.
    pub(crate) fn acquire_all(&self, items: &[ItemName], order: &Order) -> Result<Lease, Error> {
        let asked = self.asked(items, order)?;
        warn_if_blocking_tasks(order.function);
        let mut now = asked.began;
        for _ in 0..ROUNDS {
            match self.acquire_once(items, &asked, now) {
                Err(Stopped::CompanionLost) if !asked.limit().is_zero() => now = self.core().now(),
                ended => return self.ended(ended, items, order),
            }
        }
        self.ended(Err(Stopped::CompanionLost), items, order)
    }

    /// The same without blocking the thread. What a dropped future has acquired is released in the background.
    pub(crate) async fn acquire_all_async(&self, items: &[ItemName], order: &Order) -> Result<Lease, Error> {
        let asked = self.asked(items, order)?;
        let mut now = asked.began;
        for _ in 0..ROUNDS {
            match self.acquire_once_async(items, &asked, now).await {
                Err(Stopped::CompanionLost) if !asked.limit().is_zero() => now = self.core().now(),
                ended => return self.ended(ended, items, order),
            }
        }
        self.ended(Err(Stopped::CompanionLost), items, order)
    }

    /// Acquires all of `items` once through, now that it is `now`. What it has acquired when it fails is released, within what
    /// is left of the caller's wait.
    fn acquire_once(&self, items: &[ItemName], asked: &Asked<'_>, mut now: Now) -> Result<Holds, Stopped> {
        let mut acquired =
            Acquired::new(|holds| holds.iter().rev().for_each(|hold| hold.release_within(asked.limit())));
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                now = self.core().now();
            }
            let hold = blocking::acquire(self.core(), asked.spec(item), asked.began, now, &acquired.holds)?;
            // The first ones have aged while this one was waited for.
            let kept = acquired
                .holds
                .iter()
                .try_for_each(|aged| aged.keep_at_least_half(asked.limit()));
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
            let hold = tasks::acquire(self.core(), asked.spec(item), asked.began, now, &acquired.holds).await?;
            acquired.holds.push(hold);
            if let [aged @ .., _] = acquired.holds.as_slice() {
                for hold in aged {
                    let kept = hold.keep_at_least_half_async(asked.limit()).await;
                    kept.map_err(|_| Stopped::CompanionLost)?;
                }
            }
        }
        Ok(std::mem::take(&mut acquired.holds))
    }

    /// Begins to acquire `items`.
    pub(crate) fn asked<'a>(&'a self, items: &[ItemName], order: &'a Order) -> Result<Asked<'a>, Error> {
        self.core().check_open()?;
        let too_long = |item: &&ItemName| item.full().is_some_and(|full| full.len() > LONGEST_NAME);
        if let Some(item) = items.iter().find(too_long) {
            return Err(Error::config(format!(
                "the key `{item}…` is too long to lock: with its name it comes to {} bytes, and may have {LONGEST_NAME}",
                item.full().map_or(0, |full| full.len()),
            )));
        }
        Ok(Asked {
            core: self.core(),
            order,
            process: &self.settings().label,
            began: self.core().now(),
        })
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
                Err(Error::Lost { key, reason: AGED })
            }
        }
    }
}

/// Keeps the lease of `hold` alive as `renew` says.
pub(crate) fn keep_alive(hold: &Arc<Hold>, renew: Option<Renew>) {
    match renew {
        None => {}
        Some(Renew::Always) => agent::keep_alive(hold, None),
        Some(Renew::For(length)) => agent::keep_alive(hold, Some(length)),
    }
}

/// What a caller asks for, and since when.
pub(crate) struct Asked<'a> {
    core: &'a Arc<Core>,
    order: &'a Order,
    /// What to call this process.
    process: &'a Arc<str>,
    pub(crate) began: Now,
}

impl Asked<'_> {
    pub(crate) fn spec(&self, item: &ItemName) -> Spec {
        Spec {
            item: item.clone(),
            label: Label::new(self.process, self.order.function),
            timeout: self.order.timeout,
            interval: self.order.interval,
            wait: self.order.wait,
            grace: self.order.grace,
        }
    }

    /// How long an exchange may take.
    fn limit(&self) -> Duration {
        waiting::limit(self.core, self.order.wait, self.order.grace, self.began)
    }
}

/// Locks acquired together, nearly always one.
pub(crate) type Holds = SmallVec<[Arc<Hold>; 1]>;

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
