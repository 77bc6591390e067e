//! The end of a held lock: it goes to the next in this process, or back to the server.

use std::mem;
use std::sync::{Arc, PoisonError};

use super::{HeldLock, HeldLockState};
use crate::driver::core::{Core, Counters};
use crate::driver::limits::ExchangeLimit;
use crate::driver::{background_work, blocking, tasks};
use crate::error::Source;
use crate::protocol::lease::Now;
use crate::protocol::{End, Grant, Loss, Released, Spec, WaitListView};
use crate::queue::Turn;

impl HeldLock {
    /// Gives the lock up: to the next in this process's queue, else to the server. The first call does it; a failure is left
    /// to the background, and hides nobody's result.
    pub(crate) fn release(&self) {
        self.try_release(self.core().each_exchange());
    }

    /// The same within `limit`; what it has no time for is done in the background.
    pub(crate) fn release_within(self: &Arc<HeldLock>, limit: ExchangeLimit) {
        if !self.try_release(limit) {
            let hold = Arc::clone(self);
            background_work::begin(self.core(), async move {
                hold.release_async(hold.core().each_exchange()).await;
            });
        }
    }

    /// The same. `false`: nothing was done within `limit`, since another exchange is under way.
    pub(super) fn try_release(&self, limit: ExchangeLimit) -> bool {
        self.give_up();
        if self.core.is_inherited() {
            // It is the parent's, which may be renewing it: the background thread that would end that is not here.
            return true;
        }
        let Some(_exchanging) = self.exchange_alone(limit) else {
            return false;
        };
        if let Some(mut ending) = self.end() {
            self.tell(&mut ending, limit);
        }
        true
    }

    /// The same, of a hold that nobody else has: nobody can be reading or renewing it meanwhile.
    pub(crate) fn release_alone(&mut self) {
        if self.core.is_inherited() {
            // As in `release_within`.
            return;
        }
        let now = self.core.now();
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((end, mut ending)) = state.end(now)
            && self.wind_up_here(end, &mut ending)
        {
            self.tell(&mut ending, self.core().each_exchange());
        }
    }

    /// Tells the server that the hold has ended.
    pub(super) fn tell(&self, ending: &mut EndedLock, limit: ExchangeLimit) {
        let EndedLock {
            grant, standing, now, ..
        } = ending;
        let released = blocking::release(self.core(), &self.spec, grant, standing, *now, limit);
        ending.told(&self.spec, released);
    }

    /// The same without blocking the thread. When the future is dropped before it has begun, nothing is released; after
    /// that, it goes on.
    pub(crate) async fn release_async(&self, limit: ExchangeLimit) {
        self.give_up();
        if self.core.is_inherited() {
            return;
        }
        let _exchanging = self.exchanging.lock().await;
        if let Some(ending) = self.end() {
            self.finish(ending, limit).await;
        }
    }

    /// Tells the server that the hold has ended.
    pub(super) async fn finish(&self, ending: EndedLock, limit: ExchangeLimit) {
        let mut unfinished = Unfinished(self.core(), ending);
        let EndedLock {
            grant, standing, now, ..
        } = &mut unfinished.1;
        let released = tasks::release(self.core(), &self.spec, grant, standing, *now, limit).await;
        unfinished.1.told(&self.spec, released);
    }

    /// Ends the hold. `Some`: its item on the server is to be deleted.
    pub(super) fn end(&self) -> Option<EndedLock> {
        let now = self.core().now();
        let mut state = self.state();
        let (end, mut ending) = state.end(now)?;
        drop(state);
        self.wind_up_here(end, &mut ending).then_some(ending)
    }

    /// Does what is to be done in this process with what was taken out of the hold: hands it over, or counts the loss. Whether the
    /// server is to be told, too.
    pub(super) fn wind_up_here(&self, end: End, ending: &mut EndedLock) -> bool {
        let lost = match end {
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
        if let Some(loss) = lost.filter(|_| !self.is_set_aside) {
            let reason = self.reason(loss, ending.trouble.as_ref());
            Counters::count(&self.core().counters.lost);
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, holder = %self.spec.label,
                "the lease ended before its holder was done: {reason}"
            );
        }
        if end == End::Forget {
            return false;
        }
        let granted = ending.grant.end.sent().instant;
        if let Some(turn) = &mut ending.turn {
            ending.standing = turn.looks(granted, self.core().me, ending.now);
        }
        true
    }
}

/// A hold that was ended, while the server is told.
pub(super) struct EndedLock {
    pub(super) grant: Grant,
    /// Where the release is to look who stands in line.
    standing: Option<Box<WaitListView>>,
    /// What the last renewal failed on.
    trouble: Option<Source>,
    now: Now,
    /// Passed on only when that is done: the next in this process would find the lock still held.
    pub(super) turn: Option<Turn>,
}

/// The end of a hold, in the process where it began: a child that was forked meanwhile does not pass the turn on.
struct Unfinished<'a>(&'a Core, EndedLock);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.1.turn.is_some() && self.0.is_inherited() {
            mem::forget(self.1.turn.take());
        }
    }
}

impl EndedLock {
    pub(crate) fn told(&mut self, spec: &Spec, released: Released) {
        if let Released::Failed(unanswered) = released {
            tracing::warn!(
                target: "memlock", lock = %spec.item, ?unanswered,
                "the lock could not be released at once; it is tried again in the background"
            );
        }
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.standing.is_none()) {
            turn.standing = self.standing.take_if(|standing| standing.has_others());
        }
        self.turn = None;
    }
}

impl HeldLockState {
    /// Ends the hold, and takes everything out of it. `None`: that was done before.
    pub(super) fn end(&mut self, now: Now) -> Option<(End, EndedLock)> {
        let end = self.holding.end(now)?;
        self.lost = match end {
            End::HandOver => None,
            End::Release(lost) => lost,
            End::Forget => Some(Loss::Taken),
        };
        self.meanwhile = None;
        let ending = EndedLock {
            grant: self.holding.grant().clone(),
            standing: None,
            trouble: self.trouble.clone(),
            now,
            turn: self.turn.take(),
        };
        Some((end, ending))
    }
}
