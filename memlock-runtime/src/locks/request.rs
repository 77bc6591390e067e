//! A lock without an attribute, on its way to a guard.

use std::pin::pin;
use std::time::Duration;

use super::Locks;
use super::acquire::LockCall;
use crate::call_tree as current;
use crate::driver::caller::Caller;
use crate::error::Error;
use crate::hold::guard::{AsyncGuard, Guard};
use crate::hold::held_set::HeldSet;
use crate::hold::options::{LockOptions, RenewPolicy};
use crate::key::{IntoKey, ItemName, Key};
use crate::system::on_thread;
use crate::system::worker::warn_if_blocking_tasks;

/// The namespace of locks that are asked for without one.
const UNNAMED: &str = "lock";

/// A lock that is being asked for without an attribute. Made by [`Locks::lock`].
#[derive(Debug, Clone)]
#[must_use = "nothing is locked before `acquire`"]
pub struct LockRequest<'a> {
    locks: &'a Locks,
    key: Key,
    name: &'a str,
    options: LockOptions,
}

impl<'a> LockRequest<'a> {
    pub(crate) fn new(locks: &'a Locks, key: Key) -> LockRequest<'a> {
        LockRequest {
            locks,
            key,
            name: UNNAMED,
            options: LockOptions::of(""),
        }
    }

    /// The namespace of the key, `lock` by default. An annotated function's is its path, or its `name` option.
    pub fn name(mut self, name: &'a str) -> LockRequest<'a> {
        self.name = name;
        self
    }

    /// The lifetime of the lock: how long it may be held, and a dead holder blocks others.
    pub fn timeout(mut self, timeout: Duration) -> LockRequest<'a> {
        self.options.timeout = Some(timeout);
        self
    }

    /// The longest pause between two looks at a held lock by the process that is next. Those that stand in line behind it look up
    /// to four times as seldom.
    pub fn interval(mut self, interval: Duration) -> LockRequest<'a> {
        self.options.interval = Some(interval);
        self
    }

    /// How long to wait while others hold the lock; for ever by default, and zero tries once.
    ///
    /// The call ends within `wait` and [`exchange_timeout`](crate::Builder::exchange_timeout) together: asking the server, connecting
    /// included, has that time of its own on top.
    pub fn wait(mut self, wait: Duration) -> LockRequest<'a> {
        self.options.wait = Some(wait);
        self
    }

    /// Keeps extending the lease in the background until the guard is dropped.
    pub fn renew(mut self) -> LockRequest<'a> {
        self.options.renew = Some(RenewPolicy::Always);
        self
    }

    /// Acquires the lock, blocking this thread meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when the wait was over first, [`Error::Unavailable`] when the server could not be asked,
    /// [`Error::Reentered`] when an annotated function that is running on this thread holds it, and [`Error::Config`]
    /// for a wrong setting, or a key that asks for no lock.
    pub fn acquire(self) -> Result<Guard, Error> {
        warn_if_blocking_tasks(self.options.function);
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
    /// The future may be dropped at any time. A lock that was or will be acquired for it is released in the background.
    pub async fn acquire_async(self) -> Result<AsyncGuard, Error> {
        self.acquire_by(Caller::Task).await.map(AsyncGuard::new)
    }

    /// Tries once to acquire the lock, without blocking the thread: as [`try_acquire`](Self::try_acquire).
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

    async fn acquire_by(self, caller: Caller) -> Result<HeldSet, Error> {
        self.options.check()?;
        let items = [self.item()?];
        LockCall::begin(self.locks, caller, &self.options, &items)?
            .acquire_all(&items)
            .await
    }

    /// The lock's name on the server.
    fn item(&self) -> Result<ItemName, Error> {
        let Some(key) = self.key.text() else {
            return Err(Error::config(
                "the key is `None` or `DontLock`, so no lock is taken: a guard needs one",
            ));
        };
        let item = ItemName::of_lock(&self.locks.settings().prefix, self.name, key);
        if current::find(current::here().as_ref(), self.locks.core(), &item).is_some() {
            self.locks.core().check_process()?;
            return Err(Error::Reentered {
                key: item.as_str().to_owned(),
            });
        }
        Ok(item)
    }

    /// Tries once to acquire the lock: it waits for no other holder, and for the server's answer for
    /// [`exchange_timeout`](crate::Builder::exchange_timeout) at the most. Where another caller of this process is asking for the
    /// same lock, that one's answer is waited for.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); [`Error::Busy`] when another holds it, as soon as that is known.
    pub fn try_acquire(self) -> Result<Guard, Error> {
        self.wait(Duration::ZERO).acquire()
    }
}

impl Locks {
    /// Asks for the lock on `key`; nothing happens before [`acquire`](LockRequest::acquire).
    pub fn lock(&self, key: impl IntoKey) -> LockRequest<'_> {
        LockRequest::new(self, key.into_key())
    }
}
