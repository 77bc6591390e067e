//! A lease alone cannot stop a stale holder: a holder that is stopped past its lease (a long pause, a suspended machine)
//! does not know that its time is over, and writes. The fencing token lets the *resource* refuse it. Tokens rise from
//! grant to grant, and the resource accepts none that is lower than the highest it has seen.
//! `cargo run --example fenced`

use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use memlock::{Locks, Token};

/// A document that remembers the highest token it has been written with. In a database: `UPDATE report SET text = ?,
/// token = ? WHERE token <= ?`, and a check of how many rows that changed.
#[derive(Default)]
struct Report(Mutex<(u64, String)>);

impl Report {
    fn write(&self, token: Token, text: &str) -> Result<(), String> {
        let mut report = self.0.lock().expect("no panic while it was held");
        if token.get() < report.0 {
            return Err(format!("refused: token {token} is stale, {} has been seen", report.0));
        }
        *report = (token.get(), text.to_owned());
        Ok(())
    }
}

/// Writes the report, after `pause`.
#[memlock::lock("report", timeout = "200ms")]
fn write_report(report: &Report, author: &str, begun: &Barrier, pause: Duration) -> Result<(), String> {
    let lease = memlock::current().ok_or("the lock is soft, and memcached is down")?;
    begun.wait();
    thread::sleep(pause);
    let written = report.write(lease.token(), &format!("by {author}"));
    println!(
        "{author}: token {}, lease {}: {written:?}",
        lease.token(),
        if lease.is_valid() { "good" } else { "over" }
    );
    written
}

fn main() -> Result<(), memlock::Error> {
    if std::env::var_os("MEMLOCK_SERVERS").is_none() {
        memlock::init(Locks::builder().servers("memory:").build()?)?;
    }
    let report = Report::default();
    let (both, alone) = (Barrier::new(2), Barrier::new(1));
    let (slow, quick) = thread::scope(|scope| {
        let slow = scope.spawn(|| write_report(&report, "the slow author", &both, Duration::from_millis(800)));
        both.wait(); // The slow author has the lock, and sleeps for four times its lease.
        let quick = write_report(&report, "the quick author", &alone, Duration::ZERO);
        (slow.join().expect("no panic"), quick)
    });
    assert!(quick.is_ok() && slow.is_err(), "the stale holder was let through");
    println!(
        "the report is {}",
        report.0.into_inner().expect("no panic while it was held").1
    );
    Ok(())
}
