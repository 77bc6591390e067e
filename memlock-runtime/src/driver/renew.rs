//! Renewing a granted lock.

use std::sync::Arc;

use super::caller::Caller;
use super::core::Core;
use super::exchange::run;
use super::limits::ExchangeLimit;
use crate::error::Source;
use crate::protocol::{Renew, Renewed, Spec};

/// Renews the lock of `spec` within `limit`. Also returns the reason of a failure. The future must not be dropped
/// before its end: the grant that it returns counts the attempts, and the count must be kept.
pub(crate) async fn renew(
    core: &Arc<Core>,
    caller: Caller,
    spec: &Spec,
    mut machine: Renew,
    limit: ExchangeLimit,
) -> (Renewed, Option<Source>) {
    let mut trouble = None;
    let step = |now, input| machine.step(now, input);
    let renewed = run(core, caller, spec.into(), limit, core.now(), step, |exchanged| {
        // A renewal that is executed late harms nobody, and writes nothing that its holder does not own.
        trouble = exchanged.source.take().or(trouble.take());
        core.received(exchanged)
    })
    .await;
    (renewed.unwrap_or(Renewed::Lost), trouble)
}
