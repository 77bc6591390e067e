//! [`Watch`]: how long a held lock has been seen unchanged, so that it can be taken over when its holder has died.
//!
//! The holder counts its lease from before its request was *sent*. A watcher counts the same length, and a little for
//! the drift between their clocks, from the moment when it *received* the first reading of the item. That reading comes
//! after the grant, and the grant after the sending. So when the watch is over, the holder has stopped believing in the
//! lease. Times of two machines are never compared, only the rates of their clocks matter, and a watch counts by the
//! slowest clock of its process. A renewal shows as another renewal number, and starts the watch again.

use std::time::Duration;

use super::grant::Grant;
use super::lease::{Now, watch_of};
use super::messages::{Nonce, Record};

/// A lease that is being watched. It belongs to the process's queue for the key, and passes from waiter to waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watch {
    nonce: Nonce,
    renewal: u32,
    lease: Duration,
    /// When the watch began.
    since: Now,
}

impl Watch {
    /// Continues `watch` if `record` is the grant and the renewal that it watches, else starts a new watch. `received`
    /// is the moment when the reply arrived.
    pub(crate) fn observe(watch: Option<Watch>, record: &Record, received: Now) -> Watch {
        let (nonce, renewal, lease) = (record.nonce, record.renewal, record.lease);
        match watch {
            Some(watch) if (watch.nonce, watch.renewal) == (nonce, renewal) => watch,
            _ => Watch {
                nonce,
                renewal,
                lease,
                since: received,
            },
        }
    }

    /// Returns the watch of a process over its own grant, whichever of its callers holds it. `received` is the moment
    /// when the proof of the grant or of its last renewal arrived.
    pub fn of_own(grant: &Grant, received: Now) -> Watch {
        Watch {
            nonce: grant.nonce,
            renewal: grant.renewals,
            lease: grant.lease,
            since: received,
        }
    }

    /// The nonce of the grant, and its lease.
    pub(crate) fn nonce_and_lease(self) -> (Nonce, Duration) {
        (self.nonce, self.lease)
    }

    /// Whether this is the watch of the grant under `nonce`.
    pub(crate) fn is_of(self, nonce: Nonce) -> bool {
        self.nonce == nonce
    }

    /// The time until the lock may be taken over. Zero: now.
    pub(crate) fn left(self, now: Now) -> Duration {
        watch_of(self.lease).saturating_sub(now.shortest_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(nonce: u128, renewal: u32) -> Record {
        Record {
            nonce: Nonce(nonce),
            lease: Duration::from_secs(10),
            renewal,
            label: "".into(),
            full_name: None,
        }
    }

    fn at(seconds: u64) -> Now {
        Now::at(Duration::from_secs(seconds))
    }

    #[test]
    fn a_watch_lasts_longer_than_the_lease_and_counts_from_the_first_reading() {
        let watch = Watch::observe(None, &record(1, 0), at(100));
        let watch = Watch::observe(Some(watch), &record(1, 0), at(109));
        assert!(watch.left(at(110)) > Duration::ZERO, "the watch includes the drift");
        assert!(watch.left(at(111)).is_zero());
    }

    #[test]
    fn a_renewal_or_another_holder_starts_the_watch_again() {
        let watch = Watch::observe(None, &record(1, 0), at(100));
        for changed in [record(1, 1), record(2, 0)] {
            assert_eq!(Watch::observe(Some(watch), &changed, at(109)).since, at(109));
        }
    }

    #[test]
    fn a_watch_ends_by_the_slowest_clock() {
        let watch = Watch::observe(None, &record(1, 0), at(100));
        for running_ahead in [
            Now {
                instant: at(111).instant,
                ..at(101)
            },
            Now {
                raw: at(111).raw,
                ..at(101)
            },
            // The machine was suspended, or the wall clock was set forward.
            Now {
                boot: at(111).boot,
                ..at(101)
            },
        ] {
            assert!(watch.left(running_ahead) > Duration::from_secs(9), "{running_ahead:?}");
        }
        let wall_set_back = Now {
            boot: Duration::ZERO,
            ..at(111)
        };
        assert!(watch.left(wall_set_back).is_zero());
    }
}
