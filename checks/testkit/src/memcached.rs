//! A memcached process: started, paused, killed, restarted, and never left behind.

use crate::until::wait_for;
use crate::watchdog::Watchdog;
use crate::{signal, unused_port};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};
use std::time::Duration;
use std::{env, fs, panic};

/// How many items memlock leaves on a server when no lock is held: the clock item, and the counter of tokens.
pub const ITEMS_THAT_STAY: u64 = 2;

/// The uptime from which on memlock grants locks on a server. memcached's uptime begins at 2.
const GROWN_UP: u64 = 4;
/// How long a server may take until it answers. A start takes milliseconds, but much longer on a machine that is busy
/// with builds.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long one exchange with the server may take.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(2);
/// How many ports are tried. A port fails only if another process takes it within a millisecond.
const PORTS: usize = 20;

/// The environment variable that names the memcached to start instead of the one on the PATH.
const PROGRAM: &str = "MEMLOCK_TESTKIT_MEMCACHED";

const MISSING: &str = "memcached is not installed: run \"cargo xtask setup\" or install it with your package manager \
                       (apt-get install memcached)";

/// A memcached process on a free loopback port, or on a socket file. It is killed when the handle is dropped, and when
/// this process dies in any other way.
///
/// The program is the `memcached` on the PATH, or the one that the environment variable `MEMLOCK_TESTKIT_MEMCACHED`
/// names. The message of every later panic in this process contains its version.
///
/// ```no_run
/// let server = memlock_testkit::Memcached::start();
/// println!("MEMLOCK_SERVERS={}", server.address());
/// ```
#[derive(Debug)]
pub struct Memcached {
    endpoint: Endpoint,
    arguments: Vec<String>,
    /// `None` after [`Memcached::kill`].
    process: Mutex<Option<Process>>,
}

#[derive(Clone, Debug)]
enum Endpoint {
    Port(u16),
    Socket(PathBuf),
}

/// Fields drop in order, so that the watchdog ends before the child is reaped.
#[derive(Debug)]
struct Process {
    watchdog: Option<Watchdog>,
    child: Child,
}

/// Why a server did not start.
enum Failed {
    /// Another server has the address.
    Taken,
    /// It ended by itself.
    Ended(ExitStatus, String),
    /// It runs, but does not answer.
    Silent,
}

