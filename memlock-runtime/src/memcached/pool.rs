//! The idle connections to one server. It opens none and sends nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::store::Instance;

/// How many connections are kept. A process uses as many at once as it has threads that lock *different* keys (those
/// of one key queue up inside the process); a server takes 1024 from all its clients unless told otherwise.
const MOST_IDLE: usize = 16;

/// A connection that was idle for longer is probed before it is used (three system calls); a younger one is taken on
/// trust, which is what makes a batch one write and one read.
const TRUSTED: Duration = Duration::from_secs(1);

/// A connection that nobody has needed for so long is closed.
const LONGEST_IDLE: Duration = Duration::from_mins(1);

/// Boxed, so that taking one out moves a pointer.
#[allow(clippy::vec_box, reason = "they live in boxes outside as well")]
type Stack = Vec<Box<Connection>>;

/// Idle connections, last in, first out: a few stay warm, the rest grow old and are closed.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Stack>,
}

impl Pool {
    /// A connection to use at `now`: one to `wanted` where there is one, else the last that was used.
    pub(super) fn take(&self, wanted: Option<Instance>, now: Instant) -> Option<Box<Connection>> {
        loop {
            let mut connection = {
                let mut idle = self.lock();
                let fits = |instance| wanted.is_none_or(|wanted| instance == wanted);
                match idle.iter().rposition(|connection| fits(connection.instance())) {
                    Some(index) => idle.remove(index),
                    None => idle.pop()?,
                }
            };
            // One that leads elsewhere than wanted is probed as well: an instance that was replaced is usually dead.
            let trusted = now.saturating_duration_since(connection.idle_since) <= TRUSTED
                && wanted.is_none_or(|wanted| connection.instance() == wanted);
            if trusted || connection.is_idle() {
                return Some(connection);
            }
            self.forget(connection.instance());
        }
    }

    /// Takes back a connection that ended its exchange in step.
    pub(super) fn put(&self, mut connection: Box<Connection>, now: Instant) {
        connection.idle_since = now;
        let old = {
            let mut idle = self.lock();
            // The first was put there first.
            let is_old = |since| now.saturating_duration_since(since) > LONGEST_IDLE;
            let drops = idle.len() >= MOST_IDLE || idle.first().is_some_and(|first| is_old(first.idle_since));
            let old = drops.then(|| idle.remove(0));
            idle.push(connection);
            old
        };
        // Closed only now, without the lock.
        drop(old);
    }

    /// Closes the connections to an instance that turned out to be dead: all lead to the same end.
    pub(super) fn forget(&self, dead: Instance) {
        self.lock().retain(|connection| connection.instance() != dead);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Stack> {
        // A panic elsewhere leaves the list whole: each change of it is one call.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
