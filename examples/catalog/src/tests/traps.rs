//! The traps of `docs/choosing.md`, each with two connections to a file, and without chance.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

use memlock::{Conflict as _, Locks};

use crate::catalog::CatalogError;
use crate::setting::{Place, paths};
use crate::store::{Store, Stored, Transaction, in_transaction};

const CATALOGUES: usize = 2;

/// So a lock for each catalogue does not prevent conflicts of whole transactions.
#[test]
fn a_snapshot_of_sqlite_is_in_conflict_with_any_write_to_the_file() {
    let file = File::new();
    let ([first, second], [mine, other]) = (file.connections(), catalogues());

    first.begin(Transaction::Snapshot).expect("idle");
    let read = first.read(&mine).expect("it is there");
    write(&*second, &other).expect("no other transaction writes");
    let refused = first.update(&mine, &read).expect_err("the file has changed");
    assert!(
        matches!(refused, CatalogError::Database(_)) && refused.is_conflict(),
        "{refused}"
    );
}

/// So work outside a transaction conflicts only with writes to the same catalogue.
#[test]
fn a_version_check_conflicts_with_writes_to_the_same_catalogue_only() {
    let file = File::new();
    let ([first, second], [mine, other]) = (file.connections(), catalogues());

    let read = first.read(&mine).expect("it is there");
    write(&*second, &other).expect("no other transaction writes");
    first
        .update(&mine, &read)
        .expect("no other transaction has written this one");
    let refused = second.update(&mine, &read).expect_err("this one has changed");
    assert!(matches!(refused, CatalogError::Stale), "{refused}");
}

/// A function's lock ends with the function, and its transaction later.
#[test]
fn a_lock_that_ends_before_the_commit_lets_the_next_one_in_too_early() {
    let file = File::new();
    let ([first, second], [mine, _]) = (file.connections(), catalogues());
    let (locks, _server) = Locks::in_memory();

    first.begin(Transaction::Snapshot).expect("idle");
    let locked = locks.lock(&mine).acquire().expect("it is free");
    write(&*first, &mine).expect("no other transaction writes");
    locked.release();

    second.begin(Transaction::Snapshot).expect("idle");
    let _locked = locks
        .lock(&mine)
        .acquire()
        .expect("it is free again, and the write under it is not committed");
    let read = second.read(&mine).expect("it is there");
    first.commit().expect("no other transaction has written");
    let refused = second.update(&mine, &read).expect_err("what was read is out of date");
    assert!(refused.is_conflict(), "{refused}");
}

/// In `memlock::transaction()`, the next transaction gets its conflict before it has read anything.
#[test]
fn a_zlock_in_a_transaction_is_held_until_the_commit() {
    let file = File::new();
    let ([first, second], [mine, _]) = (file.connections(), catalogues());
    let (locks, _server) = Locks::in_memory();
    let once = || memlock::transaction().attempts(1);

    let done = once().run(|_| {
        in_transaction(&*first, Transaction::Snapshot, || {
            let read = read_behind_zlock(&*first, &mine, &locks)?;
            // Another transaction comes between the end of that function and the commit.
            let other = || {
                let store = file.place().open()?;
                once().run(|_| read_behind_zlock(&*store, &mine, &locks))
            };
            match thread::scope(|scope| scope.spawn(other).join().expect("no panic")) {
                Err(CatalogError::Lock(_)) => {}
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("it has read what is about to change"),
            }
            first.update(&mine, &read)
        })
    });
    done.expect("no other transaction has written");
    let read = once().run(|_| read_behind_zlock(&*second, &mine, &locks));
    assert_eq!(read.expect("the lock is free again").version, 1);
}

#[memlock::zlock(path, locks = locks)]
fn read_behind_zlock(store: &dyn Store, path: &str, locks: &Locks) -> Result<Stored, CatalogError> {
    store.read(path)
}

/// A transaction that reads before another writes, and writes after.
fn write(store: &dyn Store, path: &str) -> Result<(), CatalogError> {
    let read = store.read(path)?;
    store.update(path, &read)
}

fn catalogues() -> [String; CATALOGUES] {
    paths(CATALOGUES).try_into().expect("so many")
}

/// An `SQLite` file with catalogues, removed in the end.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("memlock-catalog-traps-{}-{number}", process::id()));
        fs::create_dir(&folder).expect("a folder for temporary files");
        let file = Self(folder);
        file.place().create(&catalogues()).expect("a new file");
        file
    }

    fn place(&self) -> Place {
        Place::File(self.0.join("sqlite"))
    }

    fn connections(&self) -> [Box<dyn Store>; 2] {
        [(); 2].map(|()| self.place().open().expect("it is there"))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // A folder that stays in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
