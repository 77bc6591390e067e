//! The process of any other server: asked to end first, and never left behind.

use crate::signal;
use crate::until::wait_for;
use crate::watchdog::Watchdog;
use std::process::{Child, Command};
use std::time::Duration;

/// A child process that runs until this is dropped. Then it is asked to end (SIGINT), and killed if it does not. It is
/// also killed when this process dies in any other way.
#[derive(Debug)]
pub struct Daemon {
    watchdog: Option<Watchdog>,
    child: Child,
}

/// How long a server may take to end after SIGINT. A server with little to write takes a second at most.
const END_LIMIT: Duration = Duration::from_secs(10);

impl Daemon {
    /// Starts `command`.
    ///
    /// # Panics
    ///
    /// When the system cannot start it.
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
            // The process is reaped, so its id may soon belong to another process.
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
            // Both can only fail if it has just ended after all.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
