//! A thread of a work-stealing pool runs strangers' jobs while a locked body on it waits for the pool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::task::{Context, Poll, Wake};
use std::time::Duration;
use std::{pin, thread};

use memlock::{CallTree, Error, Locks, current, lock, rlock, transaction, zlock};
use rayon::{ThreadPool, ThreadPoolBuilder};

static LOCKS: LazyLock<Locks> = LazyLock::new(|| Locks::builder().servers("memory:").build().expect("good settings"));

const PATIENCE: Duration = Duration::from_secs(60);

#[rlock(key, name = "shared", locks = &LOCKS)]
fn reentrant<T>(key: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
    Ok(body())
}

#[lock(key, name = "shared", locks = &LOCKS)]
fn plain<T>(key: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
    Ok(body())
}

#[zlock(key, name = "shared", locks = &LOCKS)]
fn before_database<T>(key: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
    Ok(body())
}

#[rlock(key, name = "shared", locks = &LOCKS, wait = 0)]
async fn reentrant_async(key: &str) -> Result<(), Error> {
    Ok(())
}

/// What a stranger's job finds while a body waits for another pool.
type Job = fn(&'static str) -> Result<(), Error>;

/// Two pools. A body on the only thread of the first waits for the second, and the thread runs a stranger's job meanwhile.
struct Pools {
    first: ThreadPool,
    second: ThreadPool,
}

impl Pools {
    fn new() -> Pools {
        let pool = || ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        Pools {
            first: pool(),
            second: pool(),
        }
    }

    /// Runs `job` inside a body, which calls `wait` with a function that waits for the second pool.
    fn run_in_body(&self, key: &'static str, job: Job, wait: fn(&mut dyn FnMut())) -> Result<(), Error> {
        let body = || {
            let (send, results) = mpsc::channel();
            let (here, results) = (thread::current().id(), Mutex::new(results));
            self.first.spawn(move || {
                assert_eq!(thread::current().id(), here, "it runs inside the body");
                send.send(job(key)).expect("the body waits");
            });
            let mut result = None;
            wait(&mut || {
                let received = self
                    .second
                    .install(|| results.lock().expect("not poisoned").recv_timeout(PATIENCE));
                result = Some(received.expect("the thread of the first pool runs it"));
            });
            assert!(current().is_some(), "the body goes on under its lock");
            result.expect("it has waited")
        };
        self.first.install(|| reentrant(key, body)).expect("it is free")
    }
}

fn lock_plain(key: &'static str) -> Result<(), Error> {
    plain(key, || ())
}

fn lock_reentrant(key: &'static str) -> Result<(), Error> {
    reentrant(key, || ())
}

fn lock_before_database(key: &'static str) -> Result<(), Error> {
    before_database(key, || ())
}

fn lock_without_attribute(key: &'static str) -> Result<(), Error> {
    LOCKS.lock(key).name("shared").acquire().map(drop)
}

fn lock_another_key(key: &'static str) -> Result<(), Error> {
    assert!(current().is_none(), "it is called by no body");
    reentrant(&format!("not {key}"), || ())
}

#[test]
fn a_stranger_inside_a_body_counts_as_its_callee() {
    let pools = Pools::new();
    let wait = |waiting: &mut dyn FnMut()| waiting();
    assert!(pools.run_in_body("in", lock_reentrant, wait).is_ok(), "it is let in");
    let error = pools
        .run_in_body("in", lock_plain, wait)
        .expect_err("it would wait for itself");
    assert!(error.is_reentered());
}

#[test]
fn a_stranger_outside_is_never_let_in_and_never_waits_for_its_own_thread() {
    let pools = Pools::new();
    let wait = |waiting: &mut dyn FnMut()| CallTree::outside(waiting);
    for job in [lock_plain, lock_reentrant, lock_before_database, lock_without_attribute] {
        let error = pools.run_in_body("out", job, wait).expect_err("the thread holds it");
        assert!(error.is_reentered(), "{error}");
    }
    assert!(pools.run_in_body("out", lock_another_key, wait).is_ok());
}

#[test]
fn a_job_of_the_body_is_given_its_identity() {
    let pools = Pools::new();
    let inner = reentrant("own", || {
        let here = CallTree::current();
        CallTree::outside(|| {
            pools
                .second
                .install(|| here.enter(|| reentrant("own", || current().is_some())))
        })
    });
    assert!(inner.expect("it is free").expect("the same holder"));
}

#[test]
fn the_caller_goes_on_as_before() {
    let token = || current().map(|lease| lease.token());
    let returned = reentrant("before", || {
        let before = token();
        let panicked = catch_unwind(AssertUnwindSafe(|| CallTree::outside(|| panic!("{:?}", token()))));
        let panic = panicked.expect_err("it panics");
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("None"));
        assert_eq!(CallTree::outside(|| CallTree::outside(token)), None);
        assert!(before.is_some() && token() == before);
        reentrant("before", token)
    });
    assert!(returned.expect("it is free").expect("the same holder").is_some());
    assert_eq!(CallTree::outside(|| reentrant("before", || 7)).expect("it is free"), 7);
}

