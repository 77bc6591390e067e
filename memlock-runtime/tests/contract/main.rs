//! One contract for both kinds of servers: the one in memory, with memcached's semantics on a page, and a real
//! memcached. Every script is written once, as data, and both servers must give the same replies.
//!
//! | file | what |
//! |---|---|
//! | `script` | the vocabulary of scripts |
//! | `run` | plays a script and checks the replies, and the laws of CAS, clock and instance |
//! | `on_memory` | the server that is `Items::apply`, in virtual seconds: always |
//! | `on_memcached` | the server that is a process: with the feature `server-tests` |
//! | `wire` | memcached's protocol, written by hand, for requests that memlock never makes |
//! | `states` | every request in every state |
//! | `cas` | when a CAS changes, and that it starts again after a restart |
//! | `expiry` | how long an item lives |
//! | `clock_item` | the item that tells the server's second |
//! | `loss` | flushed, restarted, evicted |
//! | `full` | no memory left |
//! | `names` | long names and any text |
//! | `differential` | seeded random requests to both servers |

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
