//! The protocol under an exhaustive model checker: the real machines of `memlock-runtime`, over its real account of
//! memcached's semantics, in every order of events that fits some bounds.
//!
//! | file | what it is |
//! |---|---|
//! | `bounds` | what a model may do, and how much may go wrong |
//! | `world` | a state: one server, its contenders, and what is on its way between them |
//! | `server` `contender` | the two sides of a transition; the contender's does what the drivers do around the machines |
//! | `reservation` | what a contender keeps for its retry |
//! | `line` | a process's queue, whose turns are the real ones, and handing over in it |
//! | `actions` | what can happen next, and the promises, for the checker |
//! | `outcomes` | what was reached, so that no model passes because nothing happened in it |
//! | `check` | runs the checker to its end, and says what was found |
//!
//! The models themselves are in `tests/`. `cargo test -p memlock-model -- --nocapture` prints their bounds and
//! how many states each exhausted.

mod actions;
mod bounds;
mod check;
mod contender;
mod line;
mod outcomes;
mod reservation;
mod server;
mod world;

pub use actions::Action;
pub use bounds::Bounds;
pub use check::{Counterexample, exhaust, find_counterexample};
pub use outcomes::Reached;
