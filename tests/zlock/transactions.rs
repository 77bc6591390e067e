//! Transactions: locks that are held until the closure has returned, and attempts.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use memlock::{Error, Lease, Locks, transaction, zlock};

use crate::executors::{Executor, cut_at};
use crate::{CatalogError, PATIENCE, is_free, until};

#[zlock(path, name = "catalog", locks = locks)]
fn write(locks: &Locks, path: &str) -> Result<u64, CatalogError> {
    Ok(memlock::current().expect("it runs locked").token().get())
}

#[zlock(path, name = "catalog", locks = locks)]
async fn write_async(locks: &Locks, path: &str) -> Result<u64, CatalogError> {
    Ok(memlock::current().expect("it runs locked").token().get())
}

#[test]
fn locks_are_held_until_the_closure_has_returned() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let token = transaction().run(|attempt| {
        assert_eq!(attempt, 1);
        assert!(memlock::current().is_none(), "no function is running");
        let token = write(&locks, "a")?;
        assert!(!is_free(&others, "a"), "it is not committed yet");
        assert_eq!(write(&locks, "a")?, token, "the same holder");
        write(&locks, "b")?;
        assert!(!is_free(&others, "b"));
        Ok::<_, CatalogError>(token)
    });
    assert!(token.is_ok());
    assert!(is_free(&others, "a") && is_free(&others, "b"));
}

/// Keeps its lease.
#[zlock(path, name = "catalog", locks = locks)]
fn keep(locks: &Locks, path: &str) -> Result<Lease, CatalogError> {
    Ok(memlock::current().expect("it runs locked"))
}

#[test]
fn a_kept_lease_is_over_when_the_transaction_is() {
    let (locks, _server) = Locks::in_memory();
    let both = |attempt: u32| {
        let leases = [keep(&locks, "a")?, keep(&locks, "b")?];
        for lease in &leases {
            lease.check().expect("nothing is committed");
        }
        if attempt == 1 {
            return Err(CatalogError::Changed);
        }
        Ok::<_, CatalogError>(leases)
    };
    let alone = transaction().run(both).expect("a second attempt");
    let tasks = smol::block_on(transaction().run_async(async |attempt| both(attempt)));
    for lease in alone.iter().chain(&tasks.expect("a second attempt")) {
        let error = lease.check().expect_err("it is over");
        assert!(error.is_lost() && error.to_string().contains("released"), "{error}");
        assert!(!lease.is_valid());
    }
}

#[test]
fn a_conflict_anywhere_runs_it_again_with_its_locks_kept() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let mut attempts = Vec::new();
    let committed = transaction().run(|attempt| {
        attempts.push(attempt);
        if attempt > 1 {
            assert!(!is_free(&others, "a"), "no other caller got the lock in between");
        }
        write(&locks, "a")?;
        // At the commit, when no locked function is running.
        if attempt < 3 {
            Err(CatalogError::Changed)
        } else {
            Ok(())
        }
    });
    assert!(committed.is_ok());
    assert_eq!(attempts, [1, 2, 3]);
    assert!(is_free(&others, "a"));
}

#[test]
fn an_error_that_is_not_a_conflict_ends_the_transaction() {
    let (locks, server) = Locks::in_memory();
    let mut attempts = 0;
    let missing = transaction().run(|_| {
        attempts += 1;
        write(&locks, "a")?;
        Err::<(), _>(CatalogError::Missing)
    });
    assert!(matches!(missing, Err(CatalogError::Missing)));
    assert_eq!(attempts, 1);
    assert!(is_free(&server.other_process(), "a"));
}

#[test]
fn running_out_of_attempts_reports_the_last_conflict_and_the_count() {
    let mut attempts = 0;
    let gave_up = transaction().attempts(4).run(|_| {
        attempts += 1;
        Err::<(), _>(CatalogError::Changed)
    });
    assert_eq!(attempts, 4);
    let error = gave_up.expect_err("each attempt met a conflict");
    assert!(memlock::is_conflict(&error), "the caller may start again");
    let lock = error.lock().expect("the transaction's error");
    let Error::GaveUp { attempts, last, .. } = lock else {
        panic!("{lock:?}")
    };
    assert_eq!(*attempts, 4);
    assert!(matches!(
        last.downcast_ref::<CatalogError>(),
        Some(CatalogError::Changed)
    ));
    assert!(
        lock.to_string().contains("another writer has changed the catalogue"),
        "{lock}"
    );

    let mut once = 0;
    let _ = transaction().attempts(0).run(|_| {
        once += 1;
        Err::<(), _>(CatalogError::Changed)
    });
    assert_eq!(once, 1, "it is run at least once");
}

