//! One exchange with the server that keeps a lock, and machines that are nothing but exchanges.

use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::caller::Caller;
use super::core::Core;
use super::inherited::in_this_process;
use super::limits::ExchangeLimit;
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Batch, Exchanged, Input, Instance, Output, Pending, Spec};
use crate::store::Exchange;

/// A lock's item, and the place in the list of the server that keeps it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Routed<'a> {
    item: &'a ItemName,
    server: usize,
}

impl<'a> Routed<'a> {
    /// Asks the store where it keeps `item`, for callers that have no [`Spec`] of the lock.
    pub(super) fn by(core: &Core, item: &'a ItemName) -> Routed<'a> {
        Routed {
            item,
            server: core.store.route(item),
        }
    }
}

impl<'a> From<&'a Spec> for Routed<'a> {
    fn from(spec: &'a Spec) -> Routed<'a> {
        Routed {
            item: &spec.item,
            server: spec.server,
        }
    }
}

/// Makes one exchange, which begins at `sent`, and may leave `batch` empty. If the future is dropped after a write was
/// sent, `settle_orphan` gets the pending outcome of the write. Returns an error in a child that was forked meanwhile.
#[allow(clippy::too_many_arguments, reason = "an exchange is all of these")]
pub(super) async fn exchange(
    core: &Core,
    caller: Caller,
    lock: Routed<'_>,
    batch: &mut Batch,
    only_on: Option<Instance>,
    limit: Duration,
    sent: Now,
    settle_orphan: impl FnOnce(Box<dyn Pending>),
) -> Result<Exchanged, Error> {
    let mut exchanged = match caller {
        Caller::Thread => core.store.exchange(lock.server, lock.item, batch, only_on, limit),
        Caller::Task => {
            let mut orphan = Orphan {
                core,
                exchange: Some((
                    core.store
                        .begin(lock.server, lock.item, mem::take(batch), only_on, limit),
                    settle_orphan,
                )),
            };
            let exchanged = std::future::poll_fn(|context| match &mut orphan.exchange {
                Some((exchange, _)) => exchange.poll(context),
                None => Poll::Pending,
            });
            let exchanged = in_this_process(core, exchanged).await?;
            orphan.exchange = None;
            exchanged
        }
    };
    core.record_server_state(lock.server, &mut exchanged, sent);
    Ok(exchanged)
}

/// An exchange whose future may be dropped before it ends. The outcome of its write must then not be forgotten.
struct Orphan<'a, F: FnOnce(Box<dyn Pending>)> {
    core: &'a Core,
    exchange: Option<(Box<dyn Exchange>, F)>,
}

impl<F: FnOnce(Box<dyn Pending>)> Drop for Orphan<'_, F> {
    fn drop(&mut self) {
        let Some((exchange, settle_orphan)) = self.exchange.take() else {
            return;
        };
        if self.core.is_inherited() {
            // The exchange is on the parent's connection. The parent finishes it.
            mem::forget(exchange);
        } else if let Some(pending) = exchange.abandon() {
            settle_orphan(pending);
        }
    }
}

/// Runs a machine that never pauses, with exchanges within `limit`. `record` gets the outcome of each exchange, and
/// returns the time after it. `None`: the machine asked for a pause all the same, or this is a child that was forked
/// meanwhile.
pub(super) async fn run<T>(
    core: &Arc<Core>,
    caller: Caller,
    lock: Routed<'_>,
    limit: ExchangeLimit,
    mut now: Now,
    mut step: impl FnMut(Now, Input) -> Output<T>,
    mut record: impl FnMut(&mut Exchanged) -> Now,
) -> Option<T> {
    let mut input = Input::Start;
    loop {
        // Borrowed: a batch is large.
        let mut output = step(now, input);
        if let Output::Done(outcome) = output {
            return Some(outcome);
        }
        match &mut output {
            Output::Exchange { batch, only_on } => {
                // The clock is read, since `now` stands still if the machine counts nothing from it.
                let limit = limit.left(|| core.now());
                let mut exchanged = exchange(core, caller, lock, batch, *only_on, limit, now, drop)
                    .await
                    .ok()?;
                now = record(&mut exchanged);
                input = Input::Exchanged(exchanged);
            }
            Output::Pause(_) | Output::Done(_) => return None,
        }
    }
}
