//! Functions without a reachable memcached. A function that can report the error does so. A function that cannot runs
//! unlocked (a *soft* lock), with a warning and a count. `on_unavailable` and `otherwise` change this. There is no server
//! here: the locks use a port on which no process listens. `cargo run --example soft`

use memlock::Locks;

#[memlock::lock("nightly", locks = locks)]
fn reports(locks: &Locks) -> Result<&'static str, memlock::Error> {
    Ok("ran")
}

#[memlock::lock("nightly", locks = locks)]
fn cannot_report(locks: &Locks) -> &'static str {
    // `current()` is `None` where the body runs unlocked.
    if memlock::current().is_some() {
        "ran locked"
    } else {
        "ran unlocked"
    }
}

#[memlock::lock("nightly", locks = locks, on_unavailable = unlocked)]
fn prefers_to_run(locks: &Locks) -> Result<&'static str, memlock::Error> {
    Ok("ran unlocked")
}

#[memlock::lock("nightly", locks = locks, otherwise = "left it to the next night")]
fn would_rather_not(locks: &Locks) -> &'static str {
    "ran"
}

fn main() -> Result<(), memlock::Error> {
    let locks = Locks::builder().servers("127.0.0.1:1").build()?;
    match reports(&locks) {
        Ok(done) => println!("reports: {done}"),
        Err(error) => println!("reports: {error}"),
    }
    println!("cannot report: {}", cannot_report(&locks));
    println!("on_unavailable = unlocked: {}", prefers_to_run(&locks)?);
    println!("otherwise: {}", would_rather_not(&locks));
    println!("{} bodies ran without their lock", locks.counts().soft_runs);
    assert_eq!(locks.counts().soft_runs, 2);
    Ok(())
}
