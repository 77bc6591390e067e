//! What is answered when an exchange failed: the unanswered, and the words for it. What a failure means is decided by who calls
//! these; here each is said once, for threads and for tasks.

use std::io;

use super::failure::{ConnectError, Failure, TransferError};
use crate::error::Source;
use crate::protocol::{Instance, Replies, Unanswered, YOUNGEST_SERVER};
use crate::store::{Answer, Fault};

/// No request got a reply.
pub(crate) fn failed(instance: Option<Instance>, unanswered: Unanswered, source: impl Into<Source>) -> Answer {
    let source = source.into();
    Answer {
        instance,
        replies: Replies::new(),
        fault: Some(Fault { unanswered, source }),
        pending: None,
    }
}

/// The replies that had come count.
pub(crate) fn answered(instance: Instance, replies: Replies, unanswered: Unanswered, failure: Failure) -> Answer {
    Answer {
        replies,
        ..failed(Some(instance), unanswered, failure)
    }
}

/// All replies have come.
pub(crate) fn complete(instance: Instance, replies: Replies) -> Answer {
    Answer {
        instance: Some(instance),
        replies,
        fault: None,
        pending: None,
    }
}

/// What it means, and how to say it, that the connection ended before all replies had come. What the server says in
/// `nonsense` is the better reason, where it says any.
pub(crate) fn ended(error: &TransferError, nonsense: Option<&str>) -> (Unanswered, Failure) {
    let (unanswered, failure) = match error {
        TransferError::TimedOut => (Unanswered::Late, does_not_answer()),
        TransferError::Closed(error) => {
            let what = "it closed the connection before all replies had come";
            (Unanswered::Cut, Failure::with_cause(what, copy_of(error)))
        }
        // Unlike a server that closed, one that cannot be reached may go on executing what it has received.
        TransferError::Lost(error) => {
            let what = "the connection failed before all replies had come";
            (Unanswered::Late, Failure::with_cause(what, copy_of(error)))
        }
    };
    (unanswered, nonsense.map_or(failure, nonsensical))
}

/// One error is told to all who share a connection.
fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

pub(crate) fn does_not_answer() -> Failure {
    Failure::new("it does not answer (no reply within the limit)")
}

pub(crate) fn nonsensical(what: &str) -> Failure {
    Failure::new(format!("it does not keep to the protocol: {what}"))
}

/// The batch was for another instance than `instance`, which answers now.
pub(crate) fn other_instance(instance: Instance) -> Answer {
    let failure = Failure::new("it was restarted: another instance answers");
    failed(Some(instance), Unanswered::OtherInstance, failure)
}

pub(crate) fn too_young(instance: Instance) -> Answer {
    let failure = Failure::new(format!(
        "it has just started, and grants nothing before an uptime of {YOUNGEST_SERVER} s"
    ));
    failed(Some(instance), Unanswered::TooYoung, failure)
}

/// The limit was over before the server was asked.
pub(crate) fn no_time() -> Answer {
    not_sent(None, "there was no time left to ask it")
}

/// No connection could be opened.
pub(crate) fn unopened(why: ConnectError) -> Answer {
    match why {
        ConnectError::Failed(source) => failed(None, Unanswered::NotSent, source),
        ConnectError::TooYoung(instance) => too_young(instance),
        ConnectError::TimedOut => never_opened(),
    }
}

/// No connection was there within the limit, or none that had answered.
pub(crate) fn never_opened() -> Answer {
    not_sent(
        None,
        "it does not answer (no connection, or no reply to `stats`, within the limit)",
    )
}

pub(crate) fn closes_every_connection(instance: Option<Instance>) -> Answer {
    not_sent(instance, "it closes every connection")
}

/// Nothing of a batch was sent, for a reason.
pub(crate) fn not_sent(instance: Option<Instance>, why: impl Into<String>) -> Answer {
    failed(instance, Unanswered::NotSent, Failure::new(why))
}
