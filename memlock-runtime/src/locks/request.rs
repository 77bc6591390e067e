//! [`LockRequest`]: how to ask for a lock without an attribute.

use std::pin::pin;
use std::time::Duration;

use super::Locks;
use super::acquire::LockCall;
use crate::call_tree;
use crate::driver::caller::Caller;
use crate::error::Error;
use crate::hold::guard::{AsyncGuard, Guard};
use crate::hold::held_set::HeldSet;
use crate::hold::options::{LockOptions, RenewPolicy};
use crate::key::{IntoKey, ItemName, Key};
use crate::system::on_thread;
use crate::system::worker::warn_if_blocking_tasks;

/// The namespace of a lock without a name.
const UNNAMED: &str = "lock";

/// A request for a lock, without an attribute. Made by [`Locks::lock`].
#[derive(Debug, Clone)]
#[must_use = "nothing is locked before `acquire`"]
pub struct LockRequest<'a> {
    locks: &'a Locks,
    key: Key,
    name: &'a str,
    options: LockOptions,
}

impl<'a> LockRequest<'a> {
    #[track_caller]
    pub(crate) fn new(locks: &'a Locks, key: Key) -> LockRequest<'a> {
        LockRequest {
            locks,
            key,
            name: UNNAMED,
            options: LockOptions::of(""),
        }
    }

    /// Sets the namespace of the key, `lock` by default. The namespace of an annotated function is its path, or its
    /// `name` option.
    pub fn name(mut self, name: &'a str) -> LockRequest<'a> {
        self.name = name;
        self
    }

    /// Sets the lifetime of the lock: how long it may be held, and for how long a dead holder blocks others.
    pub fn timeout(mut self, timeout: Duration) -> LockRequest<'a> {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets the longest pause between two looks at a held lock by the process that is next. Processes in line behind it
    /// look up to four times less often.
    pub fn interval(mut self, interval: Duration) -> LockRequest<'a> {
        self.options.interval = Some(interval);
        self
    }

    /// Sets how long to wait while others hold the lock. By default, for ever. Zero tries once.
    ///
    /// The call ends within `wait` and [`exchange_timeout`](crate::Builder::exchange_timeout) together: the exchanges
    /// with the server, connecting included, have `exchange_timeout` on top of `wait`.
    pub fn wait(mut self, wait: Duration) -> LockRequest<'a> {
        self.options.wait = Some(wait);
        self
    }

    /// Extends the lease in the background until the guard is dropped.
    pub fn renew(mut self) -> LockRequest<'a> {
        self.options.renew = Some(RenewPolicy::Always);
        self
    }

    /// Acquires the lock, and blocks this thread until then.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if the wait was over first. [`Error::Unavailable`] if the server could not be asked.
    /// [`Error::Reentered`] if an annotated function that is running here holds the lock. [`Error::Config`] for a wrong
    /// setting, or a key that is `None` or [`DontLock`](crate::DontLock).
    pub fn acquire(self) -> Result<Guard, Error> {
        warn_if_blocking_tasks(self.options.site.function);
        on_thread::block_on(pin!(self.acquire_by(Caller::Thread))).map(Guard::new)
    }

    /// Acquires the lock without blocking the thread, under any executor. Nothing happens before the future is first
    /// polled.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancellation
    ///
    /// The future may be dropped at any time. The background then releases a lock that was, or will be, acquired for
    /// it.
    pub async fn acquire_async(self) -> Result<AsyncGuard, Error> {
        self.acquire_by(Caller::Task).await.map(AsyncGuard::new)
    }

    /// As [`try_acquire`](Self::try_acquire), but without blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Cancellation
    ///
    /// As [`acquire_async`](Self::acquire_async).
    pub async fn try_acquire_async(self) -> Result<AsyncGuard, Error> {
        self.wait(Duration::ZERO).acquire_async().await
    }

    async fn acquire_by(&self, caller: Caller) -> Result<HeldSet, Error> {
        self.options.check()?;
        // Once is enough: a wait in a child that is forked meanwhile ends with an error.
        self.locks.core().check_process()?;
        let items = [self.item(caller)?];
        LockCall::begin(self.locks, caller, &self.options)?
            .acquire_all(&items)
            .await
    }

    /// Returns the name of the lock on the server, unless this call tree holds the lock.
    fn item(&self, caller: Caller) -> Result<ItemName, Error> {
        let Some(key) = self.key.text() else {
            return Err(Error::config(
                "the key is `None` or `DontLock`, so there is no lock to acquire: use another key",
            ));
        };
        let item = ItemName::of_lock(&self.locks.settings().prefix, self.name, key);
        let (frame, core) = (call_tree::current_frame(), self.locks.core());
        let found = call_tree::find_lock(frame.as_ref(), core, &item);
        match found.or_else(|| call_tree::find_lock_below(caller, frame.as_ref(), core, &item)) {
            Some(found) => Err(Error::reentered(item.as_str(), found.site, self.options.site)),
            None => Ok(item),
        }
    }

    /// Tries once to acquire the lock. This waits for no other holder, and up to
    /// [`exchange_timeout`](crate::Builder::exchange_timeout) for the server. If another caller of this process is
    /// already asking for the same lock, it waits for the answer to that caller.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire). [`Error::Busy`] as soon as it is known that another caller holds the lock.
    pub fn try_acquire(self) -> Result<Guard, Error> {
        self.wait(Duration::ZERO).acquire()
    }
}

impl Locks {
    /// Returns a request for the lock on `key`. Nothing happens before [`acquire`](LockRequest::acquire).
    #[track_caller]
    pub fn lock(&self, key: impl IntoKey) -> LockRequest<'_> {
        LockRequest::new(self, key.into_key())
    }
}
