//! Renewing a granted lock.

use std::sync::Arc;

use super::caller::Caller;
use super::core::Core;
use super::exchange::run;
use super::limits::ExchangeLimit;
use crate::error::Source;
use crate::protocol::{Renew, Renewed, Spec};

/// Runs a renewal of the lock of `spec` within `limit`. Returns also why it failed. Not to be dropped before its end: the number
/// of attempts in the grant that it returns must be kept.
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
