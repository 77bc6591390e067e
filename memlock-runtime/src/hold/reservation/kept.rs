//! A held lock that is reserved for a retry, and claimed by it.

use std::sync::Arc;
use std::time::Duration;

use crate::driver::caller::Caller;
use crate::driver::limits::ExchangeLimit;
use crate::driver::renew::renew;
use crate::hold::HeldLock;
use crate::hold::release::{EndedLock, tell_server};
use crate::protocol::{End, Renew, Spec, Watch};

impl HeldLock {
    /// Reserves the lock for a retry, for `length` from now, as a held lock of its own; this one counts as released. `None`: there is
    /// nothing to reserve, or the lock was lost. A dropped future has done nothing, or its release goes on.
    ///
    /// [`shorten`](Self::shorten) tells the server.
    pub(crate) async fn reserve(
        self: &Arc<HeldLock>,
        caller: Caller,
        length: Duration,
        limit: ExchangeLimit,
    ) -> Option<Arc<HeldLock>> {
        self.give_up();
        if self.core.is_inherited() {
            return None;
        }
        let Some(_exchanging) = self.exchange_alone(caller, limit).await else {
            self.release_in_background();
            return None;
        };
        let now = self.core().now();
        let mut ending = self.state().end(now)?;
        if ending.end == End::HandOver {
            let EndedLock { grant, turn, .. } = ending;
            let grant = grant.reserve(length, now);
            if let Some(turn) = &turn {
                turn.leased(grant.deadline.ends(), Watch::of_own(&grant, now));
            }
            let spec = Spec {
                timeout: length,
                ..self.spec.clone()
            };
            return Some(HeldLock::of(self.core(), spec, grant, turn, true));
        }
        if self.end_here(&mut ending) {
            tell_server(&self.core, caller, &self.spec, &mut ending, limit).await;
        }
        None
    }

    /// Tells the server that this reservation lasts no longer than that. If the server does not learn it and this process dies, others
    /// wait for the longer lease.
    pub(crate) async fn shorten(&self) {
        let _exchanging = self.exchanging.lock().await;
        let Ok(grant) = self.to_renew() else { return };
        if grant.lease <= self.spec.lease() {
            return;
        }
        let limit = self.core().each_exchange();
        let machine = Renew::shorten(self.spec.clone(), grant);
        let (renewed, source) = renew(&self.core, Caller::Task, &self.spec, machine, limit).await;
        // Lost or not, the claim finds out.
        let _ = self.renewed(renewed, source);
    }

    /// Makes this reservation the lock of its caller's retry, which asks for `spec`, within `limit`. `None`: the retry came too late,
    /// or the server could not be asked; the reservation is released, or the caller has to release it if there was no time.
    /// Must not be dropped before its end.
    pub(crate) async fn claim(
        self: &Arc<HeldLock>,
        caller: Caller,
        spec: &Spec,
        limit: ExchangeLimit,
    ) -> Option<Arc<HeldLock>> {
        // The exchange that tells the server of the reservation may be under way, without a reply.
        let exchanging = self.exchange_alone(caller, limit).await?;
        if let Ok(grant) = self.to_renew() {
            let machine = Renew::new(spec.clone(), grant);
            let (renewed, source) = renew(&self.core, caller, &self.spec, machine, limit).await;
            if self.renewed(renewed, source).is_ok()
                && let Some(claimed) = self.claimed(spec)
            {
                return Some(claimed);
            }
        }
        drop(exchanging);
        self.release(caller, limit).await;
        None
    }

    pub(super) fn claimed(&self, spec: &Spec) -> Option<Arc<HeldLock>> {
        let now = self.core().now();
        let mut state = self.state();
        let grant = state.holding.grant().clone().claim(spec.timeout, now)?;
        state.holding.end(now)?;
        state.meanwhile = None;
        let turn = state.turn.take();
        Some(HeldLock::new(self.core(), spec.clone(), grant, turn))
    }
}
