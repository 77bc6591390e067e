//! Signals without `unsafe`: through the shell's own `kill`, which is there even where the program `kill` is not.

use crate::until::wait_for;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// How long a process may take to stop: only one in uninterruptible sleep takes any time.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Stops a process (SIGSTOP) and waits until it has stopped.
pub(crate) fn pause(pid: u32) {
    send("STOP", pid);
    let stopped = wait_for(STOP_LIMIT, || {
        (state(pid).is_none_or(|state| state == 'T')).then_some(())
    });
    assert!(stopped.is_some(), "process {pid} did not stop within {STOP_LIMIT:?}");
}

/// Lets a stopped process go on (SIGCONT).
pub(crate) fn resume(pid: u32) {
    send("CONT", pid);
}

/// Asks a process to end, as control-C does (SIGINT).
pub(crate) fn interrupt(pid: u32) {
    send("INT", pid);
}

fn send(signal: &str, pid: u32) {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid.to_string()])
        .status()
        .expect("a POSIX shell is needed to send signals");
    assert!(status.success(), "could not send SIG{signal} to process {pid}");
}

/// The state letter of a process, where the system shows it (`/proc` of Linux).
fn state(pid: u32) -> Option<char> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it stands in parentheses and may itself contain spaces and parentheses.
    line.rsplit_once(") ")?.1.chars().next()
}
