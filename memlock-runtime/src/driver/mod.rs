//! The drivers: loops that run the machines of the protocol against a store, with clocks and random numbers.
//!
//! | file | what it is |
//! |---|---|
//! | `acquire` `renew` `release` | one lock acquired, renewed and released, for threads and tasks alike |
//! | `contender` | the head of a queue: what each step of its machine means |
//! | `errors` | the errors of calls, and their texts |
//! | `waiting` `limits` | how long a caller waits for other holders, and for the server |
//! | `exchange` `caller` | the leaves: where a thread or a task makes an exchange, and lets time pass |
//! | `settle` | finding out what a write without a reply did |
//! | `background_work` `work_counter` | work that goes on although no caller waits for it |
//! | `wake` | a UDP socket on which another process wakes the first in line when the lock is free |
//! | `core` `known_server` | what all clones of one `Locks` share |
//! | `inherited` | locks that a child was forked with |

pub(crate) mod acquire;
pub(crate) mod background_work;
pub(crate) mod caller;
pub(crate) mod contender;
pub(crate) mod core;
pub(crate) mod errors;
mod exchange;
pub(crate) mod inherited;
pub(crate) mod known_server;
pub(crate) mod limits;
pub(crate) mod release;
pub(crate) mod renew;
pub(crate) mod settle;
pub(crate) mod waiting;
pub(crate) mod wake;
pub(crate) mod work_counter;
