//! The idle connections to one server. It opens none and sends nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::connection::Connection;
use crate::protocol::Instance;
use crate::store::memcached::health::Health;
use crate::system::background::{self, Timer, either};
use crate::system::clock;

/// How many connections are kept. A process uses as many at once as it has threads that lock *different* keys (those
/// of one key queue up inside the process); a server takes 1024 from all its clients unless told otherwise.
const MOST_IDLE: usize = 16;

/// A connection that was idle for longer is probed before it is used (three system calls); a younger one is taken on
/// trust, which is what makes a batch one write and one read.
const TRUSTED: Duration = Duration::from_secs(1);

/// A connection that nobody has needed for so long is closed, and not used.
///
/// What stands between client and server forgets idle connections, often without a word, and then each costs its next user
/// an exchange limit. Of AWS's gateways and Network Load Balancers the limit is 350 s, and 60 s is the least that it can be
/// set to; of Azure's load balancers it is 4 minutes. This is below all of them. memcached itself closes idle connections
/// only where it was told to (`idle_timeout`), and says so.
pub(crate) const LONGEST_IDLE: Duration = Duration::from_secs(45);

/// Boxed, so that taking one out moves a pointer.
#[allow(clippy::vec_box, reason = "they live in boxes outside as well")]
type Stack = Vec<Box<Connection>>;

/// Idle connections, last in, first out: a few stay warm, the rest grow old and are closed.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Arc<Mutex<Idle>>,
    health: Arc<Health>,
    /// There is something to look at before the next connection is old: the pool is dropped.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that was put there first is the first.
    stack: Stack,
    /// Whether the background thread closes those that grow old.
    is_swept: bool,
}

impl Pool {
    pub(crate) fn new(health: Arc<Health>) -> Pool {
        Pool {
            idle: Arc::default(),
            health,
            changed: Arc::default(),
        }
    }

    /// A connection to use at `now`: one to `wanted` where there is one, else the last that was used.
    pub(crate) fn take(&self, wanted: Option<Instance>, now: Instant) -> Option<Box<Connection>> {
        loop {
            let mut connection = {
                let stack = &mut self.lock().stack;
                let fits = |instance| wanted.is_none_or(|wanted| instance == wanted);
                match stack.iter().rposition(|connection| fits(connection.instance())) {
                    Some(index) => stack.remove(index),
                    None => stack.pop()?,
                }
            };
            let idle_for = now.saturating_duration_since(connection.idle_since);
            // The background thread may be late, or there may be none.
            if idle_for >= LONGEST_IDLE {
                continue;
            }
            // One that leads elsewhere than wanted is probed as well: an instance that was replaced is usually dead.
            let trusted = idle_for <= TRUSTED && wanted.is_none_or(|wanted| connection.instance() == wanted);
            if trusted || connection.is_idle() {
                return Some(connection);
            }
            self.forget(connection.instance());
        }
    }

    /// Takes back a connection that ended its exchange in step.
    pub(crate) fn put(&self, mut connection: Box<Connection>, now: Instant) {
        connection.idle_since = now;
        let (old, starts) = {
            let mut idle = self.lock();
            let old = (idle.stack.len() >= MOST_IDLE).then(|| idle.stack.remove(0));
            idle.stack.push(connection);
            (old, !std::mem::replace(&mut idle.is_swept, true))
        };
        // Closed only now, without the lock.
        drop(old);
        if starts {
            // A process that only takes locks on its own threads has no background thread up to here. But in one that rests
            // nobody else would close anything, and any other way needs a thread as well.
            let (idle, health) = (Arc::downgrade(&self.idle), Arc::clone(&self.health));
            background::spawn(sweep(idle, health, Arc::clone(&self.changed)));
        }
    }

    /// Closes the connections to an instance that turned out to be dead: all lead to the same end.
    pub(crate) fn forget(&self, dead: Instance) {
        self.lock().stack.retain(|connection| connection.instance() != dead);
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut self.lock().stack);
        // Closed only now, without the lock.
        drop(all);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().stack.len()
    }

    /// Lets the idle connections grow older.
    #[cfg(test)]
    pub(crate) fn age(&self, by: Duration) {
        for connection in &mut self.lock().stack {
            connection.idle_since -= by;
        }
        self.changed.notify_one();
    }

    /// Whether the background thread has to do with it.
    #[cfg(test)]
    pub(crate) fn sweeper(&self) -> Weak<Notify> {
        Arc::downgrade(&self.changed)
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        lock(&self.idle)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    // A panic elsewhere leaves the list whole: each change of it is one call.
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes connections that grow old, until there are none, or the pool is dropped.
async fn sweep(pool: Weak<Mutex<Idle>>, health: Arc<Health>, changed: Arc<Notify>) {
    while let Some(length) = pool.upgrade().and_then(|idle| close_old(&idle, clock::instant())) {
        either(Timer::after(length), changed.notified()).await;
    }
    health.has_rested();
}

/// Closes the connections that are old at `now`. How long to wait until the next is; `None` where there is none, and it is to
/// be started again with the next one.
fn close_old(idle: &Mutex<Idle>, now: Instant) -> Option<Duration> {
    let mut idle = lock(idle);
    let is_old = |connection: &Connection| now.saturating_duration_since(connection.idle_since) >= LONGEST_IDLE;
    let (old, young) = std::mem::take(&mut idle.stack)
        .into_iter()
        .partition(|connection| is_old(connection));
    idle.stack = young;
    let first = idle.stack.iter().map(|connection| connection.idle_since).min();
    idle.is_swept = first.is_some();
    drop(idle);
    let old: Stack = old;
    // Closed only now, without the lock.
    drop(old);
    first.map(|first| (first + LONGEST_IDLE).saturating_duration_since(now))
}
