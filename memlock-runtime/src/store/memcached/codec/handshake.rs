//! Reads the replies to `stats` and `stats settings`: which instance is at the other end of a new connection, and
//! whether locks are safe on it. No I/O.

use crate::protocol::{Instance, YOUNGEST_SERVER};
use crate::store::memcached::failure::{ConnectError, Failure, TransferError, quoted};
use crate::store::memcached::socket::transport::{LONGEST_LINE, ReadBuffer};
use crate::text::shown::Shown;

/// The first packet on every connection.
pub(crate) const GREETING: &[u8] = b"stats\r\nstats settings\r\n";

/// Both replies together have some 6 KiB; a peer that sends more than this is not memcached.
const LARGEST_REPLY: usize = 64 * 1024;

/// How an alert of TLS begins, with which a server that expects TLS answers anything else.
const TLS_ALERT: &[u8] = &[0x15, 3];

/// Why a server is not used that has accepted the connection and sent nothing. A memcached with `-B binary` waits for
/// 24 bytes, which is one more than [`GREETING`] has.
const NO_REPLY: &str =
    "it does not answer (no reply to `stats` within the limit; memcached gives none if it was started with -B binary)";

/// The oldest version that is supported. Before it, `md` compares its `C` with 0, so that no lock can be released.
/// Before 1.6.10, moreover, `ms` took the length as a flag, and success was `OK`.
const OLDEST_VERSION: [u32; 3] = [1, 6, 13];

/// The first version that echoes the opaque on a miss of `mg`.
const OPAQUE_ON_MISS: [u32; 3] = [1, 6, 18];

/// A server that locks are safe on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) instance: Instance,
    pub(crate) version: [u32; 3],
    /// Whether a miss proves by its opaque to which command it belongs.
    pub(crate) opaque_on_miss: bool,
    /// Whether the server makes room for a store by evicting other items (it was started without `-M`).
    pub(crate) evicts: bool,
}

/// The replies to [`GREETING`] as far as they have arrived.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    /// How many of the two replies are complete.
    ends: u8,
    version: Option<String>,
    time: Option<u64>,
    uptime: Option<u64>,
    pid: Option<u32>,
    cas: Option<bool>,
    evicts: bool,
    is_proxy: bool,
    /// How many bytes were read.
    received: usize,
}

impl Handshake {
    /// Consumes `input`. Returns the peer once both replies are complete, and an error where locks are not safe on it.
    pub(crate) fn read(&mut self, input: &mut ReadBuffer) -> Result<Option<Peer>, ConnectError> {
        // Before any line: what TLS sends has no line end.
        if self.received == 0 && input.unread().starts_with(TLS_ALERT) {
            return unsuitable(format!(
                "it speaks TLS, which comes in a later version of memlock: use a port of it without TLS, in a trusted \
                 network or a tunnel (it answered {} to `stats`)",
                quoted(input.unread())
            ));
        }
        while let Some(end) = input.unread().iter().position(|byte| *byte == b'\n') {
            let line = input.unread().get(..end).unwrap_or_default();
            let is_last = self.read_line(line.strip_suffix(b"\r").unwrap_or(line))?;
            input.consume(end + 1);
            self.received += end + 1;
            if is_last {
                return self.peer().map(Some);
            }
        }
        let unread = input.unread();
        if unread.len() > LONGEST_LINE || self.received > LARGEST_REPLY {
            return unsuitable(format!(
                "it does not speak memcached's text protocol: its answer to `stats` does not end, {}",
                quoted(unread)
            ));
        }
        Ok(None)
    }

    /// Returns why there is no peer, after `error` has ended the connection and `input` was read.
    pub(crate) fn ended(&self, input: &ReadBuffer, error: TransferError) -> ConnectError {
        let is_mute = self.received == 0 && input.unread().is_empty();
        let failure = match error {
            TransferError::TimedOut if is_mute => Failure::new(NO_REPLY),
            TransferError::TimedOut => Failure::new("its reply to `stats` did not end within the limit"),
            // So does memcached where it cannot read what was sent: it drops the connection.
            TransferError::Closed(error) if is_mute => Failure::with_cause(
                "it closed the connection without a word, which is what memcached does if it was started with -S (SASL) \
                 or -B binary, or with TLS (-Z), and what proxies such as twemproxy do: connect to memcached itself, and \
                 start it without these options",
                error,
            ),
            TransferError::Closed(error) => {
                Failure::with_cause("it closed the connection before the end of its reply to `stats`", error)
            }
            TransferError::Lost(error) => {
                Failure::with_cause("the connection failed before the end of its reply to `stats`", error)
            }
        };
        failure.into()
    }

