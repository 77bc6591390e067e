//! The holder is the call tree, wherever it runs. Other tasks on the same thread are not.
//!
//! All of it runs under tokio with several threads, tokio on one, and smol.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use memlock::{CallTree, Error, Locks, Token, current, lock, rlock};

use crate::executors::Executor;

static LOCKS: LazyLock<Locks> = LazyLock::new(|| Locks::builder().servers("memory:").build().expect("good settings"));

/// Runs each case under every executor, on a key of its own.
macro_rules! under_every_executor {
    ($($(#[$attr:meta])* async fn $case:ident($key:ident: &'static str, $executor:ident: Executor) $body:block)*) => {$(
        $(#[$attr])*
        #[test]
        fn $case() {
            for (executor, key) in [
                (Executor::TokioThreads, concat!(stringify!($case), " on threads")),
                (Executor::TokioCurrent, concat!(stringify!($case), " on one thread")),
                (Executor::Smol, concat!(stringify!($case), " on smol")),
            ] {
                async fn case($key: &'static str, $executor: Executor) $body
                executor.run(async { executor.start(case(key, executor)).await });
            }
        }
    )*};
}

/// Lets other tasks run.
async fn pause() {
    smol::future::yield_now().await;
}

// Functions that share one lock for a key.

#[rlock(key, name = "shared", locks = &LOCKS)]
async fn outer<T>(key: &str, body: impl Future<Output = T>) -> Result<T, Error> {
    pause().await;
    let output = body.await;
    pause().await;
    Ok(output)
}

#[rlock(key, name = "shared", locks = &LOCKS, wait = 0)]
async fn inner(key: &str) -> Result<Token, Error> {
    pause().await;
    Ok(token())
}

#[rlock(key, name = "shared", locks = &LOCKS, wait = 0)]
fn inner_sync(key: &str) -> Result<Token, Error> {
    Ok(token())
}

#[lock(key, name = "shared", locks = &LOCKS)]
async fn plain(key: &str) -> Result<(), Error> {
    pause().await;
    Ok(())
}

#[lock(key, name = "shared", locks = &LOCKS)]
fn plain_sync(key: &str) -> Result<(), Error> {
    Ok(())
}

#[rlock(key, name = "shared", locks = &LOCKS)]
fn outer_sync<T>(key: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
    Ok(body())
}

fn token() -> Token {
    current().expect("it runs locked").token()
}

under_every_executor! {
    async fn the_holder_may_enter_again(key: &'static str, _executor: Executor) {
        let tokens = outer(key, async { (token(), inner(key).await, inner_sync(key)) });
        let (own, of_inner, of_sync) = tokens.await.expect("it is free");
        assert_eq!(of_inner.expect("the same holder"), own);
        assert_eq!(of_sync.expect("the same holder"), own);
        assert!(current().is_none(), "nothing is left behind");
    }

    async fn a_plain_lock_inside_is_an_error_at_once(key: &'static str, _executor: Executor) {
        let both = outer(key, async { (plain(key).await, plain_sync(key)) }).await.expect("it is free");
        assert!(both.0.is_err_and(|error| error.is_reentered()));
        assert!(both.1.is_err_and(|error| error.is_reentered()));
    }

    async fn joined_futures_of_a_body_are_the_same_holder(key: &'static str, _executor: Executor) {
        let both = outer(key, smol::future::zip(inner(key), async {
            pause().await;
            outer(key, inner(key)).await
        }));
        let (one, other) = both.await.expect("it is free");
        assert_eq!(one.expect("the same holder"), other.expect("the same holder").expect("the same holder"));
    }

    async fn raced_futures_of_a_body_are_the_same_holder(key: &'static str, _executor: Executor) {
        let first = outer(key, smol::future::race(inner(key), async {
            outer(key, std::future::pending::<()>()).await.expect("the same holder");
            inner(key).await
        }));
        first.await.expect("it is free").expect("the same holder");
        assert!(inner(key).await.is_ok(), "the one that lost the race holds nothing any more");
    }

    async fn bodies_that_are_polled_in_turns_are_different_holders(key: &'static str, _executor: Executor) {
        let inside = AtomicUsize::new(0);
        let body = || async {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two are inside");
            pause().await;
            assert!(inner(key).await.is_ok());
            inside.fetch_sub(1, Ordering::SeqCst);
        };
        // One task, two call trees.
        let (one, other) = smol::future::zip(outer(key, body()), outer(key, body())).await;
        one.and(other).expect("each gets its turn");
        assert_eq!(LOCKS.counts().soft_runs, 0);
    }

    async fn a_task_started_in_a_body_is_no_holder(key: &'static str, executor: Executor) {
        let of_task = outer(key, executor.start(async move {
            assert!(current().is_none());
            (inner(key).await, inner_sync(key))
        }));
        let (one, other) = of_task.await.expect("it is free");
        assert!(one.is_err_and(|error| error.is_busy()));
        assert!(other.is_err_and(|error| error.is_busy()));
    }

    async fn an_identity_may_be_handed_to_a_task(key: &'static str, executor: Executor) {
        let of_task = outer(key, async {
            let here = CallTree::current();
            executor.start(here.enter_async(async move { (token(), inner(key).await, inner_sync(key)) })).await
        });
        let (own, one, other) = of_task.await.expect("it is free");
        assert_eq!(one.expect("the same holder"), own);
        assert_eq!(other.expect("the same holder"), own);
    }

    async fn an_identity_that_outlives_its_body_opens_nothing(key: &'static str, _executor: Executor) {
        let kept = outer(key, async { CallTree::current() }).await.expect("it is free");
        let other = outer(key, kept.enter_async(inner(key))).await.expect("it is free");
        assert!(other.is_err_and(|error| error.is_busy()), "its lock is released, and another's held");
    }

    async fn a_body_keeps_its_identity_on_every_thread(key: &'static str, executor: Executor) {
        let others: Vec<_> = (0..4).map(|_| executor.start(async { for _ in 0..100 { pause().await } })).collect();
        let threads = outer(key, async {
            let own = token();
            for _ in 0..100 {
                assert_eq!(token(), own);
                pause().await;
            }
            inner(key).await.map(|inner| assert_eq!(inner, own))
        });
        threads.await.expect("it is free").expect("the same holder");
        for other in others {
            other.await;
        }
    }

    async fn two_tasks_exclude_each_other(key: &'static str, executor: Executor) {
        let inside = Arc::new(AtomicUsize::new(0));
        let rounds = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..4).map(|_| {
            let (inside, rounds) = (Arc::clone(&inside), Arc::clone(&rounds));
            executor.start(async move {
                for _ in 0..25 {
                    let body = async {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two are inside");
                        pause().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        rounds.fetch_add(1, Ordering::SeqCst);
                    };
                    outer(key, body).await.expect("its turn");
                }
            })
        }).collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(rounds.load(Ordering::SeqCst), 100);
    }

    async fn what_a_body_drops_when_it_is_given_up_is_the_holder_still(key: &'static str, _executor: Executor) {
        /// Enters the lock when it is dropped.
        struct EntersOnDrop(&'static str, Arc<AtomicUsize>);
        impl Drop for EntersOnDrop {
            fn drop(&mut self) {
                inner_sync(self.0).expect("the same holder");
                self.1.fetch_add(1, Ordering::SeqCst);
            }
        }
        let entered = Arc::new(AtomicUsize::new(0));
        let given_up = async {
            let enters = EntersOnDrop(key, Arc::clone(&entered));
            outer(key, async move {
                let _enters = enters;
                std::future::pending::<()>().await;
            })
            .await
        };
        let gave_up = async {
            while LOCKS.lock(key).name("shared").try_acquire_async().await.is_ok() {
                pause().await;
            }
        };
        smol::future::or(async { given_up.await.expect("it is free") }, gave_up).await;
        assert_eq!(entered.load(Ordering::SeqCst), 1);
        outer(key, async {}).await.expect("it is released");
    }
}

#[test]
fn a_synchronous_body_that_blocks_on_a_runtime_is_the_holder_and_the_tasks_there_are_not() {
    let key = "a synchronous body blocks on tokio";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let tokens = outer_sync(key, || {
        runtime.block_on(async {
            let of_task = tokio::spawn(async move { (inner(key).await, inner_sync(key)) })
                .await
                .expect("no panic");
            assert!(
                of_task.0.is_err_and(|error| error.is_busy()),
                "another task on this thread"
            );
            assert!(
                of_task.1.is_err_and(|error| error.is_busy()),
                "another task on this thread"
            );
            (token(), inner(key).await, inner_sync(key))
        })
    });
    let (own, inner, of_sync) = tokens.expect("it is free");
    assert_eq!(inner.expect("the same holder"), own);
    assert_eq!(of_sync.expect("the same holder"), own);
}

/// The documented limit: if a synchronous body drives an executor other than tokio, memlock cannot distinguish that
/// executor's tasks from the body.
#[test]
fn tasks_of_another_executor_inside_a_synchronous_body_are_taken_for_its_holder() {
    let key = "a synchronous body drives smol";
    let executor = smol::LocalExecutor::new();
    let of_task = outer_sync(key, || smol::block_on(executor.run(executor.spawn(inner(key)))));
    assert!(of_task.expect("it is free").is_ok());
}
