//! The drivers: the loops that run the protocol's machines against a store, with the clocks and the randomness that the
//! machines do not have.
//!
//! | file | what it is |
//! |---|---|
//! | `core` | what all clones of one `Locks` share; `known_server` is a part of it |
//! | `wake` | a UDP socket on which the first in line is told that the lock is free |
//! | `limits` | the end of a call's waiting, and of its asking |
//! | `waiting` `contender` | a caller that waits, and the head of a queue, whichever driver lets the time pass |
//! | `blocking` `tasks` | the loops: on the caller's thread, and in the caller's future |
//! | `background_work` `chores` | what goes on although no caller waits for it |
//! | `settle` | finding out what became of a write that got no reply |
//! | `inherited` | locks that a child was forked with |

pub(crate) mod background_work;
pub(crate) mod blocking;
pub(crate) mod chores;
pub(crate) mod contender;
pub(crate) mod core;
pub(crate) mod inherited;
pub(crate) mod known_server;
pub(crate) mod limits;
pub(crate) mod settle;
pub(crate) mod tasks;
pub(crate) mod waiting;
pub(crate) mod wake;