    /// Reads one line. `Ok(true)` after the last one.
    fn read_line(&mut self, line: &[u8]) -> Result<bool, ConnectError> {
        if line == b"END" {
            self.ends += 1;
            return Ok(self.ends == 2);
        }
        let Some(statistic) = line.strip_prefix(b"STAT ") else {
            return unsuitable(self.refusal(line));
        };
        let text = String::from_utf8_lossy(statistic);
        let (name, value) = text.split_once(' ').unwrap_or((&text, ""));
        match (self.ends, name) {
            (0, "version") => self.version = Some(value.to_owned()),
            (0, "time") => self.time = value.parse().ok(),
            (0, "uptime") => self.uptime = value.parse().ok(),
            (0, "pid") => self.pid = value.parse().ok(),
            (1, "cas_enabled") => self.cas = Some(value == "yes"),
            // A server that does not say counts as one that does not evict. That costs a read, and not a lock.
            (1, "proxy_enabled") => self.is_proxy = value == "yes",
            (1, "evictions") => self.evicts = value == "on",
            _ => {}
        }
        Ok(false)
    }

    /// The peer that both replies describe, or why locks are not safe on it.
    fn peer(&self) -> Result<Peer, ConnectError> {
        let supported = format!("memcached {} or later", dotted(OLDEST_VERSION));
        let Some(text) = &self.version else {
            return unsuitable(format!("its `stats` has no version: use {supported}, without a proxy"));
        };
        let Some(version) = parse_version(text) else {
            return unsuitable(format!(
                "its version, {}, is not one of memcached's: use {supported}, without a proxy",
                quoted(text.as_bytes())
            ));
        };
        if version < OLDEST_VERSION {
            return unsuitable(format!(
                "it runs memcached {}, which cannot delete by CAS, so no lock could be released there: upgrade it to \
                 {supported}",
                Shown::new(text)
            ));
        }
        if self.is_proxy {
            return unsuitable(
                "it is memcached's own proxy (its `stats settings` says `proxy_enabled yes`), which sends the commands \
                 on to several servers: list those by addresses of their own",
            );
        }
        match self.cas {
            Some(true) => {}
            Some(false) => {
                return unsuitable(
                    "it was started with -C (--disable-cas), and without CAS no lock can be released safely: start it \
                     without that option",
                );
            }
            None => {
                return unsuitable(
                    "its `stats settings` does not say whether CAS is on: connect to memcached itself, not through a \
                     proxy",
                );
            }
        }
        let started = self
            .time
            .zip(self.uptime)
            .and_then(|(time, uptime)| Some((time.checked_sub(uptime)?, uptime)));
        let (Some((start, uptime)), Some(pid)) = (started, self.pid) else {
            return unsuitable(
                "its `stats` lacks the time, the uptime or the pid, which show that a server was restarted: connect to \
                 memcached itself, not through a proxy",
            );
        };
        let instance = Instance { start, pid };
        if uptime < YOUNGEST_SERVER {
            return Err(ConnectError::TooYoung(instance));
        }
        Ok(Peer {
            instance,
            version,
            opaque_on_miss: version >= OPAQUE_ON_MISS,
            evicts: self.evicts,
        })
    }

    /// The message for a line that is not a statistic.
    fn refusal(&self, line: &[u8]) -> String {
        let command = if self.ends == 0 { "stats" } else { "stats settings" };
        let reply = quoted(line);
        if line.starts_with(b"ERROR Too many open connections") {
            format!("it has no connection left ({reply}): start memcached with a higher -c, or use fewer clients")
        } else if line.starts_with(b"CLIENT_ERROR unauthenticated") {
            format!("it asks for authentication ({reply}), which memlock does not have yet: start it without -Y")
        } else if line.starts_with(b"ERROR") || line.starts_with(b"CLIENT_ERROR") || line.starts_with(b"SERVER_ERROR") {
            format!(
                "it refused the command `{command}` ({reply}): connect to memcached itself, not through a proxy such \
                 as twemproxy, and allow that command"
            )
        } else {
            format!("it does not speak memcached's text protocol: it answered {reply} to `{command}`")
        }
    }
}

