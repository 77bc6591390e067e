//! memlock on a real memcached, with a faulty network between them: the table of contents.
//!
//! The network is a [`proxy::Proxy`], which puts the test's fault into one exchange. The test asks the server for its
//! items on a connection of its own. In every fault, the caller gets the lock or an error that names the server, within
//! its limits. A lock that it got is on the server, and a lock that it did not get is soon free for other callers.
//!
//! | file | the fault |
//! |---|---|
//! | `cuts` | the connection ends at each byte of the handshake, of an acquisition, of a release |
//! | `midway` | the same for a renewal, a take-over, a waiter's look |
//! | `nonsense` | other bytes than the server's: none, too many, endless, those of another exchange |
//! | `delays` | requests and replies that are late, or stay away while the connection stays |
//! | `far` | no fault: a server that is far away, and one that is silent to a caller who does not wait |
//! | `stops` | a server that stands still, again and again, while many processes use it |
//! | `leaks` | many acquisitions, which leave nothing behind |

mod cuts;
mod delays;
mod far;
mod leaks;
mod midway;
mod nonsense;
mod proxy;
mod stage;
mod stops;
mod wire;
