//! A web service of several instances that sell the tickets of the same events: first without a lock, then with one.
//!
//! `cargo xtask demo tickets` sets up what is needed and runs it. It starts a memcached and three instances of the service,
//! each a process of its own; `cargo run --package tickets -- 5` starts five. Copy from `service.rs`, and from `server.rs`,
//! which begins and ends such a process. The rest is customers, and the count of the seats that they were promised.

mod box_office;
mod contest;
mod customers;
mod report;
mod server;
mod service;
#[cfg(all(test, feature = "server-tests"))]
mod tests;

use std::process::ExitCode;

/// Any error, for everything except the handlers.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // The instances run this program, too.
    let done = match server::role() {
        Some(parent) => server::run(parent).map(|()| ExitCode::SUCCESS),
        None => contest::hold(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("tickets: {error}");
        ExitCode::FAILURE
    })
}