fn unsuitable<T>(message: impl Into<String>) -> Result<T, ConnectError> {
    Err(Failure::new(message).into())
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

/// Writes a version as `stats` does.
pub(crate) fn dotted([major, minor, patch]: [u32; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies of a suitable server.
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

    fn read(lines: &[&str]) -> Result<Peer, ConnectError> {
        let mut handshake = Handshake::default();
        let mut is_complete = false;
        for line in lines {
            assert!(!is_complete, "lines after the last");
            is_complete = handshake.read_line(line.as_bytes())?;
        }
        assert!(is_complete, "no last line");
        handshake.peer()
    }

    fn read_with(replaced: &str, by: &str) -> Result<Peer, ConnectError> {
        let lines: Vec<&str> = GOOD
            .iter()
            .map(|line| if *line == replaced { by } else { *line })
            .collect();
        read(&lines)
    }

    fn message(outcome: Result<Peer, ConnectError>) -> String {
        match outcome {
            Err(ConnectError::Failed(failure)) => failure.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_suitable_server_is_identified_by_its_start_and_pid() {
        let instance = Instance {
            start: 1_800_000_000,
            pid: 77,
        };
        let peer = Peer {
            instance,
            version: [1, 6, 18],
            opaque_on_miss: true,
            evicts: true,
        };
        assert_eq!(read(&GOOD).expect("suitable"), peer);
        for (line, case) in [
            ("STAT evictions off", "-M"),
            ("STAT x y", "not said"),
            ("STAT proxy_enabled no", "not said"),
        ] {
            let peer = read_with("STAT evictions on", line).expect("suitable");
            assert!(!peer.evicts, "{case}");
        }
        assert_eq!(
            read_with("STAT version 1.6.18", "STAT version 1.6.17").expect("suitable"),
            Peer {
                version: [1, 6, 17],
                opaque_on_miss: false,
                ..peer
            }
        );
        for (newer, version) in [
            ("1.6.45", [1, 6, 45]),
            ("1.6.18-beta1", [1, 6, 18]),
            ("1.7.0", [1, 7, 0]),
            ("2.0.0", [2, 0, 0]),
            ("1.6.20_3", [1, 6, 20]),
        ] {
            let line = format!("STAT version {newer}");
            let read = read_with("STAT version 1.6.18", &line).expect("suitable");
            assert_eq!(read, Peer { version, ..peer });
        }
    }

    #[test]
    fn servers_on_which_locks_are_not_safe_are_refused_with_advice() {
        for (replaced, by, part) in [
            ("STAT version 1.6.18", "STAT version 1.5.22", "upgrade"),
            ("STAT version 1.6.18", "STAT version 1.6.9", "upgrade"),
            (
                "STAT version 1.6.18",
                "STAT version 1.6.12",
                "memcached 1.6.13 or later",
            ),
            (
                "STAT version 1.6.18",
                "STAT version dragonfly",
                "memcached 1.6.13 or later",
            ),
            ("STAT version 1.6.18", "STAT x y", "memcached 1.6.13 or later"),
            ("STAT cas_enabled yes", "STAT cas_enabled no", "-C"),
            ("STAT cas_enabled yes", "STAT x y", "proxy"),
            ("STAT evictions on", "STAT proxy_enabled yes", "memcached's own proxy"),
            ("STAT time 1800000100", "STAT time 99", "proxy"),
            ("STAT time 1800000100", "STAT time -1", "proxy"),
            ("STAT uptime 100", "STAT uptime", "proxy"),
            ("STAT pid 77", "STAT pid 4294967296", "proxy"),
            ("STAT pid 77", "ERROR Too many open connections", "-c"),
            ("STAT pid 77", "CLIENT_ERROR unauthenticated", "authentication"),
            ("STAT evictions on", "SERVER_ERROR no", "`stats settings`"),
            ("STAT pid 77", "ERROR", "twemproxy"),
            ("STAT pid 77", "HTTP/1.1 400 Bad Request", "does not speak"),
            ("STAT pid 77", "", "does not speak"),
            ("STAT pid 77", "\u{1}\u{2}", "\\u{1}\\u{2}"),
        ] {
            let text = message(read_with(replaced, by));
            assert!(text.contains(part), "{by}: {text}");
        }
    }

    #[test]
    fn a_server_that_has_just_started_is_not_used_yet() {
        match read_with("STAT uptime 100", "STAT uptime 3") {
            Err(ConnectError::TooYoung(instance)) => assert_eq!(
                instance,
                Instance {
                    start: 1_800_000_097,
                    pid: 77
                }
            ),
            other => panic!("{other:?}"),
        }
        assert!(read_with("STAT uptime 100", "STAT uptime 4").is_ok());
    }
}