#[test]
fn a_function_given_to_conflict_decides_what_a_conflict_is() {
    let mut attempts = 0;
    let ran = transaction()
        .conflict(|error: &std::io::Error| error.kind() == std::io::ErrorKind::Interrupted)
        .run(|attempt| {
            attempts = attempt;
            match attempt {
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                _ => Ok(()),
            }
        });
    assert!(ran.is_ok());
    assert_eq!(attempts, 2);
}

#[test]
fn no_attempt_waits_and_all_locks_met_are_taken_between_attempts() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let held = RefCell::new(Some(others.lock("b").name("catalog").acquire().expect("it is free")));
    let mut attempts = 0;
    let committed = transaction().run(|attempt| {
        attempts = attempt;
        write(&locks, "c")?;
        let second = write(&locks, "b");
        if attempt == 1 {
            let conflict = second.expect_err("another process holds it");
            assert!(
                memlock::is_conflict(&conflict),
                "at once: no other thread would have released it"
            );
            assert!(!is_free(&others, "c"), "until the closure has returned");
            // It is released before the transaction waits for it.
            held.take().expect("once").release();
            return Err(conflict);
        }
        assert!(second.is_ok(), "it was taken before");
        Ok(())
    });
    assert!(committed.is_ok());
    assert_eq!(attempts, 2);
    assert!(is_free(&others, "b") && is_free(&others, "c"));
}

#[test]
fn inside_it_is_a_conflict_however_long_the_function_would_wait() {
    #[zlock("a", name = "catalog", locks = locks, wait = 0.05)]
    fn patient(locks: &Locks) -> Result<(), CatalogError> {
        Ok(())
    }
    #[zlock("a", name = "catalog", locks = locks, wait = 0.05)]
    async fn patient_async(locks: &Locks) -> Result<(), CatalogError> {
        Ok(())
    }
    let (locks, server) = Locks::in_memory();
    let _held = server.other_process().lock("a").name("catalog").acquire();
    let expect_conflict = |met: Result<(), CatalogError>| {
        let error = met.expect_err("another holds it");
        // If it had waited, the error would be `Busy`.
        assert!(memlock::is_conflict(&error), "{error}");
        Ok::<_, CatalogError>(())
    };
    let ran = transaction().run(|_| expect_conflict(patient(&locks)));
    ran.expect("the closure dealt with it");
    let ran = smol::block_on(transaction().run_async(async |_| expect_conflict(patient_async(&locks).await)));
    ran.expect("the closure dealt with it");
}

#[test]
fn while_it_waits_it_holds_only_locks_that_come_before() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    // No lease ends during the waits below.
    let held = others.lock("b").name("catalog").timeout(PATIENCE * 2).acquire();
    let held = held.expect("it is free");
    // The thread is not scoped: if an assertion fails, the test does not wait for it, since it might never end.
    let waits = thread::spawn({
        #[zlock(path, name = "catalog", locks = locks, timeout = PATIENCE * 2)]
        fn write(locks: &Locks, path: &str) -> Result<(), CatalogError> {
            Ok(())
        }
        let locks = locks.clone();
        move || {
            transaction().run(|attempt| {
                write(&locks, "c")?;
                write(&locks, "b")?;
                write(&locks, "a")?;
                Ok::<_, CatalogError>(attempt)
            })
        }
    });
    until("it has met `b`", || locks.counts().conflicts == 1);
    // `c` was held in the first attempt, and is not while `b` is waited for.
    let mut last = None;
    until("it waits", || {
        last = others
            .lock("c")
            .name("catalog")
            .timeout(PATIENCE * 2)
            .try_acquire()
            .ok();
        last.is_some()
    });
    let before = locks.counts().acquired;
    held.release();
    until("it has `b`, and waits for `c`", || {
        locks.counts().acquired == before + 1
    });
    assert!(!waits.is_finished());
    drop(last);
    assert_eq!(waits.join().expect("no panic").expect("its turn"), 2);
}

#[test]
fn a_transaction_in_a_transaction_joins_it() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let mut inner_runs = Vec::new();
    let committed = transaction().attempts(2).run(|outer| {
        let inner = transaction().attempts(9).run(|attempt| {
            inner_runs.push((outer, attempt));
            write(&locks, "a")?;
            if outer == 1 { Err(CatalogError::Changed) } else { Ok(()) }
        });
        assert!(!is_free(&others, "a"), "it is the outer one's");
        inner
    });
    assert!(committed.is_ok());
    assert_eq!(inner_runs, [(1, 1), (2, 2)], "only the outer one starts again");
    assert!(is_free(&others, "a"));
}

