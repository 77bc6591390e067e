//! What nearly every call does, where the store [takes no time](crate::store::Store::takes_time) and so answers at once: the machines' first moves, each
//! together with the step in this process's queue that goes with it, under one lock. Where that does not succeed nothing has
//! been done, and the drivers go the way that they always go.

use std::sync::Arc;

use super::hold::Hold;
use super::{Core, dice};
use crate::lease::Now;
use crate::protocol::{Grant, Spec, Watch, add_at_once, delete_at_once};
use crate::queue::Turn;

/// Acquires the lock, now that it is `now`, if nobody in this process holds it or waits for it.
pub(crate) fn acquire(core: &Arc<Core>, spec: Spec, now: Now) -> Option<Arc<Hold>> {
    let mut granted = None;
    let turn = core.queues.join_holding(&spec.item, || {
        let grant = add_at_once(&*core.store, &spec, dice::nonce(core.me.process), now)?;
        let grant = &*granted.insert(grant);
        Some((grant.deadline.ends(), Watch::of_own(grant, now)))
    })?;
    granted.map(|grant| Hold::new(core, spec, grant, Some(turn)))
}

/// Ends the `turn` in which `grant` was held, which may still be believed in at `now`, and releases it, if nobody in this
/// process waits for it and nobody is to be looked for. Whether it has.
pub(super) fn end(core: &Core, spec: &Spec, grant: &Grant, turn: &mut Turn, now: Now) -> bool {
    turn.end_with(grant, now, || delete_at_once(&*core.store, spec, grant, now))
}
