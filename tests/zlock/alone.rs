//! `zlock` without a transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memlock::{Locks, zlock};

use crate::{CatalogError, is_free, until};

/// Writes to the catalogue `path`, and ends as `work` does.
#[zlock(path, name = "catalog", locks = locks, timeout = 30)]
fn write<T>(locks: &Locks, path: &str, work: impl FnOnce() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
    assert!(memlock::current().is_some_and(|lease| lease.is_valid()));
    work()
}

fn changed() -> Result<(), CatalogError> {
    Err(CatalogError::Changed)
}

#[allow(clippy::unnecessary_wraps, reason = "a body of `write`")]
fn token() -> Result<u64, CatalogError> {
    Ok(memlock::current().expect("it runs locked").token().get())
}

#[test]
fn a_body_that_ends_well_or_in_another_error_leaves_the_lock_free() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    write(&locks, "a", || Ok(())).expect("nothing is wrong");
    assert!(is_free(&others, "a"));
    let missing = write(&locks, "a", || Err::<(), _>(CatalogError::Missing));
    assert!(matches!(missing, Err(CatalogError::Missing)));
    assert!(is_free(&others, "a"));
}

#[test]
fn a_conflict_keeps_the_lock_for_the_retry_of_its_thread() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let mut first = 0;
    let conflict = write(&locks, "a", || {
        first = token()?;
        changed()
    });
    assert!(
        matches!(conflict, Err(CatalogError::Changed)),
        "its own error comes back"
    );
    assert!(!is_free(&others, "a"), "no other caller gets the lock in between");
    thread::scope(|scope| {
        let other = scope.spawn(|| locks.lock("a").name("catalog").try_acquire().map(drop));
        let busy = other
            .join()
            .expect("no panic")
            .expect_err("not even in the same process");
        assert!(busy.is_busy(), "{busy}");
    });
    assert!(is_free(&others, "b"), "another catalogue is another lock");
    let second = write(&locks, "a", token).expect("it was reserved");
    assert!(second > first, "another holder, another token");
    assert!(is_free(&others, "a"));
}

#[test]
fn a_lease_is_over_when_its_lock_is_reserved_and_so_is_that_of_the_retry() {
    let (locks, _server) = Locks::in_memory();
    let mut kept = Vec::new();
    for ends in [changed as fn() -> _, || Ok(())] {
        let _ = write(&locks, "a", || {
            kept.extend(memlock::current());
            ends()
        });
        for lease in &kept {
            let error = lease.check().expect_err("it is over");
            assert!(error.is_lost() && error.to_string().contains("released"), "{error}");
            assert!(!lease.is_valid());
        }
    }
    assert_eq!(kept.len(), 2);
}

#[test]
fn a_reservation_lasts_as_long_as_it_says_and_no_longer() {
    #[zlock("a", name = "catalog", locks = locks, timeout = 30, reserve = "250ms")]
    fn short(locks: &Locks) -> Result<(), CatalogError> {
        changed()
    }

    for (reserve, run) in [(1000, write_changed as fn(&Locks)), (250, run_short)] {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        let half = Duration::from_millis(reserve / 2);
        let begun = Instant::now();
        run(&locks);
        // Real time passes as well. After half of the time the lock is reserved, unless the machine stood still for the other
        // half. After the whole it is not.
        server.advance(half);
        let is_over = is_free(&others, "a");
        assert!(!is_over || begun.elapsed() >= half, "{reserve} ms");
        server.advance(half);
        until("it is released when it is over", || is_free(&others, "a"));
    }

    fn write_changed(locks: &Locks) {
        let _ = write(locks, "a", changed);
    }

    fn run_short(locks: &Locks) {
        let _ = short(locks);
    }
}

#[test]
fn a_retry_after_the_end_of_its_reservation_competes_like_any_caller() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let _ = write(&locks, "a", changed);
    server.advance(Duration::from_secs(2));
    write(&locks, "a", || Ok(())).expect("it is free");
    let _ = write(&locks, "a", changed);
    server.advance(Duration::from_secs(2));
    until("it is over", || is_free(&others, "a"));
    let guard = others.lock("a").name("catalog").acquire().expect("it is free");
    thread::scope(|scope| {
        let late = scope.spawn(|| write(&locks, "a", || -> Result<(), _> { panic!("its data is out of date") }));
        until("it waits for the other process", || locks.counts().conflicts == 1);
        guard.release();
        let conflict = late.join().expect("no panic").expect_err("it has to start again");
        assert!(conflict.lock().is_some_and(memlock::Error::is_conflict), "{conflict}");
    });
}

