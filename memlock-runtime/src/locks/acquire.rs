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

/// How often a call acquires its locks from the beginning, if it loses the first before it has the last.
const ROUNDS: usize = 3;

/// The reason of the error after that.
const TOOK_TOO_LONG: &str = "acquiring all keys took longer than their `timeout`: use a longer one";

/// A call that has begun: how it asks for locks, and within which limits.
#[derive(Clone, Copy)]
pub(crate) struct LockCall<'a> {
    pub(crate) locks: &'a Locks,
    pub(crate) caller: Caller,
    pub(crate) options: &'a LockOptions,
    pub(crate) limits: CallLimits,
}

impl<'a> LockCall<'a> {
    /// Begins a call. The caller has checked that these locks are this process's own.
    pub(crate) fn begin(locks: &'a Locks, caller: Caller, options: &'a LockOptions) -> Result<LockCall<'a>, Error> {
        locks.core().check_not_shut_down()?;
        if options.renew.is_some() {
            // Before anything is held: without that thread, the lease would end in the middle of the body.
            background::handle().map_err(|error| {
                Error::config(format!(
                    "`renew` needs a background thread, but none could be started: {error}"
                ))
            })?;
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

    /// Acquires all of `items`, or none. They must be in the order of their names, each once. All callers acquire them
    /// in that order, so no two wait for each other. If this fails, it releases what it has acquired, within the limits
    /// of the call.
    pub(crate) fn acquire_all<'b>(&'b self, items: &'b [ItemName]) -> impl Future<Output = Result<HeldSet, Error>> {
        // The call has just begun, so its clocks need not be read again.
        self.acquire_all_from(items, self.limits.began)
    }

    /// As [`acquire_all`](Self::acquire_all), at `now`, after an earlier attempt of the same call.
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
                Some(Stopped::Failed(error)) => return Err(self.count_error(error)),
                Some(Stopped::CompanionLost) => drop(held),
            }
            // In a child that was forked meanwhile, the first locks also count as lost.
            self.core().check_process()?;
            now = self.core().now();
            if self.limits.are_over(now) {
                break;
            }
        }
        let key = items.first().map(|item| item.as_str().to_owned()).unwrap_or_default();
        Err(Error::lost(key, TOOK_TOO_LONG, None))
    }

    /// Counts an error of acquiring, and returns it.
    pub(crate) fn count_error(&self, error: Error) -> Error {
        if error.is_unavailable() {
            Counters::count(&self.core().counters.unavailable);
        }
        error
    }

    /// The same call with other options.
    pub(crate) fn with<'b>(&self, options: &'b LockOptions) -> LockCall<'b>
    where
        'a: 'b,
    {
        LockCall { options, ..*self }
    }

    /// One attempt of the same call, which waits for no other holder.
    pub(crate) fn without_waiting(&self) -> LockCall<'a> {
        LockCall {
            limits: self.limits.without_waiting(),
            ..*self
        }
    }

    /// Returns the lock on `item`, as this call asks for it.
    pub(crate) fn spec(&self, item: &ItemName) -> Spec {
        let settings = self.locks.settings();
        Spec {
            item: item.clone(),
            server: self.core().store.route(item),
            label: Label::new(&settings.label, self.options.site.function),
            timeout: self.options.timeout.unwrap_or(settings.timeout),
            interval: self.options.interval.unwrap_or(settings.interval),
            wait: self.limits.wait,
        }
    }
}

impl Locks {
    /// Returns the limits of a call that begins now.
    pub(crate) fn limits(&self, options: &LockOptions) -> CallLimits {
        CallLimits::new(self.core().now(), options.wait, self.core().exchange_limit)
    }
}
