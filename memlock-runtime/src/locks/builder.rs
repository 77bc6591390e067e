//! Settings: from the environment and from code, checked when they are made. A wrong one is an error that names it.

use std::env::VarError;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Locks, Settings};
use crate::driver::core::Core;
use crate::driver::wake::{WakeSocket, is_host};
use crate::error::{Error, OnUnavailable};
use crate::hold::options::checked;
use crate::protocol::lease::LONGEST_TIMEOUT;
use crate::store::Store;
use crate::store::memcached::{Listed, Memcached, ServerList};
use crate::store::memory::Memory;
use crate::system::clock::Clock;
use crate::system::process::PerProcess;
use crate::system::random;
use crate::text::shown::Shown;

/// The variables that name the servers; the second is the one of the Python package that memlock descends from.
const VARIABLES: [&str; 2] = ["MEMLOCK_SERVERS", "MEMCACHEDLOCK_SERVERS"];

/// The variable that says where waiters can be woken.
const WAKE_VARIABLE: &str = "MEMLOCK_WAKE";

/// The server when nothing names one.
const DEFAULT_SERVERS: &str = "127.0.0.1:11211";

/// How long one exchange may take, connecting included: a hundred times what a local network needs, three round trips (two to
/// connect, one to ask) to a server 100 ms away, and one packet that was lost, which is sent again after 200 ms. It is also what a
/// call that waits for nobody may take, so it is short enough that a caller learns soon of a server that is down.
const DEFAULT_EXCHANGE_TIMEOUT: Duration = Duration::from_millis(300);

/// The lifetime of a lock, as in the original.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause between two looks, as in the original.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(50);

/// The longest prefix of item names: they must leave room for names and keys within memcached's 250 bytes.
const LONGEST_PREFIX: usize = 32;

/// The longest label: it goes into every item.
const LONGEST_LABEL: usize = 200;

