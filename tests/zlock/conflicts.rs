//! Which errors are conflicts.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use memlock::{Error, Locks, zlock};

use crate::{CatalogError, is_free};

/// Whether `run` leaves its lock reserved, which it does after a conflict.
fn reserves<E: fmt::Debug>(run: impl FnOnce(&Locks) -> Result<(), E>) -> bool {
    let (locks, server) = Locks::in_memory();
    run(&locks).expect_err("it ends in an error");
    !is_free(&server.other_process(), "k")
}

/// An error of a database. It is a conflict if it is stale.
#[derive(Debug)]
struct Database {
    is_stale: bool,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the database has an error")
    }
}

impl StdError for Database {}

impl From<Error> for Database {
    fn from(_: Error) -> Database {
        Database { is_stale: false }
    }
}

fn conflict() -> Error {
    let (locks, server) = Locks::in_memory();
    let _held = server
        .other_process()
        .lock("k")
        .name("catalog")
        .acquire()
        .expect("it is free");
    let met = memlock::transaction().attempts(1).run(|_| {
        #[zlock("k", name = "catalog", locks = locks)]
        fn write(locks: &Locks) -> Result<(), Error> {
            Ok(())
        }
        write(&locks)
    });
    met.expect_err("another holds it")
}

#[test]
fn an_error_that_implements_conflict_decides_itself() {
    #[zlock("k", name = "catalog", locks = locks)]
    fn by_trait(locks: &Locks, error: CatalogError) -> Result<(), CatalogError> {
        Err(error)
    }
    assert!(reserves(|locks| by_trait(locks, CatalogError::Changed)));
    assert!(reserves(|locks| by_trait(locks, conflict().into())));
    assert!(!reserves(|locks| by_trait(locks, CatalogError::Missing)));
}

#[test]
fn the_conflict_option_overrides_the_trait() {
    fn is_missing(error: &CatalogError) -> bool {
        matches!(error, CatalogError::Missing)
    }
    #[zlock("k", name = "catalog", locks = locks, conflict = is_missing)]
    fn by_function(locks: &Locks, error: CatalogError) -> Result<(), CatalogError> {
        Err(error)
    }
    assert!(reserves(|locks| by_function(locks, CatalogError::Missing)));
    assert!(!reserves(|locks| by_function(locks, CatalogError::Changed)));

    #[zlock("k", name = "catalog", locks = locks, conflict = |error| error.is_stale)]
    fn by_closure(locks: &Locks, is_stale: bool) -> Result<(), Database> {
        Err(Database { is_stale })
    }
    assert!(reserves(|locks| by_closure(locks, true)));
    assert!(!reserves(|locks| by_closure(locks, false)));
}

#[test]
fn an_error_without_the_trait_is_searched_for_a_conflict_below_it() {
    #[zlock("k", name = "catalog", locks = locks)]
    fn plain(locks: &Locks, error: io::Error) -> io::Result<()> {
        Err(error)
    }
    assert!(reserves(|locks| plain(locks, conflict().into())));
    assert!(!reserves(|locks| plain(locks, io::Error::other("full"))));

    #[zlock("k", name = "catalog", locks = locks)]
    fn boxed(locks: &Locks, error: Box<dyn StdError + Send + Sync>) -> Result<(), Box<dyn StdError + Send + Sync>> {
        Err(error)
    }
    assert!(reserves(|locks| boxed(locks, conflict().into())));
    assert!(!reserves(|locks| boxed(locks, "full".into())));

    #[zlock("k", name = "catalog", locks = locks)]
    fn unsent(locks: &Locks, error: Box<dyn StdError>) -> Result<(), Box<dyn StdError>> {
        Err(error)
    }
    assert!(reserves(|locks| unsent(locks, conflict().into())));

    #[zlock("k", name = "catalog", locks = locks)]
    fn any(locks: &Locks, error: anyhow::Error) -> anyhow::Result<()> {
        Err(error)
    }
    assert!(reserves(|locks| any(
        locks,
        anyhow::Error::from(conflict()).context("cataloguing")
    )));
    assert!(!reserves(|locks| any(locks, anyhow::anyhow!("full"))));
}

#[test]
fn otherwise_replaces_errors_of_the_lock_and_not_of_the_function() {
    #[derive(Debug, PartialEq)]
    struct Mute(u8);

    #[zlock("k", name = "catalog", locks = locks, wait = 0, conflict = |error| error.0 == 7, otherwise = Err(Mute(0)))]
    fn mute(locks: &Locks, error: u8) -> Result<(), Mute> {
        Err(Mute(error))
    }
    assert!(reserves(|locks| mute(locks, 7)));
    assert!(!reserves(|locks| mute(locks, 8)));
    let (locks, server) = Locks::in_memory();
    let _held = server
        .other_process()
        .lock("k")
        .name("catalog")
        .acquire()
        .expect("it is free");
    assert_eq!(mute(&locks, 8), Err(Mute(0)));
}

#[cfg(feature = "rusqlite")]
mod sqlite {
    use memlock::{Conflict as _, is_conflict};
    use rusqlite::{Connection, Error};

    /// Two connections to a file in the tests' temporary folder.
    fn two(name: &str) -> (Connection, Connection) {
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("conflicts-{}-{name}.sqlite", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let first = Connection::open(&path).expect("a file");
        first
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (1);")
            .expect("a table");
        let second = Connection::open(&path).expect("the same");
        first.busy_timeout(std::time::Duration::ZERO).expect("a setting");
        second.busy_timeout(std::time::Duration::ZERO).expect("a setting");
        (first, second)
    }

    fn read(connection: &Connection) {
        let one: i64 = connection
            .query_one("SELECT x FROM t", [], |row| row.get(0))
            .expect("a row");
        assert!(one > 0);
    }

    #[test]
    fn a_stale_snapshot_is_a_conflict() {
        let (first, second) = two("snapshot");
        first.execute_batch("BEGIN").expect("a transaction");
        read(&first);
        second.execute_batch("UPDATE t SET x = x + 1").expect("a write");
        let stale = first
            .execute_batch("UPDATE t SET x = x + 1")
            .expect_err("another connection has written since");
        let code = |error: &Error| error.sqlite_error().map(|error| error.extended_code);
        assert_eq!(code(&stale), Some(517));
        assert!(stale.is_conflict() && is_conflict(&stale));
    }

    #[test]
    fn a_reader_that_would_write_while_another_does_is_a_conflict() {
        let (first, second) = two("busy");
        first.execute_batch("BEGIN").expect("a transaction");
        read(&first);
        second
            .execute_batch("BEGIN IMMEDIATE; UPDATE t SET x = x + 1")
            .expect("the write lock");
        let busy = first
            .execute_batch("UPDATE t SET x = x + 1")
            .expect_err("another connection writes");
        assert_eq!(busy.sqlite_error().map(|error| error.extended_code), Some(5));
        assert!(busy.is_conflict());
    }

    #[test]
    fn other_errors_are_not_conflicts() {
        let (first, _) = two("other");
        let wrong = first
            .execute_batch("UPDATE nothing SET x = 1")
            .expect_err("no such table");
        assert!(!wrong.is_conflict());
    }
}
