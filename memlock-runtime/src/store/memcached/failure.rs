//! What goes wrong with a connection: why it could not be opened, why no more bytes went over it, and the words for
//! both. What that means for the requests of a batch is decided in `direct` and `pipelined`.

use std::sync::Arc;
use std::{fmt, io};

use crate::error::Source;
use crate::protocol::Instance;
use crate::text::shown::{Bytes, Shown};

/// Why a connection could not be opened. No request was sent on it.
#[derive(Debug, Clone)]
pub(crate) enum ConnectError {
    /// The server cannot be reached, or is not one that locks are safe on; the text says what to do.
    Failed(Source),
    /// The server has just started, and grants nothing yet.
    TooYoung(Instance),
    /// The limit of every caller that wanted the connection is over.
    TimedOut,
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> ConnectError {
        ConnectError::Failed(Arc::new(failure))
    }
}

/// Why no more bytes were sent or received.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The limit is over.
    TimedOut,
    /// The server closed the connection: it will execute nothing more that came over it.
    Closed(io::Error),
    /// The network failed. The server may not know of it, and may go on executing what has reached it.
    Lost(io::Error),
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> TransferError {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => TransferError::Closed(error),
            _ => TransferError::Lost(error),
        }
    }
}

/// What went wrong with a server, as a message for people, with the system's error below it where there is one. The
/// error that carries it names the server, and [`Unanswered`](crate::protocol::Unanswered) says what it means for the
/// requests.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    cause: Option<io::Error>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            cause: None,
        }
    }

    pub(crate) fn with_cause(message: impl Into<String>, cause: io::Error) -> Failure {
        Failure {
            message: message.into(),
            cause: Some(cause),
        }
    }
}

impl From<Failure> for Source {
    fn from(failure: Failure) -> Source {
        Arc::new(failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = Shown::message(&self.message);
        match &self.cause {
            Some(cause) => write!(f, "{message}: {}", Shown::message(cause)),
            None => write!(f, "{message}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause
            .as_ref()
            .map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

/// What a server sent, for a message: on one line, escaped and short.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    format!("`{}`", Shown::new(Bytes(bytes)))
}
