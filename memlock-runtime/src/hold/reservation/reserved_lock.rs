//! How a held lock becomes a reservation, and how a retry claims it.

use std::sync::Arc;
use std::time::Duration;

use crate::driver::caller::Caller;
use crate::driver::limits::ExchangeLimit;
use crate::driver::renew::renew;
use crate::hold::HeldLock;
use crate::hold::release::{EndedLock, release_on_server};
use crate::protocol::{End, Renew, Spec, Watch};

impl HeldLock {
    /// Makes a reservation of the lock, which lasts for `length` from now. It is a held lock of its own, and this one
    /// is released. `None`: this one had ended before, or is only released. If the future is dropped, it has done
    /// nothing, or its release goes on.
    ///
    /// [`shorten`](Self::shorten) then tells the server.
    pub(crate) async fn reserve(
        self: &Arc<HeldLock>,
        caller: Caller,
        length: Duration,
        mut limit: ExchangeLimit,
    ) -> Option<Arc<HeldLock>> {
        self.give_up();
        if self.core.is_inherited() {
            return None;
        }
        let Some(_exchanging) = self.begin_exchanging(caller, &mut limit).await else {
            self.release_in_background();
            return None;
        };
        let now = self.core().now();
        let mut ended = self.state().end(now)?;
        if ended.end == End::HandOver {
            let EndedLock { grant, turn, .. } = ended;
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
        if self.hand_over(&mut ended) {
            release_on_server(&self.core, caller, &self.spec, &mut ended, limit).await;
        }
        None
    }

    /// Shortens the lease on the server to that of this reservation. If the server does not learn this and the process
    /// dies, others wait for the longer lease.
    pub(crate) async fn shorten(&self) {
        let _exchanging = self.exchanging.lock().await;
        let Ok(grant) = self.grant_to_renew() else { return };
        if grant.lease <= self.spec.lease() {
            return;
        }
        let limit = self.core().each_exchange();
        let machine = Renew::shorten(self.spec.clone(), grant);
        let (renewed, source) = renew(&self.core, Caller::Task, &self.spec, machine, limit).await;
        // If the lock is lost, a claim finds that out.
        let _ = self.record_renewal(renewed, source);
    }

    /// Makes this reservation the lock of a retry that asks for `spec`, within `limit`. `None`: the retry came too
    /// late, or the server could not be asked. The reservation is then released, except if another exchange about it
    /// took the whole `limit`: the caller must release it. The future must not be dropped before its end.
    pub(crate) async fn claim(
        self: &Arc<HeldLock>,
        caller: Caller,
        spec: &Spec,
        mut limit: ExchangeLimit,
    ) -> Option<Arc<HeldLock>> {
        // The exchange of `shorten` may be under way, without a reply.
        let exchanging = self.begin_exchanging(caller, &mut limit).await?;
        if let Ok(grant) = self.grant_to_renew() {
            let machine = Renew::new(spec.clone(), grant);
            let (renewed, source) = renew(&self.core, caller, &self.spec, machine, limit).await;
            if self.record_renewal(renewed, source).is_ok()
                && let Some(claimed) = self.pass_to_retry(spec)
            {
                return Some(claimed);
            }
        }
        drop(exchanging);
        self.release(caller, limit).await;
        None
    }

    /// Ends this reservation, and makes its grant and turn the lock of a retry.
    fn pass_to_retry(&self, spec: &Spec) -> Option<Arc<HeldLock>> {
        let now = self.core().now();
        let mut state = self.state();
        let grant = state.lease.grant().clone().claim(spec.timeout, now)?;
        state.lease.end(now)?;
        state.background_task = None;
        let turn = state.turn.take();
        Some(HeldLock::new(self.core(), spec.clone(), grant, turn))
    }
}
