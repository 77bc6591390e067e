//! Any other server's process: ended gently, never left behind.

use crate::signal;
use crate::until::wait_for;
use crate::watchdog::Watchdog;
use std::process::{Child, Command};
use std::time::Duration;

/// A child process that runs until this is dropped: then it is asked to end (SIGINT), and killed when it does not. It is
/// killed also when this process dies in any other way.
#[derive(Debug)]
pub struct Daemon {
    watchdog: Option<Watchdog>,
    child: Child,
}

/// How long a server may take to end when it is asked to: one that has little to write takes a second at most.
const END_LIMIT: Duration = Duration::from_secs(10);

impl Daemon {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When the system refuses to.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut watchdog = Watchdog::new();
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("could not run {}: {error}", command.get_program().display()));
        watchdog.guard(child.id());
        Self {
            watchdog: Some(watchdog),
            child,
        }
    }

    /// Whether it has ended by itself.
    ///
    /// # Panics
    ///
    /// When the system does not know its own child.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        let status = self.child.try_wait().expect("a child can be asked for its status");
        if status.is_some() {
            // Reaped: its number may soon be another's.
            drop(self.watchdog.take());
        }
        status.is_some()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        signal::interrupt(self.child.id());
        let ended = wait_for(END_LIMIT, || self.has_ended().then_some(()));
        if ended.is_none() {
            drop(self.watchdog.take());
            // Both can only fail when it has just ended after all.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
