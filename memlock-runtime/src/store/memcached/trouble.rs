//! The text of a fault, with the system's error below it where there is one. What a fault *means* is said by
//! [`Unanswered`](crate::protocol::Unanswered), not here.

use std::sync::Arc;
use std::{fmt, io};

use crate::error::Source;
use crate::text::shown::{Bytes, Shown};

/// What went wrong with a server, for people. The error that carries it names the server.
#[derive(Debug)]
pub(crate) struct Trouble {
    message: String,
    cause: Option<io::Error>,
}

impl Trouble {
    pub(crate) fn new(message: impl Into<String>) -> Trouble {
        Trouble {
            message: message.into(),
            cause: None,
        }
    }

    pub(crate) fn caused(message: impl Into<String>, cause: io::Error) -> Trouble {
        Trouble {
            message: message.into(),
            cause: Some(cause),
        }
    }
}

impl From<Trouble> for Source {
    fn from(trouble: Trouble) -> Source {
        Arc::new(trouble)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = Shown::message(&self.message);
        match &self.cause {
            Some(cause) => write!(f, "{message}: {}", Shown::message(cause)),
            None => write!(f, "{message}"),
        }
    }
}

impl std::error::Error for Trouble {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause
            .as_ref()
            .map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

/// What a peer sent, fit for a message: one line, escaped, not long.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    format!("`{}`", Shown::new(Bytes(bytes)))
}
