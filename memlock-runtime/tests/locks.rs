//! The promises of `Locks` and `Guard`, over `memory:` and through the public interface only. Needs nothing installed.

#![allow(clippy::disallowed_methods, reason = "tests measure by the real clock")]

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use memlock_runtime::{DontLock, Error, Guard, LockRequest, Locks, init};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much a busy machine may add to a requested time.
const MARGIN: Duration = Duration::from_secs(1);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn locks() -> Locks {
    Locks::builder()
        .servers("memory:")
        .build()
        .expect("nothing is wrong with it")
}

fn hold(request: LockRequest<'_>) -> Guard {
    request.acquire().expect("it is free, or will be")
}

fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = action();
    (result, started.elapsed())
}

/// Waits until `condition` holds, and fails if it does not within [`PATIENCE`].
#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(ms(2));
    }
}

#[track_caller]
fn config_error(result: Result<Guard, Error>) -> String {
    match result {
        Err(error) if error.is_config() => error.to_string(),
        other => panic!("not a configuration error: {other:?}"),
    }
}

/// A thread that asks for a lock. It shows that it stands in the queue: the library warns of a wait that is longer than
/// the lock's timeout, and the timeout here is short.
struct Waiter {
    warnings: Arc<Warnings>,
    result: Receiver<Result<Guard, Error>>,
}

/// The timeout of a [`Waiter`]'s lock.
const SOON: Duration = ms(150);

impl Waiter {
    fn of(locks: &Locks, key: &'static str, wait: Duration) -> Waiter {
        Waiter::then(locks, key, wait, |result| result)
    }

    /// Starts a waiter that calls `with` with its result before it sends that.
    fn then(
        locks: &Locks,
        key: &'static str,
        wait: Duration,
        with: impl FnOnce(Result<Guard, Error>) -> Result<Guard, Error> + Send + 'static,
    ) -> Waiter {
        let warnings = Arc::new(Warnings::default());
        let (sender, result) = mpsc::channel();
        let (locks, subscriber) = (locks.clone(), Arc::clone(&warnings));
        thread::spawn(move || {
            let result =
                tracing::subscriber::with_default(subscriber, || locks.lock(key).timeout(SOON).wait(wait).acquire());
            // A test that has failed no longer receives.
            let _ = sender.send(with(result));
        });
        Waiter { warnings, result }
    }

    fn stands_in_the_queue(self) -> Waiter {
        eventually("a warning of the long wait", || self.warnings.count() == 1);
        self
    }

    #[track_caller]
    fn result(&self) -> Result<Guard, Error> {
        self.result.recv_timeout(PATIENCE).expect("an answer")
    }
}

/// Counts the library's warnings.
#[derive(Default)]
struct Warnings(AtomicUsize);

impl Warnings {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "memlock" && *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn threads_exclude_each_other_and_their_tokens_rise() {
    const THREADS: usize = 8;
    const TURNS: usize = 500;
    let locks = locks();
    let (inside, violations) = (AtomicBool::new(false), AtomicU32::new(0));
    let tokens = Mutex::new(Vec::new());
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..TURNS {
                    let guard = hold(locks.lock("one"));
                    if inside.swap(true, Ordering::SeqCst) {
                        violations.fetch_add(1, Ordering::SeqCst);
                    }
                    tokens.lock().unwrap().push(guard.token());
                    thread::yield_now();
                    inside.store(false, Ordering::SeqCst);
                }
            });
        }
    });
    let tokens = tokens.into_inner().unwrap();
    assert_eq!(violations.into_inner(), 0);
    assert_eq!(tokens.len(), THREADS * TURNS);
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later));
}

#[test]
fn different_keys_do_not_wait_for_each_other() {
    let locks = locks();
    let _one = hold(locks.lock("one"));
    let _two = locks.lock("two").try_acquire().expect("another key");
    let _named = locks.lock("one").name("elsewhere").try_acquire().expect("another name");
    let _escaped = locks.lock(("a:b", "c")).try_acquire().expect("free");
    let _other = locks.lock(("a", "b:c")).try_acquire().expect("another pair");
}

