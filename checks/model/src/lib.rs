//! The protocol under an exhaustive model checker: the real machines of `memlock-runtime`, over its real model of
//! memcached's semantics, in every order of events that fits some bounds.
//!
//! | file | what it is |
//! |---|---|
//! | `bounds` | what a model may do, and how much may go wrong |
//! | `world` | a state: one server, its contenders, and the exchanges on their way between them |
//! | `server` `contender` | the two sides of a transition; the contender's side does what the drivers do around the machines |
//! | `reservation` | a lock that a contender keeps for its retry |
//! | `queue` | a process's queue, with the real turns, and handing over in it |
//! | `actions` | the events that can happen next, and the promises, for the checker |
//! | `outcomes` | the outcomes that were reached, so that no model passes because nothing happened in it |
//! | `check` | runs the checker to its end, and reports what it found |
//!
//! The models themselves are in `tests/`. `cargo test -p memlock-model -- --nocapture` prints their bounds and how many
//! states each of them exhausted.

mod actions;
mod bounds;
mod check;
mod contender;
mod outcomes;
mod queue;
mod reservation;
mod server;
mod world;

pub use actions::Action;
pub use bounds::Bounds;
pub use check::{Counterexample, exhaust, find_counterexample};
pub use outcomes::Reached;
