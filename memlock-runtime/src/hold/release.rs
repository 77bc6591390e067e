//! Releasing a held lock: to the next caller in this process, or else on the server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{HeldLock, HeldLockState};
use crate::driver::background_work;
use crate::driver::caller::Caller;
use crate::driver::core::{Core, Counters};
use crate::driver::inherited::OfThisProcess;
use crate::driver::limits::ExchangeLimit;
use crate::driver::release::release;
use crate::error::Source;
use crate::protocol::lease::Now;
use crate::protocol::{End, Grant, Loss, Released, Spec, WaitListView};
use crate::queue::Turn;

impl HeldLock {
    /// Hands the lock over to the next caller in this process's queue, or else releases it on the server, within
    /// `limit`. Only the first call has an effect. The background does what fails, or does not fit into `limit`. If the
    /// future is dropped after its first poll, the release goes on.
    pub(crate) async fn release(self: &Arc<HeldLock>, caller: Caller, mut limit: ExchangeLimit) {
        self.give_up();
        if self.core.is_inherited() {
            // The lock is the parent's. A thread that may be renewing it does not exist in this process.
            return;
        }
        let Some(_exchanging) = self.begin_exchanging(caller, &mut limit).await else {
            self.release_in_background();
            return;
        };
        let now = self.core.now();
        let mut ended = self.state().end(now);
        if let Some(ended) = &mut ended
            && self.hand_over(ended)
        {
            release_on_server(&self.core, caller, &self.spec, ended, limit).await;
        }
    }

    /// As [`release`](Self::release), but without waiting. Everything that needs no waiting is done when this returns.
    pub(crate) fn release_in_background(self: &Arc<HeldLock>) {
        let held = Arc::clone(self);
        let release: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { held.release(Caller::Task, held.core.each_exchange()).await });
        background_work::begin(&self.core, release);
    }

    /// Releases a lock that is dropped without having been released.
    pub(super) fn release_dropped(&mut self) {
        let now = self.core.now();
        let ended = self.state().end(now);
        if let Some(mut ended) = ended
            && self.hand_over(&mut ended)
        {
            let (core, spec) = (Arc::clone(&self.core), self.spec.clone());
            background_work::begin(&self.core, async move {
                release_on_server(&core, Caller::Task, &spec, &mut ended, core.each_exchange()).await;
            });
        }
    }

    /// Hands the lock over in this process, or warns that it was lost. Returns whether it has to be released on the
    /// server.
    pub(super) fn hand_over(&self, ended: &mut EndedLock) -> bool {
        let lost = match ended.end {
            End::HandOver => {
                if let Some(turn) = ended.turn.take() {
                    ended.turn = turn.hand_over(&ended.grant, ended.now);
                    if ended.turn.is_none() {
                        return false;
                    }
                }
                None
            }
            End::Release(lost) => lost,
            End::Forget => Some(Loss::Taken),
        };
        if let Some(loss) = lost.filter(|_| !self.is_reservation) {
            let reason = self.describe(loss, ended.renewal_error.as_ref());
            Counters::count(&self.core().counters.lost);
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, holder = %self.spec.label,
                "the lease ended before its holder was done: {reason}"
            );
        }
        if ended.end == End::Forget {
            return false;
        }
        let granted = ended.grant.end.sent().instant;
        if let Some(turn) = &mut ended.turn {
            ended.wait_list = turn.take_wait_list_view(granted, self.core().me, ended.now);
        }
        true
    }
}

/// Releases on the server a lock that has ended in this process. Then passes the turn on.
pub(super) async fn release_on_server(
    core: &Arc<Core>,
    caller: Caller,
    spec: &Spec,
    ended: &mut EndedLock,
    limit: ExchangeLimit,
) {
    // The turn is not passed on before the server knows, or the next caller in this process would find the lock still
    // held. Nor is it passed on if the future is dropped in a child that was forked meanwhile.
    let mut turn = OfThisProcess::new(core, ended.turn.take());
    let EndedLock {
        grant, wait_list, now, ..
    } = ended;
    let released = release(core, caller, spec, grant, wait_list, *now, limit).await;
    if let Released::Failed(unanswered) = released {
        tracing::warn!(
            target: "memlock", lock = %spec.item, ?unanswered,
            "could not release the lock; the background tries again"
        );
    }
    if let Some(Some(turn)) = &mut turn.value
        && turn.wait_list.is_none()
    {
        turn.wait_list = wait_list.take_if(|view| view.has_others() || view.must_leave());
    }
    turn.value = None;
}

/// A lock that has ended in this process.
pub(super) struct EndedLock {
    pub(super) end: End,
    pub(super) grant: Grant,
    /// The last view of the wait list, if the release should read the list.
    wait_list: Option<Box<WaitListView>>,
    /// Why the last renewal failed.
    renewal_error: Option<Source>,
    now: Now,
    pub(super) turn: Option<Turn>,
}

impl HeldLockState {
    /// Ends the lock, and takes out all that its release needs. `None`: it had ended before.
    pub(super) fn end(&mut self, now: Now) -> Option<EndedLock> {
        let end = self.lease.end(now)?;
        self.lost = match end {
            End::HandOver => None,
            End::Release(lost) => lost,
            End::Forget => Some(Loss::Taken),
        };
        self.background_task = None;
        Some(EndedLock {
            end,
            grant: self.lease.grant().clone(),
            wait_list: None,
            renewal_error: self.renewal_error.clone(),
            now,
            turn: self.turn.take(),
        })
    }
}
