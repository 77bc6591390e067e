//! The list of servers as its user wrote it, which may hold a password.

use std::fmt;

use super::address::{Server, behind_credentials, credentials, presentable};
use crate::text::secret::Secret;
use crate::text::shown::Shown;

/// A list of servers that was not parsed yet. What it shows of itself leaves out every part that may be a password.
#[derive(Clone)]
pub(crate) struct ServerList(Secret<String>);

/// What a list stands for.
#[derive(Debug)]
pub(crate) enum Listed {
    /// The store inside this process.
    InProcess,
    /// These servers, each once.
    Servers(Vec<Server>),
}

impl ServerList {
    /// The list that somebody wrote.
    pub(crate) fn new(text: impl Into<String>) -> ServerList {
        ServerList(Secret::new(text.into()))
    }

    /// Parses the list. The error names the entry that is wrong and says what to do.
    pub(crate) fn parse(&self) -> Result<Listed, String> {
        let list = self.0.expose();
        // First, and of the whole list: a comma or a space may be a part of a password, and then an entry is a part of one.
        if let Some(behind) = behind_credentials(list) {
            return Err(credentials(behind));
        }
        let wrong = |what: &str| format!("{what} (in `{self}`)");
        let entries: Vec<&str> = list.split(',').map(str::trim).collect();
        if entries == ["memory:"] {
            return Ok(Listed::InProcess);
        }
        let mut servers: Vec<Server> = Vec::with_capacity(entries.len());
        for entry in entries {
            let shown = Shown::new(presentable(entry));
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
                return Err(wrong("`memory:` stands alone, it cannot be one of several servers"));
            }
            let server = Server::parse(entry).map_err(|message| wrong(&message))?;
            if servers.iter().any(|other| other.id() == server.id()) {
                return Err(wrong(&format!("`{shown}` is listed twice")));
            }
            servers.push(server);
        }
        Ok(Listed::Servers(servers))
    }
}

impl fmt::Display for ServerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0.expose();
        if let Some(behind) = behind_credentials(list) {
            return write!(f, "…@{}", Shown::new(behind));
        }
        let entries: Vec<_> = list.split(',').map(presentable).collect();
        fmt::Display::fmt(&Shown::new(entries.join(",")), f)
    }
}

impl fmt::Debug for ServerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
