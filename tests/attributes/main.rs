//! The attributes on functions of every shape: nothing may change but the lock.
//!
//! | file | promise |
//! |---|---|
//! | `keys` | each form of a key gives the expected lock, and is evaluated once, before the body |
//! | `receivers` `parameters` | any signature can be locked, and keeps its meaning |
//! | `returns` | the compiler's types, not their spelling, decide what a function can report |
//! | `policy` | what happens when the lock is not available |
//! | `panicking` | nothing panics while a panic unwinds |
//! | `otherwise` | the error that it replaces is logged |
//! | `kept_leases` | a lease that outlives its body says that it is over |
//! | `bodies` | control flow and drop order of a body are its own |
//! | `zlocks` | any function that returns a `Result` can have its body in the closure of `zlock` |
//! | `options` | each option reaches the runtime |
//! | `hygiene` `macro_made` | no name of the user collides with the expansion |
//! | `beside` | other attributes beside memlock's, and recursion |
//! | `async_bodies` | an async body runs lazily, under the lock, with the control flow and drop order of its own |
//! | `async_signatures` | any async function can be locked, and keeps its meaning |
//! | `async_policy` | what it does when the lock is not available |
//! | `async_send` | a future that is `Send` stays `Send` |
//! | `async_futures` | functions that make a future, in a box or hidden |
//! | `async_beside` | other attributes beside memlock's, and executors with threads |
//! | `async_sizes` | a future grows by little |
//!
//! The whole binary is compiled a second time as edition 2018, and has no warning in either: an attribute that caused
//! one would not compile here.
#![deny(warnings, clippy::all, clippy::pedantic)]
#![allow(clippy::trivially_copy_pass_by_ref, reason = "key functions take references")]
#![allow(
    clippy::uninlined_format_args,
    reason = "`tests/edition_2018` compiles these files, too, where a message is not a format string"
)]

mod async_beside;
mod async_bodies;
mod async_futures;
mod async_policy;
mod async_send;
mod async_signatures;
mod async_sizes;
mod beside;
mod bodies;
mod hygiene;
mod kept_leases;
mod keys;
mod log;
mod macro_made;
mod options;
mod otherwise;
mod panicking;
mod parameters;
mod policy;
mod receivers;
mod returns;
mod stage;
mod zlocks;
