//! Connections: how many there are, and which are used.

use super::suites::{DRIVER, unit};
use super::{Edit, Mutant, Suite};

const SILENCE: Suite = unit("memcached::tests::silence::");
const HEALTH: Suite = unit("memcached::health::");

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "silent-server-tried-by-all",
        breaks: "L5",
        fault: "every caller of a server that does not answer opens a connection of its own, and sends its write",
        edits: &[Edit {
            file: "store/memcached/health.rs",
            from: "Some((_, expiry)) if expiry > now => {",
            to: "Some((_, expiry)) if expiry < now => {",
        }],
        suites: &[HEALTH, SILENCE],
    },
    Mutant {
        name: "trial-without-end",
        breaks: "L2",
        fault: "a caller that stands still keeps all others from a server that has been silent once",
        edits: &[Edit {
            file: "store/memcached/health.rs",
            from: "Some((_, expiry)) if expiry > now => {",
            to: "Some((_, expiry)) => {",
        }],
        suites: &[HEALTH],
    },
    Mutant {
        name: "trial-for-the-caller-with-the-least-time",
        breaks: "L5",
        fault: "callers whose limits are nearly over take turns in connecting, and no connection lives to be answered",
        edits: &[Edit {
            file: "store/memcached/health.rs",
            from: "(0..state.waiting.len()).max_by_key(",
            to: "(0..state.waiting.len()).min_by_key(",
        }],
        suites: &[HEALTH],
    },
    Mutant {
        name: "greeting-taken-for-an-answer",
        breaks: "L5",
        fault: "a server that replies to `stats` and to nothing else counts as one that answers",
        edits: &[Edit {
            file: "store/memcached/direct.rs",
            from: "                self.record_evictions(connection.evicts());
                Ok(connection)",
            to: "                self.record_evictions(connection.evicts());
                self.health.record_answer();
                Ok(connection)",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "silence-by-a-caller-without-time",
        breaks: "L2",
        fault: "a caller that had hardly any time left makes all others wait for a healthy server",
        edits: &[Edit {
            file: "store/memcached/server.rs",
            from: "if limit.is_most(left_at_start.saturating_sub(limit.left())) {",
            to: "if true {",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "silence-behind-callers-that-leave",
        breaks: "L5",
        fault: "a server is silent, and nobody notices, since all callers give up before their limit",
        edits: &[Edit {
            file: "store/memcached/link/ticket.rs",
            from: "            self.ticket.pipe.record_silence();\n",
            to: "",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "callers-that-leave-are-followed-at-once",
        breaks: "L5",
        fault: "callers that give up early send one write after the other to a server that does not answer",
        edits: &[Edit {
            file: "store/memcached/pipelined.rs",
            from: "                    trial.leave_running();",
            to: "                    drop(trial);",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "late-connections-without-number",
        breaks: "L5",
        fault: "each late reply keeps a connection open for ten minutes, however many there are",
        edits: &[Edit {
            file: "store/memcached/health.rs",
            from: "(*count < MAX_LISTENING).then(|| {",
            to: "Some(()).map(|()| {",
        }],
        suites: &[HEALTH, SILENCE],
    },
    Mutant {
        name: "closed-connection-ends-its-write",
        breaks: "L3",
        fault: "a write on a connection that was closed here counts as over, although the server may execute it yet",
        edits: &[Edit {
            file: "driver/settle.rs",
            from: "is_over = answer.fault.is_none_or(|fault| fault.unanswered != Unanswered::Late);",
            to: "is_over = true;",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "idle-connections-outlive-a-late-reply",
        breaks: "L2",
        fault: "the second try takes the next connection that the same firewall forgot",
        edits: &[Edit {
            file: "store/memcached/server.rs",
            from: "        self.pool.clear();\n",
            to: "",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "pipe-outlives-a-late-reply",
        breaks: "L2",
        fault: "tasks go on using a connection that is older than a thread's late reply",
        edits: &[Edit {
            file: "store/memcached/server.rs",
            from: "        self.pool.clear();
        if let SharedPipe::Open(pipe) = &*self.shared() {
            pipe.retire();
        }",
            to: "        self.pool.clear();",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "old-connection-taken",
        breaks: "L2",
        fault: "a connection is used that was idle for longer than firewalls remember it",
        edits: &[Edit {
            file: "store/memcached/link/pool.rs",
            from: "            if idle_for >= LONGEST_IDLE {
                continue;
            }\n",
            to: "",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "idle-process-keeps-its-connections",
        breaks: "L5",
        fault: "old connections are closed by the next caller only, who may never come",
        edits: &[Edit {
            file: "store/memcached/link/pool.rs",
            from: "        if starts {",
            to: "        if false {",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "sweeper-outlives-its-pool",
        breaks: "L5",
        fault: "a task of a store that was dropped stays in the background until its timer rings",
        edits: &[Edit {
            file: "store/memcached/link/pool.rs",
            from: "    fn drop(&mut self) {
        self.changed.notify_one();",
            to: "    fn drop(&mut self) {",
        }],
        suites: &[SILENCE],
    },
    Mutant {
        name: "long-item-taken-for-nonsense",
        breaks: "S1",
        fault: "a stranger's item of more than 64 KiB makes the server unavailable, and soft functions run unlocked",
        edits: &[Edit {
            file: "store/memcached/codec/progress.rs",
            from: "_ => return ReplyFrame::Long { line, announced },",
            to: "_ => return ReplyFrame::Malformed(String::new()),",
        }],
        suites: &[unit("memcached::codec::progress::")],
    },
    Mutant {
        name: "long-item-waited-for",
        breaks: "S1",
        fault: "an item that is too long to come within the limit makes the server unavailable",
        edits: &[Edit {
            file: "store/memcached/direct.rs",
            from: "if connection.progress.is_answered() {",
            to: "if false {",
        }],
        suites: &[unit("memcached::tests::")],
    },
];
