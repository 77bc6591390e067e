//! Locked async functions that are dropped at each of their await points, as tasks of each executor. They leave no lock
//! behind: callers of this process find it free at once, and so do other processes.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memlock::{Error, Locks, lock, rlock};

use crate::executors::{Executor, cut_at};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits once.
async fn pause() {
    smol::future::yield_now().await;
}

/// Counts the bodies that are running.
struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn new(count: &Arc<AtomicUsize>) -> Inside {
        assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0, "two are inside");
        Inside(Arc::clone(count))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[rlock(name = "k", locks = &locks)]
async fn outer(locks: Locks, count: Arc<AtomicUsize>) -> Result<(), Error> {
    let _inside = Inside::new(&count);
    pause().await;
    inner(locks.clone()).await?;
    memlock::current().expect("it runs locked").renew_async().await?;
    several(locks, 2).await
}

#[rlock(name = "k", locks = &locks)]
async fn inner(locks: Locks) -> Result<(), Error> {
    pause().await;
    Ok(())
}

#[lock(keys = ["a", "b", &last], name = "several", locks = &locks)]
async fn several(locks: Locks, last: u8) -> Result<(), Error> {
    pause().await;
    Ok(())
}

/// Its output is not `Send`, so its release ends in the background.
#[lock(name = "k", locks = &locks)]
async fn leaves(locks: Locks) -> Result<std::rc::Rc<u8>, Error> {
    pause().await;
    Ok(std::rc::Rc::new(1))
}

#[lock(name = "k", locks = &locks, renew, timeout = 0.2)]
fn boxed(locks: Locks) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
    Box::pin(async move {
        pause().await;
        drop(locks);
        Ok(())
    })
}

/// Runs on `memory:` and, with the feature, on a real server; with the locks of one process, and of another.
fn on_stage(play: impl Fn(&Locks, &Locks)) {
    let (locks, server) = Locks::in_memory();
    play(&locks, &server.other_process());
    #[cfg(feature = "server-tests")]
    {
        let server = memlock_testkit::Memcached::start();
        let locks = || {
            let builder = Locks::builder().servers(server.address()).exchange_timeout(PATIENCE);
            builder.build().expect("a server")
        };
        play(&locks(), &locks());
    }
}

fn at_every_point<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    (locks, others): (&Locks, &Locks),
    make: impl Fn() -> F,
) {
    for executor in Executor::ALL {
        let last = (0..100).find(|&cut| {
            let task = cut_at(cut, make());
            let done = executor.run(async { executor.start(task).await }).is_some();
            assert!(locks.flush(PATIENCE), "{executor:?}, cut at {cut}");
            for locks in [others, locks] {
                for (name, key) in [("k", ""), ("several", "a"), ("several", "b"), ("several", "2")] {
                    let free = locks.lock(key).name(name).wait(Duration::from_secs(5)).acquire();
                    assert!(free.is_ok(), "{executor:?}, cut at {cut}: {free:?}");
                }
            }
            done
        });
        assert!(last.expect("it comes to an end") > 0, "it never waited");
    }
}

#[test]
fn nested_locks_several_keys_and_a_renewal() {
    on_stage(|locks, others| {
        let count = Arc::new(AtomicUsize::new(0));
        at_every_point((locks, others), || {
            let (locks, count) = (locks.clone(), Arc::clone(&count));
            async move { outer(locks, count).await.expect("it is free") }
        });
        assert_eq!(count.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_release_that_is_not_waited_for() {
    on_stage(|locks, others| {
        at_every_point((locks, others), || {
            let locks = locks.clone();
            async move { assert_eq!(*leaves(locks).await.expect("it is free"), 1) }
        });
    });
}

#[test]
fn a_boxed_future_that_is_kept_alive() {
    on_stage(|locks, others| {
        at_every_point((locks, others), || {
            let locks = locks.clone();
            async move { boxed(locks).await.expect("it is free") }
        });
    });
}

#[test]
fn a_lock_that_another_process_holds() {
    on_stage(|locks, others| {
        let releaser = Mutex::new(None);
        at_every_point((locks, others), || {
            let held = others.lock("").name("k").acquire().expect("it is free");
            // The holder before releases it, in this process or in the other one.
            let thread = std::thread::spawn(move || drop(held));
            if let Some(before) = releaser.lock().expect("no panic").replace(thread) {
                before.join().expect("no panic");
            }
            let locks = locks.clone();
            async move { inner(locks).await.expect("it will be free") }
        });
    });
}