#[test]
fn a_lock_that_another_holds_is_waited_for_reserved_and_reported_as_a_conflict() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let ran = AtomicUsize::new(0);
    let held = others.lock("a").name("catalog").acquire().expect("it is free");
    let token_before = held.token().get();
    let attempt = || {
        write(&locks, "a", || {
            ran.fetch_add(1, Ordering::SeqCst);
            token()
        })
    };
    thread::scope(|scope| {
        let loser = scope.spawn(|| {
            let conflict = attempt().expect_err("another held it");
            let lock = conflict.lock().expect("a lock's error");
            assert!(lock.is_conflict(), "{lock}");
            assert!(lock.to_string().contains("memlock:catalog:a"), "{lock}");
            assert_eq!(ran.load(Ordering::SeqCst), 0, "its data would have been out of date");
            assert!(!is_free(&others, "a"), "it is reserved for the retry");
            attempt().expect("it was reserved")
        });
        until("it has looked", || locks.counts().conflicts == 1);
        held.release();
        assert!(loser.join().expect("no panic") > token_before);
    });
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert!(is_free(&others, "a"));
}

#[test]
fn a_reservation_cannot_be_claimed_by_another_thread() {
    #[zlock("a", name = "catalog", locks = locks, wait = 0)]
    fn impatient(locks: &Locks) -> Result<(), CatalogError> {
        Ok(())
    }
    let (locks, _server) = Locks::in_memory();
    let _ = write(&locks, "a", changed);
    thread::scope(|scope| {
        let other = scope.spawn(|| impatient(&locks));
        let busy = other
            .join()
            .expect("no panic")
            .expect_err("its data is from before the other's turn");
        assert!(busy.lock().is_some_and(memlock::Error::is_busy), "{busy}");
    });
    impatient(&locks).expect("it is reserved for the thread that met the conflict");
}

#[test]
fn a_reservation_ends_with_its_thread() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    thread::scope(|scope| {
        let gone = scope.spawn(|| write(&locks, "a", changed));
        assert!(gone.join().expect("no panic").is_err());
    });
    // The clock stands, so the reservation does not end by its time.
    until("no caller can claim it any more", || is_free(&others, "a"));
}

#[test]
fn shutting_down_leaves_nothing_reserved() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let _ = write(&locks, "a", changed);
    assert!(!is_free(&others, "a"));
    assert!(locks.shutdown(crate::PATIENCE).is_clean());
    assert!(is_free(&others, "a"));
}

#[test]
fn a_conflict_after_the_shutdown_leaves_nothing_reserved_either() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let conflict = write(&locks, "a", || {
        assert_eq!(
            locks.shutdown(Duration::ZERO).given_back,
            1,
            "its lock is held until the end of the limit"
        );
        changed()
    });
    assert!(matches!(conflict, Err(CatalogError::Changed)));
    assert!(locks.flush(crate::PATIENCE));
    // The clock stands, so the reservation would not end by its time.
    assert!(is_free(&others, "a"));
}

#[test]
fn an_unclaimed_reservation_does_not_count_as_a_lost_lease() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let _ = write(&locks, "a", changed);
    server.advance(Duration::from_secs(1));
    until("it is over", || is_free(&others, "a"));
    let _ = write(&locks, "a", changed);
    server.advance(Duration::from_secs(2));
    // Either the caller or the end of the reservation may come first.
    write(&locks, "a", || Ok(())).expect("it is free");
    assert!(locks.flush(crate::PATIENCE));
    assert_eq!(locks.counts().lost, 0, "no body ran under it");
}

#[test]
fn a_held_zlock_with_wait_0_is_busy_at_once() {
    #[zlock("a", name = "catalog", locks = locks, wait = 0)]
    fn impatient(locks: &Locks) -> Result<(), CatalogError> {
        Ok(())
    }
    let (locks, server) = Locks::in_memory();
    let held = server
        .other_process()
        .lock("a")
        .name("catalog")
        .acquire()
        .expect("it is free");
    let busy = impatient(&locks).expect_err("it is held");
    assert!(busy.lock().is_some_and(memlock::Error::is_busy), "{busy}");
    drop(held);
}

#[test]
fn the_holder_enters_again_and_only_the_outer_one_gives_up() {
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let outer = write(&locks, "a", || {
        let outer = token()?;
        assert_eq!(write(&locks, "a", token)?, outer);
        let inner = write(&locks, "a", changed);
        assert!(matches!(inner, Err(CatalogError::Changed)));
        assert!(
            memlock::current().is_some_and(|lease| lease.is_valid()),
            "it is the outer one's"
        );
        assert!(!is_free(&others, "a"));
        Ok(())
    });
    outer.expect("the outer body handled the conflict");
    assert!(is_free(&others, "a"));

    let mixed = write(&locks, "a", || {
        #[memlock::lock("a", name = "catalog", locks = locks)]
        fn plain(locks: &Locks) -> Result<(), memlock::Error> {
            Ok(())
        }
        assert!(plain(&locks).is_err_and(|error| error.is_reentered()));
        Ok(())
    });
    mixed.expect("nothing is wrong");
}

