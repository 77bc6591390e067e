//! Which instances answer at a server's address, and whether two servers take turns there. No I/O.
//!
//! A restart leads from one instance to the next, which has started later and stays. If the address leads back to an
//! instance from before, another server is behind it as well: a fail-over, a virtual IP, a service over several pods.
//! Neither server knows the locks of the other, and the tokens fall with the start. One process sees this only when the
//! address leads it to both.
//!
//! ```text
//!          a later start: it was restarted             an earlier one: another server
//!             ┌───┐    ┌──────────────────────────────────────────┐
//!             │   ▼    │                                          ▼
//!           one server                                     two servers (nothing is sent)
//!                   ▲                                             │
//!                   └── only the newest, CALM_CONNECTIONS times ──┘
//!                       in a row, for CALM_TIME
//! ```
//!
//! The newest instance is the only one that counts again: an earlier one would give lower tokens than those that are
//! out. So where the address leads back to an earlier instance for good, that server must be restarted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::codec::handshake::{Peer, dotted};
use super::failure::{ConnectError, Failure};
use crate::error::WrongSetup;
use crate::protocol::Instance;

/// For how long the address must lead to nothing but the newest instance, before that one is used again. An address that
/// fails over takes some seconds each time.
const CALM_TIME: Duration = Duration::from_secs(30);

/// How many connections in a row must lead to the newest instance as well. A service that draws one of two servers for
/// each connection draws the same so often once in a thousand times. Callers that fail connect each time.
const CALM_CONNECTIONS: u32 = 10;

/// The instances that have answered at one address.
#[derive(Debug, Default)]
pub(crate) struct Instances(Mutex<InstanceHistory>);

#[derive(Debug, Default)]
struct InstanceHistory {
    /// The one with the latest start.
    newest: Option<Peer>,
    /// The processes that answered before `newest`, and share its start.
    before: Vec<u32>,
    /// Present while two servers answer.
    two_servers: Option<TwoServers>,
}

#[derive(Debug)]
struct TwoServers {
    error: Arc<WrongSetup>,
    /// When a connection last led to another instance than the newest.
    calm_since: Instant,
    /// How many connections have led to the newest since.
    in_a_row: u32,
}

impl Instances {
    /// The newest instance. To be asked before a connection is opened, for [`admit`](Self::admit).
    pub(crate) fn newest(&self) -> Option<Instance> {
        self.history().newest.map(|peer| peer.instance)
    }

    /// The only instance that may be asked. `None`: there is none yet, or two servers answer.
    pub(crate) fn admitted(&self) -> Option<Instance> {
        self.history().admitted()
    }

    /// Records at `now` that `peer` has answered on a new connection. `newest` is the newest instance as of before that
    /// connection was opened. `apply` gets the only instance that may be asked from now on.
    ///
    /// # Errors
    ///
    /// If the connection must not be used.
    pub(crate) fn admit(
        &self,
        peer: Peer,
        newest: Option<Instance>,
        now: Instant,
        apply: impl FnOnce(Option<Instance>),
    ) -> Result<(), ConnectError> {
        let mut history = self.history();
        let admitted = history.admit(peer, newest, now);
        // Under the lock, so that of two callers the later one is not overtaken.
        apply(history.admitted());
        admitted
    }

    fn history(&self) -> MutexGuard<'_, InstanceHistory> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InstanceHistory {
    fn admitted(&self) -> Option<Instance> {
        let newest = self.newest.filter(|_| self.two_servers.is_none());
        newest.map(|newest| newest.instance)
    }

    fn admit(&mut self, peer: Peer, newest_before: Option<Instance>, now: Instant) -> Result<(), ConnectError> {
        let Some(newest) = self.newest else {
            self.newest = Some(peer);
            return Ok(());
        };
        let instance = peer.instance;
        if instance == newest.instance {
            return self.record_newest(now);
        }
        // The start does not change while a process runs. A start that both share is that of a memcached with `-e`,
        // which was restarted with its items and its clock, and counts its CAS on.
        let is_from_before = instance.start < newest.instance.start
            || instance.start == newest.instance.start && self.before.contains(&instance.pid);
        if !is_from_before {
            if instance.start > newest.instance.start {
                self.before.clear();
            } else {
                self.before.push(newest.instance.pid);
            }
            self.newest = Some(peer);
            if self.two_servers.is_none() {
                return Ok(());
            }
        } else if newest_before != Some(newest.instance) && self.two_servers.is_none() {
            // The server may have been restarted since it was connected to, and another caller has met its successor.
            // A further connection will show.
            return Err(Failure::new("it was restarted while it was connected to").into());
        }
        let error = Arc::new(two_servers(newest, peer));
        self.two_servers = Some(TwoServers {
            error: Arc::clone(&error),
            calm_since: now,
            in_a_row: 0,
        });
        Err(ConnectError::Failed(error))
    }

    /// Records that a connection has led to the newest instance.
    fn record_newest(&mut self, now: Instant) -> Result<(), ConnectError> {
        let Some(two_servers) = &mut self.two_servers else {
            return Ok(());
        };
        two_servers.in_a_row += 1;
        let calm = now.saturating_duration_since(two_servers.calm_since);
        if two_servers.in_a_row < CALM_CONNECTIONS || calm < CALM_TIME {
            return Err(ConnectError::Failed(two_servers.error.clone()));
        }
        self.two_servers = None;
        Ok(())
    }
}