#[test]
fn a_thread_that_is_started_outside_waits_like_any_other() {
    let ran = reentrant("thread", || {
        CallTree::outside(|| {
            let here = CallTree::current();
            thread::scope(|scope| {
                let ask = || LOCKS.lock("thread").name("shared").try_acquire().map(drop);
                let other = scope.spawn(move || here.enter(ask)).join();
                assert!(other.expect("no panic").is_err_and(|error| error.is_busy()));
            });
        });
    });
    ran.expect("it is free");
}

#[test]
fn a_future_outside_waits_for_the_lock_like_any_other() {
    let ran = reentrant("future", || {
        assert!(block_on(reentrant_async("future")).is_ok(), "the same holder");
        let outside = CallTree::outside_async(async {
            assert!(current().is_none());
            reentrant_async("future").await
        });
        assert!(block_on(outside).is_err_and(|error| error.is_busy()));
        assert!(current().is_some());
    });
    ran.expect("it is free");
}

#[test]
fn a_transaction_has_no_part_in_what_runs_outside() {
    let ran = transaction().run(|_| {
        before_database("transaction", || ())?;
        let inside = CallTree::outside(|| before_database("transaction", || ()));
        assert!(inside.is_err_and(|error| error.is_reentered()));
        let attempts = CallTree::outside(|| transaction().run(|attempt| before_database("other", || attempt)));
        assert_eq!(attempts?, 1);
        let others = LOCKS.lock("other").name("shared").try_acquire();
        others.map(drop)
    });
    ran.expect("the lock of the inner transaction is free");
}

#[test]
fn a_reentry_names_both_functions_and_their_places() {
    const LINE: u32 = line!() + 1;
    #[lock("k", name = "named", locks = &LOCKS)]
    fn holder<T>(body: impl FnOnce() -> T) -> Result<T, Error> {
        Ok(body())
    }
    #[lock("k", name = "named", locks = &LOCKS)]
    fn asks() -> Result<(), Error> {
        Ok(())
    }
    #[lock("k", name = "named", locks = &LOCKS)]
    async fn asks_async() -> Result<(), Error> {
        Ok(())
    }
    let message = |ask: &dyn Fn() -> Result<(), Error>| {
        let error = holder(ask).expect("it is free").expect_err("re-entered");
        error.to_string()
    };
    let at = |line: u32| format!("({}:{line}:", file!());
    let holder_is = format!("::holder` {}", at(LINE));
    let text = message(&asks);
    assert!(text.contains(&holder_is), "{text}");
    assert!(text.contains(&format!("::asks` {}", at(LINE + 4))), "{text}");
    let text = message(&|| block_on(asks_async()));
    assert!(text.contains(&holder_is), "{text}");
    assert!(text.contains(&format!("::asks_async` {}", at(LINE + 8))), "{text}");
    let (line, request) = (line!(), || LOCKS.lock("k").name("named").acquire().map(drop));
    let text = message(&request);
    assert!(text.contains(&holder_is), "{text}");
    assert!(text.contains(&format!("the request at {}:{line}:", file!())), "{text}");
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
