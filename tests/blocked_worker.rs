//! A synchronous lock on a tokio worker thread warns once. The test has a process of its own.

#[path = "server/warnings.rs"]
#[allow(dead_code, reason = "the server's tests use the rest of it")]
mod warnings;

use std::sync::{Arc, LazyLock};

use memlock::{Error, Locks, lock};
use warnings::Warnings;

static LOCKS: LazyLock<Locks> = LazyLock::new(|| Locks::builder().servers("memory:").build().expect("good settings"));

#[lock("k", locks = &LOCKS)]
fn synchronous() -> Result<(), Error> {
    Ok(())
}

#[lock("k", locks = &LOCKS)]
async fn asynchronous() -> Result<(), Error> {
    Ok(())
}

#[test]
fn blocking_a_worker_is_warned_of_once() {
    let warnings = Warnings::new();
    tracing::subscriber::set_global_default(Arc::clone(&warnings)).expect("the first");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime");

    synchronous().expect("it is free");
    runtime.block_on(async {
        tokio::spawn(asynchronous())
            .await
            .expect("no panic")
            .expect("it is free");
        let blocking = tokio::task::spawn_blocking(synchronous).await;
        blocking.expect("no panic").expect("it is free");
        let in_place = tokio::spawn(async { tokio::task::block_in_place(synchronous) }).await;
        in_place.expect("no panic").expect("it is free");
    });
    assert_eq!(warnings.count(), 0, "these block no worker");

    for _ in 0..3 {
        let on_worker = async {
            synchronous().expect("it is free");
            tokio::task::coop::has_budget_remaining()
        };
        let on_worker = runtime.block_on(async { tokio::spawn(on_worker).await });
        assert!(
            on_worker.expect("no panic"),
            "the task may go on: a body that blocks on a channel of tokio's would hang"
        );
    }
    assert_eq!(warnings.count(), 1);
}