#[test]
fn without_a_server_it_runs_unlocked_unless_told_otherwise() {
    #[zlock("a", locks = locks)]
    fn soft(locks: &Locks) -> Result<bool, CatalogError> {
        Ok(memlock::current().is_none())
    }
    #[zlock("a", locks = locks, on_unavailable = error)]
    fn hard(locks: &Locks) -> Result<bool, CatalogError> {
        Ok(true)
    }
    let (locks, server) = Locks::in_memory();
    server.set_down(true);
    assert!(soft(&locks).expect("the database decides"));
    assert_eq!(locks.counts().soft_runs, 1);
    let error = hard(&locks).expect_err("no server");
    assert!(error.lock().is_some_and(memlock::Error::is_unavailable));
}

#[test]
fn several_keys_are_reserved_together() {
    #[zlock(keys = ["a", "b"], name = "catalog", locks = locks)]
    fn both(locks: &Locks, work: impl FnOnce() -> Result<(), CatalogError>) -> Result<(), CatalogError> {
        work()
    }
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let _ = both(&locks, changed);
    assert!(!is_free(&others, "a") && !is_free(&others, "b"));
    both(&locks, || Ok(())).expect("they were reserved");
    assert!(is_free(&others, "a") && is_free(&others, "b"));

    let held = others.lock("b").name("catalog").acquire().expect("it is free");
    thread::scope(|scope| {
        let loser = scope.spawn(|| both(&locks, || panic!("its data is out of date")));
        until("it has met `b`", || locks.counts().conflicts == 1);
        held.release();
        assert!(
            loser
                .join()
                .expect("no panic")
                .is_err_and(|error| memlock::is_conflict(&error))
        );
    });
}

#[test]
fn a_panic_in_the_body_releases_the_lock() {
    let (locks, server) = Locks::in_memory();
    let panicked = thread::scope(|scope| {
        let body = || -> Result<(), CatalogError> { panic!("a body") };
        let locks = &locks;
        scope.spawn(move || write(locks, "a", body)).join()
    });
    assert!(panicked.is_err());
    assert!(is_free(&server.other_process(), "a"));
}

#[test]
fn writers_in_threads_exclude_each_other_and_all_get_through() {
    let (locks, server) = Locks::in_memory();
    let processes = Arc::new([locks, server.other_process()]);
    let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for writer in 0..6 {
            let (locks, inside, done) = (&processes[writer % 2], &inside, &done);
            scope.spawn(move || {
                for round in 0..30 {
                    let mut attempts = 0;
                    loop {
                        attempts += 1;
                        assert!(attempts < 1000, "it never gets in");
                        let written = write(locks, "a", || {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            if attempts == 1 && round % 3 == 0 {
                                changed()
                            } else {
                                Ok(())
                            }
                        });
                        if written.is_ok() {
                            break;
                        }
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(done.load(Ordering::SeqCst), 180);
}

#[test]
fn a_wait_for_the_second_key_that_is_longer_than_the_reservation_ends_in_a_conflict() {
    #[zlock(keys = ["a", "b"], name = "catalog", locks = locks, reserve = 20)]
    fn write_both(locks: &Locks) -> Result<(), CatalogError> {
        unreachable!("another process holds the second")
    }
    for waits_in_line in [false, true] {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        let holder = if waits_in_line { &others } else { &locks };
        let held = holder.lock("b").name("catalog").acquire().expect("it is free");
        thread::scope(|scope| {
            let writer = scope.spawn(|| write_both(&locks));
            until("it holds the first", || !is_free(&others, "a"));
            // Four times as long as the reservation, in steps that leave time to keep the first alive.
            for _ in 0..80 {
                server.advance(Duration::from_secs(1));
                thread::yield_now();
            }
            drop(held);
            let conflict = writer.join().expect("no panic").expect_err("it has waited");
            let conflict = conflict.lock().expect("memlock's");
            assert!(conflict.is_conflict(), "{conflict}");
        });
    }
}

#[test]
fn a_reservation_that_cannot_be_kept_alive_ends_in_a_conflict() {
    const HOUR: Duration = Duration::from_secs(3600);
    #[zlock(keys = ["a", "b"], name = "catalog", locks = locks, reserve = 1)]
    fn write_both(locks: &Locks) -> Result<(), CatalogError> {
        unreachable!("another process holds the second")
    }
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    let _held = others
        .lock("b")
        .name("catalog")
        .timeout(HOUR * 24)
        .acquire()
        .expect("it is free");
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_both(&locks));
        // The first lock is lost each time that the clock moves, again and again.
        for _ in 0..20 {
            until("it holds the first, or has given up", || {
                writer.is_finished() || !is_free(&others, "a")
            });
            server.advance(Duration::from_secs(30));
        }
        let conflict = writer.join().expect("no panic").expect_err("it has waited");
        let conflict = conflict.lock().expect("memlock's");
        assert!(conflict.is_conflict(), "{conflict}");
    });
}