#[test]
fn a_lock_that_an_outer_function_holds_is_entered_without_waiting() {
    #[zlock(keys = ["a", "b"], name = "catalog", locks = locks)]
    fn write_both(locks: &Locks) -> Result<u64, CatalogError> {
        Ok(memlock::current().expect("it runs locked").token().get())
    }
    #[zlock("a", name = "catalog", locks = locks)]
    fn outer(locks: &Locks, others: &Locks) -> Result<(), CatalogError> {
        let token = memlock::current().expect("it runs locked").token().get();
        transaction().attempts(1).run(|_| {
            assert_eq!(write_both(locks)?, token, "the same holder");
            assert!(!is_free(others, "b"), "it is not committed yet");
            Ok::<_, CatalogError>(())
        })?;
        assert!(!is_free(others, "a"), "it is the outer one's");
        assert!(is_free(others, "b"));
        Ok(())
    }
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    outer(&locks, &others).expect("it holds `a` already");
    assert!(is_free(&others, "a"));
}

#[test]
fn a_conflict_about_one_of_several_keys_releases_no_held_lock() {
    #[zlock(keys = ["b", "c"], name = "catalog", locks = locks)]
    fn write_both(locks: &Locks) -> Result<(), CatalogError> {
        Ok(())
    }
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let held = others.lock("b").name("catalog").acquire().expect("it is free");
    let conflict = transaction().attempts(1).run(|_| {
        write(&locks, "c")?;
        let conflict = write_both(&locks);
        assert!(locks.flush(PATIENCE));
        assert!(!is_free(&others, "c"), "the closure has not returned yet");
        conflict
    });
    assert!(conflict.is_err_and(|error| memlock::is_conflict(&error)));
    drop(held);
    assert!(is_free(&others, "b") && is_free(&others, "c"));
}

#[test]
fn a_panic_releases_all() {
    let (locks, server) = Locks::in_memory();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        transaction().run(|_| -> Result<(), CatalogError> {
            write(&locks, "a")?;
            write(&locks, "b")?;
            panic!("a closure")
        })
    }));
    assert!(panicked.is_err());
    let others = server.other_process();
    assert!(is_free(&others, "a") && is_free(&others, "b"));
    assert!(
        write(&locks, "a").is_ok(),
        "no transaction is left behind on the thread"
    );
    assert!(is_free(&others, "a"));
}

#[test]
fn a_plain_lock_that_the_transaction_holds_is_reentered() {
    #[memlock::lock("a", name = "catalog", locks = locks)]
    fn plain(locks: &Locks) -> Result<(), Error> {
        Ok(())
    }
    let (locks, _server) = Locks::in_memory();
    let ran = transaction().run(|_| {
        write(&locks, "a")?;
        assert!(plain(&locks).is_err_and(|error| error.is_reentered()));
        let request = locks.lock("a").name("catalog").acquire();
        assert!(request.is_err_and(|error| error.is_reentered()));
        Ok::<_, CatalogError>(())
    });
    assert!(ran.is_ok());
}

#[test]
fn a_lock_that_was_lost_is_taken_again() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let mut tokens = Vec::new();
    let committed = transaction().run(|attempt| {
        tokens.push(write(&locks, "a")?);
        if attempt == 1 {
            server.advance(Duration::from_secs(60));
            return Err(CatalogError::Changed);
        }
        assert!(!is_free(&others, "a"));
        Ok(())
    });
    assert!(committed.is_ok());
    assert!(tokens[1] > tokens[0]);
    assert!(is_free(&others, "a"));
}

#[test]
fn without_a_server_the_database_decides() {
    #[zlock("a", name = "catalog", locks = locks)]
    fn soft(locks: &Locks) -> Result<bool, CatalogError> {
        Ok(memlock::current().is_none())
    }
    #[zlock("a", name = "catalog", locks = locks, on_unavailable = error)]
    fn hard(locks: &Locks) -> Result<bool, CatalogError> {
        Ok(true)
    }
    let (locks, server) = Locks::in_memory();
    server.set_down(true);
    let ran = transaction().run(|attempt| {
        assert!(soft(&locks)?);
        if attempt == 1 {
            Err(CatalogError::Changed)
        } else {
            Ok(attempt)
        }
    });
    assert_eq!(ran.expect("unlocked"), 2);

    // It goes away between two attempts.
    server.set_down(false);
    for is_hard in [false, true] {
        let held = RefCell::new(Some(
            server
                .other_process()
                .lock("a")
                .name("catalog")
                .acquire()
                .expect("it is free"),
        ));
        let ran = transaction().run(|attempt| {
            let got = if is_hard { hard(&locks) } else { soft(&locks) };
            if attempt == 1 {
                server.set_down(true);
                drop(held.take());
            }
            got.map(|_| attempt)
        });
        if is_hard {
            let error = ran.expect_err("no server");
            assert!(error.lock().is_some_and(Error::is_unavailable), "{error}");
        } else {
            assert_eq!(ran.expect("unlocked"), 2);
        }
        server.set_down(false);
        assert!(locks.flush(PATIENCE));
        server.advance(Duration::from_secs(3600));
    }
}

