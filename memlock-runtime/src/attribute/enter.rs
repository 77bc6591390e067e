//! [`FunctionCall`]: a call of an annotated function, until it has its locks. Generated code enters the runtime here.

use std::pin::pin;
use std::sync::Arc;

use smallvec::SmallVec;

use super::held::{AsyncHeld, Held};
use crate::call_tree as current;
use crate::call_tree::{Frame, Kind};
use crate::driver::caller::Caller;
use crate::error::{Error, OnUnavailable};
use crate::hold::body_locks::BodyLocks;
use crate::hold::lease::Lease;
use crate::hold::options::LockOptions;
use crate::key::{ItemName, Key};
use crate::locks::Locks;
use crate::locks::acquire::LockCall;
use crate::locks::policy::{Reporting, fall_back, policy};
use crate::system::on_thread;
use crate::system::worker::warn_if_blocking_tasks;
use crate::transaction::zlock::Zlock;

/// A call of an annotated function, with all that is evaluated before it waits. It borrows nothing.
#[derive(Debug)]
pub(crate) struct FunctionCall {
    locks: Locks,
    kind: Kind,
    options: LockOptions,
    /// In the order of their names, each once. A key that is `None` has no lock.
    items: SmallVec<[ItemName; 1]>,
    /// The body that called.
    outer: Option<Arc<Frame>>,
}

impl FunctionCall {
    /// A call that asks `locks`, or the process-wide ones, for the locks on `keys` in the namespace `name`.
    pub(crate) fn new(
        locks: Option<&Locks>,
        kind: Kind,
        name: &str,
        options: LockOptions,
        keys: &[Key],
    ) -> Result<FunctionCall, Error> {
        let locks = match locks {
            Some(locks) => locks,
            None => Locks::process_wide()?,
        };
        let prefix = &locks.settings().prefix;
        let keys = keys.iter().filter_map(Key::text);
        let mut items: SmallVec<[ItemName; 1]> = keys.map(|key| ItemName::of_lock(prefix, name, key)).collect();
        if items.len() > 1 {
            items.sort_unstable();
            items.dedup();
        }
        Ok(FunctionCall {
            locks: locks.clone(),
            kind,
            options,
            items,
            outer: current::here(),
        })
    }

    /// Acquires the locks on the caller's thread.
    ///
    /// Applies the failure policy: what comes back as an error is to be returned by the function. Where `reporting` is
    /// [`Reporting::No`] it never returns `Err(Unavailable)`; remaining errors are mistakes in the program.
    #[track_caller]
    pub(crate) fn enter(self, reporting: Reporting) -> Result<Held, Error> {
        let policy = self.policy(reporting);
        if !self.items.is_empty() {
            warn_if_blocking_tasks(self.options.function);
        }
        let acquired = on_thread::block_on(pin!(self.acquire(Caller::Thread, policy)));
        let locks = self.fall_back(acquired, policy, reporting)?;
        Ok(Held::new(current::enter(self.frame(&locks)), locks))
    }

    /// The same without blocking the thread.
    pub(crate) async fn enter_async(self, reporting: Reporting) -> Result<AsyncHeld, Error> {
        let policy = self.policy(reporting);
        let acquired = self.acquire(Caller::Task, policy).await;
        let locks = self.fall_back(acquired, policy, reporting)?;
        Ok(AsyncHeld::new(self.frame(&locks), locks))
    }

    fn policy(&self, reporting: Reporting) -> OnUnavailable {
        policy(&self.locks, self.kind, self.options.on_unavailable, reporting)
    }

    #[track_caller]
    fn fall_back(
        &self,
        acquired: Result<BodyLocks, Error>,
        policy: OnUnavailable,
        reporting: Reporting,
    ) -> Result<BodyLocks, Error> {
        // No closure: a panic in here has to point at the user's function.
        match acquired {
            Ok(locks) => Ok(locks),
            Err(error) => {
                fall_back(self.locks.core(), self.options.function, policy, reporting, error)?;
                Ok(BodyLocks::None)
            }
        }
    }

    fn frame(self, locks: &BodyLocks) -> Arc<Frame> {
        Frame::new(self.outer, self.kind, locks.lease().cloned())
    }

    /// Acquires the locks under which the body runs.
    async fn acquire(&self, caller: Caller, policy: OnUnavailable) -> Result<BodyLocks, Error> {
        if self.items.is_empty() {
            return Ok(BodyLocks::None);
        }
        if let Some(lease) = self.reentered()? {
            let limit = self.locks.limits(&self.options).asking;
            for hold in lease.locks() {
                // Room for the inner body, at a round trip only when the lease is half over.
                let kept = hold.keep_at_least_half(caller, limit).await;
                // A lease that did not last is no error of a `zlock`: its database finds out what came of that.
                if self.kind != Kind::Zlock {
                    kept?;
                }
            }
            return Ok(BodyLocks::Lent(lease));
        }
        let call = LockCall::begin(&self.locks, caller, &self.options, &self.items)?;
        if self.kind == Kind::Zlock {
            let zlock = Zlock {
                call,
                items: &self.items,
                policy,
                outer: self.outer.as_ref(),
            };
            return zlock.acquire().await;
        }
        Ok(BodyLocks::Own(call.acquire_all(&self.items).await?, None))
    }

    /// The lease of an outer body, where that holds all locks and both are `rlock`, or both `zlock`.
    fn reentered(&self) -> Result<Option<Lease>, Error> {
        let outer = self.outer.as_ref();
        if outer.is_none() {
            return Ok(None);
        }
        let mut locks: SmallVec<[_; 1]> = SmallVec::new();
        for item in &self.items {
            let Some(found) = current::find(outer, self.locks.core(), item) else {
                continue;
            };
            // The body of a parent, in a child that was forked from within it: it holds nothing here.
            self.locks.core().check_process()?;
            if self.kind == Kind::Lock || self.kind != found.kind {
                return Err(Error::Reentered {
                    key: item.as_str().to_owned(),
                });
            }
            locks.push(found.hold);
        }
        if locks.is_empty() {
            return Ok(None);
        }
        if locks.len() < self.items.len() {
            if self.kind == Kind::Zlock && current::transaction(outer).is_some() {
                // Nothing waits there.
                return Ok(None);
            }
            // Waiting for the others with these in hand could wait for somebody who does the reverse.
            return Err(Error::config(
                "a re-entrant lock on several keys was entered by a function that holds only some of them: two such callers \
                 could wait for each other; take all the keys in the outer function",
            ));
        }
        Ok(Some(Lease::new(locks)))
    }
}
