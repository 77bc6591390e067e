//! Who is at the other end: reads the lines of `stats` and `stats settings`, names the instance, and refuses servers
//! on which locks would not be safe. Bytes in, verdict out; no I/O.

use crate::protocol::{Instance, YOUNGEST_SERVER};
use crate::store::memcached::socket::transport::{LONGEST_LINE, ReadBuffer};
use crate::store::memcached::trouble::quoted;
use crate::text::shown::Shown;

/// What opens every connection, in one packet.
pub(crate) const GREETING: &[u8] = b"stats\r\nstats settings\r\n";

/// Both replies together have some 6 KiB; a peer that sends more than this is no memcached.
const LARGEST_REPLY: usize = 64 * 1024;

/// The first version on which a lock can be released: before it `md` compares its `C` with 0. And before 1.6.10 `ms` took the length
/// as a flag, and success was `OK`.
const OLDEST: [u32; 3] = [1, 6, 13];

/// The first version that echoes the opaque on a miss of `mg`.
const OPAQUE_ON_MISS: [u32; 3] = [1, 6, 18];

/// A server that will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) instance: Instance,
    /// Whether a miss proves by its opaque to which command it belongs.
    pub(crate) opaque_on_miss: bool,
    /// Whether it makes room for a store by evicting others (it was started without `-M`).
    pub(crate) evicts: bool,
}

/// Why a server will not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It must be set up otherwise, or replaced; the text says how.
    Unsuitable(String),
    /// It will do in a moment.
    TooYoung(Instance),
}

/// The replies to [`GREETING`] as far as they have come.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    ends: u8,
    version: Option<String>,
    time: Option<u64>,
    uptime: Option<u64>,
    pid: Option<u32>,
    cas: Option<bool>,
    evicts: bool,
    /// How many bytes of it have come.
    received: usize,
}

impl Handshake {
    /// Uses up what has been read. `Some` when all has come, and the server will do.
    pub(crate) fn read(&mut self, input: &mut ReadBuffer) -> Result<Option<Peer>, Unfit> {
        while let Some(end) = input.unread().iter().position(|byte| *byte == b'\n') {
            let line = input.unread().get(..end).unwrap_or_default();
            let last = self.line(line.strip_suffix(b"\r").unwrap_or(line))?;
            input.consume(end + 1);
            self.received += end + 1;
            if last {
                return self.verdict().map(Some);
            }
        }
        let unread = input.unread();
        if unread.len() > LONGEST_LINE || self.received > LARGEST_REPLY {
            return Err(Unfit::Unsuitable(format!(
                "it does not speak memcached's text protocol: its answer to `stats` does not end, {}",
                quoted(unread)
            )));
        }
        Ok(None)
    }

    /// Takes one line. `Ok(true)` when it was the last.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<bool, Unfit> {
        if line == b"END" {
            self.ends += 1;
            return Ok(self.ends == 2);
        }
        let Some(statistic) = line.strip_prefix(b"STAT ") else {
            return Err(Unfit::Unsuitable(self.refusal(line)));
        };
        let text = String::from_utf8_lossy(statistic);
        let (name, value) = text.split_once(' ').unwrap_or((&text, ""));
        match (self.ends, name) {
            (0, "version") => self.version = Some(value.to_owned()),
            (0, "time") => self.time = value.parse().ok(),
            (0, "uptime") => self.uptime = value.parse().ok(),
            (0, "pid") => self.pid = value.parse().ok(),
            (1, "cas_enabled") => self.cas = Some(value == "yes"),
            // Not told, it is taken for one that does not: that costs a look, and not a lock.
            (1, "evictions") => self.evicts = value == "on",
            _ => {}
        }
        Ok(false)
    }

    /// The verdict, after the last line.
    pub(crate) fn verdict(&self) -> Result<Peer, Unfit> {
        let unsuitable = |text: String| Err(Unfit::Unsuitable(text));
        let Some(text) = &self.version else {
            return unsuitable("its `stats` does not tell a version: use memcached itself, 1.6.18 or later".to_owned());
        };
        let Some(version) = parse_version(text) else {
            return unsuitable(format!(
                "it says that its version is {}, which is none of memcached's: use memcached itself, 1.6.18 or later",
                quoted(text.as_bytes())
            ));
        };
        if version < OLDEST {
            return unsuitable(format!(
                "it runs memcached {}, whose meta commands do not delete by CAS, so that no lock could be released there \
                 (they do from 1.6.13 on): upgrade it, best to 1.6.27 or later",
                Shown::new(text)
            ));
        }
        match self.cas {
            Some(true) => {}
            Some(false) => {
                return unsuitable(
                    "it was started with -C (--disable-cas), and without CAS no lock can be released safely: start \
                     it without that option"
                        .to_owned(),
                );
            }
            None => {
                return unsuitable(
                    "its `stats settings` does not tell whether CAS is on: connect to memcached itself, not through a \
                     proxy"
                        .to_owned(),
                );
            }
        }
        let started = self
            .time
            .zip(self.uptime)
            .and_then(|(time, uptime)| Some((time.checked_sub(uptime)?, uptime)));
        let (Some((start, uptime)), Some(pid)) = (started, self.pid) else {
            return unsuitable(
                "its `stats` does not tell time, uptime and pid, by which its restarts are noticed: connect to \
                 memcached itself, not through a proxy"
                    .to_owned(),
            );
        };
        let instance = Instance { start, pid };
        if uptime < YOUNGEST_SERVER {
            return Err(Unfit::TooYoung(instance));
        }
        Ok(Peer {
            instance,
            opaque_on_miss: version >= OPAQUE_ON_MISS,
            evicts: self.evicts,
        })
    }

    fn refusal(&self, line: &[u8]) -> String {
        let command = if self.ends == 0 { "stats" } else { "stats settings" };
        let said = quoted(line);
        if line.starts_with(b"ERROR Too many open connections") {
            format!("it has no connection left ({said}): start memcached with a higher -c, or use fewer clients")
        } else if line.starts_with(b"CLIENT_ERROR unauthenticated") {
            format!("it asks for authentication ({said}), which memlock does not have yet: start it without -Y")
        } else if line.starts_with(b"ERROR") || line.starts_with(b"CLIENT_ERROR") || line.starts_with(b"SERVER_ERROR") {
            format!(
                "it refused the command `{command}` ({said}): connect to memcached itself, not through a proxy, and \
                 allow that command"
            )
        } else {
            format!("it does not speak memcached's text protocol: it answered {said} to `{command}`")
        }
    }
}

