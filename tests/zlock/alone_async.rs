//! `zlock` without a transaction, for tasks.

use std::time::Duration;

use memlock::{Locks, zlock};

use crate::executors::{Executor, cut_at};
use crate::{CatalogError, PATIENCE, is_free, until};

/// Ends in a conflict, or not.
#[zlock(path, name = "catalog", locks = locks, timeout = 30)]
async fn write(locks: &Locks, path: &str, is_changed: bool) -> Result<u64, CatalogError> {
    smol::future::yield_now().await;
    if is_changed {
        return Err(CatalogError::Changed);
    }
    Ok(memlock::current().expect("it runs locked").token().get())
}

#[test]
fn a_conflict_keeps_the_lock_for_a_retry_of_the_process() {
    for executor in Executor::ALL {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        executor.run(async {
            assert!(matches!(write(&locks, "a", true).await, Err(CatalogError::Changed)));
            assert!(!is_free(&others, "a"));
            write(&locks, "a", false).await.expect("it was reserved");
            assert!(is_free(&others, "a"));
            // No caller claims it.
            let _ = write(&locks, "a", true).await;
            server.advance(Duration::from_secs(1));
            until("it is over", || is_free(&others, "a"));
        });
    }
}

#[test]
fn a_lock_that_another_holds_is_waited_for_reserved_and_reported_as_a_conflict() {
    for executor in Executor::ALL {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        let held = others.lock("a").name("catalog").acquire().expect("it is free");
        std::thread::scope(|scope| {
            let loser = scope.spawn(|| {
                executor.run(async {
                    let conflict = write(&locks, "a", false).await.expect_err("another held it");
                    assert!(conflict.lock().is_some_and(memlock::Error::is_conflict), "{conflict}");
                    assert!(!is_free(&others, "a"));
                    write(&locks, "a", false).await.expect("it was reserved");
                });
            });
            until("it has looked", || locks.counts().conflicts == 1);
            held.release();
            loser.join().expect("no panic");
        });
        assert!(is_free(&others, "a"));
    }
}

#[test]
fn a_result_that_is_not_send_still_leaves_the_lock_reserved() {
    #[zlock("a", name = "catalog", locks = locks)]
    async fn unsent(locks: &Locks, is_changed: bool) -> Result<std::rc::Rc<u8>, CatalogError> {
        if is_changed {
            return Err(CatalogError::Changed);
        }
        Ok(std::rc::Rc::new(1))
    }
    let (locks, server) = Locks::in_memory();
    let others = server.other_process();
    smol::block_on(async {
        assert!(unsent(&locks, true).await.is_err());
        assert!(!is_free(&others, "a"));
        assert_eq!(*unsent(&locks, false).await.expect("it was reserved"), 1);
    });
    until("it is released in the background", || is_free(&others, "a"));
}

#[test]
fn a_future_that_is_dropped_anywhere_leaves_nothing_behind() {
    // At one await point later each time, until it gets through.
    for cut in 0.. {
        let (locks, server) = Locks::in_memory();
        let others = server.other_process();
        // The second call claims the reservation of the first.
        let future = async {
            let _ = write(&locks, "a", true).await;
            write(&locks, "a", false).await
        };
        let ended = smol::block_on(cut_at(cut, future));
        assert!(locks.flush(PATIENCE), "cut at {cut}");
        // It may have been cut after it left a reservation: that ends in its time.
        server.advance(Duration::from_secs(1));
        until("nothing is left", || is_free(&others, "a"));
        if let Some(written) = ended {
            assert!(written.is_ok());
            assert!(cut > 1, "it was cut {cut} times only");
            return;
        }
    }
}
