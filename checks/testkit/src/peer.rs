//! A second process of this program, and line-by-line communication with it.

use crate::signal;
use crate::until::wait_for;
use crate::watchdog::Watchdog;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{env, process, thread};

/// The environment variable that tells a process its role as a peer.
const ROLE: &str = "MEMLOCK_TESTKIT_ROLE";
/// Marks the lines of a peer, since the test harness prints to the same stream, sometimes on the same line.
const MARK: &str = "peer-says: ";

/// This program, started again in another role, for tests that need separate processes.
///
/// A test starts itself again: the new process runs only that test, reads its role, and acts in it.
///
/// ```no_run
/// use memlock_testkit::{Parent, Peer};
/// use std::time::Duration;
///
/// #[test]
/// fn another_process_sees_it() {
///     if let Some(parent) = Parent::of_role("other") {
///         parent.say("ready");
///         return;
///     }
///     let other = Peer::of("other").test("another_process_sees_it").start();
///     assert_eq!(other.expect_line(Duration::from_secs(10)), "ready");
/// }
/// ```
///
/// It is killed and reaped when this is dropped. It is also killed when this process dies in any other way.
#[derive(Debug)]
pub struct Peer {
    role: String,
    watchdog: Option<Watchdog>,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

/// The configuration of a [`Peer`] before its start.
#[derive(Debug)]
pub struct PeerBuilder {
    role: String,
    command: Command,
}

/// The process that started this one, seen from a [`Peer`]. The peer ends when its parent ends.
#[derive(Debug)]
pub struct Parent {
    lines: Receiver<String>,
}

impl PeerBuilder {
    /// Runs only the test with this name, as `cargo test -- --list` shows it. Without this, `main` runs as usual.
    #[must_use]
    pub fn test(mut self, name: &str) -> Self {
        self.command
            .args([name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"]);
        self
    }

    /// Sets a variable of its environment; the others are inherited.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts the process.
    ///
    /// # Panics
    ///
    /// When the system cannot start it.
    #[must_use]
    pub fn start(mut self) -> Peer {
        let mut watchdog = Watchdog::new();
        let mut child = self
            .command
            .env(ROLE, &self.role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start the peer \"{}\": {error}", self.role));
        watchdog.guard(child.id());
        let input = child.stdin.take().expect("its input was asked for");
        let output = child.stdout.take().expect("its output was asked for");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // This thread ends with the peer's output, or with the handle.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once(MARK)
                    && sender.send(said.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Peer {
            role: self.role,
            watchdog: Some(watchdog),
            child,
            input,
            lines,
        }
    }
}

impl Peer {
    /// This program in the role `role`, which the new process asks for with [`Parent::of_role`].
    ///
    /// # Panics
    ///
    /// When the system does not know the path of this program.
    #[must_use]
    pub fn of(role: &str) -> PeerBuilder {
        let program = env::current_exe().expect("the path of this program");
        PeerBuilder {
            role: role.to_owned(),
            command: Command::new(program),
        }
    }

    /// Another program, with `arguments`, in the role `role`, which it asks for with [`Parent::of_role`].
    #[must_use]
    pub fn of_program(program: impl AsRef<OsStr>, arguments: &[&str], role: &str) -> PeerBuilder {
        let mut command = Command::new(program);
        command.args(arguments);
        PeerBuilder {
            role: role.to_owned(),
            command,
        }
    }

    /// Sends a line to the peer, which receives it with [`Parent::hear`].
    ///
    /// # Panics
    ///
    /// When the peer has ended.
    pub fn send(&mut self, line: &str) {
        let sent = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        sent.unwrap_or_else(|error| panic!("the peer \"{}\" does not listen: {error}", self.role));
    }

    /// Waits for the next line from the peer. `None` if none comes within `limit`, or the peer's output has ended.
    #[must_use]
    pub fn next_line(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// Waits for the next line from the peer.
    ///
    /// # Panics
    ///
    /// When none comes within `limit`.
    #[track_caller]
    #[must_use]
    pub fn expect_line(&self, limit: Duration) -> String {
        self.next_line(limit)
            .unwrap_or_else(|| panic!("the peer \"{}\" said nothing within {limit:?}, or has ended", self.role))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the process (SIGSTOP).
    pub fn pause(&self) {
        signal::pause(self.pid());
    }

    /// Resumes the process (SIGCONT).
    pub fn resume(&self) {
        signal::resume(self.pid());
    }

    /// Kills the process (SIGKILL), even if it is paused. Lines that it has sent can still be read.
    pub fn kill(&mut self) {
        drop(self.watchdog.take());
        // Both can only fail if the process has ended and been reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it has ended. Lines that it has sent can still be read.
    ///
    /// # Panics
    ///
    /// When the system does not know its own child.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.status().is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it has not ended within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let status = wait_for(limit, || self.status());
        status.unwrap_or_else(|| panic!("the peer \"{}\" has not ended within {limit:?}", self.role))
    }

    fn status(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child can be asked for its status")?;
        // The process is reaped, so its id may soon belong to another process.
        drop(self.watchdog.take());
        Some(status)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Parent {
    /// The parent of this process, if this process was started as a [`Peer`] in `role`. Call it once only, since the
    /// parent takes over the standard input.
    #[must_use]
    pub fn of_role(role: &str) -> Option<Self> {
        if env::var_os(ROLE)? != role {
            return None;
        }
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                // An error means that the handle was dropped. The thread goes on, to notice the end of the parent.
                let _ = sender.send(line);
            }
            // The parent keeps the pipe open as long as it lives. Without a parent, this process has no purpose.
            process::exit(1);
        });
        Some(Self { lines })
    }

    /// Sends a line to the parent. Ends this process if the parent has ended.
    pub fn say(&self, line: &str) {
        let mut out = io::stdout().lock();
        if writeln!(out, "{MARK}{line}").and_then(|()| out.flush()).is_err() {
            process::exit(1);
        }
    }

    /// Waits for the next line from the parent.
    ///
    /// # Panics
    ///
    /// When none comes within `limit`.
    #[track_caller]
    #[must_use]
    pub fn hear(&self, limit: Duration) -> String {
        self.lines
            .recv_timeout(limit)
            .unwrap_or_else(|_| panic!("the parent said nothing within {limit:?}"))
    }
}
