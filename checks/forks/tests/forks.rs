//! Locks in processes that fork: locks from before the fork belong to the parent alone, and a child makes its own.

use std::collections::HashSet;
use std::fs;
use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use memlock::{Error, Lease, Locks, lock, rlock, zlock};
use memlock_forks::fork;
use memlock_testkit::Memcached;

const PATIENCE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// One test at a time: each forks the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn locks(address: &str) -> Locks {
    let builder = Locks::builder().servers(address).timeout(TIMEOUT);
    builder.build().expect("good settings")
}

/// For children, which return an error instead of panicking.
fn must(is_so: bool, what: &str) -> Result<(), String> {
    is_so.then_some(()).ok_or_else(|| what.to_owned())
}

fn must_be_inherited<T>(result: Result<T, Error>, what: &str) -> Result<(), String> {
    match result {
        Err(error) if error.is_config() && error.to_string().contains("before the process forked") => Ok(()),
        Err(error) => Err(format!("{what}: {error}")),
        Ok(_) => Err(format!("{what}: no error")),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The nonce in the item of a lock that is held, as it stands on the server.
fn nonce(address: &str, lease: &Lease) -> String {
    let (item, _) = lease.tokens().next().expect("a lock");
    let mut stream = TcpStream::connect(address).expect("the server is up");
    write!(stream, "mg {item} v\r\n").expect("it listens");
    let mut reply = BufReader::new(stream).lines();
    let header = reply.next().expect("a header").expect("a header");
    let value = reply.next().expect("a value").expect("a value");
    let nonce = value.split(' ').nth(1).filter(|nonce| nonce.len() == 32);
    nonce
        .unwrap_or_else(|| panic!("no nonce in {header:?} {value:?}"))
        .to_owned()
}

#[test]
fn workers_with_locks_of_their_own_exclude_each_other_and_share_no_nonce() {
    const WORKERS: usize = 4;
    const TURNS: usize = 100;
    let _alone = alone();
    let server = Memcached::start();
    let address = server.address();
    let inherited = locks(&address);
    drop(inherited.lock("warm").acquire().expect("it is free"));
    drop(block_on(inherited.lock("warm").acquire_async()).expect("it is free"));
    let counter = std::env::temp_dir().join(format!("memlock-forks-{}", std::process::id()));
    fs::write(&counter, "0").expect("a file");

    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            fork(|| {
                let locks = locks(&address);
                let mut nonces = Vec::new();
                for turn in 0..TURNS {
                    let request = locks.lock("counter");
                    let guard = if turn % 2 == 0 { request.renew() } else { request }
                        .acquire()
                        .map_err(text)?;
                    nonces.push(nonce(&address, &guard.lease()));
                    let count: usize = fs::read_to_string(&counter).map_err(text)?.parse().map_err(text)?;
                    fs::write(&counter, (count + 1).to_string()).map_err(text)?;
                    must(guard.is_valid(), "its lease lasts")?;
                }
                // A background thread of its own, although its parent has one.
                let guard = block_on(locks.lock("counter").acquire_async()).map_err(text)?;
                block_on(guard.lease().renew_async()).map_err(text)?;
                drop(guard);
                must(locks.shutdown(PATIENCE).is_clean(), "its background thread finishes")?;
                Ok(nonces.join(" "))
            })
        })
        .collect();
    let nonces: Vec<String> = workers.into_iter().map(|worker| worker.result(PATIENCE)).collect();
    let nonces: HashSet<&str> = nonces.iter().flat_map(|nonces| nonces.split(' ')).collect();
    assert_eq!(nonces.len(), WORKERS * TURNS, "a nonce was drawn twice");
    let count = fs::read_to_string(&counter).expect("a file");
    fs::remove_file(&counter).expect("a file");
    assert_eq!(count, (WORKERS * TURNS).to_string(), "two held the lock at once");
}

#[derive(Debug)]
enum Failed {
    Conflict,
    Lock(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Lock(error)
    }
}

impl memlock::Conflict for Failed {
    fn is_conflict(&self) -> bool {
        matches!(self, Failed::Conflict)
    }
}

#[rlock("reentrant", locks = locks, timeout = 600)]
fn reentrant<T>(locks: &Locks, body: impl FnOnce() -> T) -> Result<T, Error> {
    Ok(body())
}

