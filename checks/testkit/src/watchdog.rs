//! Kills a child process when this process dies without the time to do so: by SIGKILL, by `abort`, or by a test
//! runner's time limit.
//!
//! The watchdog is a shell that reads from a pipe. When this process ends, in whatever way, the system closes the other
//! end of the pipe.

use std::io::Write;
use std::process::{Child, Command, Stdio};

/// Ignores the signals that a terminal or a test runner sends to the whole process group, which must not end the
/// watchdog before its work is done.
const SCRIPT: &str = "trap '' HUP INT TERM; read -r pid && { read -r _; kill -9 \"$pid\"; }";

/// Guards one process: see the module's text. Dropping this ends the guard.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Starts a watchdog that does not yet have a process to guard. Starting it before the child leaves the smallest
    /// gap.
    pub(crate) fn new() -> Self {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a POSIX shell is needed to watch over child processes");
        Self { shell }
    }

    /// Makes the death of this process kill process `pid`, from now on.
    pub(crate) fn guard(&mut self, pid: u32) {
        let pipe = self.shell.stdin.as_mut().expect("the pipe was asked for");
        writeln!(pipe, "{pid}")
            .and_then(|()| pipe.flush())
            .expect("the watchdog has just been started");
    }
}

impl Drop for Watchdog {
    /// Ends the watchdog before its pipe closes. The owner reaps the guarded process only after this, so the id that
    /// the watchdog knows never belongs to another process.
    fn drop(&mut self) {
        // Both can only fail if the shell has ended already.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
