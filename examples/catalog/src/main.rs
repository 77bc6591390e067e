//! Several processes index documents into a few catalogues that share one `SQLite` file: optimistically, under the database's
//! own lock, and behind memlock's attributes.
//!
//! `cargo xtask demo` sets up what is needed and runs it. Copy from `patch.rs`, and from `ways.rs`, which calls the
//! functions in it. They wrap the functions in `catalog.rs`. The rest is the contest.

mod catalog;
mod contest;
mod demo;
mod diary;
mod index;
mod patch;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
mod progress;
mod queue;
mod report;
mod run;
mod setting;
mod sqlite;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod ways;

use std::env;
use std::process::ExitCode;

/// Any error, for everything except the catalogue.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // The other processes run this program, too.
    let done = match process::role() {
        Some(parent) => Ok(process::live(parent)),
        None => demo::show(env::args().nth(1).as_deref()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("catalog: {error}");
        ExitCode::FAILURE
    })
}
