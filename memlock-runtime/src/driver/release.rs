//! Releasing a granted lock, and leaving the line for it.

use std::sync::Arc;

use super::caller::Caller;
use super::core::Core;
use super::exchange::{Routed, run};
use super::limits::ExchangeLimit;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Grant, Leave, Nonce, Release, Released, Spec, Unanswered, WaitListView};
use crate::queue::Cleanup as _;

/// Releases `grant` at `now`, within `limit`. The background settles a release that fails, or whose future is dropped.
/// With `wait_list` this also reads the wait list, wakes the next process there, and lets it go first.
pub(crate) async fn release(
    core: &Arc<Core>,
    caller: Caller,
    spec: &Spec,
    grant: &Grant,
    wait_list: &mut Option<Box<WaitListView>>,
    now: Now,
    limit: ExchangeLimit,
) -> Released {
    let mut unreleased = Unreleased {
        core,
        item: &spec.item,
        grant: Some(grant),
    };
    let mut machine = Release::of_grant(&spec.item, grant, now).with_wait_list(wait_list.take());
    let was_woken = core.wake_early(&spec.item, machine.next_wake_target());
    let mut pending = None;
    let step = |now, input| machine.step(now, input);
    let released = run(core, caller, spec.into(), limit, now, step, |exchanged| {
        pending = exchanged.pending.take();
        // Nothing counts from any moment of a release, so the clock need not be read again.
        now
    })
    .await;
    unreleased.grant = None;
    let Some(released) = released else {
        // The machine never pauses, so this is a forked child of the releasing process.
        return Released::Failed(Unanswered::NotSent);
    };
    if let Released::Failed(_) = released {
        Arc::clone(core).settle(&spec.item, grant.nonce, grant.lease, pending);
    }
    *wait_list = machine.take_wait_list();
    let was_woken = core.wake_next(&spec.item, wait_list.as_deref(), was_woken);
    if let Some(leaving) = wait_list.take_if(|wait_list| wait_list.must_leave()) {
        // Boxed, since it is rare, and would double the future.
        let leaving = Box::pin(leave(core, caller, spec.into(), leaving, limit));
        *wait_list = Some(leaving.await);
        core.wake_next(&spec.item, wait_list.as_deref(), was_woken);
    }
    released
}

/// Takes this process out of the line for a lock. Returns the view of the wait list afterwards.
pub(super) async fn leave(
    core: &Arc<Core>,
    caller: Caller,
    lock: Routed<'_>,
    wait_list: Box<WaitListView>,
    limit: ExchangeLimit,
) -> Box<WaitListView> {
    let mut machine = Leave::new(wait_list);
    let step = |now, input| machine.step(now, input);
    let now = core.now();
    run(core, caller, lock, limit, now, step, |_| now).await;
    machine.into_wait_list()
}

/// A lock whose release is under way. If this is dropped before the end, the background settles the release.
struct Unreleased<'a> {
    core: &'a Arc<Core>,
    item: &'a ItemName,
    grant: Option<&'a Grant>,
}

impl Drop for Unreleased<'_> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant {
            Arc::clone(self.core).settle(self.item, grant.nonce, grant.lease, None);
        }
    }
}

/// Deletes what a write under `nonce` left behind.
pub(super) async fn clean(core: &Arc<Core>, item: &ItemName, nonce: Nonce) -> Released {
    let lock = Routed::by(core, item);
    let mut machine = Release::of_nonce(item, nonce);
    let step = |now, input| machine.step(now, input);
    let now = core.now();
    let released = run(core, Caller::Task, lock, core.each_exchange(), now, step, |_| now).await;
    released.unwrap_or(Released::Failed(Unanswered::NotSent))
}
