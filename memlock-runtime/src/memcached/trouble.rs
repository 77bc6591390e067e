//! The text of a fault, with the system's error below it where there is one. What a fault *means* is said by
//! [`Damage`](crate::store::Damage), not here.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::error::Source;
use crate::shown::{Bytes, Shown};

/// What went wrong with a server, for people. The error that carries it names the server.
#[derive(Debug)]
pub(super) struct Trouble {
    message: String,
    cause: Option<io::Error>,
}

impl Trouble {
    pub(super) fn new(message: impl Into<String>) -> Trouble {
        Trouble {
            message: message.into(),
            cause: None,
        }
    }

    pub(super) fn caused(message: impl Into<String>, cause: io::Error) -> Trouble {
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
pub(super) fn quoted(bytes: &[u8]) -> String {
    format!("`{}`", Shown::new(Bytes(bytes)))
}
