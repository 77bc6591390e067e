//! Writes without a reply.

use super::Mutant;
use super::suites::{CONTENDERS, LOCKS, MODEL_LOST_REPLIES, PROTOCOL, model, unit};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "lost-write-taken-for-a-grant",
        breaks: "S4 S5",
        decision: "A write without a reply is never a success, also when its item is read later.",
        file: "protocol/acquire/waiting.rs",
        from: "return self.clear(now, record.nonce, *cas, instance);",
        to: "self.has_made_clock = true;
                    let raised = Reply::Raised(cas.saturating_add(1));
                    let replies = [Reply::Missing, Reply::Stored(*cas), raised].into_iter().collect();
                    let (instance, sent) = (Some(instance), answered.sent);
                    let granted = Exchanged { instance, replies, sent, ..Exchanged::default() };
                    return self.handle_stored(now, record.nonce, *cas, &granted);",
        suites: &[PROTOCOL, MODEL_LOST_REPLIES],
    },
    Mutant {
        name: "lost-write-forgotten",
        breaks: "S4 L3",
        decision: "A write without a reply may have been executed, and is remembered until it is resolved.",
        file: "protocol/acquire/storing.rs",
        from: "if answered.why_unanswered().is_ambiguous() {",
        to: "if false {",
        suites: &[PROTOCOL, MODEL_LOST_REPLIES],
    },
    Mutant {
        name: "nonce-used-for-two-attempts",
        breaks: "S3",
        decision: "Each attempt has a nonce of its own, so cleaning up after one does not free another's lock.",
        file: "protocol/acquire/waiting.rs",
        from: "self.handle_free(now, fresh, has_list)",
        to: "self.handle_free(now, self.outstanding.last().copied().unwrap_or(fresh), has_list)",
        suites: &[PROTOCOL, model(CONTENDERS, "what_is_left_behind")],
    },
    Mutant {
        name: "write-sent-twice",
        breaks: "S4",
        decision: "A batch goes out again on a new connection only if nothing in it writes.",
        file: "store/memcached/direct.rs",
        from: "if is_closed && pooled && !connection.progress.begun && !batch.iter().any(Request::writes) {",
        to: "if is_closed && pooled && !connection.progress.begun {",
        suites: &[unit("writes_on_a_dead_idle_connection")],
    },
    Mutant {
        name: "anothers-reply-counts",
        breaks: "S4",
        decision: "A reply belongs to the request whose opaque it echoes.",
        file: "store/memcached/codec/translate.rs",
        from: "Some(echoed) if echoed == opaque => {}",
        to: "Some(_) => {}",
        suites: &[unit("codec::translate::")],
    },
    Mutant {
        name: "late-acquisition-not-settled",
        breaks: "L3",
        decision: "The background deletes what an acquisition left whose reply came too late.",
        file: "driver/contender.rs",
        from: "self.settle(nonce, Some(pending));",
        to: "drop(pending);",
        suites: &[unit("testing::")],
    },
    Mutant {
        name: "dropped-acquisition-not-settled",
        breaks: "L3",
        decision: "The background deletes what an acquisition left whose future was dropped.",
        file: "driver/acquire.rs",
        from: "Arc::clone(core).settle(&spec.item, nonce, spec.lease(), Some(pending));",
        to: "drop((nonce, pending));",
        suites: &[LOCKS],
    },
    Mutant {
        name: "lost-release-not-settled",
        breaks: "L3",
        decision: "The background goes on with a release that had no reply.",
        file: "driver/release.rs",
        from: "Arc::clone(core).settle(&spec.item, grant.nonce, grant.lease, pending);",
        to: "drop(pending);",
        suites: &[LOCKS],
    },
];
