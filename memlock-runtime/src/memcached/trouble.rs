//! The text of a fault, with the system's error below it where there is one. What a fault *means* is said by
//! [`Damage`](crate::store::Damage), not here.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::error::Source;

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
        f.write_str(&self.message)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
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
    const LONGEST: usize = 100;
    let shown = bytes.get(..LONGEST).unwrap_or(bytes);
    let dots = if shown.len() < bytes.len() { "…" } else { "" };
    format!("`{}{dots}`", shown.escape_ascii())
}