impl Memcached {
    /// Starts a server and waits until memlock may use it, which takes two seconds: memlock refuses servers that have
    /// just been started.
    ///
    /// # Panics
    ///
    /// When memcached is not installed, or does not start. All functions that start a server panic then.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more arguments, such as `&["-m", "64"]`. They must not contain the address.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        let server = Self::start_young_with(arguments);
        server.wait_until_usable();
        server
    }

    /// Starts a server, and waits only until it answers.
    #[must_use]
    pub fn start_young() -> Self {
        Self::start_young_with(&[])
    }

    /// [`Memcached::start_young`] with more arguments.
    ///
    /// # Panics
    ///
    /// As [`Memcached::start`].
    #[must_use]
    pub fn start_young_with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        for _ in 0..PORTS {
            let endpoint = Endpoint::Port(unused_port());
            match Process::start(&endpoint, &arguments) {
                Ok(process) => {
                    return Self {
                        endpoint,
                        arguments,
                        process: Mutex::new(Some(process)),
                    };
                }
                Err(Failed::Taken) => {}
                Err(failed) => failed.panic(),
            }
        }
        panic!("lost the race for {PORTS} ports; something on this machine takes all of them");
    }

    /// Starts a server that listens on a socket file and on no port, and waits until memlock may use it. The file is
    /// removed when the handle is dropped.
    #[must_use]
    pub fn start_on_socket(path: impl Into<PathBuf>) -> Self {
        let endpoint = Endpoint::Socket(path.into());
        let process = Process::start(&endpoint, &[]).unwrap_or_else(|failed| failed.panic());
        let server = Self {
            endpoint,
            arguments: Vec::new(),
            process: Mutex::new(Some(process)),
        };
        server.wait_until_usable();
        server
    }

    /// The server that the tests of one binary share. It is started by the first call, and stopped when the last handle
    /// is dropped. Tests that pause, kill or flush a server start one of their own.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Memcached>> = Mutex::new(Weak::new());
        // A panic during the start leaves an empty reference, from which the next call starts again.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// The address for `MEMLOCK_SERVERS`: `127.0.0.1:PORT` or `unix:/path`.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.endpoint {
            Endpoint::Port(port) => format!("127.0.0.1:{port}"),
            Endpoint::Socket(path) => format!("unix:{}", path.display()),
        }
    }

    /// The port, which stays the same for the life of the handle.
    ///
    /// # Panics
    ///
    /// For a server on a socket file.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self.endpoint {
            Endpoint::Port(port) => port,
            Endpoint::Socket(_) => panic!("{} has no port", self.address()),
        }
    }

    /// The process id of memcached itself.
    ///
    /// # Panics
    ///
    /// After [`Memcached::kill`].
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process().as_ref().expect("the server has been killed").child.id()
    }

    /// Stops the process (SIGSTOP). Connections stay open, the system accepts new ones, and no answer comes.
    ///
    /// # Panics
    ///
    /// When the server is not running.
    pub fn pause(&self) {
        signal::pause(self.pid());
    }

    /// Resumes the process (SIGCONT).
    ///
    /// # Panics
    ///
    /// When the server is not running.
    pub fn resume(&self) {
        signal::resume(self.pid());
    }

    /// Kills the process (SIGKILL), even if it is paused. Connections break, new ones are refused, and all items are
    /// lost.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Kills the server if it runs, starts it again, empty, at the same address, and waits until memlock may use it.
    ///
    /// # Panics
    ///
    /// When it does not come up again.
    pub fn restart(&self) {
        self.restart_young();
        self.wait_until_usable();
    }

    /// Kills the server if it runs, starts it again at the same address, and waits only until it answers.
    ///
    /// # Panics
    ///
    /// When it does not come up again.
    pub fn restart_young(&self) {
        let mut process = self.process();
        drop(process.take());
        // The old process may occupy the address for a moment longer.
        let started = wait_for(START_LIMIT, || match Process::start(&self.endpoint, &self.arguments) {
            Ok(process) => Some(process),
            Err(Failed::Taken) => None,
            Err(failed) => failed.panic(),
        });
        *process = Some(started.unwrap_or_else(|| panic!("the address {} stays taken", self.address())));
    }

    /// Waits until the server is old enough for memlock to use it.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn wait_until_usable(&self) {
        let usable = wait_for(START_LIMIT, || (self.stat("uptime")? >= GROWN_UP).then_some(()));
        assert!(usable.is_some(), "memcached at {} does not grow older", self.address());
    }

    /// The server's `stats`, read on a new connection.
    ///
    /// # Errors
    ///
    /// When the server does not answer within two seconds.
    pub fn stats(&self) -> io::Result<BTreeMap<String, String>> {
        stats(&self.endpoint)
    }

    /// One number of `stats`, such as `cmd_set`, or `curr_connections`, which counts the connection of this call.
    /// `None` if the server does not answer, or does not know the number.
    #[must_use]
    pub fn stat(&self, name: &str) -> Option<u64> {
        self.stats().ok()?.get(name)?.parse().ok()
    }

    /// Empties the server without touching its connections (`flush_all`).
    ///
    /// # Panics
    ///
    /// When the server does not answer `OK`.
    pub fn flush_all(&self) {
        let answer = exchange(&self.endpoint, "flush_all", |line| Some(line.to_owned()));
        assert!(
            matches!(answer.as_deref(), Ok("OK")),
            "memcached at {} answered flush_all with {answer:?}",
            self.address()
        );
    }

    /// The version of the running server, such as `[1, 6, 18]`, for tests that depend on it.
    ///
    /// # Panics
    ///
    /// When the server does not answer, or its version does not consist of numbers.
    #[must_use]
    pub fn version(&self) -> [u32; 3] {
        let stats = self.stats().expect("memcached answers");
        let text = &stats["version"];
        let numbers: Vec<u32> = text.splitn(3, '.').map_while(leading_number).collect();
        let version = numbers.try_into();
        version.unwrap_or_else(|_| panic!("memcached says that its version is {text:?}"))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
        if let Endpoint::Socket(path) = &self.endpoint {
            // A killed memcached leaves its socket file behind. An error means that the file is missing, which is fine.
            let _ = fs::remove_file(path);
        }
    }
}

