//! memlock on a real memcached, with a faulty network between them: the table of contents.
//!
//! The network is a [`proxy::Proxy`], which does to one exchange what the test asks for; what the server really keeps is
//! asked for on a connection of the test's own. Whatever is done to an exchange, the caller gets the lock or an error
//! that names the server, within its limits; a lock that it got is on the server, and one that it did not get is soon
//! free for others.
//!
//! | file | the fault |
//! |---|---|
//! | `cuts` | the connection ends at each byte of the handshake, of an acquisition, of a release |
//! | `midway` | the same for a renewal, a take-over, a waiter's look |
//! | `nonsense` | other bytes than the server's: none, too many, without end, another exchange's |
//! | `delays` | requests and replies that are late, or stay away while the connection stays |
//! | `far` | no fault: a server that is far away, and one that is silent to a caller who does not wait |
//! | `stops` | a server that stands still, again and again, below a crowd |
//! | `leaks` | many acquisitions, after which nothing is left of them |

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
