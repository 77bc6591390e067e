//! Transactions that take two hot keys in opposite orders, over a database that would report "locked": nothing waits inside an
//! open transaction, and nothing deadlocks.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread;

use memlock::{Locks, transaction, zlock};

use crate::CatalogError;

/// Two rows, each with a lock that the database takes at the first write and holds until the end. A second transaction
/// that writes to the same row fails.
#[derive(Default)]
struct Database {
    rows: [Mutex<u64>; 2],
    locked: AtomicUsize,
    open: AtomicUsize,
}

impl Database {
    /// Adds one to both rows, in this order, each under its lock.
    fn transfer(&self, locks: &Locks, order: [usize; 2]) -> Result<(), CatalogError> {
        self.open.fetch_add(1, Ordering::SeqCst);
        let _open = Open(&self.open);
        let mut written = Vec::new();
        for row in order {
            let guard = update(locks, row, || match self.rows[row].try_lock() {
                Ok(guard) => Ok(guard),
                Err(TryLockError::WouldBlock) => {
                    self.locked.fetch_add(1, Ordering::SeqCst);
                    Err(CatalogError::Changed)
                }
                Err(TryLockError::Poisoned(_)) => Err(CatalogError::Missing),
            })?;
            written.push(guard);
            thread::yield_now();
        }
        for row in &mut written {
            **row += 1;
        }
        Ok(())
    }
}

struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[zlock("row {row}", name = "catalog", locks = locks)]
fn update<T>(locks: &Locks, row: usize, write: impl FnOnce() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
    write()
}

const ROUNDS: u64 = 40;

#[test]
fn threads_with_two_keys_in_opposite_orders_all_get_through() {
    let (locks, server) = Locks::in_memory();
    let processes = [locks, server.other_process(), server.other_process()];
    let database = Database::default();
    let attempts = AtomicU64::new(0);
    thread::scope(|scope| {
        for writer in 0..6 {
            let (locks, database, attempts) = (&processes[writer % 3], &database, &attempts);
            scope.spawn(move || {
                let order = if writer % 2 == 0 { [0, 1] } else { [1, 0] };
                for _ in 0..ROUNDS {
                    let committed = transaction().attempts(100).run(|_| {
                        attempts.fetch_add(1, Ordering::Relaxed);
                        database.transfer(locks, order)
                    });
                    committed.expect("it gets through");
                }
            });
        }
    });
    let rows = database.rows.map(|row| row.into_inner().expect("no panic"));
    assert_eq!(rows, [6 * ROUNDS; 2]);
    assert_eq!(database.locked.into_inner(), 0, "the database never reports \"locked\"");
    println!("{} attempts for {} transactions", attempts.into_inner(), 6 * ROUNDS);
}

#[test]
fn tasks_with_two_keys_in_opposite_orders_all_get_through() {
    #[zlock("row {row}", name = "catalog", locks = locks)]
    async fn update(locks: &Locks, row: usize, inside: &[AtomicUsize; 2]) -> Result<(), CatalogError> {
        inside[row].fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    let (locks, server) = Locks::in_memory();
    let processes = [locks, server.other_process()];
    let inside: &'static [AtomicUsize; 2] = Box::leak(Box::default());
    let done: &'static AtomicU64 = Box::leak(Box::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    let tasks: Vec<_> = (0..8)
        .map(|writer| {
            let locks = processes[writer % 2].clone();
            runtime.spawn(async move {
                let order = if writer % 2 == 0 { [0, 1] } else { [1, 0] };
                for _ in 0..ROUNDS {
                    let committed = transaction().attempts(100).run_async(async |_| {
                        let mut taken = Vec::new();
                        for row in order {
                            let updated = update(&locks, row, inside).await;
                            if updated.is_ok() {
                                taken.push(row);
                            }
                            tokio::task::yield_now().await;
                            if let Err(conflict) = updated {
                                leave(inside, &taken);
                                return Err(conflict);
                            }
                        }
                        for row in order {
                            assert_eq!(inside[row].load(Ordering::SeqCst), 1, "two transactions at once");
                        }
                        leave(inside, &taken);
                        Ok(())
                    });
                    committed.await.expect("it gets through");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    assert_eq!(done.load(Ordering::SeqCst), 8 * ROUNDS);
}

/// The end of a transaction, while its locks are still held.
fn leave(inside: &[AtomicUsize; 2], taken: &[usize]) {
    for row in taken {
        inside[*row].fetch_sub(1, Ordering::SeqCst);
    }
}