/// Settings for [`Locks`]. Nothing is contacted before the first lock is asked for.
///
/// ```
/// # fn main() -> Result<(), memlock_runtime::Error> {
/// let locks = memlock_runtime::Locks::builder()
///     .servers("10.0.0.1:11211, 10.0.0.2:11211")
///     .timeout(std::time::Duration::from_secs(10))
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "nothing is made before `build`"]
pub struct Builder {
    servers: Option<ServerList>,
    prefix: String,
    timeout: Duration,
    interval: Duration,
    exchange_timeout: Duration,
    label: Option<String>,
    on_unavailable: Option<OnUnavailable>,
    wake: Option<SocketAddr>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            servers: None,
            prefix: "memlock".to_owned(),
            timeout: DEFAULT_TIMEOUT,
            interval: DEFAULT_INTERVAL,
            exchange_timeout: DEFAULT_EXCHANGE_TIMEOUT,
            label: None,
            on_unavailable: None,
            wake: None,
        }
    }

    /// The servers, separated by commas: `host:port` (port 11211 if left out), `unix:/path/to/socket`, or `memory:`
    /// alone for a store inside this `Locks`, which excludes only the threads that share it.
    ///
    /// All processes that exclude each other must use the same list, in the same spelling (the order is free): each
    /// key is kept by one server of the list. Without this, the environment's: `MEMLOCK_SERVERS`, else
    /// `MEMCACHEDLOCK_SERVERS`, else `127.0.0.1:11211`.
    ///
    /// An entry with a user and a password is refused for now; no error and no `Debug` output repeats them.
    pub fn servers(mut self, servers: impl Into<String>) -> Builder {
        self.servers = Some(ServerList::new(servers));
        self
    }

    /// The first part of item names on the server, `memlock` by default: letters, digits, `.`, `_` and `-`, at most 32.
    /// Those with different prefixes do not exclude each other.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Builder {
        self.prefix = prefix.into();
        self
    }

    /// The lifetime of locks that do not say otherwise; 30 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout;
        self
    }

    /// The longest pause between two looks at a held lock by the process that is next, where nothing else is said; 50 ms by
    /// default. Processes that stand in line behind it look up to four times as seldom.
    pub fn interval(mut self, interval: Duration) -> Builder {
        self.interval = interval;
        self
    }

    /// The longest that one exchange with a server may take, connecting included; 300 ms by default. A server that does
    /// not answer within it is asked once more on a new connection, and then counts as unavailable.
    ///
    /// A call that has a `wait` ends within `wait` and this together: `wait` is for other holders, this is for the server. So a call
    /// with `wait = 0` asks once. Set it higher where the server is more than 100 ms away: connecting takes two round trips, and
    /// asking one or two.
    pub fn exchange_timeout(mut self, limit: Duration) -> Builder {
        self.exchange_timeout = limit;
        self
    }

    /// The name of this process in the items that it holds, for people who look for a holder. By default `host/pid`; empty
    /// to tell nothing.
    pub fn holder_label(mut self, label: impl Into<String>) -> Builder {
        self.label = Some(label.into());
        self
    }

    /// What annotated functions do when the server cannot be asked and they do not say otherwise. Without this, those
    /// that can report the error do, and the others run unlocked.
    pub fn on_unavailable(mut self, policy: OnUnavailable) -> Builder {
        self.on_unavailable = Some(policy);
        self
    }

    /// Waiters of this process can be woken when a lock becomes free: the process that releases it sends a UDP datagram to the
    /// first in line. `address` is this machine's, at which the others reach it; port 0 stands for any that is free. Without
    /// this, the environment's `MEMLOCK_WAKE`; and without that, waiters only poll.
    ///
    /// It is worth it where locks go from process to process all the time: the next is in sooner, and asks the server less.
    /// A datagram is a hint: one that is lost costs the time until the next look. It is understood only with a secret that
    /// stands on the memcached server, so that one who cannot read there wakes nobody. All processes are to set it: only they
    /// send datagrams, too. Addresses on loopback, or of one network segment, are called only by processes whose own is one.
    ///
    /// The addresses stand on the memcached server, too, where others may write. So an address that does not answer (to a number
    /// that a datagram carries) gets no more than 100 datagrams a second of these locks, together with all others that do not.
    pub fn wake(mut self, address: SocketAddr) -> Builder {
        self.wake = Some(address);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the setting (or variable) and the part of it that is wrong.
    pub fn build(mut self) -> Result<Locks, Error> {
        let timeout = checked("timeout", self.timeout, LONGEST_TIMEOUT)?;
        let interval = checked("interval", self.interval, LONGEST_TIMEOUT)?;
        let exchange_timeout = checked("exchange_timeout", self.exchange_timeout, Duration::from_secs(60))?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.prefix.is_empty() || self.prefix.len() > LONGEST_PREFIX || !self.prefix.bytes().all(is_plain) {
            return Err(Error::config(format!(
                "prefix `{}` is not usable: give 1 to {LONGEST_PREFIX} letters, digits, `.`, `_` or `-`",
                Shown::new(&self.prefix)
            )));
        }
        if self.label.as_ref().is_some_and(|label| label.len() > LONGEST_LABEL) {
            return Err(Error::config(format!(
                "`holder_label` is too long: give at most {LONGEST_LABEL} bytes"
            )));
        }
        let (origin, servers) = match self.servers.take() {
            Some(servers) => ("servers".to_owned(), servers),
            None => servers_from_environment()?,
        };
        let store = store(&origin, &servers, &self.prefix)?;
        let wake_socket = wake_socket(self.wake)?;
        Ok(Locks::new(
            Core::new(store, exchange_timeout, wake_socket)?,
            self.settings(timeout, interval),
        ))
    }

    /// The same settings over a server in memory, on a clock that can be moved.
    pub(crate) fn in_memory(self) -> (Locks, Arc<Clock>, Arc<Memory>) {
        let clock: Arc<Clock> = Arc::default();
        let memory = Arc::new(Memory::on(Arc::clone(&clock)));
        let core = Core::on(Arc::clone(&clock), Box::new(Arc::clone(&memory)), self.exchange_timeout);
        let (timeout, interval) = (self.timeout, self.interval);
        (Locks::new(core, self.settings(timeout, interval)), clock, memory)
    }

    fn settings(self, timeout: Duration, interval: Duration) -> Settings {
        Settings {
            prefix: self.prefix,
            timeout,
            interval,
            label: self.label.unwrap_or_else(host_and_process).into(),
            on_unavailable: self.on_unavailable,
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("servers", &self.servers)
            .field("prefix", &Shown::new(&self.prefix))
            .field("timeout", &self.timeout)
            .field("interval", &self.interval)
            .field("exchange_timeout", &self.exchange_timeout)
            .field("label", &self.label.as_ref().map(Shown::new))
            .field("on_unavailable", &self.on_unavailable)
            .field("wake", &self.wake)
            .finish()
    }
}

/// The socket on which other processes wake this one, if it is configured.
fn wake_socket(address: Option<SocketAddr>) -> Result<Option<WakeSocket>, Error> {
    let address = match (address, std::env::var(WAKE_VARIABLE)) {
        (Some(address), _) => address,
        (None, Err(VarError::NotPresent)) => return Ok(None),
        (None, Err(VarError::NotUnicode(_))) => return Err(not_unicode(WAKE_VARIABLE)),
        (None, Ok(text)) => text.parse().map_err(|_| {
            Error::config(format!(
                "{WAKE_VARIABLE}: `{}` is no address: give this machine's, as others reach it, such as `10.0.0.7:0`",
                Shown::new(&text)
            ))
        })?,
    };
    if !is_host(address.ip()) {
        return Err(Error::config(format!(
            "`wake`: nobody can be called at {address}: give this machine's address, as others reach it"
        )));
    }
    let wake_socket = WakeSocket::open(address, random::secret()?, (random::secret()?, random::secret()?));
    let wake_socket = wake_socket.map_err(|error| Error::config(format!("`wake`: no socket at {address}: {error}")))?;
    Ok(Some(wake_socket))
}

fn not_unicode(variable: &str) -> Error {
    Error::config(format!("the environment variable {variable} is not UTF-8 text"))
}

/// The servers, and the variable that names them.
fn servers_from_environment() -> Result<(String, ServerList), Error> {
    for variable in VARIABLES {
        match std::env::var(variable) {
            Ok(servers) => return Ok((variable.to_owned(), ServerList::new(servers))),
            Err(VarError::NotPresent) => {}
            Err(VarError::NotUnicode(_)) => return Err(not_unicode(variable)),
        }
    }
    Ok(("default servers".to_owned(), ServerList::new(DEFAULT_SERVERS)))
}

/// The store on the servers that `origin` named.
fn store(origin: &str, list: &ServerList, prefix: &str) -> Result<Box<dyn Store>, Error> {
    match list.parse() {
        Ok(Listed::InProcess) => Ok(Box::new(Memory::new())),
        Ok(Listed::Servers(servers)) => Ok(Box::new(Memcached::new(servers, prefix))),
        Err(wrong) => Err(Error::config(format!("{origin}: {wrong}"))),
    }
}

fn host_and_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .unwrap_or_else(|_| "unknown-host".to_owned());
    format!("{}/{}", host.trim(), std::process::id())
}

