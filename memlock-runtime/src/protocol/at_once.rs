//! The moves that nearly every call makes, at a store that answers at once: [`memory:`](crate::in_process).
//!
//! Nothing can go wrong between such a store and its caller: no reply is lost or late, and no time passes. So the first move
//! of [`Acquire`](super::Acquire), `[clock, add]`, and that of [`Release`](super::Release), `[compare-and-delete]`, need no
//! machine as long as they *succeed*: what they come to is the same then. Where one does not, it has done nothing, and the
//! machine begins as if it had not been made; all that follows from a failure is in one place, there.

use super::{Grant, Spec};
use crate::lease::{Deadline, Now};
use crate::store::{Nonce, Store};

/// Adds the lock for `spec` under `nonce`, which has never been used, now that it is `now`. `None`: nothing was stored.
///
/// What the machine learns from a reading of the server's clock, how far that has fallen behind, is nothing here: the store
/// dates its items by the clock that `now` was read from. And no time has passed, so that no grant comes too late.
pub(crate) fn add_at_once(store: &dyn Store, spec: &Spec, nonce: Nonce, now: Now) -> Option<Grant> {
    let term = spec.term();
    let stored = store.add_at_once(&spec.item, spec.record(nonce, term), term.ttl, now)?;
    let end = Deadline::of_grant(now, term.lease, term.ttl, None, None);
    let grant = Grant::of_stored(spec, term, nonce, stored, end);
    if grant.is_none() {
        let (instance, cas) = stored;
        store.delete_at_once(&spec.item, cas, instance, now);
    }
    grant
}

/// Deletes the item of `grant`, which may still be believed in at `now`. `false`: nothing was deleted.
pub(crate) fn delete_at_once(store: &dyn Store, spec: &Spec, grant: &Grant, now: Now) -> bool {
    store.delete_at_once(&spec.item, grant.cas, grant.instance, now)
}
