//! Functions of one transaction that ask for the same lock at the same moment: the second waits for the answer to the
//! first, and shares the transaction's lock.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Barrier;
use std::thread;

use memlock::{CallTree, Locks, transaction, zlock};

use crate::executors::{Executor, block_on, cut_at, poll_once};
use crate::{CatalogError, PATIENCE, is_free};

#[zlock(path, name = "catalog", locks = locks)]
fn write(locks: &Locks, path: &str) -> Result<u64, CatalogError> {
    Ok(memlock::current().expect("it runs locked").token().get())
}

#[zlock(path, name = "catalog", locks = locks)]
async fn write_async(locks: &Locks, path: &str) -> Result<u64, CatalogError> {
    smol::future::yield_now().await;
    Ok(memlock::current().expect("it runs locked").token().get())
}

#[zlock(keys = [one, other], name = "catalog", locks = locks)]
async fn write_both(locks: &Locks, one: &str, other: &str) -> Result<(), CatalogError> {
    smol::future::yield_now().await;
    Ok(())
}

/// Runs `test` with the locks of two processes: in memory, where a task's exchange takes no time, and on a server.
fn on_each_store(name: &str, test: impl Fn(&Locks, &Locks)) {
    let (locks, server) = Locks::in_memory();
    test(&locks, &server.other_process());
    #[cfg(feature = "server-tests")]
    {
        let server = memlock_testkit::Memcached::shared();
        let build = || {
            let builder = Locks::builder().servers(server.address()).prefix(name);
            builder.build().expect("good settings")
        };
        test(&build(), &build());
    }
    #[cfg(not(feature = "server-tests"))]
    let _ = name;
}

#[test]
fn tasks_share_the_lock_that_both_ask_for() {
    on_each_store("tasks", |locks, others| {
        for executor in Executor::ALL {
            let before = locks.counts();
            let committed = executor.run(transaction().attempts(1).run_async(async |_| {
                let (one, other, third) = tokio::try_join!(
                    write_async(locks, "a"),
                    write_async(locks, "a"),
                    write_async(locks, "a"),
                )?;
                assert!(one == other && other == third, "one lock");
                tokio::try_join!(
                    write_both(locks, "c", "b"),
                    write_both(locks, "c", "d"),
                    write_both(locks, "b", "a"),
                    write_async(locks, "d"),
                )?;
                for key in ["a", "b", "c", "d"] {
                    assert!(!is_free(others, key), "{executor:?}: {key} is not committed yet");
                }
                Ok::<_, CatalogError>(())
            }));
            committed.expect("the first attempt meets no conflict");
            assert_eq!(locks.counts().acquired, before.acquired + 4);
            assert_eq!(locks.counts().conflicts, 0);
            for key in ["a", "b", "c", "d"] {
                assert!(is_free(others, key), "{executor:?}: {key}");
            }
        }
    });
}

#[test]
fn threads_share_the_lock_that_both_ask_for() {
    on_each_store("threads", |locks, others| {
        for round in 0..200 {
            let committed = transaction().attempts(1).run(|_| {
                let (here, begin) = (CallTree::current(), Barrier::new(2));
                let ask = || {
                    begin.wait();
                    here.enter(|| write(locks, "a"))
                };
                let [one, other] = thread::scope(|scope| {
                    let other = scope.spawn(ask);
                    [ask(), other.join().expect("no panic")]
                });
                assert_eq!(one?, other?, "one lock");
                Ok::<_, CatalogError>(())
            });
            committed.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        assert_eq!(locks.counts().acquired, 200);
        assert!(is_free(others, "a"));
    });
}

#[test]
fn each_reports_the_conflict_with_another_holder() {
    on_each_store("conflict", |locks, others| {
        let held = RefCell::new(others.lock("a").name("catalog").acquire().ok());
        let committed = block_on(transaction().run_async(async |attempt| {
            let (one, other) = tokio::join!(write_async(locks, "a"), write_async(locks, "a"));
            held.take();
            assert_eq!((one.is_ok(), other.is_ok()), (attempt > 1, attempt > 1));
            one.and(other)?;
            Ok::<_, CatalogError>(attempt)
        }));
        assert_eq!(committed.expect("the second attempt succeeds"), 2);
    });
}

#[test]
fn a_sibling_that_is_not_polled_does_not_stop_the_transaction() {
    on_each_store("not-polled", |locks, others| {
        let committed = block_on(transaction().run_async(async |attempt| {
            let mut first = pin!(write_async(locks, "a"));
            if attempt == 1 && poll_once(first.as_mut()).is_pending() {
                // It ends, whether the first has its lock by then or not.
                write_async(locks, "a").await?;
            }
            Ok::<_, CatalogError>(attempt)
        }));
        assert!(committed.is_ok());
        assert!(locks.flush(PATIENCE));
        assert!(is_free(others, "a"));
    });
}

#[test]
fn a_sibling_that_is_dropped_anywhere_leaves_the_lock_to_the_next() {
    on_each_store("dropped", |locks, others| {
        for cut in 0.. {
            let was_cut = Cell::new(true);
            let committed = block_on(transaction().run_async(async |_| {
                let (mut first, mut second) = (Box::pin(write_async(locks, "a")), pin!(write_async(locks, "a")));
                let both = std::future::poll_fn(|context| {
                    let polled = first.as_mut().poll(context);
                    if polled.is_pending() {
                        assert!(poll_once(second.as_mut()).is_pending(), "it waits for the first");
                    }
                    polled
                });
                was_cut.set(cut_at(cut, both).await.transpose()?.is_none());
                drop(first);
                second.await
            }));
            committed.expect("it is free");
            assert!(locks.flush(PATIENCE));
            assert!(is_free(others, "a"), "cut at {cut}");
            if !was_cut.get() {
                assert!(cut > 0);
                return;
            }
        }
    });
}
