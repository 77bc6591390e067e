//! [`TestServer`]: a server in memory for the tests of programs that use memlock, with a clock to move and faults to
//! switch on.

use std::sync::Arc;
use std::time::Duration;

use super::Locks;
use super::builder::Builder;
use crate::driver::core::Core;
use crate::key::{IntoKey, ItemName};
use crate::store::memory::Memory;
use crate::system::clock::Clock;

impl Locks {
    /// Returns locks in the memory of this process, and the server behind them, for a test to control.
    ///
    /// Time passes as usual, and also when the test [moves it](TestServer::advance): leases age and waiters notice,
    /// without sleeping.
    ///
    /// ```
    /// use std::time::Duration;
    /// use memlock_runtime::Locks;
    ///
    /// # fn main() -> Result<(), memlock_runtime::Error> {
    /// let (locks, server) = Locks::in_memory();
    ///
    /// let forgetful = locks.lock("report").timeout(Duration::from_secs(30)).acquire()?;
    /// assert!(locks.lock("report").try_acquire().is_err());
    /// server.advance(Duration::from_secs(31));
    /// assert!(!forgetful.is_valid());
    /// let next = locks.lock("report").acquire()?;
    /// assert!(next.token() > forgetful.token());
    ///
    /// server.set_down(true);
    /// assert!(locks.lock("other").acquire().is_err_and(|error| error.is_unavailable()));
    /// # Ok(()) }
    /// ```
    pub fn in_memory() -> (Locks, TestServer) {
        let (locks, clock, memory) = Builder::new().in_memory();
        let server = TestServer {
            locks: locks.clone(),
            clock,
            memory,
        };
        (locks, server)
    }
}

/// The server behind [`Locks::in_memory`], for a test to control.
#[derive(Debug, Clone)]
pub struct TestServer {
    locks: Locks,
    clock: Arc<Clock>,
    memory: Arc<Memory>,
}

impl TestServer {
    /// Moves the clock of the locks and the server forward at once, and wakes all that wait for it.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Returns other locks on the same server and the same clock, as another process would have them: they know of the
    /// first locks only what the server knows.
    pub fn other_process(&self) -> Locks {
        let limit = self.locks.core().exchange_limit;
        let core = Core::on(Arc::clone(&self.clock), self.memory.clone(), limit);
        self.locks.on(core)
    }

    /// Switches the server off or on. While it is off, no request reaches it. It keeps its items and its clock.
    pub fn set_down(&self, is_down: bool) {
        self.memory.set_down(is_down);
    }

    /// Makes each exchange take `delay` from now on, on the clock of the locks, without really waiting. An exchange
    /// that takes longer than 300 ms, its limit, is executed, but its reply comes too late.
    pub fn set_delay(&self, delay: Duration) {
        self.memory.set_delay(delay);
    }

    /// Makes the server lose the lock on `key` in the namespace `name` (for an annotated function, its path or its
    /// `name` option), as memcached does when it is short of memory. A key that is `None` has no effect.
    pub fn evict(&self, name: &str, key: impl IntoKey) {
        if let Some(key) = key.into_key().text() {
            let item = ItemName::of_lock(&self.locks.settings().prefix, name, key);
            self.memory.evict(&item);
        }
    }

    /// Returns how many callers of the first locks, threads and tasks, wait in the queue for the lock on `key` in the
    /// namespace `name`. The holder does not count, nor does the caller that is next and asks the server.
    pub fn waiting(&self, name: &str, key: impl IntoKey) -> usize {
        let key = key.into_key();
        let item = key
            .text()
            .map(|key| ItemName::of_lock(&self.locks.settings().prefix, name, key));
        item.map_or(0, |item| self.locks.core().queues.waiting(&item))
    }

    /// Restarts the server, which forgets all locks. Holders still rely on the leases that were granted before.
    pub fn restart(&self) {
        self.memory.restart();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_the_clock_ends_leases_and_wakes_their_waiters() {
        let (locks, server) = Locks::in_memory();
        let hour = Duration::from_secs(3600);
        let stuck = locks.lock("k").timeout(hour).acquire().expect("it is free");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| locks.lock("k").timeout(hour).acquire().map(|guard| guard.token()));
            // The waiter is in the queue by now, or finds the lease over when it is.
            server.advance(hour * 2);
            let token = waiter.join().expect("no panic").expect("its turn");
            assert!(token > stuck.token());
        });
        assert!(stuck.check().is_err_and(|error| error.is_lost()));
    }

    #[test]
    fn repeated_attempts_take_over_from_a_dead_holder_after_its_lease() {
        let (locks, server) = Locks::in_memory();
        let minute = Duration::from_secs(60);
        let dead = server.other_process();
        std::mem::forget(dead.lock("k").timeout(minute).acquire().expect("it is free"));
        server.advance(minute / 2);
        assert!(locks.lock("k").try_acquire().is_err(), "it is held");
        server.advance(minute / 2);
        assert!(
            locks.lock("k").try_acquire().is_err(),
            "it has been watched for half a minute only"
        );
        server.advance(minute / 2 + Duration::from_secs(1));
        assert!(
            locks.lock("k").try_acquire().is_ok(),
            "watched for its whole lease, and free before its TTL ends"
        );
    }

    #[test]
    fn renewals_follow_a_moved_clock() {
        let (locks, server) = Locks::in_memory();
        let minute = Duration::from_secs(60);
        let kept = locks.lock("k").timeout(minute).renew().acquire().expect("it is free");
        for _ in 0..10 {
            let before = kept.remaining();
            server.advance(minute * 2 / 5);
            while kept.remaining() <= before.saturating_sub(minute / 5) {
                assert!(kept.is_valid(), "a lease that is kept alive was lost");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_server_that_was_off_comes_back_with_its_items() {
        let (locks, server) = Locks::in_memory();
        let held = locks.lock("k").acquire().expect("it is free");
        server.set_down(true);
        assert!(locks.lock("other").acquire().is_err_and(|error| error.is_unavailable()));
        assert!(held.renew().is_err_and(|error| error.is_unavailable()));
        assert!(held.is_valid());
        server.set_down(false);
        assert!(locks.lock("k").try_acquire().is_err_and(|error| error.is_busy()));
        assert!(held.renew().is_ok());
    }

    #[test]
    fn an_exchange_with_a_late_reply_is_unavailable_and_leaves_no_lock_behind() {
        let (locks, server) = Locks::in_memory();
        server.set_delay(Duration::from_secs(1));
        assert!(locks.lock("k").acquire().is_err_and(|error| error.is_unavailable()));
        server.set_delay(Duration::ZERO);
        let wait = Duration::from_secs(5);
        assert!(
            locks.lock("k").wait(wait).acquire().is_ok(),
            "the late lock is cleaned away"
        );
    }

    #[test]
    fn eviction_and_restart_let_others_in_with_higher_tokens() {
        let (locks, server) = Locks::in_memory();
        let first = locks.lock("k").name("n").acquire().expect("it is free");
        server.evict("n", "k");
        let renewed = first.renew();
        assert!(renewed.is_err_and(|error| error.is_lost()));
        let token = first.token();
        drop(first);
        server.restart();
        let second = locks.lock("k").name("n").acquire().expect("it is free");
        assert!(second.token() > token);
    }
}
