//! The drivers: the loops that run the protocol's machines against a store, with the clocks and the randomness that the
//! machines do not have.
//!
//! | file | what it is |
//! |---|---|
//! | `acquire` `renew` `release` | what is done with one lock, by threads and tasks alike |
//! | `contender` | the head of a queue: what it makes of its machine's steps |
//! | `waiting` `limits` | a caller that waits; the end of its waiting, and of its asking |
//! | `exchange` `caller` | the leaves: where an exchange is made, and where time passes, for threads and for tasks |
//! | `settle` | finding out what became of a write that got no reply |
//! | `background_work` `chores` | what goes on although no caller waits for it |
//! | `wake` | a UDP socket on which another process wakes the first in line when the lock is free |
//! | `core` `known_server` | what all clones of one `Locks` share |
//! | `inherited` | locks that a child was forked with |

pub(crate) mod acquire;
pub(crate) mod background_work;
pub(crate) mod caller;
pub(crate) mod chores;
pub(crate) mod contender;
pub(crate) mod core;
mod exchange;
pub(crate) mod inherited;
pub(crate) mod known_server;
pub(crate) mod limits;
pub(crate) mod release;
pub(crate) mod renew;
pub(crate) mod settle;
pub(crate) mod waiting;
pub(crate) mod wake;
