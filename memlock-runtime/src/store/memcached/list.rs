//! The server list as its user wrote it, which may hold a password.

use std::fmt;

use super::address::{ServerAddress, credentials_error, host_after_credentials, redacted};
use crate::text::secret::Secret;
use crate::text::shown::Shown;

/// A server list that is not parsed yet. Its `Display` and `Debug` leave out every part that may be a password.
#[derive(Clone)]
pub(crate) struct ServerList(Secret<String>);

/// A parsed server list.
#[derive(Debug)]
pub(crate) enum Listed {
    /// The store inside this process.
    InProcess,
    /// These servers, each once.
    Servers(Vec<ServerAddress>),
}

impl ServerList {
    /// A list as its user wrote it.
    pub(crate) fn new(text: impl Into<String>) -> ServerList {
        ServerList(Secret::new(text.into()))
    }

    /// Parses the list. The error names the wrong entry and says what to do.
    pub(crate) fn parse(&self) -> Result<Listed, String> {
        let list = self.0.expose();
        // First, and for the whole list: a password may have commas and spaces, and then an entry is a part of one.
        if let Some(host) = host_after_credentials(list) {
            return Err(credentials_error(host));
        }
        let wrong = |what: &str| format!("{what} (in `{self}`)");
        let entries: Vec<&str> = list.split(',').map(str::trim).collect();
        if entries == ["memory:"] {
            return Ok(Listed::InProcess);
        }
        let mut servers: Vec<ServerAddress> = Vec::with_capacity(entries.len());
        for entry in entries {
            let shown = Shown::new(redacted(entry));
            if entry.is_empty() {
                return Err(wrong(
                    "an entry is empty: give `host:port` or `unix:/path`, separated by single commas",
                ));
            }
            if entry.contains(char::is_whitespace) && !entry.starts_with("unix:") {
                return Err(wrong(&format!(
                    "`{shown}` has a space in it: separate servers by commas"
                )));
            }
            if entry == "memory:" {
                return Err(wrong("`memory:` cannot be one of several servers: list it alone"));
            }
            let address = ServerAddress::parse(entry).map_err(|message| wrong(&message))?;
            if servers.iter().any(|other| other.id() == address.id()) {
                return Err(wrong(&format!("`{shown}` is listed twice")));
            }
            servers.push(address);
        }
        Ok(Listed::Servers(servers))
    }
}

impl fmt::Display for ServerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0.expose();
        if let Some(host) = host_after_credentials(list) {
            return write!(f, "…@{}", Shown::new(host));
        }
        let entries: Vec<_> = list.split(',').map(redacted).collect();
        fmt::Display::fmt(&Shown::new(entries.join(",")), f)
    }
}

impl fmt::Debug for ServerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
