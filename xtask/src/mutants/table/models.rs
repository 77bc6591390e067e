//! What the model has found worth a fault of its own.

use super::suites::{
    DRIVER, HOLDING, MODEL_LEAVING, MODEL_RACE, MODEL_REENTRY, MODEL_STOPPED, MODEL_TWO_RESTARTS, PROTOCOL, QUEUE,
    RENEW, TURNS,
};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "renewal-number-not-told",
        breaks: "S1",
        fault: "a renewal leaves the number in the item as it is: a watcher does not see it",
        edits: &[Edit {
            file: RENEW,
            from: "renewal: self.grant.renewals,",
            to: "renewal: 0,",
        }],
        suites: &[PROTOCOL, MODEL_RACE],
    },
    Mutant {
        name: "renewal-raises-the-token",
        breaks: "S2",
        fault: "a renewal has a token of its own: that of an inner function is not its outer one's",
        edits: &[Edit {
            file: RENEW,
            from: "                    self.grant.instance = instance;
                    match self.aim {",
            to: "                    self.grant.instance = instance;
                    self.grant.token = self.grant.token.next().unwrap_or(self.grant.token);
                    match self.aim {",
        }],
        suites: &[PROTOCOL, MODEL_REENTRY],
    },
    Mutant {
        name: "re-entry-without-a-renewal",
        breaks: "S5",
        fault: "who enters again believes in a whole timeout from then on, and the server knows nothing of it",
        edits: &[Edit {
            file: HOLDING,
            from: "self.remaining(now) >= timeout / 2",
            to: "{
            self.grant.deadline = crate::lease::Deadline::of_grant(now, timeout, crate::lease::ttl_of(timeout), None, None);
            true
        }",
        }],
        suites: &[DRIVER, MODEL_REENTRY],
    },
    Mutant {
        name: "belief-after-the-hand-over",
        breaks: "S1",
        fault: "whoever has handed a lock over goes on believing in it",
        edits: &[Edit {
            file: HOLDING,
            from: "Status::Held => self.grant.deadline.remaining(now),
            Status::Lost(_) | Status::Released => Duration::ZERO,",
            to: "Status::Held | Status::Released => self.grant.deadline.remaining(now),
            Status::Lost(_) => Duration::ZERO,",
        }],
        suites: &[DRIVER, MODEL_STOPPED],
    },
    Mutant {
        name: "youngest-server",
        breaks: "S2",
        fault: "a server grants in the second in which the one before it may have started",
        edits: &[Edit {
            file: "protocol/messages.rs",
            from: "pub const YOUNGEST_SERVER: u64 = 4;",
            to: "pub const YOUNGEST_SERVER: u64 = 2;",
        }],
        suites: &[MODEL_TWO_RESTARTS],
    },
    Mutant {
        name: "request-dated-by-the-call",
        breaks: "L1",
        fault: "who stood in line counts its lease from when it joined, and takes the server for one whose clock lags",
        edits: &[Edit {
            file: "driver/blocking.rs",
            from: "            now = core.now();
            turn",
            to: "            turn",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "request-of-a-task-dated-by-the-call",
        breaks: "L1",
        fault: "the same for a task",
        edits: &[Edit {
            file: "driver/tasks.rs",
            from: "            now = core.now();
            turn",
            to: "            turn",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "re-entry-after-the-end",
        breaks: "S1",
        fault: "an inner function begins although the lease ended while its renewal waited for a reply",
        edits: &[Edit {
            file: "hold/renewal.rs",
            from: "self.lost().map_or(Ok(()), Err)",
            to: "Ok(())",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "hold-given-up-twice",
        breaks: "S3",
        fault: "a hold that was released is released again by whoever asks next",
        edits: &[Edit {
            file: HOLDING,
            from: "match std::mem::replace(&mut self.status, Status::Released) {",
            to: "match self.status {",
        }],
        suites: &[DRIVER, MODEL_REENTRY],
    },
    Mutant {
        name: "grant-left-in-the-line",
        breaks: "L3",
        fault: "the grant that lies in a queue when the last who stood there leaves is gone with it",
        edits: &[Edit {
            file: TURNS,
            from: "(self.watch, self.handed.take().map(|grant| *grant))",
            to: "(self.watch, None)",
        }],
        suites: &[QUEUE, MODEL_LEAVING],
    },
    Mutant {
        name: "circles-without-a-pause",
        breaks: "L2",
        fault: "a contender asks as fast as the server answers, although nothing comes of it",
        edits: &[Edit {
            file: "protocol/acquire/credit.rs",
            from: "let may = self.credit > 0;",
            to: "let may = true;",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "circles-as-fast-as-a-waiter-looks",
        breaks: "L2",
        fault: "a contender that goes in circles pauses as long as a waiter does between two looks, and makes a whole round each time",
        edits: &[Edit {
            file: "protocol/acquire/credit.rs",
            from: "self.longest_pause(now).saturating_mul(ROUND.unsigned_abs().into())",
            to: "self.longest_pause(now)",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "lost-writes-without-end",
        breaks: "L2",
        fault: "a server that answers reads and no write is asked for ever",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "if self.lost_writes >= LOST_WRITES {",
            to: "if false {",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "settling-in-circles",
        breaks: "L3",
        fault: "what a server says to be there, and does not delete, is tried for ever at the pace at which a server's return is awaited",
        edits: &[Edit {
            file: "driver/settle.rs",
            from: "longest_backoff = LONGEST_BACKOFF_IN_CIRCLES;",
            to: "longest_backoff = LONGEST_BACKOFF;",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "waiting-ends-by-itself",
        breaks: "L2",
        fault: "a caller that waits without a limit is told that the lock is busy",
        edits: &[Edit {
            file: "protocol/acquire/waiting.rs",
            from: "self.spec().wait.is_some_and(|wait| self.waited(now) >= wait)",
            to: "self.spec().wait.is_none_or(|wait| self.waited(now) >= wait)",
        }],
        suites: &[PROTOCOL, MODEL_REENTRY],
    },
];
