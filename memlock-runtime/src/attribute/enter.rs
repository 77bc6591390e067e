//! [`FunctionCall`]: a call of an annotated function, until it has its locks. Generated code enters the runtime here.

use std::pin::pin;
use std::sync::Arc;

use smallvec::SmallVec;

use super::call_guard::{AsyncCallGuard, CallGuard};
use crate::call_tree::lock_kind::LockKind;
use crate::call_tree::{self, Frame};
use crate::driver::caller::Caller;
use crate::error::{Error, OnUnavailable};
use crate::hold::body_locks::BodyLocks;
use crate::hold::lease::Lease;
use crate::hold::options::LockOptions;
use crate::key::{ItemName, Key};
use crate::locks::Locks;
use crate::locks::acquire::LockCall;
use crate::locks::policy::{Reporting, apply_failure_policy, failure_policy};
use crate::system::on_thread;
use crate::system::worker::warn_if_blocking_tasks;
use crate::transaction::zlock::Zlock;

/// A call of an annotated function, with everything that is evaluated before the call waits. It borrows nothing.
#[derive(Debug)]
pub(crate) struct FunctionCall {
    locks: Locks,
    kind: LockKind,
    options: LockOptions,
    /// In the order of their names, each once. A key that is `None` has no item.
    items: SmallVec<[ItemName; 1]>,
    /// The frame of the body that called.
    outer: Option<Arc<Frame>>,
}

impl FunctionCall {
    /// A call for the locks on `keys` in the namespace `name`, from `locks` or else the process-wide ones.
    pub(crate) fn new(
        locks: Option<&Locks>,
        kind: LockKind,
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
            outer: call_tree::current_frame(),
        })
    }

    /// Acquires the locks on the caller's thread, and begins the body.
    ///
    /// Applies the failure policy. With [`Reporting::Yes`], the function must return the error. With [`Reporting::No`],
    /// this never returns [`Error::Unavailable`]: its errors are mistakes in the program.
    #[track_caller]
    pub(crate) fn enter(self, reporting: Reporting) -> Result<CallGuard, Error> {
        if !self.items.is_empty() {
            warn_if_blocking_tasks(self.options.site.function);
        }
        let acquired = on_thread::block_on(pin!(self.acquire(Caller::Thread, reporting)));
        let (frame, locks) = self.apply_policy(acquired, reporting)?;
        Ok(CallGuard::new(call_tree::enter(frame), locks))
    }

    /// As [`enter`](Self::enter), but without blocking the thread. The returned guard runs the body.
    pub(crate) async fn enter_async(self, reporting: Reporting) -> Result<AsyncCallGuard, Error> {
        let acquired = self.acquire(Caller::Task, reporting).await;
        self.apply_policy(acquired, reporting).map(AsyncCallGuard::new)
    }

    fn policy(&self, reporting: Reporting) -> OnUnavailable {
        failure_policy(&self.locks, self.kind, self.options.on_unavailable, reporting)
    }

    /// Applies the failure policy. Returns the frame of the body, and its locks.
    #[track_caller]
    fn apply_policy(
        self,
        acquired: Result<BodyLocks, Error>,
        reporting: Reporting,
    ) -> Result<(Arc<Frame>, BodyLocks), Error> {
        // No closure here: a panic must point at the user's function.
        let locks = match acquired {
            Ok(locks) => locks,
            Err(error) => {
                let policy = self.policy(reporting);
                apply_failure_policy(self.locks.core(), self.options.site.function, policy, reporting, error)?;
                BodyLocks::None
            }
        };
        let lease = locks.lease().cloned();
        Ok((Frame::new(self.outer, self.kind, self.options.site, lease), locks))
    }

    /// Acquires the locks under which the body runs.
    async fn acquire(&self, caller: Caller, reporting: Reporting) -> Result<BodyLocks, Error> {
        if self.items.is_empty() {
            return Ok(BodyLocks::None);
        }
        // Checked once: in a child that is forked meanwhile, each wait below ends with an error.
        self.locks.core().check_process()?;
        if let Some(lease) = self.find_outer_lease(caller)? {
            let limit = self.locks.limits(&self.options).asking;
            for held in lease.locks() {
                // The inner body needs time, too. This costs a round trip only if half of the lease is over.
                match held.keep_at_least_half(caller, limit).await {
                    // Not an error of a `zlock`: its database detects what happened without the lock.
                    Err(error) if error.is_lost() && self.kind == LockKind::Zlock => {}
                    kept => kept?,
                }
            }
            return Ok(BodyLocks::Lent(lease));
        }
        let call = LockCall::begin(&self.locks, caller, &self.options)?;
        if self.kind == LockKind::Zlock {
            let zlock = Zlock {
                call,
                items: &self.items,
                policy: self.policy(reporting),
                outer: self.outer.as_ref(),
            };
            return zlock.acquire().await;
        }
        Ok(BodyLocks::Own(call.acquire_all(&self.items).await?, None))
    }

    /// Returns the lease of an outer body that holds all the locks, if both are `rlock`, or both `zlock`.
    fn find_outer_lease(&self, caller: Caller) -> Result<Option<Lease>, Error> {
        let outer = self.outer.as_ref();
        if outer.is_none() {
            return Ok(None);
        }
        let mut locks: SmallVec<[_; 1]> = SmallVec::new();
        for item in &self.items {
            let core = self.locks.core();
            let reentered = |holder| Err(Error::reentered(item.as_str(), holder, self.options.site));
            match call_tree::find_lock(outer, core, item) {
                Some(found) if self.kind == LockKind::Lock || self.kind != found.kind => return reentered(found.site),
                Some(found) => locks.push(found.held),
                None => {
                    if let Some(below) = call_tree::find_lock_below(caller, outer, core, item) {
                        return reentered(below.site);
                    }
                }
            }
        }
        if locks.is_empty() {
            return Ok(None);
        }
        if locks.len() < self.items.len() {
            if self.kind == LockKind::Zlock && call_tree::find_transaction(outer).is_some() {
                // In a transaction the call does not wait for the other locks.
                return Ok(None);
            }
            return Err(Error::config(
                "a re-entrant lock on several keys was entered by a function that holds only some of them: two such \
                 callers could wait for each other; take all the keys in the outer function",
            ));
        }
        Ok(Some(Lease::new(locks)))
    }
}
