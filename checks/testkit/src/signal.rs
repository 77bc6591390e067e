//! Signals without `unsafe`: through the shell's built-in `kill`, which exists even if the program `kill` does not.

use crate::until::wait_for;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a process may take to stop. Only a process in uninterruptible sleep takes noticeable time.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Stops a process (SIGSTOP), and waits until all its threads have stopped: a thread that runs on another processor
/// could still answer.
///
/// # Panics
///
/// When there is no such process, or it does not stop.
pub fn pause(pid: u32) {
    send("STOP", pid);
    let stopped = wait_for(STOP_LIMIT, || has_stopped(pid).then_some(()));
    assert!(stopped.is_some(), "process {pid} did not stop within {STOP_LIMIT:?}");
}

/// Resumes a stopped process (SIGCONT).
///
/// # Panics
///
/// When there is no such process.
pub fn resume(pid: u32) {
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

/// Whether all threads of a process have stopped. Linux shows that in `/proc`; on other systems this returns `true`.
fn has_stopped(pid: u32) -> bool {
    let Ok(mut threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    threads.all(|thread| {
        thread
            .ok()
            .and_then(|thread| state(&thread.path()))
            .is_none_or(|state| state == 'T')
    })
}

/// The state letter of a thread, if the thread exists.
fn state(thread: &Path) -> Option<char> {
    let line = fs::read_to_string(thread.join("stat")).ok()?;
    // The name before it is in parentheses, and may itself contain spaces and parentheses.
    line.rsplit_once(") ")?.1.chars().next()
}
