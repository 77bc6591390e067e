//! [`LockCall`]: one call, which acquires all of its locks or none. Attributes and requests share it.

use std::future::Future;
use std::sync::Arc;

use super::Locks;
use crate::driver::caller::Caller;
use crate::driver::core::{Core, Counters};
use crate::driver::limits::CallLimits;
use crate::driver::waiting::Stopped;
use crate::error::Error;
use crate::hold::held_set::HeldSet;
use crate::hold::options::LockOptions;
use crate::key::ItemName;
use crate::protocol::Spec;
use crate::protocol::label::Label;
use crate::protocol::lease::Now;
use crate::system::background;

/// The longest name and key together, in bytes as they are stored: far beyond what keys have, and well within what a
/// server stores in an item.
const LONGEST_NAME: usize = 50_000;

/// How often several keys are acquired from the beginning, when the first were lost before the last was there.
const ROUNDS: usize = 3;

/// Why it is given up after that.
const AGED: &str = "acquiring all keys took longer than their `timeout`; give them a longer one";

/// A call that has begun: what it asks for, and within which limits.
#[derive(Clone, Copy)]
pub(crate) struct LockCall<'a> {
    pub(crate) locks: &'a Locks,
    pub(crate) caller: Caller,
    pub(crate) options: &'a LockOptions,
    pub(crate) limits: CallLimits,
}

impl<'a> LockCall<'a> {
    /// Begins to acquire `items`.
    pub(crate) fn begin(
        locks: &'a Locks,
        caller: Caller,
        options: &'a LockOptions,
        items: &[ItemName],
    ) -> Result<LockCall<'a>, Error> {
        locks.core().check_open()?;
        if options.renew.is_some() {
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
        Ok(LockCall {
            locks,
            caller,
            options,
            limits: locks.limits(options),
        })
    }

    pub(crate) fn core(&self) -> &'a Arc<Core> {
        self.locks.core()
    }

    /// Acquires all of `items`, or none. They come in the order of their names and without repetition, and are taken in it, so
    /// two callers cannot wait for each other. What it has acquired when it fails is released, within the same call's limits.
    pub(crate) fn acquire_all<'b>(&'b self, items: &'b [ItemName]) -> impl Future<Output = Result<HeldSet, Error>> {
        // A call that begins here spares itself a look at the clocks.
        self.acquire_all_from(items, self.limits.began)
    }

    /// The same at `now`, where something was tried before within the same call.
    pub(crate) async fn acquire_all_from(&self, items: &[ItemName], mut now: Now) -> Result<HeldSet, Error> {
        for _ in 0..ROUNDS {
            let mut held = HeldSet::new(self.caller, self.limits.asking);
            let mut stopped = None;
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    now = self.core().now();
                }
                let acquired = held.acquire(self.core(), self.spec(item), self.limits, now, self.options.renew);
                if let Err(error) = acquired.await {
                    stopped = Some(error);
                    break;
                }
            }
            match stopped {
                None => return held.acquired(),
                Some(Stopped::Failed(error)) => return Err(self.failed(error)),
                Some(Stopped::CompanionLost) => drop(held),
            }
            // In a child that was forked meanwhile all of them are.
            self.core().check_process()?;
            now = self.core().now();
            if self.limits.are_over(now) {
                break;
            }
        }
        let key = items.first().map(|item| item.as_str().to_owned()).unwrap_or_default();
        Err(Error::lost(key, AGED, None))
    }

    /// Counts an error of acquiring.
    pub(crate) fn failed(&self, error: Error) -> Error {
        if error.is_unavailable() {
            Counters::count(&self.core().counters.unavailable);
        }
        error
    }

    /// With other options, within the same call.
    pub(crate) fn with<'b>(&self, options: &'b LockOptions) -> LockCall<'b>
    where
        'a: 'b,
    {
        LockCall { options, ..*self }
    }

    /// One attempt within the same call, which waits for no other holder.
    pub(crate) fn without_waiting(&self) -> LockCall<'a> {
        LockCall {
            limits: self.limits.without_waiting(),
            ..*self
        }
    }

    /// The lock on `item`, as this call asks for it.
    pub(crate) fn spec(&self, item: &ItemName) -> Spec {
        let settings = self.locks.settings();
        Spec {
            item: item.clone(),
            server: self.core().store.route(item),
            label: Label::new(&settings.label, self.options.function),
            timeout: self.options.timeout.unwrap_or(settings.timeout),
            interval: self.options.interval.unwrap_or(settings.interval),
            wait: self.limits.wait,
        }
    }
}

impl Locks {
    /// The ends of a call that begins now.
    pub(crate) fn limits(&self, options: &LockOptions) -> CallLimits {
        CallLimits::new(self.core().now(), options.wait, self.core().exchange_limit)
    }
}
