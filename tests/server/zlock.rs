//! `zlock` between processes: what a dead one leaves reserved, and two hot keys in opposite orders over a real database.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs, process, thread};

use memlock::{Locks, transaction, zlock};
use memlock_testkit::{Parent, Peer, wait_until};
use rusqlite::{Connection, TransactionBehavior};

use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed, tried};

/// The variable with the path of the database, for the test's peers.
const DATABASE: &str = "MEMLOCK_TEST_DATABASE";

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("another writer has changed it")]
    Changed,
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Lock(#[from] memlock::Error),
}

impl memlock::Conflict for WriteError {
    fn is_conflict(&self) -> bool {
        match self {
            WriteError::Changed => true,
            WriteError::Lock(error) => error.is_conflict(),
            // It ends the test: behind these locks the database finds no conflict.
            WriteError::Database(_) => false,
        }
    }
}

#[zlock(key, name = "zlock", locks = locks, timeout = 30, reserve = 0.5)]
fn write<T>(locks: &Locks, key: &str, work: impl FnOnce() -> Result<T, WriteError>) -> Result<T, WriteError> {
    work()
}

#[test]
fn a_reservation_lasts_as_long_as_reserve_says() {
    let stage = Stage::set();
    let (locks, others) = (stage.locks(), stage.locks());
    // Connected already.
    hold(others.lock("another")).release();
    let begun = Instant::now();
    let _ = write(&locks, "k", || Err::<(), _>(WriteError::Changed));
    let busy = tried(|| others.lock("k").name("zlock").try_acquire());
    assert!(busy.is_err_and(|error| error.is_busy()), "it is reserved");
    let guard = hold(others.lock("k").name("zlock"));
    let reserved = begun.elapsed();
    println!("reserved for 0.5 s: another came in after {reserved:.3?}");
    assert!(reserved >= ms(500) && reserved <= ms(500) + MARGIN, "{reserved:?}");
    guard.release();
}

#[test]
fn a_killed_process_blocks_others_for_its_reservation_and_not_for_its_timeout() {
    const NAME: &str = "zlock::a_killed_process_blocks_others_for_its_reservation_and_not_for_its_timeout";
    if let Some(parent) = Parent::of_role("reserver") {
        let locks = Locks::from_env().expect("a server");
        let _ = write(&locks, "k", || Err::<(), _>(WriteError::Changed));
        assert!(locks.flush(PATIENCE), "the server has been told");
        parent.say("reserved");
        // Until it is killed.
        let _ = parent.hear(PATIENCE);
        return;
    }
    let stage = Stage::set();
    let mut peer = Peer::of("reserver")
        .test(NAME)
        .env("MEMLOCK_SERVERS", stage.address())
        .start();
    let mut reserved = false;
    while !reserved {
        reserved = peer.expect_line(PATIENCE) == "reserved";
    }
    peer.kill();
    let (guard, waited) = timed(|| hold(stage.locks().lock("k").name("zlock")));
    println!("killed with 0.5 s reserved of 30 s: inherited after {waited:.3?}");
    assert!(waited <= ms(600) + MARGIN, "{waited:?}");
    guard.release();
}

/// A database in a folder that is removed with the test.
struct Database(PathBuf);

impl Database {
    fn new() -> Database {
        let folder = env::temp_dir().join(format!("memlock-zlock-{}", process::id()));
        fs::create_dir(&folder).expect("a folder");
        let database = Database(folder.join("accounts.sqlite"));
        open(&database.0)
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE account (name TEXT PRIMARY KEY, written INTEGER NOT NULL);
                 INSERT INTO account VALUES ('a', 0), ('b', 0);",
            )
            .expect("tables");
        database
    }

    fn written(&self, account: &str) -> u32 {
        open(&self.0)
            .query_one("SELECT written FROM account WHERE name = ?1", [account], |row| {
                row.get(0)
            })
            .expect("a row")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A folder that stays in the temporary directory does no harm.
        let _ = self.0.parent().map(fs::remove_dir_all);
    }
}

/// A connection that never waits: a database that is written to by another says so at once.
fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a database");
    connection.busy_timeout(ms(0)).expect("a setting");
    connection
}

const WRITERS: u32 = 4;
const ROUNDS: u32 = 40;

/// Each transaction writes to both accounts, under the lock of each, and half of the writers take them the other way round.
/// The database would report "locked" to the second of two that write at once: it never has to.
#[test]
fn processes_with_two_keys_in_opposite_orders_all_get_through() {
    const NAME: &str = "zlock::processes_with_two_keys_in_opposite_orders_all_get_through";
    if let Some(parent) = Parent::of_role("writer") {
        let order = parent.hear(PATIENCE);
        parent.say(&format!("attempts {}", write_both(&order)));
        return;
    }
    let stage = Stage::on_a_machine_of_its_own();
    let database = Database::new();
    let mut writers: Vec<Peer> = (0..WRITERS)
        .map(|_| {
            let writer = Peer::of("writer").test(NAME);
            writer
                .env("MEMLOCK_SERVERS", stage.address())
                .env(DATABASE, &database.0)
                .start()
        })
        .collect();
    for (number, writer) in writers.iter_mut().enumerate() {
        writer.send(if number % 2 == 0 { "a b" } else { "b a" });
    }
    let mut attempts = 0;
    for writer in &writers {
        let line = writer.expect_line(PATIENCE * 2);
        let number = line
            .strip_prefix("attempts ")
            .and_then(|number| number.parse::<u32>().ok());
        attempts += number.unwrap_or_else(|| panic!("{line}"));
    }
    println!("{attempts} attempts for {} transactions", WRITERS * ROUNDS);
    for account in ["a", "b"] {
        assert_eq!(database.written(account), WRITERS * ROUNDS, "{account}");
    }
}

/// Runs the transactions of one writer, and returns how many attempts they took.
fn write_both(order: &str) -> u32 {
    // On a machine that stands still for a moment the server is as good as ever.
    let locks = Locks::builder().exchange_timeout(PATIENCE).build().expect("a server");
    let connection = RefCell::new(open(Path::new(&env::var_os(DATABASE).expect("it was told"))));
    let (first, second) = order.split_once(' ').expect("two names");
    let mut attempts = 0;
    for _ in 0..ROUNDS {
        let committed = transaction().attempts(1000).run(|_| {
            attempts += 1;
            write(&locks, first, || {
                // Time for another to take the second.
                thread::yield_now();
                write(&locks, second, || {
                    let mut connection = connection.borrow_mut();
                    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    transaction.execute("UPDATE account SET written = written + 1", [])?;
                    transaction.commit()?;
                    Ok(())
                })
            })
        });
        committed.expect("the database never reports \"locked\", and no writer waits for ever");
    }
    assert_eq!(locks.counts().soft_runs, 0);
    attempts
}

/// A scope releases later locks before it waits, as the server shows.
#[test]
fn a_waiting_transaction_leaves_later_keys_free() {
    let stage = Stage::set();
    let (locks, others) = (stage.locks(), stage.locks());
    let held = hold(others.lock("a").name("zlock"));
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            transaction().run(|attempt| {
                write(&locks, "b", || Ok(()))?;
                write(&locks, "a", || Ok(()))?;
                Ok::<u32, WriteError>(attempt)
            })
        });
        wait_until("it has met `a`", PATIENCE, || locks.counts().conflicts == 1);
        hold(others.lock("b").name("zlock").wait(PATIENCE)).release();
        held.release();
        assert_eq!(waits.join().expect("no panic").expect("its turn"), 2);
    });
}
