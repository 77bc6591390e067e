//! Kills a child process when this process dies without having the time to do so: by SIGKILL, by `abort`, by a test
//! runner's time limit.
//!
//! The watchdog is a shell that reads from a pipe. The system closes the pipe's other end together with this process,
//! however that ends.

use std::io::Write;
use std::process::{Child, Command, Stdio};

/// The signals that a terminal or a test runner sends to the whole process group must not end the watchdog before its
/// work is done.
const SCRIPT: &str = "trap '' HUP INT TERM; read -r pid && { read -r _; kill -9 \"$pid\"; }";

/// Watches over one process; see the module's text. Dropped, it watches no longer.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Starts a watchdog that does not yet know its charge: started first, it leaves the smallest gap.
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

    /// From now on the death of this process is the death of process `pid`.
    pub(crate) fn guard(&mut self, pid: u32) {
        let pipe = self.shell.stdin.as_mut().expect("the pipe was asked for");
        writeln!(pipe, "{pid}")
            .and_then(|()| pipe.flush())
            .expect("the watchdog has just been started");
    }
}

impl Drop for Watchdog {
    /// Ends the watchdog before its pipe closes. Its charge has not been reaped yet (the owner does that afterwards),
    /// so the number that the watchdog knows never belongs to another process.
    fn drop(&mut self) {
        // Both can only fail when the shell is gone already.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
