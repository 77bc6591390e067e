//! Several processes index documents into a few catalogues that share one `SQLite` file: optimistically, under the database's
//! own lock, and behind memlock's attributes.
//!
//! `cargo xtask demo` sets up what is needed and runs it. The file to copy from is `patch.rs`, and `ways.rs` for how the
//! functions in it are called; `catalog.rs` is what they wrap, and the rest is the contest.

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

/// For all that is not a catalogue: any error will do.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // The other processes are this program, too.
    let done = match process::role() {
        Some(parent) => Ok(process::live(parent)),
        None => demo::show(env::args().nth(1).as_deref()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("catalog: {error}");
        ExitCode::FAILURE
    })
}
