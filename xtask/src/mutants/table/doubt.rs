//! Writes without a reply, and nonces.

use super::suites::{ACQUIRE, MEMCACHED, MODEL_KEEPER, MODEL_UNREACHABLE, MODEL_WATCHED, PROTOCOL, forks, unit};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "ambiguous-taken-for-success",
        breaks: "S4",
        fault: "an add without a reply is a grant",
        edits: &[Edit {
            file: ACQUIRE,
            from: "                // Any other reply to an add is no proof of anything.\n",
            to: "                None if answered.unanswered().is_ambiguous() => {
                    let raised = Reply::Raised(Cas::MIN.saturating_add(1));
                    let replies = [Reply::Missing, Reply::Stored(Cas::MIN), raised].into_iter().collect();
                    self.has_made_clock = true;
                    self.stored(now, nonce, Cas::MIN, &Answered { replies, ..answered.clone() })
                }\n",
        }],
        suites: &[PROTOCOL, MODEL_UNREACHABLE],
    },
    Mutant {
        name: "own-item-taken-for-a-grant",
        breaks: "S4 S5",
        fault: "an add without a reply is a grant once its item has been read, however long after",
        edits: &[Edit {
            file: "protocol/acquire/waiting.rs",
            from: "return self.clear(now, record.nonce, *cas, instance);",
            to: "\
                    let raised = Reply::Raised(cas.saturating_add(1));
                    let replies = [Reply::Missing, Reply::Stored(*cas), raised].into_iter().collect();
                    self.has_made_clock = true;
                    return self.stored(now, record.nonce, *cas, &Answered { replies, ..answered.clone() });",
        }],
        suites: &[PROTOCOL, MODEL_UNREACHABLE],
    },
    Mutant {
        name: "ambiguous-taken-for-failure",
        breaks: "S4 L3",
        fault: "a write without a reply is forgotten",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "        if answered.unanswered().is_ambiguous() {
            self.outstanding.push(nonce);",
            to: "        if answered.unanswered().is_ambiguous() {",
        }],
        suites: &[PROTOCOL, MODEL_UNREACHABLE],
    },
    Mutant {
        name: "failed-give-back-forgotten",
        breaks: "L3",
        fault: "a grant that came too late, and could not be given back, is left there",
        edits: &[Edit {
            file: ACQUIRE,
            from: "if !matches!(answered.reply(0), Some(Reply::Deleted | Reply::Missing)) {",
            to: "if false {",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "short-grant-kept",
        breaks: "S5",
        fault: "a grant with hardly any time left is handed out, and not given back",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "grant.deadline.remaining(now) >= self.spec().timeout / 2",
            to: "grant.deadline.remaining(now) >= Duration::ZERO",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "nonce-reused-by-a-take-over",
        breaks: "S3",
        fault: "a take-over keeps the nonce of the holder before: that one's late release frees it",
        edits: &[Edit {
            file: "protocol/acquire/waiting.rs",
            from: "self.take_over(now, fresh, *cas, instance)",
            to: "self.take_over(now, record.nonce, *cas, instance)",
        }],
        suites: &[PROTOCOL, MODEL_WATCHED],
    },
    Mutant {
        name: "nonce-reused-by-a-retry",
        breaks: "S3",
        fault: "an attempt has the nonce of one without a reply: whoever cleans up after that frees the lock",
        edits: &[Edit {
            file: "protocol/acquire/waiting.rs",
            from: "                self.watch = None;
                self.free(now, fresh, has_line)",
            to: "                self.watch = None;
                let fresh = self.outstanding.last().copied().unwrap_or(fresh);
                self.free(now, fresh, has_line)",
        }],
        suites: &[PROTOCOL, MODEL_KEEPER],
    },
    Mutant {
        name: "nonces-repeat",
        breaks: "S3",
        fault: "all attempts of a process have the same nonce",
        edits: &[Edit {
            file: "system/random.rs",
            from: "self.next.fetch_add(1, Ordering::Relaxed)",
            to: "self.next.load(Ordering::Relaxed)",
        }],
        suites: &[unit("system::random::")],
    },
    Mutant {
        name: "forked-workers-draw-the-same-nonces",
        breaks: "S3",
        fault: "identities come from the hash seeds, which a forked child shares with its siblings",
        edits: &[Edit {
            file: "system/random.rs",
            from: "Ok(Identity::of(system_random()?))",
            to: "Ok(Identity::of(process_random()))",
        }],
        suites: &[forks("share_no_nonce")],
    },
    Mutant {
        name: "forks-are-not-noticed",
        breaks: "S1",
        fault: "a forked child takes the locks of its parent for its own",
        edits: &[Edit {
            file: "system/random.rs",
            from: "!self.home.is_current()",
            to: "self.home != self.home",
        }],
        suites: &[forks("a_child_can_use_nothing")],
    },
    Mutant {
        name: "a-child-releases-what-its-parent-holds",
        breaks: "S3",
        fault: "a guard that is dropped in a forked child deletes the lock of the parent",
        edits: &[Edit {
            file: "hold/release.rs",
            from: "            // It is the parent's, which may be renewing it: the background thread that would end that is not here.
            return true;",
            to: "",
        }],
        suites: &[forks("a_child_can_use_nothing")],
    },
    Mutant {
        name: "a-child-waits-for-its-parents-thread",
        breaks: "L5",
        fault: "a forked child gives its background work to the thread of its parent, which it does not have",
        edits: &[Edit {
            file: "system/process.rs",
            from: "while !last.process.is_current() {",
            to: "while last.process != last.process {",
        }],
        suites: &[forks("share_no_nonce")],
    },
    Mutant {
        name: "a-child-goes-on-with-its-parents-future",
        breaks: "L3",
        fault: "a future that was begun before the fork waits in the child for what only the parent hears",
        edits: &[Edit {
            file: "driver/inherited.rs",
            from: "mem::replace(&mut self.was_polled, true) && self.core.is_inherited()",
            to: "!mem::replace(&mut self.was_polled, true) && self.core.is_inherited()",
        }],
        suites: &[forks("a_future_that_a_child_inherits")],
    },
    Mutant {
        name: "write-sent-twice",
        breaks: "S4",
        fault: "a write goes out again when its connection turns out to be dead",
        edits: &[Edit {
            file: "store/memcached/direct.rs",
            from: "if is_closed && pooled && !connection.progress.begun && !batch.iter().any(Request::writes) {",
            to: "if is_closed && pooled && !connection.progress.begun {",
        }],
        suites: &[MEMCACHED],
    },
    Mutant {
        name: "anothers-reply-counts",
        breaks: "S4",
        fault: "a reply is taken for the answer to a request although its opaque is another's",
        edits: &[Edit {
            file: "store/memcached/codec/translate.rs",
            from: "Some(echoed) if echoed == opaque => {}",
            to: "Some(_) => {}",
        }],
        suites: &[unit("memcached::codec::translate::")],
    },
];
