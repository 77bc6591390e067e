//! Acquiring one lock, while those that were acquired before it are kept alive.

use std::sync::Arc;
use std::time::Duration;

use super::HeldLock;
use crate::driver::acquire::acquire_grant;
use crate::driver::caller::Caller;
use crate::driver::core::Core;
use crate::driver::limits::{CallLimits, ExchangeLimit};
use crate::driver::waiting::{CompanionLost, KeepAlive, KeepingAlive, Stopped};
use crate::protocol::Spec;
use crate::protocol::lease::Now;

/// Acquires one lock within `limits`, from `now` on. `spec` waits as long as they do. `companions` are locks that the caller
/// acquired before this one; their leases are kept alive meanwhile.
pub(super) async fn acquire(
    core: &Arc<Core>,
    caller: Caller,
    spec: Spec,
    limits: CallLimits,
    now: Now,
    companions: &[Arc<HeldLock>],
) -> Result<Arc<HeldLock>, Stopped> {
    let (grant, turn) = acquire_grant(core, caller, &spec, limits, now, &Companions(companions)).await?;
    Ok(HeldLock::new(core, spec, grant, turn))
}

/// Locks that a caller holds while it waits for another.
struct Companions<'a>(&'a [Arc<HeldLock>]);

impl KeepAlive for Companions<'_> {
    fn keep_alive(&self, caller: Caller, limit: ExchangeLimit) -> Option<KeepingAlive<'_>> {
        let Companions(companions) = self;
        (!companions.is_empty()).then(|| {
            Box::pin(async move {
                let mut kept = Duration::MAX;
                for companion in *companions {
                    companion
                        .keep_at_least_half(caller, limit)
                        .await
                        .map_err(|_| CompanionLost)?;
                    kept = kept.min(companion.until_half());
                }
                Ok(kept)
            }) as KeepingAlive<'_>
        })
    }
}
