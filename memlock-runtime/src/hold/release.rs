//! The end of a held lock: it goes to the next caller in this process, or back to the server.

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
    /// Gives the lock to the next caller in this process's queue, or else back to the server, within `limit`. The first call does
    /// that. The background does what fails, or what there is no time for. A future that is dropped before its first poll
    /// releases nothing; after that, the release goes on.
    pub(crate) async fn release(self: &Arc<HeldLock>, caller: Caller, limit: ExchangeLimit) {
        self.give_up();
        if self.core.is_inherited() {
            // It is the parent's. The background thread that may be renewing it does not exist here.
            return;
        }
        let Some(_exchanging) = self.exchange_alone(caller, limit).await else {
            self.release_in_background();
            return;
        };
        if let Some(mut ending) = self.end() {
            tell_server(&self.core, caller, &self.spec, &mut ending, limit).await;
        }
    }

    /// The same without waiting. What can be done at once is done when this returns.
    pub(crate) fn release_in_background(self: &Arc<HeldLock>) {
        let held = Arc::clone(self);
        let release: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { held.release(Caller::Task, held.core.each_exchange()).await });
        background_work::begin(&self.core, release);
    }

    /// The same for a lock that is dropped without having been released.
    pub(super) fn release_dropped(&mut self) {
        if let Some(mut ending) = self.end() {
            let (core, spec) = (Arc::clone(&self.core), self.spec.clone());
            background_work::begin(&self.core, async move {
                tell_server(&core, Caller::Task, &spec, &mut ending, core.each_exchange()).await;
            });
        }
    }

    /// Ends the lock in this process. `Some`: its item on the server has to be deleted.
    pub(super) fn end(&self) -> Option<EndedLock> {
        let now = self.core().now();
        let mut state = self.state();
        let mut ending = state.end(now)?;
        drop(state);
        if !self.end_here(&mut ending) {
            return None;
        }
        Some(ending)
    }

    /// Hands the lock over in this process, or counts the loss. Returns whether the server has to be told.
    pub(super) fn end_here(&self, ending: &mut EndedLock) -> bool {
        let lost = match ending.end {
            End::HandOver => {
                if let Some(turn) = ending.turn.take() {
                    ending.turn = turn.hand_over(&ending.grant, ending.now);
                    if ending.turn.is_none() {
                        return false;
                    }
                }
                None
            }
            End::Release(lost) => lost,
            End::Forget => Some(Loss::Taken),
        };
        if let Some(loss) = lost.filter(|_| !self.is_reservation) {
            let reason = self.reason(loss, ending.trouble.as_ref());
            Counters::count(&self.core().counters.lost);
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, holder = %self.spec.label,
                "the lease ended before its holder was done: {reason}"
            );
        }
        if ending.end == End::Forget {
            return false;
        }
        let granted = ending.grant.end.sent().instant;
        if let Some(turn) = &mut ending.turn {
            ending.standing = turn.take_wait_list_view(granted, self.core().me, ending.now);
        }
        true
    }
}

/// Deletes the item of a lock that has ended in this process.
pub(super) async fn tell_server(
    core: &Arc<Core>,
    caller: Caller,
    spec: &Spec,
    ending: &mut EndedLock,
    limit: ExchangeLimit,
) {
    // A child that is forked meanwhile does not pass the turn on.
    let mut turn = OfThisProcess::new(core, ending.turn.take());
    let EndedLock {
        grant, standing, now, ..
    } = &mut *ending;
    let released = release(core, caller, spec, grant, standing, *now, limit).await;
    ending.turn = turn.value.take().flatten();
    ending.told(spec, released);
}

/// A lock that has ended in this process, until the server knows.
pub(super) struct EndedLock {
    pub(super) end: End,
    pub(super) grant: Grant,
    /// What is known of the wait list, if the release should read it.
    standing: Option<Box<WaitListView>>,
    /// Why the last renewal failed.
    trouble: Option<Source>,
    now: Now,
    /// Passed on when the server knows: before that, the next caller in this process would find the lock still held.
    pub(super) turn: Option<Turn>,
}

impl EndedLock {
    fn told(&mut self, spec: &Spec, released: Released) {
        if let Released::Failed(unanswered) = released {
            tracing::warn!(
                target: "memlock", lock = %spec.item, ?unanswered,
                "could not release the lock; the background tries again"
            );
        }
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.standing.is_none()) {
            turn.standing = self.standing.take_if(|standing| standing.has_others());
        }
        self.turn = None;
    }
}

impl HeldLockState {
    /// Ends the lock, and takes everything out of it. `None`: it had ended before.
    pub(super) fn end(&mut self, now: Now) -> Option<EndedLock> {
        let end = self.holding.end(now)?;
        self.lost = match end {
            End::HandOver => None,
            End::Release(lost) => lost,
            End::Forget => Some(Loss::Taken),
        };
        self.meanwhile = None;
        Some(EndedLock {
            end,
            grant: self.holding.grant().clone(),
            standing: None,
            trouble: self.trouble.clone(),
            now,
            turn: self.turn.take(),
        })
    }
}