/// The process-wide locks.
pub(crate) static DEFAULT: PerProcess<Locks> = PerProcess::new();

/// Installs the process-wide locks, which annotated functions use that name no others. Without it the first of them
/// builds the locks from the environment.
///
/// A child that was forked finds those of its parent, which it cannot use, until it calls this itself.
///
/// # Errors
///
/// [`Error::Config`] when they are already there: it was called twice in this process, or after the first use.
pub fn init(locks: Locks) -> Result<(), Error> {
    DEFAULT.here().set(locks).map_err(|_| {
        Error::config("init() came too late: the process-wide locks are already in use; call it first thing in main()")
    })
}

impl Locks {
    /// Settings to build from.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The locks that the environment describes: see [`Builder::servers`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] names the variable and the part of it that is wrong.
    pub fn from_env() -> Result<Locks, Error> {
        Builder::new().build()
    }

    /// The process-wide ones.
    pub(crate) fn process_wide() -> Result<&'static Locks, Error> {
        // A parent's count, too: whether it built them with the settings of this environment is not known. Using them says that they
        // are a parent's.
        match DEFAULT.latest() {
            Some(locks) => Ok(locks),
            None => DEFAULT.here().get_or_try_init(Locks::from_env),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(builder: Builder) -> String {
        match builder.build() {
            Err(error) if error.is_config() => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        let builder = || Builder::new().servers("memory:");
        for (message, parts) in [
            (message(builder().timeout(Duration::ZERO)), ["`timeout`", "zero"]),
            (
                message(builder().timeout(LONGEST_TIMEOUT * 2)),
                ["`timeout`", "at most"],
            ),
            (
                message(builder().wake(SocketAddr::from(([0, 0, 0, 0], 0)))),
                ["`wake`", "as others reach it"],
            ),
            (
                message(builder().wake(SocketAddr::from(([224, 0, 0, 1], 7)))),
                ["`wake`", "224.0.0.1:7"],
            ),
            (
                // A documentation address: no machine has it.
                message(builder().wake(SocketAddr::from(([192, 0, 2, 1], 0)))),
                ["`wake`", "no socket at 192.0.2.1"],
            ),
            (message(builder().interval(Duration::ZERO)), ["`interval`", "zero"]),
            (message(builder().prefix("a b")), ["prefix `a b`", "letters"]),
            (message(builder().prefix("")), ["prefix", "letters"]),
            (message(builder().servers("")), ["servers", "empty"]),
            (message(builder().servers("a:1,,b:1")), ["servers", "empty"]),
            (message(builder().servers("memory:,a:1")), ["`memory:`", "alone"]),
            (message(builder().servers("a:1, A:1")), ["`A:1`", "twice"]),
            (message(builder().servers("a:port")), ["a:port", "servers"]),
            (
                message(builder().servers("10.0.0.1:1 10.0.0.2:1")),
                ["10.0.0.1:1 10.0.0.2:1", "commas"],
            ),
            (
                message(builder().holder_label("x".repeat(300))),
                ["holder_label", "200"],
            ),
        ] {
            for part in parts {
                assert!(message.contains(part), "{message:?} does not say {part:?}");
            }
        }
    }

    #[test]
    fn no_error_and_no_debug_output_repeats_a_password() {
        for list in [
            "user:secret@cache:1",
            "memcache://user:secret@cache:1",
            "memcache+tls://user:secret@cache:1",
            "a:1, user:secret@cache:1, b:1",
            "a:1,user:pass,secret@cache:1",
            "user:1,secret@cache:1",
            "user:pass secret@cache:1",
            "user:secret:1@x@cache:1",
            "user%3Asecret%40cache:1",
            "user:secret@",
            "u:secret@a:1,u:secret@cache:1",
            "a:port,u:secret@cache:1",
            "a:1,a:1,u:secret@cache:1",
            "unix:relative,u:secret@cache:1",
        ] {
            let builder = Builder::new().servers(list);
            let debug = format!("{builder:?} {builder:#?}");
            let error = builder.build().expect_err(list);
            for text in [debug, error.to_string(), format!("{error:?} {error:#?}")] {
                assert!(!text.contains("secret") && !text.contains("pass,"), "{list}: {text}");
                assert!(text.contains("…@"), "{list}: {text}");
                assert!(text.contains("cache:1") || list == "user:secret@", "{list}: {text}");
            }
        }
    }

    #[test]
    fn a_password_without_a_host_is_not_taken_for_a_port() {
        for list in [
            "memcache://user:secret",
            "a:1, memcache+tls://user:secret",
            "memcache://user:secret x",
        ] {
            let builder = Builder::new().servers(list);
            let debug = format!("{builder:?}");
            for text in [debug, message(builder)] {
                assert!(!text.contains("secret") && text.contains("://…"), "{text}");
            }
        }
    }

    #[test]
    fn what_settings_hold_is_shown_escaped_and_short() {
        let evil = format!("a\u{1b}[2J\r\u{202e}{}", "x".repeat(60_000));
        let builder = |servers: &str| Builder::new().servers(servers);
        let strange = builder(&evil).prefix(&*evil).holder_label(&*evil);
        for text in [
            format!("{strange:?}"),
            message(builder(&evil)),
            message(builder(&format!("b:1,{evil}"))),
            message(builder(&format!("a b {evil}"))),
            message(builder(&format!("unix:/{evil},unix:/{evil}"))),
            message(builder("memory:").prefix(&*evil)),
        ] {
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text}");
            assert!(text.contains("\\u{1b}[2J\\r\\u{202e}") && text.len() < 2000, "{text}");
        }
    }

    #[test]
    fn nothing_is_contacted_by_building() {
        assert!(
            Builder::new()
                .servers("203.0.113.1:11211, unix:/nowhere")
                .build()
                .is_ok()
        );
    }
}
