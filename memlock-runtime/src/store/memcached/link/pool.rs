//! The idle connections to one server. The pool opens none and sends nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::connection::Connection;
use crate::protocol::Instance;
use crate::store::memcached::health::Health;
use crate::system::background::{self, Timer, either};
use crate::system::clock;

/// How many connections are kept. A process uses as many at once as it has threads that lock *different* keys (callers
/// of one key queue inside the process). By default a server accepts 1024 from all its clients.
const MAX_IDLE: usize = 16;

/// A connection that was idle for longer is probed before it is used (three system calls). Any other is used at once,
/// so that a batch is one write and one read.
const TRUSTED: Duration = Duration::from_secs(1);

/// A connection that was idle for so long is closed, and not used.
///
/// Devices between client and server forget idle connections, often without a sign, and then each costs its next user
/// an exchange limit. AWS's gateways and Network Load Balancers forget them after 350 s, or after 60 s at the least
/// setting; Azure's load balancers after 4 minutes. This limit is below all of them. memcached itself closes idle
/// connections only with `idle_timeout`, and the client sees that.
pub(crate) const LONGEST_IDLE: Duration = Duration::from_secs(45);

/// Boxed, so that taking one out moves a pointer.
#[allow(clippy::vec_box, reason = "they live in boxes outside as well")]
type Stack = Vec<Box<Connection>>;

/// Idle connections, last in, first out: a few stay in use, the rest reach the limit and are closed.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Arc<Mutex<Idle>>,
    health: Arc<Health>,
    /// Wakes the background task before the next connection is old: the pool was dropped.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The connection that was idle for longest is the first.
    stack: Stack,
    /// The only instance to which connections are kept.
    instance: Option<Instance>,
    /// Whether a task on the background thread closes the old ones.
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

    /// Takes a connection to use at `now`: one to `wanted` if there is one, else the one that was used last.
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
            // The background thread may be late, or may not exist.
            if idle_for >= LONGEST_IDLE {
                continue;
            }
            // A connection to another instance is always probed: an instance that was replaced is usually dead.
            let trusted = idle_for <= TRUSTED && wanted.is_none_or(|wanted| connection.instance() == wanted);
            if trusted || connection.is_idle() {
                return Some(connection);
            }
            self.forget(connection.instance());
        }
    }

    /// Takes back a connection on which all replies were in step.
    pub(crate) fn put(&self, mut connection: Box<Connection>, now: Instant) {
        connection.idle_since = now;
        let (old, starts) = {
            let mut idle = self.lock();
            // It was in use while another instance answered.
            if idle.instance != Some(connection.instance()) {
                drop(idle);
                return;
            }
            let old = (idle.stack.len() >= MAX_IDLE).then(|| idle.stack.remove(0));
            idle.stack.push(connection);
            (old, !std::mem::replace(&mut idle.is_swept, true))
        };
        // Closed here, outside the lock.
        drop(old);
        if starts {
            // A process that takes locks only on its own threads has no background thread up to here. But when it takes
            // none for a while, nothing else would close the connections, and any other way needs a thread as well.
            let (idle, health) = (Arc::downgrade(&self.idle), Arc::clone(&self.health));
            background::spawn(sweep(idle, health, Arc::clone(&self.changed)));
        }
    }

    /// Closes the connections to `dead`, an instance on which one connection turned out to be dead.
    pub(crate) fn forget(&self, dead: Instance) {
        self.lock().stack.retain(|connection| connection.instance() != dead);
    }

    /// Keeps connections to `instance` alone from now on, and closes all others.
    pub(crate) fn keep_only(&self, instance: Option<Instance>) {
        let mut idle = self.lock();
        if idle.instance != instance {
            idle.instance = instance;
            let all = std::mem::take(&mut idle.stack);
            drop(idle);
            // Closed here, outside the lock.
            drop(all);
        }
    }

    /// Closes all connections.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut self.lock().stack);
        // Closed here, outside the lock.
        drop(all);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().stack.len()
    }

    /// Makes the idle connections older.
    #[cfg(test)]
    pub(crate) fn age(&self, by: Duration) {
        for connection in &mut self.lock().stack {
            connection.idle_since -= by;
        }
        self.changed.notify_one();
    }

    /// Lives as long as the pool or its background task.
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
    // A panic elsewhere leaves the list intact: each change of it is one call.
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes connections as they get old, until there are none, or the pool is dropped.
async fn sweep(pool: Weak<Mutex<Idle>>, health: Arc<Health>, changed: Arc<Notify>) {
    while let Some(length) = pool.upgrade().and_then(|idle| close_old(&idle, clock::instant())) {
        either(Timer::after(length), changed.notified()).await;
    }
    // What the server answered on them was too long ago to count.
    health.record_silence();
}

/// Closes the connections that are old at `now`. Returns how long it is until the next one is. `None`: there are none
/// left, and the next [`Pool::put`] starts the task again.
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
