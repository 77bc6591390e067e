//! Locked async functions as tasks of executors: who is a holder, and what is left when they are given up.

#[path = "../../memlock-runtime/tests/tasks/executors.rs"]
#[allow(dead_code, reason = "the runtime's own tests use the rest of it")]
mod executors;

mod cancellation;
mod identity;