/// Reads `1.6.18`, `1.6.0-beta1`, `1.6.18_2`; what follows a number is ignored.
fn parse_version(text: &str) -> Option<[u32; 3]> {
    let mut version = [0; 3];
    let mut parts = text.split('.');
    for number in &mut version {
        let part = parts.next()?;
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        *number = part.get(..digits)?.parse().ok()?;
    }
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a good server says.
    const GOOD: [&str; 8] = [
        "STAT pid 77",
        "STAT uptime 100",
        "STAT time 1800000100",
        "STAT version 1.6.18",
        "END",
        "STAT evictions on",
        "STAT cas_enabled yes",
        "END",
    ];

    fn verdict(lines: &[&str]) -> Result<Peer, Unfit> {
        let mut handshake = Handshake::default();
        let mut complete = false;
        for line in lines {
            assert!(!complete, "lines after the last");
            complete = handshake.line(line.as_bytes())?;
        }
        assert!(complete, "no last line");
        handshake.verdict()
    }

    fn with(replaced: &str, by: &str) -> Result<Peer, Unfit> {
        let lines: Vec<&str> = GOOD
            .iter()
            .map(|line| if *line == replaced { by } else { *line })
            .collect();
        verdict(&lines)
    }

    fn unsuitable(outcome: Result<Peer, Unfit>) -> String {
        match outcome {
            Err(Unfit::Unsuitable(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_good_server_is_named_by_its_start_and_pid() {
        let instance = Instance {
            start: 1_800_000_000,
            pid: 77,
        };
        let peer = Peer {
            instance,
            opaque_on_miss: true,
            evicts: true,
        };
        assert_eq!(verdict(&GOOD), Ok(peer));
        for (not, told) in [("STAT evictions off", "-M"), ("STAT x y", "nothing")] {
            let evicts = with("STAT evictions on", not).map(|peer| peer.evicts);
            assert_eq!(evicts, Ok(false), "told {told}");
        }
        assert_eq!(
            with("STAT version 1.6.18", "STAT version 1.6.17"),
            Ok(Peer {
                opaque_on_miss: false,
                ..peer
            })
        );
        for newer in ["1.6.45", "1.6.18-beta1", "1.7.0", "2.0.0", "1.6.20_3"] {
            assert_eq!(with("STAT version 1.6.18", &format!("STAT version {newer}")), Ok(peer));
        }
    }

    #[test]
    fn servers_on_which_locks_are_not_safe_are_refused_with_what_to_do() {
        for (replaced, by, part) in [
            ("STAT version 1.6.18", "STAT version 1.5.22", "upgrade"),
            ("STAT version 1.6.18", "STAT version 1.6.9", "upgrade"),
            ("STAT version 1.6.18", "STAT version 1.6.12", "1.6.13"),
            ("STAT version 1.6.18", "STAT version dragonfly", "memcached itself"),
            ("STAT version 1.6.18", "STAT x y", "memcached itself"),
            ("STAT cas_enabled yes", "STAT cas_enabled no", "-C"),
            ("STAT cas_enabled yes", "STAT x y", "proxy"),
            ("STAT time 1800000100", "STAT time 99", "proxy"),
            ("STAT time 1800000100", "STAT time -1", "proxy"),
            ("STAT uptime 100", "STAT uptime", "proxy"),
            ("STAT pid 77", "STAT pid 4294967296", "proxy"),
            ("STAT pid 77", "ERROR Too many open connections", "-c"),
            ("STAT pid 77", "CLIENT_ERROR unauthenticated", "authentication"),
            ("STAT evictions on", "SERVER_ERROR no", "`stats settings`"),
            ("STAT pid 77", "HTTP/1.1 400 Bad Request", "does not speak"),
            ("STAT pid 77", "", "does not speak"),
            ("STAT pid 77", "\u{1}\u{2}", "\\u{1}\\u{2}"),
        ] {
            let text = unsuitable(with(replaced, by));
            assert!(text.contains(part), "{by}: {text}");
        }
    }

    #[test]
    fn a_server_that_has_just_started_is_not_used_yet() {
        let young = with("STAT uptime 100", "STAT uptime 3");
        assert_eq!(
            young,
            Err(Unfit::TooYoung(Instance {
                start: 1_800_000_097,
                pid: 77
            }))
        );
        assert!(with("STAT uptime 100", "STAT uptime 4").is_ok());
    }
}