#[rlock("reentrant", locks = locks, timeout = 600)]
async fn reentrant_async(locks: &Locks) -> Result<(), Error> {
    Ok(())
}

#[zlock("reserved", locks = locks, timeout = 600, reserve = 600)]
fn reserving(locks: &Locks, is_conflict: bool) -> Result<(), Failed> {
    if is_conflict { Err(Failed::Conflict) } else { Ok(()) }
}

/// The locks that a parent has when it forks.
struct Parent {
    locks: Locks,
    guard: memlock::Guard,
    task: memlock::AsyncGuard,
}

/// All that a child may try with inherited locks.
fn use_inherited(parent: Parent) -> Result<String, String> {
    let Parent { locks, guard, task } = parent;
    must_be_inherited(locks.lock("free").acquire(), "acquire")?;
    must_be_inherited(locks.lock("free").try_acquire(), "try_acquire")?;
    must_be_inherited(
        locks.lock("free").renew().wait(PATIENCE).acquire(),
        "acquire with renewals",
    )?;
    must_be_inherited(block_on(locks.lock("free").acquire_async()), "acquire_async")?;
    must_be_inherited(reentrant(&locks, || ()), "entering the body of a parent again")?;
    must_be_inherited(block_on(reentrant_async(&locks)), "the same of a task")?;
    let claimed = reserving(&locks, false).map_err(|error| match error {
        Failed::Lock(error) => error,
        Failed::Conflict => unreachable!("it returns none"),
    });
    must_be_inherited(claimed, "claiming a reservation")?;
    must_be_inherited(guard.renew(), "renew")?;
    must_be_inherited(block_on(task.renew_async()), "renew_async")?;
    must_be_inherited(guard.check(), "check")?;
    must(
        !guard.is_valid() && !task.is_valid(),
        "a parent's lease is valid for the parent alone",
    )?;
    drop(guard);
    block_on(task.release());
    must(locks.flush(PATIENCE), "flush")?;
    must(block_on(locks.flush_async(PATIENCE)), "flush_async")?;
    must(locks.shutdown(PATIENCE).is_clean(), "shutdown")?;
    drop(locks);
    Ok(String::new())
}

#[test]
fn a_child_can_use_nothing_that_it_inherits_and_takes_nothing_from_its_parent() {
    let _alone = alone();
    let server = Memcached::start();
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let builder = Locks::builder().servers(server.address()).timeout(TIMEOUT).wake(any);
    let (mine, others) = (builder.build().expect("good settings"), locks(&server.address()));
    assert!(matches!(reserving(&mine, true), Err(Failed::Conflict)));
    let mut parent = Some(Parent {
        guard: mine.lock("thread").renew().acquire().expect("it is free"),
        task: block_on(mine.lock("task").renew().acquire_async()).expect("it is free"),
        locks: mine.clone(),
    });
    for _ in 0..3 {
        // Only the child takes it, from its own copy.
        let forked = reentrant(&mine, || fork(|| use_inherited(parent.take().expect("a copy"))));
        let _ = forked.expect("it is free").result(PATIENCE);

        let parent = parent.as_ref().expect("it is still here");
        for (name, key) in [("lock", "thread"), ("lock", "task")] {
            let busy = others.lock(key).name(name).try_acquire();
            assert!(
                busy.is_err_and(|error| error.is_busy()),
                "{key} was released by a child"
            );
        }
        parent.guard.renew().expect("it is held");
        // On the connection that tasks share, through the thread that the child does not have.
        block_on(parent.task.renew_async()).expect("it is held");
        drop(mine.lock("free").try_acquire().expect("a child holds nothing"));
    }
    reserving(&mine, false).expect("it is reserved for this thread");
    let Parent { guard, task, locks } = parent.expect("it is still here");
    guard.release();
    block_on(task.release());
    assert!(locks.shutdown(PATIENCE).is_clean());
    for key in ["thread", "task", "free"] {
        drop(others.lock(key).try_acquire().expect("it was released"));
    }
}