#[test]
fn threads_are_served_in_the_order_in_which_they_came() {
    let locks = locks();
    let served = Arc::new(Mutex::new(Vec::new()));
    let holder = hold(locks.lock("bench"));
    let waiters: Vec<Waiter> = (0..6)
        .map(|number| {
            let served = Arc::clone(&served);
            let waiter = Waiter::then(&locks, "bench", PATIENCE, move |result| {
                served.lock().unwrap().push(number);
                result
            });
            waiter.stands_in_the_queue()
        })
        .collect();
    holder.release();
    for waiter in waiters {
        drop(waiter.result().expect("its turn comes"));
    }
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_waiter_that_gives_up_does_not_delay_those_behind_it() {
    let locks = locks();
    let holder = hold(locks.lock("k"));
    let impatient = Waiter::of(&locks, "k", ms(500)).stands_in_the_queue();
    let patient = Waiter::of(&locks, "k", Duration::MAX).stands_in_the_queue();
    assert!(impatient.result().expect_err("its wait is over").is_busy());
    let (guard, took) = timed(|| {
        holder.release();
        patient.result().expect("it is next")
    });
    assert!(guard.is_valid());
    assert!(took < MARGIN, "{took:?}");
}

#[test]
fn trying_a_held_lock_is_busy_at_once_and_names_the_lock() {
    let locks = locks();
    let _held = hold(locks.lock("k"));
    let (result, took) = timed(|| locks.lock("k").try_acquire());
    let error = result.expect_err("it is held");
    assert!(took < MARGIN, "{took:?}");
    assert!(
        matches!(&error, Error::Busy { key, waited, .. } if key == "memlock:lock:k" && *waited < MARGIN),
        "{error:?}"
    );
    assert_eq!(locks.counts().acquired, 1);
}

#[test]
fn the_wait_is_as_long_as_was_asked_for() {
    let locks = locks();
    let _held = hold(locks.lock("k"));
    for wait in [ms(1), ms(100), ms(400)] {
        let (result, took) = timed(|| locks.lock("k").wait(wait).acquire());
        assert!(result.expect_err("it is held").is_busy());
        assert!(took >= wait && took < wait + MARGIN, "{took:?} for {wait:?}");
    }
}

#[test]
fn a_released_lock_is_free_at_once_however_it_is_released() {
    let locks = locks();
    let free = || locks.lock("k").try_acquire().expect("it is free");
    free().release();
    drop(free());
    let lease = free().lease();
    let guard = free();
    assert!(!lease.is_valid(), "a kept lease says that its lock is released");
    assert_eq!(lease.remaining(), Duration::ZERO);
    let error = lease.check().expect_err("also while another holds it");
    assert!(error.is_lost() && error.to_string().contains("released"), "{error}");
    guard.check().expect("that one is held");
    assert!(guard.token() > lease.token());
}

#[test]
fn a_panic_releases_the_lock() {
    let locks = locks();
    let worker = {
        let locks = locks.clone();
        thread::spawn(move || {
            let _guard = hold(locks.lock("k"));
            panic!("this one is meant to be");
        })
    };
    assert!(worker.join().is_err());
    assert!(locks.lock("k").try_acquire().is_ok());
}

#[test]
fn a_guard_may_be_released_on_another_thread() {
    let locks = locks();
    let guard = hold(locks.lock("k"));
    let token = guard.token();
    let seen = thread::spawn(move || {
        assert!(guard.is_valid());
        guard.token()
    });
    assert_eq!(seen.join().expect("no panic"), token);
    assert!(locks.lock("k").try_acquire().is_ok());
}

#[test]
fn clones_share_their_locks() {
    let one = locks();
    let other = one.clone();
    let guard = hold(one.lock("k"));
    assert!(other.lock("k").try_acquire().expect_err("it is held").is_busy());
    guard.release();
    assert!(other.lock("k").try_acquire().is_ok());
    assert_eq!(one.counts(), other.counts());
    assert_eq!(one.counts().acquired, 2);
}

#[test]
fn two_stores_in_memory_know_nothing_of_each_other() {
    let (one, other) = (locks(), locks());
    let _held = hold(one.lock("k"));
    assert!(other.lock("k").try_acquire().is_ok());
}

#[test]
fn a_lease_that_ran_out_is_noticed_counted_and_warned_of() {
    let locks = locks();
    let guard = hold(locks.lock("k").timeout(ms(100)));
    assert!(guard.is_valid() && guard.check().is_ok());
    assert!(guard.remaining() <= ms(100));
    eventually("the lease to end", || !guard.is_valid());
    assert_eq!(guard.remaining(), Duration::ZERO);
    let error = guard.check().expect_err("it is over");
    assert!(
        error.is_lost() && error.to_string().contains("memlock:lock:k"),
        "{error}"
    );
    assert!(guard.renew().expect_err("what is lost stays lost").is_lost());
    assert!(!guard.is_valid());
    let warnings = Arc::new(Warnings::default());
    tracing::subscriber::with_default(Arc::clone(&warnings), || guard.release());
    assert_eq!((warnings.count(), locks.counts().lost), (1, 1));
}

#[test]
fn renewing_once_gives_the_whole_timeout_again() {
    let locks = locks();
    let guard = hold(locks.lock("k").timeout(Duration::from_secs(60)));
    let since = Instant::now();
    let token = guard.token();
    eventually("some of the lease to pass", || guard.remaining() < ms(59_900));
    let ended = guard.remaining() + since.elapsed();
    guard.renew().expect("it is held");
    // Compared by the clock, since on a busy machine more time may pass between the renewal and this reading than
    // between the grant and the reading before.
    let now = since.elapsed();
    assert!(now + guard.remaining() > ended);
    assert_eq!(guard.token(), token, "a renewal is the same grant");
}

#[test]
fn a_renewed_lock_outlives_its_timeout_and_keeps_others_out() {
    let locks = locks();
    let timeout = ms(600);
    let guard = hold(locks.lock("k").timeout(timeout).renew());
    let (result, _) = timed(|| locks.lock("k").wait(timeout * 3).acquire());
    assert!(result.expect_err("it is kept alive").is_busy());
    assert!(guard.is_valid());
    guard.check().expect("it has lasted");
    guard.release();
    assert!(locks.lock("k").try_acquire().is_ok());
    assert_eq!(locks.counts().lost, 0);
}

#[test]
fn acquiring_without_a_key_is_refused() {
    let locks = locks();
    let none = locks.lock(None::<&str>).acquire();
    for result in [none, locks.lock(Err::<u64, _>(DontLock)).try_acquire()] {
        let message = config_error(result);
        assert!(message.contains("no lock"), "{message}");
    }
    assert_eq!(locks.counts().acquired, 0);
}

#[test]
fn impossible_durations_are_named_and_refused() {
    let locks = locks();
    let month = Duration::from_secs(30 * 24 * 3600);
    for (result, name) in [
        (locks.lock("k").timeout(Duration::ZERO).acquire(), "`timeout`"),
        (locks.lock("k").timeout(month).acquire(), "`timeout`"),
        (locks.lock("k").interval(Duration::ZERO).acquire(), "`interval`"),
        (locks.lock("k").interval(month).acquire(), "`interval`"),
    ] {
        let message = config_error(result);
        assert!(message.contains(name), "{message}");
    }
    for (builder, name) in [
        (Locks::builder().timeout(Duration::ZERO), "`timeout`"),
        (Locks::builder().interval(month), "`interval`"),
        (Locks::builder().exchange_timeout(Duration::ZERO), "`exchange_timeout`"),
    ] {
        let error = builder.servers("memory:").build().expect_err("a wrong duration");
        assert!(error.is_config() && error.to_string().contains(name), "{error}");
    }
    assert!(
        locks
            .lock("k")
            .timeout(Duration::from_secs(29 * 24 * 3600))
            .acquire()
            .is_ok()
    );
    assert!(locks.lock("k").wait(Duration::MAX).acquire().is_ok());
}

#[test]
fn installing_the_process_wide_locks_twice_is_refused() {
    init(locks()).expect("the first time");
    let error = init(locks()).expect_err("the second time");
    assert!(error.is_config() && error.to_string().contains("`init`"), "{error}");
}

#[test]
fn every_acquisition_is_counted_once() {
    let locks = locks();
    let guards: Vec<Guard> = (0..5).map(|number| hold(locks.lock(number))).collect();
    drop(guards);
    let counts = locks.counts();
    assert_eq!(
        (counts.acquired, counts.soft_runs, counts.lost, counts.unavailable),
        (5, 0, 0, 0)
    );
}

/// The original library's promise: a lock may be held for its timeout, and blocks no caller after that.
#[test]
fn a_holder_that_is_stuck_blocks_its_own_process_no_longer_than_its_timeout() {
    let locks = locks();
    let stuck = hold(locks.lock("k").timeout(ms(300)));
    let (result, took) = timed(|| locks.lock("k").wait(ms(300) + MARGIN * 4).acquire());
    let guard = result.expect("the lease of the stuck holder is over");
    assert!(took >= ms(250), "{took:?}");
    assert!(!stuck.is_valid() && guard.token() > stuck.token());
    drop(stuck);
    assert!(
        guard.is_valid() && guard.renew().is_ok(),
        "it belongs to the second holder, and stays"
    );
}

/// The waiter joined the queue before the lease that it has to watch was granted.
#[test]
fn a_waiter_notices_a_stuck_holder_that_was_granted_its_lease_later_than_the_waiter_joined() {
    let locks = locks();
    let holder = hold(locks.lock("k"));
    let stuck = Waiter::of(&locks, "k", Duration::MAX).stands_in_the_queue();
    let next = Waiter::of(&locks, "k", Duration::MAX).stands_in_the_queue();
    holder.release();
    let (result, took) = timed(|| next.result.recv_timeout(SOON + MARGIN * 4));
    println!("acquired {took:.1?} after the stuck holder's lease was granted");
    let guard = result
        .expect("the lease of the stuck holder is over")
        .expect("no error");
    let stuck = stuck.result().expect("it was the first");
    assert!(guard.token() > stuck.token());
}
