//! [`Builder`]: the settings of locks, from code and from the environment. [`Builder::build`] checks them.

use std::env::VarError;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Locks, Settings};
use crate::driver::core::Core;
use crate::driver::wake::{WakeSocket, is_host};
use crate::error::{Error, OnUnavailable};
use crate::hold::options::check_duration;
use crate::protocol::lease::LONGEST_TIMEOUT;
use crate::store::Store;
use crate::store::memcached::{Listed, Memcached, ServerList};
use crate::store::memory::Memory;
use crate::system::clock::Clock;
use crate::system::process::PerProcess;
use crate::system::random;
use crate::text::shown::Shown;

/// The variables that name the servers. The second is that of the Python package from which memlock descends.
const VARIABLES: [&str; 2] = ["MEMLOCK_SERVERS", "MEMCACHEDLOCK_SERVERS"];

/// The variable with the address at which other processes wake this one.
const WAKE_VARIABLE: &str = "MEMLOCK_WAKE";

/// The server if nothing names one.
const DEFAULT_SERVERS: &str = "127.0.0.1:11211";

/// The limit of one exchange, connecting included. It is a hundred times what a local network needs. It suffices for
/// three round trips (two to connect, one to ask) to a server 100 ms away, and for one lost packet, which is sent again
/// after 200 ms. It also limits a call with `wait = 0`, so it is short enough that a caller soon learns that a server
/// is down.
const DEFAULT_EXCHANGE_TIMEOUT: Duration = Duration::from_millis(300);

/// The lifetime of a lock, as in the Python package.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause between two looks, as in the Python package.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(50);

/// The longest prefix of item names. It leaves room for names and keys within memcached's 250 bytes.
const LONGEST_PREFIX: usize = 32;

/// The longest label, which is part of every item.
const LONGEST_LABEL: usize = 200;