fn two_servers(one: Peer, other: Peer) -> WrongSetup {
    let named = |peer: Peer| {
        let Instance { start, pid } = peer.instance;
        format!(
            "memcached {} with pid {pid}, started at {start} s (Unix time)",
            dotted(peer.version)
        )
    };
    WrongSetup(format!(
        "two servers answer there by turns: {}, and {}. Neither knows the locks of the other: list each server by an \
         address of its own, not by that of a load balancer, a fail-over or a service over several pods. The one with \
         the latest start is used again after {} s in which no other has answered. If they are one server whose clock \
         was set back, restart it when its clock has passed the later start, or restart this \
         program if nothing compares the tokens",
        named(one),
        named(other),
        CALM_TIME.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::clock;

    fn peer(start: u64, pid: u32) -> Peer {
        Peer {
            instance: Instance { start, pid },
            version: [1, 6, 18],
            opaque_on_miss: true,
            evicts: true,
        }
    }

    /// The instances at an address, and a time.
    struct Address {
        instances: Instances,
        now: Instant,
    }

    impl Address {
        fn new() -> Address {
            Address {
                instances: Instances::default(),
                now: clock::instant(),
            }
        }

        /// A connection that leads to `peer`, opened since the last one was.
        fn leads_to(&self, peer: Peer) -> Result<(), String> {
            self.led_to(peer, self.instances.newest())
        }

        fn led_to(&self, peer: Peer, newest_before: Option<Instance>) -> Result<(), String> {
            let mut applied = None;
            let admitted = self
                .instances
                .admit(peer, newest_before, self.now, |admitted| applied = Some(admitted));
            assert_eq!(applied, Some(self.instances.admitted()));
            admitted.map_err(|error| match error {
                ConnectError::Failed(source) => source.to_string(),
                other => panic!("{other:?}"),
            })
        }
    }

    #[test]
    fn a_restarted_server_is_used_and_an_earlier_one_is_not() {
        let address = Address::new();
        for start in [100, 200, 300] {
            address.leads_to(peer(start, 1)).expect("restarted");
            address.leads_to(peer(start, 1)).expect("the same");
            assert_eq!(address.instances.admitted(), Some(peer(start, 1).instance));
        }
        let error = address.leads_to(peer(200, 1)).expect_err("from before");
        for part in ["two servers", "pid 1", "started at 300 s", "started at 200 s", "1.6.18"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(address.instances.admitted(), None);
        assert_eq!(address.leads_to(peer(300, 1)), Err(error.clone()));
        // Met for the first time, and all the same from before.
        assert!(address.leads_to(peer(299, 7)).expect_err("two").contains("pid 7"));
    }

    #[test]
    fn a_start_that_two_instances_share_is_a_restart_with_the_items_until_the_first_comes_back() {
        let address = Address::new();
        for pid in [1, 2, 3] {
            address
                .leads_to(peer(100, pid))
                .expect("its items, its clock and its CAS go on");
        }
        let error = address.leads_to(peer(100, 2)).expect_err("it has come back");
        assert!(error.contains("pid 3") && error.contains("pid 2"), "{error}");
        let address = Address::new();
        for (start, pid) in [(100, 1), (100, 2), (200, 3), (200, 1)] {
            address.leads_to(peer(start, pid)).expect("a pid may be used again");
        }
    }

    #[test]
    fn a_connection_that_was_opened_before_the_restart_proves_nothing() {
        let address = Address::new();
        address.leads_to(peer(100, 1)).expect("the first");
        let before = address.instances.newest();
        address.leads_to(peer(200, 2)).expect("restarted");
        let error = address.led_to(peer(100, 1), before).expect_err("it is not used");
        assert!(!error.contains("two servers"), "{error}");
        address.leads_to(peer(200, 2)).expect("the new one is");
        address.leads_to(peer(100, 1)).expect_err("two");
        let error = address.led_to(peer(100, 1), before).expect_err("two");
        assert!(error.contains("two servers"), "{error}");
    }

    #[test]
    fn the_newest_counts_again_after_a_calm_time_with_enough_connections() {
        let mut address = Address::new();
        address.leads_to(peer(200, 2)).expect("the first");
        address.leads_to(peer(100, 1)).expect_err("two");
        for _ in 0..2 * CALM_CONNECTIONS {
            address.leads_to(peer(200, 2)).expect_err("they came in no time");
        }
        address.now += CALM_TIME;
        address.leads_to(peer(100, 1)).expect_err("it is still there");
        address.now += CALM_TIME;
        for _ in 1..CALM_CONNECTIONS {
            address.leads_to(peer(200, 2)).expect_err("so few may be chance");
        }
        address.leads_to(peer(200, 2)).expect("the address was repaired");
        assert_eq!(address.instances.admitted(), Some(peer(200, 2).instance));
        address.leads_to(peer(100, 1)).expect_err("not for good");
        for _ in 0..2 * CALM_CONNECTIONS {
            address.leads_to(peer(100, 1)).expect_err("its tokens would be lower");
            address.now += CALM_TIME;
        }
        address.leads_to(peer(300, 3)).expect_err("restarted, and not calm yet");
        for _ in 1..CALM_CONNECTIONS {
            address.leads_to(peer(300, 3)).expect_err("not calm yet");
        }
        address.now += CALM_TIME;
        address.leads_to(peer(300, 3)).expect("calm");
    }
}
