//! One contract for both places where items can be: memcached's semantics as `memory` has them in a page, and a real
//! memcached. Every script is written once, as data, and both are held to the same answers.
//!
//! | file | what |
//! |---|---|
//! | `script` | the words that scripts are written in |
//! | `run` | plays a script and holds its server to the answers, and to the laws of CAS, clock and instance |
//! | `on_memory` | the server that is `Items::apply`, in virtual seconds: always |
//! | `on_memcached` | the server that is a process: with the feature `server-tests` |
//! | `wire` | memcached's protocol as typed by hand, for what memlock itself never does to a server |
//! | `states` | every request in every state |
//! | `cas` | when a CAS changes, and that a restart gives it anew |
//! | `expiry` | how long an item lives |
//! | `clock_item` | the item that tells the server's second |
//! | `loss` | flushed, restarted, evicted |
//! | `full` | no memory left |
//! | `names` | long names and any text |
//! | `differential` | seeded random requests to both at once |

#![allow(clippy::unchecked_time_subtraction, reason = "a test may panic")]

mod script;
#[macro_use]
mod run;
mod on_memory;

#[cfg(feature = "server-tests")]
mod on_memcached;
#[cfg(feature = "server-tests")]
#[allow(dead_code, reason = "the facts use the rest of it")]
mod wire;

mod cas;
mod clock_item;
mod expiry;
mod full;
mod loss;
mod names;
mod states;

#[cfg(feature = "server-tests")]
mod differential;
