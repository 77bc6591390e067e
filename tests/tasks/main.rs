//! Locked async functions as tasks of executors: which tasks are the holder, and what dropped tasks leave behind.

#[path = "../../memlock-runtime/tests/tasks/executors.rs"]
#[allow(dead_code, reason = "the runtime's own tests use the rest of it")]
mod executors;

mod cancellation;
mod identity;
