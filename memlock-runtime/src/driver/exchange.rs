//! One exchange with the server that keeps a lock, and machines that are nothing but exchanges.

use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::caller::Caller;
use super::core::Core;
use super::inherited::here;
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
    /// Where the store keeps `item`. For those that know no more of the lock than its name.
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

/// Makes one exchange, which begins at `sent`, and may leave `batch` empty. When the future is dropped meanwhile, and a write was sent, `orphaned` gets what
/// tells its outcome. An error in a child that was forked meanwhile.
#[allow(clippy::too_many_arguments, reason = "an exchange is all of these")]
pub(super) async fn exchange(
    core: &Core,
    caller: Caller,
    lock: Routed<'_>,
    batch: &mut Batch,
    only_on: Option<Instance>,
    limit: Duration,
    sent: Now,
    orphaned: impl FnOnce(Box<dyn Pending>),
) -> Result<Exchanged, Error> {
    let mut exchanged = match caller {
        Caller::Thread => core.store.exchange(lock.server, lock.item, batch, only_on, limit),
        Caller::Task => {
            let mut orphan = Orphan {
                core,
                exchange: Some((
                    core.store
                        .begin(lock.server, lock.item, mem::take(batch), only_on, limit),
                    orphaned,
                )),
            };
            let exchanged = std::future::poll_fn(|context| match &mut orphan.exchange {
                Some((exchange, _)) => exchange.poll(context),
                None => Poll::Pending,
            });
            let exchanged = here(core, exchanged).await?;
            orphan.exchange = None;
            exchanged
        }
    };
    core.record(lock.server, &mut exchanged, sent);
    Ok(exchanged)
}

/// An exchange that must not be forgotten when nobody waits for it any more.
struct Orphan<'a, F: FnOnce(Box<dyn Pending>)> {
    core: &'a Core,
    exchange: Option<(Box<dyn Exchange>, F)>,
}

impl<F: FnOnce(Box<dyn Pending>)> Drop for Orphan<'_, F> {
    fn drop(&mut self) {
        let Some((exchange, orphaned)) = self.exchange.take() else {
            return;
        };
        if self.core.is_inherited() {
            // It is on the parent's connection, and the parent's to finish.
            mem::forget(exchange);
        } else if let Some(pending) = exchange.abandon() {
            orphaned(pending);
        }
    }
}

/// Runs a machine that never pauses. `note` sees the outcome of each exchange, and returns the time after it. `None` where the
/// machine asks for a pause all the same, and in a child that was forked meanwhile.
pub(super) async fn run<T>(
    core: &Arc<Core>,
    caller: Caller,
    lock: Routed<'_>,
    limit: ExchangeLimit,
    mut now: Now,
    mut step: impl FnMut(Now, Input) -> Output<T>,
    mut note: impl FnMut(&mut Exchanged) -> Now,
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
                // Not by `now`, which stands still where nothing counts from it.
                let limit = limit.left(|| core.now());
                let mut exchanged = exchange(core, caller, lock, batch, *only_on, limit, now, drop)
                    .await
                    .ok()?;
                now = note(&mut exchanged);
                input = Input::Exchanged(exchanged);
            }
            Output::Pause(_) | Output::Done(_) => return None,
        }
    }
}
