//! The same over a real `PostgreSQL`.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use memlock_testkit::wait_until;
use postgres::error::SqlState;
use postgres::{Client, NoTls};

use super::counts::{ONE_CATALOGUE, assert_nothing_in_vain, run_in, stage};
use crate::setting::Place;
use crate::ways::Way;

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn work_outside_a_transaction_or_in_a_snapshot_is_thrown_away_without_a_lock() {
    let (stage, _alone) = stage("postgres");
    let server = stage.start_postgres().expect("PostgreSQL is installed");
    let place = Place::Server(server.address());
    let run = |way| run_in(&stage, way, ONE_CATALOGUE, &place);
    for way in [Way::Optimistic, Way::Snapshot] {
        assert!(run(way).percent_thrown_away() >= 60);
    }
    // The database's own lock does as well, with a transaction open all the time.
    for way in [Way::Exclusive, Way::Lock, Way::Zlock, Way::ZlockSnapshot] {
        assert_nothing_in_vain(&run(way));
    }
}

/// The statement that waits for the lock takes the snapshot first, so the lock comes too late.
#[test]
fn an_advisory_lock_that_is_waited_for_in_the_transaction_comes_after_its_snapshot() {
    let (stage, _alone) = stage("postgres-advisory");
    let server = stage.start_postgres().expect("PostgreSQL is installed");
    let lock = "SELECT pg_advisory_xact_lock(7)";
    let add = "UPDATE counter SET value = value + 1";
    let connect = || Client::connect(&server.address(), NoTls).expect("it is up");
    let [mut first, mut second, mut observer] = [connect(), connect(), connect()];
    first
        .batch_execute("CREATE TABLE counter (value INTEGER); INSERT INTO counter VALUES (0)")
        .expect("a new database");

    first.batch_execute("BEGIN").expect("idle");
    first.batch_execute(lock).expect("it is free");
    let second = thread::spawn(move || {
        second.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")?;
        second.batch_execute(lock)?;
        second.batch_execute(add)
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    wait_until("the second connection to wait for the lock", PATIENCE, || {
        let count: i64 = observer.query_one(waiting, &[]).expect("it is up").get(0);
        count == 1
    });
    first
        .batch_execute(add)
        .and_then(|()| first.batch_execute("COMMIT"))
        .expect("it has the lock");

    let refused = second
        .join()
        .expect("no panic")
        .expect_err("its snapshot is from before the lock");
    assert_eq!(refused.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
    assert!(memlock::is_conflict(&refused));
}

/// Two transactions write two rows in opposite orders without a lock. The database ends the deadlock, and the loser may
/// start again.
#[test]
fn a_deadlock_is_a_conflict() {
    let (stage, _alone) = stage("postgres-deadlock");
    let server = stage.start_postgres().expect("PostgreSQL is installed");
    let connect = || Client::connect(&server.address(), NoTls).expect("it is up");
    connect()
        .batch_execute("CREATE TABLE row (name INTEGER); INSERT INTO row VALUES (1), (2)")
        .expect("a new database");
    let both_have_one = Barrier::new(2);
    let write = |first: u8, second: u8| {
        let mut client = connect();
        client.batch_execute("BEGIN")?;
        client.batch_execute(&format!("UPDATE row SET name = name WHERE name = {first}"))?;
        both_have_one.wait();
        client.batch_execute(&format!("UPDATE row SET name = name WHERE name = {second}"))?;
        client.batch_execute("COMMIT")
    };
    let [one, other] = thread::scope(|scope| {
        [(1, 2), (2, 1)]
            .map(|(first, second)| scope.spawn(move || write(first, second)))
            .map(|writer| writer.join().expect("no panic"))
    });
    let lost = one.and(other).expect_err("one of them has lost");
    assert_eq!(lost.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED));
    assert!(memlock::is_conflict(&lost));
}