#[test]
fn nothing_is_taken_between_attempts_once_the_locks_are_shut_down() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let held = RefCell::new(others.lock("a").name("catalog").acquire().ok());
    let ran = transaction().run(|attempt| {
        assert_eq!(attempt, 1);
        let conflict = write(&locks, "a");
        held.take();
        assert!(locks.shutdown(PATIENCE).is_clean());
        conflict
    });
    let error = ran.expect_err("it cannot go on");
    assert!(error.lock().is_some_and(Error::is_config), "{error}");
    assert_eq!(locks.counts().acquired, 0);
}

#[test]
fn tasks_hold_their_locks_until_the_closure_has_returned() {
    for executor in Executor::ALL {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        let attempts = AtomicUsize::new(0);
        executor.run(async {
            let committed = transaction()
                .run_async(async |attempt| {
                    attempts.fetch_add(1, Ordering::SeqCst);
                    let token = write_async(&locks, "a").await?;
                    assert_eq!(write_async(&locks, "a").await?, token);
                    assert_eq!(write(&locks, "a")?, token, "a synchronous function, too");
                    assert!(!is_free(&others, "a"));
                    if attempt < 3 {
                        Err(CatalogError::Changed)
                    } else {
                        Ok(token)
                    }
                })
                .await;
            assert!(committed.is_ok());
        });
        assert_eq!(attempts.load(Ordering::SeqCst), 3);
        assert!(is_free(&others, "a"));
    }
}

#[test]
fn a_transaction_s_future_can_be_spawned() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    let (locks, server) = Locks::in_memory();
    let task = runtime.spawn(async move {
        transaction()
            .run_async(async |_| write_async(&locks, "a").await)
            .await
            .is_ok()
    });
    assert!(runtime.block_on(task).expect("no panic"));
    assert!(is_free(&server.other_process(), "a"));
}

#[test]
fn a_future_that_is_dropped_anywhere_leaves_nothing_behind() {
    // At one await point later each time, until it gets through.
    for cut in 0.. {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        let held = RefCell::new(others.lock("b").name("catalog").acquire().ok());
        let future = transaction().run_async(async |attempt| {
            write_async(&locks, "a").await?;
            let written = write_async(&locks, "b").await;
            assert_eq!(written.is_ok(), attempt > 1);
            held.take();
            written?;
            smol::future::yield_now().await;
            if attempt < 3 {
                Err(CatalogError::Changed)
            } else {
                Ok(())
            }
        });
        let ended = smol::block_on(cut_at(cut, future));
        held.take();
        assert!(locks.flush(PATIENCE), "cut at {cut}");
        for key in ["a", "b"] {
            assert!(is_free(&others, key), "cut at {cut}: {key}");
        }
        if let Some(committed) = ended {
            assert!(committed.is_ok());
            assert!(cut > 2, "it was cut {cut} times only");
            return;
        }
    }
}

#[test]
fn a_transaction_gives_up_when_its_limit_is_over() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let _held = others.lock("a").name("catalog").acquire().expect("it is free");
    // The wait for the lock between two attempts would have no end.
    let mut attempts = 0;
    let ran = transaction().within(Duration::from_millis(50)).run(|attempt| {
        attempts = attempt;
        write(&locks, "a")
    });
    let error = ran.expect_err("another process holds it");
    let error = error.lock().expect("memlock's");
    assert!(matches!(error, Error::GaveUp { attempts: 1, .. }), "{error}");
    assert!(error.is_conflict());
    assert_eq!(attempts, 1, "it could not be held for a second attempt");
    // Without a lock to wait for, no attempt begins after the limit.
    let ran = transaction()
        .attempts(u32::MAX)
        .within(Duration::from_millis(50))
        .run(|attempt| {
            attempts = attempt;
            Err::<(), _>(CatalogError::Changed)
        });
    assert!(attempts > 1);
    assert!(matches!(
        ran.expect_err("a conflict").lock(),
        Some(Error::GaveUp { .. })
    ));
    // A limit that is never reached changes nothing.
    let ran = transaction().within(PATIENCE).run(|_| write(&locks, "b"));
    ran.expect("it is free");
}
