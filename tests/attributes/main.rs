//! The attributes on functions of every shape: nothing may change but the lock.
//!
//! | file | promise |
//! |---|---|
//! | `keys` | each form of a key locks what it says, and is evaluated once, before the body |
//! | `receivers` `parameters` | any signature can be locked, and means what it meant |
//! | `returns` | the compiler's types, not their spelling, decide what a function can report |
//! | `policy` | what happens when the lock cannot be had |
//! | `otherwise` | what it takes the place of is logged |
//! | `kept_leases` | a lease that outlives its body says that it is over |
//! | `bodies` | control flow and drop order of a body are its own |
//! | `zlocks` | any function that returns a `Result` can have its body in the closure of `zlock` |
//! | `options` | each option reaches the runtime |
//! | `hygiene` `macro_made` | no name of the user's gets in the way |
//! | `beside` | other attributes beside ours, and recursion |
//! | `async_bodies` | an async body runs lazily, under the lock, with the control flow and drop order of its own |
//! | `async_signatures` | any async function can be locked, and means what it meant |
//! | `async_policy` | what it does when the lock cannot be had |
//! | `async_send` | a future that is `Send` stays it |
//! | `async_futures` | functions that make a future, in a box or hidden |
//! | `async_beside` | other attributes beside ours, and executors with threads |
//! | `async_sizes` | a future grows by little |
//!
//! The whole binary is compiled a second time as edition 2018, and holds no warning in either: an attribute that brought
//! one would not compile here.
#![deny(warnings, clippy::all, clippy::pedantic)]
#![allow(clippy::trivially_copy_pass_by_ref, reason = "key functions take references")]
#![allow(
    clippy::uninlined_format_args,
    reason = "`tests/edition_2018` compiles these files, too, where a message is no format"
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
mod parameters;
mod policy;
mod receivers;
mod returns;
mod stage;
mod zlocks;