impl Process {
    /// Starts memcached and waits until this process, and no other, answers at the address.
    fn start(endpoint: &Endpoint, arguments: &[String]) -> Result<Self, Failed> {
        name_version_in_panics();
        let mut command = Command::new(program());
        match endpoint {
            Endpoint::Port(port) => command.args(["-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()]),
            Endpoint::Socket(path) => command.arg("-s").arg(path),
        };
        if is_root() {
            // memcached runs as root only if it is named as the user.
            command.args(["-u", "root"]);
        }
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());

        let mut watchdog = Watchdog::new();
        let child = command.spawn().unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound if env::var_os(PROGRAM).is_none() => panic!("{MISSING}"),
            _ => panic!("could not run {}: {error}", command.get_program().display()),
        });
        watchdog.guard(child.id());
        let mut process = Self {
            watchdog: Some(watchdog),
            child,
        };
        process.wait_until_answering(endpoint)?;
        // Its messages are not read from here on. memcached ignores SIGPIPE, so it can still write them.
        drop(process.child.stderr.take());
        Ok(process)
    }

    fn wait_until_answering(&mut self, endpoint: &Endpoint) -> Result<(), Failed> {
        let pid = self.child.id().to_string();
        wait_for(START_LIMIT, || {
            if let Some(status) = self.child.try_wait().expect("a child can be asked for its status") {
                return Some(Err(self.obituary(status)));
            }
            let answer = stats(endpoint).ok()?;
            (answer.get("pid") == Some(&pid)).then_some(Ok(()))
        })
        .unwrap_or(Err(Failed::Silent))
    }

    fn obituary(&mut self, status: ExitStatus) -> Failed {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // If this fails, the message of the panic is incomplete.
            let _ = stderr.read_to_string(&mut said);
        }
        if said.contains("failed to listen") || said.contains("already in use") {
            Failed::Taken
        } else {
            Failed::Ended(status, said)
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.watchdog.take());
        // Both can only fail if the process has ended and been reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Failed {
    fn panic(self) -> ! {
        match self {
            Self::Taken => panic!("memcached's address is taken"),
            Self::Ended(status, said) => panic!("memcached ended at once ({status}): {}", said.trim()),
            Self::Silent => panic!("memcached does not answer within {START_LIMIT:?} of its start"),
        }
    }
}

/// The memcached program to start.
fn program() -> OsString {
    env::var_os(PROGRAM).unwrap_or_else(|| "memcached".into())
}

/// The number at the beginning of `text`: some builds append letters.
fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Adds the version of memcached to the message of every panic of this process, since a failure may depend on it.
fn name_version_in_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let version = Command::new(program()).arg("-V").stderr(Stdio::null()).output();
        let version = version.map_or_else(
            |_| String::new(),
            |said| String::from_utf8_lossy(&said.stdout).into_owned(),
        );
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            earlier(panicked);
            eprintln!("note: the server was {} ({})", version.trim(), program().display());
        }));
    });
}

fn stats(endpoint: &Endpoint) -> io::Result<BTreeMap<String, String>> {
    let mut stats = BTreeMap::new();
    exchange(endpoint, "stats", |line| {
        if let Some((name, value)) = line.strip_prefix("STAT ").and_then(|stat| stat.split_once(' ')) {
            stats.insert(name.to_owned(), value.to_owned());
            return None;
        }
        Some(())
    })?;
    Ok(stats)
}

/// Sends one command, and passes the lines of the answer to `last`, until it returns `Some` for the last of them.
fn exchange<T>(endpoint: &Endpoint, command: &str, mut last: impl FnMut(&str) -> Option<T>) -> io::Result<T> {
    let mut connection = connect(endpoint)?;
    connection.write_all(format!("{command}\r\n").as_bytes())?;
    for line in BufReader::new(connection).lines() {
        if let Some(answer) = last(&line?) {
            return Ok(answer);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

fn connect(endpoint: &Endpoint) -> io::Result<Box<dyn Connection>> {
    match endpoint {
        Endpoint::Port(port) => {
            let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), EXCHANGE_LIMIT)?;
            stream.set_read_timeout(Some(EXCHANGE_LIMIT))?;
            stream.set_write_timeout(Some(EXCHANGE_LIMIT))?;
            Ok(Box::new(stream))
        }
        Endpoint::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(EXCHANGE_LIMIT))?;
            stream.set_write_timeout(Some(EXCHANGE_LIMIT))?;
            Ok(Box::new(stream))
        }
    }
}

/// Whether this process runs as root, according to `id`, since the standard library cannot tell.
fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|id| id.stdout.trim_ascii() == b"0")
    })
}