#[test]
fn a_future_that_a_child_inherits_ends_there_and_goes_on_in_its_parent() {
    let _alone = alone();
    let server = Memcached::start();
    let (mine, others) = (locks(&server.address()), locks(&server.address()));
    // One future waits for another process, one for a thread of its own process, and one for the server's answer.
    let held = others.lock("elsewhere").acquire().expect("it is free");
    let here = mine.lock("here").acquire().expect("it is free");
    let begin = |key| Box::pin(mine.lock(key).acquire_async());
    let mut waiting = ["elsewhere", "here", "unanswered"].map(begin);
    let context = &mut Context::from_waker(Waker::noop());
    for future in &mut waiting[..2] {
        for _ in 0..50 {
            assert!(future.as_mut().poll(context).is_pending(), "it is held");
            thread::sleep(Duration::from_millis(1));
        }
    }
    drop(block_on(mine.lock("warm").acquire_async()).expect("it is free"));
    server.pause();
    assert!(waiting[2].as_mut().poll(context).is_pending(), "it is not answered yet");
    let polled = fork(|| {
        for (future, what) in waiting.iter_mut().zip(["elsewhere", "here", "unanswered"]) {
            must_be_inherited(block_on(future.as_mut()), what)?;
        }
        Ok(String::new())
    });
    let _ = polled.result(PATIENCE);
    let mut copy = Some(waiting);
    let dropped = fork(|| {
        drop(copy.take());
        Ok(String::new())
    });
    let _ = dropped.result(PATIENCE);
    server.resume();
    drop((held, here));
    for future in copy.expect("it is still here") {
        drop(block_on(future).expect("it is free"));
    }
}

#[test]
fn a_child_never_hangs_however_busy_its_parent_was() {
    const CHILDREN: usize = 100;
    let _alone = alone();
    let server = Memcached::start();
    let mine = locks(&server.address());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..2 {
            let (mine, is_over) = (&mine, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    drop(mine.lock(("busy", thread)).renew().acquire().expect("it is free"));
                    drop(block_on(mine.lock("busy").acquire_async()).expect("its turn"));
                }
            });
        }
        for child in 0..CHILDREN {
            let mut parent = Some(Parent {
                guard: mine.lock(("thread", child)).renew().acquire().expect("it is free"),
                task: block_on(mine.lock(("task", child)).acquire_async()).expect("it is free"),
                locks: mine.clone(),
            });
            let _ = fork(|| use_inherited_elsewhere(parent.take().expect("a copy"))).result(PATIENCE);
            let parent = parent.expect("it is still here");
            assert!(
                parent.guard.is_valid() && parent.guard.renew().is_ok(),
                "it was released by a child"
            );
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

/// As [`use_inherited`], where nothing is reserved and no body runs.
fn use_inherited_elsewhere(parent: Parent) -> Result<String, String> {
    let Parent { locks, guard, task } = parent;
    must_be_inherited(locks.lock("free").acquire(), "acquire")?;
    must_be_inherited(block_on(locks.lock("free").acquire_async()), "acquire_async")?;
    must_be_inherited(guard.renew(), "renew")?;
    must_be_inherited(block_on(task.renew_async()), "renew_async")?;
    drop((guard, task));
    must(locks.flush(PATIENCE), "flush")?;
    Ok(String::new())
}

#[lock("process-wide")]
fn process_wide() -> Result<(), Error> {
    Ok(())
}

#[test]
fn a_child_installs_process_wide_locks_of_its_own() {
    let _alone = alone();
    let server = Memcached::start();
    memlock::init(locks(&server.address())).expect("the first");
    process_wide().expect("it is free");
    assert!(
        memlock::init(locks(&server.address())).is_err_and(|error| error.is_config()),
        "once in a process"
    );
    for _ in 0..2 {
        let child = fork(|| {
            must_be_inherited(process_wide(), "the parent's")?;
            memlock::init(locks(&server.address())).map_err(text)?;
            process_wide().map_err(text)?;
            must(memlock::init(locks(&server.address())).is_err(), "once in a process")?;
            let grandchild = fork(|| {
                must_be_inherited(process_wide(), "the child's")?;
                memlock::init(locks(&server.address())).map_err(text)?;
                process_wide().map_err(text).map(|()| String::new())
            });
            Ok(grandchild.result(PATIENCE))
        });
        let _ = child.result(PATIENCE);
    }
    process_wide().expect("the parent's are as they were");
}

/// Runs a future to its end, on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future: Pin<&mut F> = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
