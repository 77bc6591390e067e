//! The answers to exchanges that failed, each with its message, for threads and tasks alike. The callers, `direct` and
//! `pipelined`, decide what a failure means.

use std::io;

use super::failure::{ConnectError, Failure, TransferError};
use crate::error::Source;
use crate::protocol::{Exchanged, Instance, Replies, Unanswered, YOUNGEST_SERVER};

/// The answer to an exchange in which no request got a reply.
pub(crate) fn failed(instance: Option<Instance>, unanswered: Unanswered, source: impl Into<Source>) -> Exchanged {
    let source = source.into();
    Exchanged {
        instance,
        replies: Replies::new(),
        unanswered: Some(unanswered),
        source: Some(source),
        ..Exchanged::default()
    }
}

/// The answer to an exchange that failed after `replies` had arrived.
pub(crate) fn incomplete(instance: Instance, replies: Replies, unanswered: Unanswered, failure: Failure) -> Exchanged {
    Exchanged {
        replies,
        ..failed(Some(instance), unanswered, failure)
    }
}

/// The answer with all replies.
pub(crate) fn complete(instance: Instance, replies: Replies) -> Exchanged {
    Exchanged {
        instance: Some(instance),
        replies,
        ..Exchanged::default()
    }
}

/// What it means for the open requests that the connection ended with `error` before all replies had arrived, and the
/// message for it. Where the server has violated the protocol before, the message is about that.
pub(crate) fn connection_ended(error: &TransferError, violation: Option<&str>) -> (Unanswered, Failure) {
    let (unanswered, failure) = match error {
        TransferError::TimedOut => (Unanswered::Late, does_not_answer()),
        TransferError::Closed(error) => {
            let what = "it closed the connection before all replies had arrived";
            (Unanswered::Cut, Failure::with_cause(what, copy_of(error)))
        }
        // Unlike a server that has closed, one that cannot be reached may go on executing what it has received.
        TransferError::Lost(error) => {
            let what = "the connection failed before all replies had arrived";
            (Unanswered::Late, Failure::with_cause(what, copy_of(error)))
        }
    };
    (unanswered, violation.map_or(failure, protocol_violation))
}

/// All batches on a shared connection end with the same error, and `io::Error` cannot be cloned.
fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

pub(crate) fn does_not_answer() -> Failure {
    Failure::new("it does not answer (no reply within the limit)")
}

pub(crate) fn protocol_violation(what: &str) -> Failure {
    Failure::new(format!("it does not keep to the protocol: {what}"))
}

/// The answer to a batch for another instance than `instance`, which answers now.
pub(crate) fn other_instance(instance: Instance) -> Exchanged {
    let failure = Failure::new("it was restarted: another instance answers");
    failed(Some(instance), Unanswered::OtherInstance, failure)
}

pub(crate) fn too_young(instance: Instance) -> Exchanged {
    let failure = Failure::new(format!(
        "it has just started, and grants nothing before an uptime of {YOUNGEST_SERVER} s"
    ));
    failed(Some(instance), Unanswered::TooYoung, failure)
}

/// The answer where the limit was over before the server was asked.
pub(crate) fn no_time() -> Exchanged {
    not_sent(None, "there was no time left to ask it")
}

/// The answer where no connection could be opened.
pub(crate) fn not_connected(error: ConnectError) -> Exchanged {
    match error {
        ConnectError::Failed(source) => failed(None, Unanswered::NotSent, source),
        ConnectError::TooYoung(instance) => too_young(instance),
        ConnectError::TimedOut => connect_timed_out(),
    }
}

/// The answer where no connection was opened within the limit, or none that a batch may be sent on.
pub(crate) fn connect_timed_out() -> Exchanged {
    not_sent(
        None,
        "it does not answer (no connection, or no reply to `stats`, within the limit; memcached gives no reply if it was \
         started with -B binary)",
    )
}

pub(crate) fn closes_every_connection(instance: Option<Instance>) -> Exchanged {
    not_sent(instance, "it closes every connection")
}

/// The answer where nothing of the batch was sent.
pub(crate) fn not_sent(instance: Option<Instance>, reason: impl Into<String>) -> Exchanged {
    failed(instance, Unanswered::NotSent, Failure::new(reason))
}
