//! Acquiring one lock, while those that were acquired before it are kept alive.

use std::sync::Arc;
use std::time::Duration;

use super::HeldLock;
use crate::driver::core::Core;
use crate::driver::limits::{CallLimits, ExchangeLimit};
use crate::driver::waiting::{CompanionLost, KeepAlive, KeepingAlive, Stopped};
use crate::driver::{blocking, tasks};
use crate::protocol::Spec;
use crate::protocol::lease::Now;

/// Acquires one lock within `limits`, now that it is `now`. `spec` waits as long as they do. `companions` are locks that the
/// caller acquired before this one; their leases are kept alive meanwhile.
pub(crate) fn acquire(
    core: &Arc<Core>,
    spec: Spec,
    limits: CallLimits,
    now: Now,
    companions: &[Arc<HeldLock>],
) -> Result<Arc<HeldLock>, Stopped> {
    let (grant, turn) = blocking::acquire_grant(core, &spec, limits, now, &Companions(companions))?;
    Ok(HeldLock::new(core, spec, grant, turn))
}

/// The same without blocking the thread.
pub(crate) async fn acquire_async(
    core: &Arc<Core>,
    spec: Spec,
    limits: CallLimits,
    now: Now,
    companions: &[Arc<HeldLock>],
) -> Result<Arc<HeldLock>, Stopped> {
    let (grant, turn) = tasks::acquire_grant(core, &spec, limits, now, &Companions(companions)).await?;
    Ok(HeldLock::new(core, spec, grant, turn))
}

/// Locks that a caller holds while it waits for another.
struct Companions<'a>(&'a [Arc<HeldLock>]);

impl Companions<'_> {
    /// For how long a renewal of all is good.
    fn until_half(&self) -> Duration {
        self.0
            .iter()
            .map(|hold| hold.until_half())
            .min()
            .unwrap_or(Duration::MAX)
    }
}

impl KeepAlive for Companions<'_> {
    fn keep_alive(&self, limit: ExchangeLimit) -> Option<Result<Duration, CompanionLost>> {
        (!self.0.is_empty()).then(|| {
            let mut holds = self.0.iter();
            let kept = holds.try_for_each(|hold| hold.keep_at_least_half(limit));
            kept.map(|()| self.until_half()).map_err(|_| CompanionLost)
        })
    }

    fn keep_alive_async(&self, limit: ExchangeLimit) -> Option<KeepingAlive<'_>> {
        (!self.0.is_empty()).then(|| {
            Box::pin(async move {
                for hold in self.0 {
                    hold.keep_at_least_half_async(limit).await.map_err(|_| CompanionLost)?;
                }
                Ok(self.until_half())
            }) as KeepingAlive<'_>
        })
    }
}