/// The settings of [`Locks`]. No server is contacted before a lock is asked for.
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

    /// Sets the servers, separated by commas: `host:port` (port 11211 if left out), `unix:/path/to/socket`, or
    /// `memory:` alone for a store inside this `Locks`, which excludes only the threads that share it.
    ///
    /// All processes that exclude each other must use the same list, in the same spelling (the order is free), since
    /// one server of the list keeps each key. The default is `MEMLOCK_SERVERS` from the environment, else
    /// `MEMCACHEDLOCK_SERVERS`, else `127.0.0.1:11211`.
    ///
    /// An entry with a user and a password is refused for now. No error and no `Debug` output shows them.
    pub fn servers(mut self, servers: impl Into<String>) -> Builder {
        self.servers = Some(ServerList::new(servers));
        self
    }

    /// Sets the first part of item names on the server, `memlock` by default: at most 32 letters, digits, `.`, `_` and
    /// `-`. Locks with different prefixes do not exclude each other.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Builder {
        self.prefix = prefix.into();
        self
    }

    /// Sets the lifetime of locks that have no `timeout` of their own. The default is 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout;
        self
    }

    /// Sets the longest pause between two looks at a held lock by the process that is next, for locks that have no
    /// `interval` of their own. The default is 50 ms. Processes in line behind it look up to four times less often.
    pub fn interval(mut self, interval: Duration) -> Builder {
        self.interval = interval;
        self
    }

    /// Sets the limit of one exchange with a server, connecting included. The default is 300 ms. A server that does not
    /// answer within it is asked once more on a new connection, and then counts as unavailable.
    ///
    /// A call with a `wait` ends within `wait` and this limit together: `wait` is for other holders, and this is for
    /// the server. So a call with `wait = 0` asks once. Use a higher limit if the server is more than 100 ms away:
    /// connecting takes two round trips, and asking one or two.
    pub fn exchange_timeout(mut self, limit: Duration) -> Builder {
        self.exchange_timeout = limit;
        self
    }

    /// Sets the name of this process in the items that it holds, for people who look for a holder. The default is
    /// `host/pid`. An empty label reveals nothing.
    pub fn holder_label(mut self, label: impl Into<String>) -> Builder {
        self.label = Some(label.into());
        self
    }

    /// Sets what annotated functions without an `on_unavailable` of their own do if the server cannot be asked. By
    /// default, functions that can report the error do, and others run unlocked.
    pub fn on_unavailable(mut self, policy: OnUnavailable) -> Builder {
        self.on_unavailable = Some(policy);
        self
    }

    /// Lets other processes wake the waiters of this process: a process that releases a lock sends a UDP datagram to
    /// the first in line. `address` is the address at which other processes reach this machine; port 0 stands for any
    /// free port. The default is `MEMLOCK_WAKE` from the environment. Without both, waiters only poll.
    ///
    /// This is worth it if locks often go from process to process: the next process gets the lock sooner, and asks the
    /// server less often. A datagram is a hint: if it is lost, the waiter finds out at its next look. A datagram must
    /// carry a secret from the memcached server, so only processes that can read there wake others. Set this in all
    /// processes, since only processes with an address send datagrams. Only processes with a loopback address send
    /// datagrams to loopback addresses, and likewise for addresses of one network segment.
    ///
    /// The addresses are stored on the memcached server, too, where others may write. So these locks send at most 100
    /// datagrams a second to all addresses together that do not answer (with a number that a datagram carries).
    pub fn wake(mut self, address: SocketAddr) -> Builder {
        self.wake = Some(address);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], which names the setting (or variable) and the part of it that is wrong.
    pub fn build(mut self) -> Result<Locks, Error> {
        check_duration("timeout", self.timeout, LONGEST_TIMEOUT)?;
        check_duration("interval", self.interval, LONGEST_TIMEOUT)?;
        check_duration("exchange_timeout", self.exchange_timeout, Duration::from_secs(60))?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.prefix.is_empty() || self.prefix.len() > LONGEST_PREFIX || !self.prefix.bytes().all(is_plain) {
            return Err(Error::config(format!(
                "prefix `{}` is not usable: use 1 to {LONGEST_PREFIX} letters, digits, `.`, `_` or `-`",
                Shown::new(&self.prefix)
            )));
        }
        if self.label.as_ref().is_some_and(|label| label.len() > LONGEST_LABEL) {
            return Err(Error::config(format!(
                "`holder_label` is too long: use at most {LONGEST_LABEL} bytes"
            )));
        }
        let (origin, servers) = match self.servers.take() {
            Some(servers) => ("servers".to_owned(), servers),
            None => servers_from_environment()?,
        };
        let store = store(&origin, &servers, &self.prefix)?;
        let wake_socket = wake_socket(self.wake)?;
        let core = Core::new(store, self.exchange_timeout, wake_socket)?;
        Ok(Locks::new(core, self.settings()))
    }

    /// Locks with these settings on a server in memory, and on a clock that tests move.
    pub(crate) fn in_memory(self) -> (Locks, Arc<Clock>, Arc<Memory>) {
        let clock: Arc<Clock> = Arc::default();
        let memory = Arc::new(Memory::on(Arc::clone(&clock)));
        let core = Core::on(Arc::clone(&clock), memory.clone(), self.exchange_timeout);
        (Locks::new(core, self.settings()), clock, memory)
    }

    fn settings(self) -> Arc<Settings> {
        Arc::new(Settings {
            prefix: self.prefix,
            timeout: self.timeout,
            interval: self.interval,
            label: self.label.unwrap_or_else(host_and_process).into(),
            on_unavailable: self.on_unavailable,
        })
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

/// Opens the socket on which other processes wake this one, if it is configured.
fn wake_socket(address: Option<SocketAddr>) -> Result<Option<WakeSocket>, Error> {
    let address = match (address, std::env::var(WAKE_VARIABLE)) {
        (Some(address), _) => address,
        (None, Err(VarError::NotPresent)) => return Ok(None),
        (None, Err(VarError::NotUnicode(_))) => return Err(not_unicode(WAKE_VARIABLE)),
        (None, Ok(text)) => text.parse().map_err(|_| {
            Error::config(format!(
                "{WAKE_VARIABLE}: `{}` is not an address: use this machine's, as others reach it, such as `10.0.0.7:0`",
                Shown::new(&text)
            ))
        })?,
    };
    if !is_host(address.ip()) {
        return Err(Error::config(format!(
            "`wake`: {address} is not the address of a machine: use this machine's, as others reach it"
        )));
    }
    let wake_socket = WakeSocket::open(address, random::secret()?, (random::secret()?, random::secret()?));
    let wake_socket = wake_socket.map_err(|error| Error::config(format!("`wake`: no socket at {address}: {error}")))?;
    Ok(Some(wake_socket))
}

fn not_unicode(variable: &str) -> Error {
    Error::config(format!(
        "the environment variable {variable} is not UTF-8 text: set it to UTF-8 text, or unset it"
    ))
}

/// Returns the variable that names the servers, and the servers.
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

/// Makes the store on the servers of `list`, which `origin` named.
fn store(origin: &str, list: &ServerList, prefix: &str) -> Result<Arc<dyn Store>, Error> {
    match list.parse() {
        Ok(Listed::InProcess) => Ok(Arc::new(Memory::new())),
        Ok(Listed::Servers(servers)) => Ok(Arc::new(Memcached::new(servers, prefix))),
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

/// Installs the process-wide locks, for annotated functions that name no others. Without this, the first call of such a
/// function builds them from the environment.
///
/// A forked child finds the locks of its parent, which it cannot use. It must call this itself.
///
/// # Errors
///
/// [`Error::Config`] if this process already has process-wide locks: this was called before, or after their first use.
pub fn init(locks: Locks) -> Result<(), Error> {
    DEFAULT.here().set(locks).map_err(|_| {
        Error::config(
            "`init` was called too late: the process-wide locks are already in use; call it at the start of `main`",
        )
    })
}

impl Locks {
    /// Returns a builder with the default settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Builds locks with the settings of the environment: see [`Builder::servers`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] names the variable and the part of it that is wrong.
    pub fn from_env() -> Result<Locks, Error> {
        Builder::new().build()
    }

    /// Returns the process-wide locks.
    pub(crate) fn process_wide() -> Result<&'static Locks, Error> {
        // These may be a parent's, which fail when they are used. Locks from this environment might differ from those
        // that the parent installed.
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
    fn errors_name_the_setting_that_is_wrong() {
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
                // An address for documentation, which no machine has.
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
    fn no_error_and_no_debug_output_shows_a_password() {
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
    fn errors_and_debug_output_show_settings_escaped_and_short() {
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
    fn building_contacts_no_server() {
        assert!(
            Builder::new()
                .servers("203.0.113.1:11211, unix:/nowhere")
                .build()
                .is_ok()
        );
    }
}
