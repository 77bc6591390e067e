//! The drivers with stores that misbehave in ways that a real server shows only by chance.

mod abandoned;
mod contradictions;
mod ends;
mod handing_over;
mod in_memory;
mod waking;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use super::Locks;
use super::builder::Builder;
use crate::driver::caller::Caller;
use crate::driver::core::Core;
use crate::hold::guard::Guard;
use crate::hold::options::LockOptions;
use crate::key::ItemName;
use crate::locks::acquire::LockCall;
use crate::protocol::lease::Now;
use crate::protocol::{Batch, Exchanged, Instance, Pending, Request, Unanswered};
use crate::store::memory::Memory;
use crate::store::{Exchange, Ready, Store};
use crate::system::background::Timer;
use crate::system::clock::Clock;
use crate::system::on_thread::block_on;

/// For each exchange that hung: whether the background made it, and its limit.
type Limits = Arc<Mutex<Vec<(bool, Duration)>>>;

/// The limits of all exchanges of callers together.
fn given_to_callers(limits: &Limits) -> Duration {
    let limits = limits.lock().expect("no panic");
    limits
        .iter()
        .filter(|(is_background, _)| !is_background)
        .map(|(_, limit)| *limit)
        .sum()
}

const EXCHANGE: Duration = Duration::from_millis(120);

/// Two servers. The first is [`Memory`], and so is the second, except that it takes the whole limit of an exchange and
/// does not answer while it `hangs`.
#[derive(Debug)]
struct Moody {
    sound: Memory,
    other: Memory,
    hangs: Arc<AtomicBool>,
    limits: Limits,
}

impl Store for Moody {
    #[allow(clippy::disallowed_methods, reason = "it plays a server that takes its time")]
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        if server == 0 {
            return self.sound.exchange(server, item, batch, only_on, limit);
        }
        if !self.hangs.load(Ordering::SeqCst) {
            return self.other.exchange(server, item, batch, only_on, limit);
        }
        if limit.is_zero() {
            return not_sent("there is no time for it");
        }
        self.limits.lock().expect("no panic").push((false, limit));
        thread::sleep(limit);
        hung()
    }

    fn begin(
        &self,
        server: usize,
        item: &ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Box<dyn Exchange> {
        if server == 0 || !self.hangs.load(Ordering::SeqCst) || limit.is_zero() {
            return Box::new(Ready::new(self.exchange(server, item, &batch, only_on, limit)));
        }
        let is_background = thread::current().name() == Some("memlock");
        self.limits.lock().expect("no panic").push((is_background, limit));
        Box::new(Hanging(Timer::after(limit)))
    }

    fn server_name(&self, _: usize) -> &'static str {
        "moody"
    }

    fn route(&self, item: &ItemName) -> usize {
        usize::from(item.as_str().contains("moody"))
    }

    fn servers(&self) -> usize {
        2
    }
}

fn hung() -> Exchanged {
    Exchanged {
        pending: Some(Box::new(Never)),
        ..failed(Unanswered::Late, "it hangs")
    }
}

fn not_sent(why: &str) -> Exchanged {
    failed(Unanswered::NotSent, why)
}

fn failed(unanswered: Unanswered, why: &str) -> Exchanged {
    Exchanged {
        unanswered: Some(unanswered),
        source: Some(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(why))),
        ..Exchanged::default()
    }
}

/// An exchange that takes its whole limit, without blocking a thread.
#[derive(Debug)]
struct Hanging(Timer);

impl Exchange for Hanging {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Exchanged> {
        Pin::new(&mut self.0).poll(context).map(|()| hung())
    }

    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
        Some(Box::new(Never))
    }
}

/// An exchange that never ends. Asking takes no time.
#[derive(Debug)]
struct Never;

impl Pending for Never {
    fn wait(self: Box<Self>, _: Duration) -> Result<Exchanged, Box<dyn Pending>> {
        Err(self)
    }
}

struct Stage {
    locks: Locks,
    hangs: Arc<AtomicBool>,
    limits: Limits,
}

fn stage() -> Stage {
    stage_on(&Arc::default(), EXCHANGE)
}

fn stage_on(clock: &Arc<Clock>, exchange_limit: Duration) -> Stage {
    let (hangs, limits) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let store = Moody {
        sound: Memory::on(Arc::clone(clock)),
        other: Memory::on(Arc::clone(clock)),
        hangs: Arc::clone(&hangs),
        limits: Arc::clone(&limits),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::on(Arc::clone(clock), Arc::new(store), exchange_limit));
    Stage { locks, hangs, limits }
}

#[allow(clippy::disallowed_methods, reason = "waiting for a condition, with a deadline")]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn all_exchanges_of_a_call_share_its_wait() {
    // Measured by the limits of the exchanges, since a busy machine would stretch the real time.
    for wait in [0, 20, 50, 100, 1000].map(Duration::from_millis) {
        let Stage { locks, hangs, limits } = stage();
        hangs.store(true, Ordering::SeqCst);
        let error = locks.lock("moody").wait(wait).acquire().expect_err("it hangs");
        assert!(error.is_unavailable(), "{error}");
        let given = given_to_callers(&limits);
        // `ends` tests this to the millisecond.
        assert!(given <= wait + EXCHANGE, "{given:?} for a wait of {wait:?}");
        assert!(
            given >= EXCHANGE,
            "{given:?}: asking has time of its own, however short the wait"
        );
        assert!(given <= 2 * EXCHANGE, "{given:?}: one exchange, and one more");
    }
}

#[test]
fn both_attempts_of_a_zlock_share_its_wait() {
    let items = [ItemName::of_lock("memlock", "zlock", "moody")];
    for wait in [0, 20, 50, 100, 1000].map(Duration::from_millis) {
        let Stage { locks, hangs, limits } = stage();
        let options = LockOptions {
            wait: Some(wait),
            ..LockOptions::of("f")
        };
        let call = LockCall::begin(&locks, Caller::Thread, &options).expect("it is open");
        let zlock = crate::transaction::zlock::Zlock {
            call,
            items: &items,
            policy: crate::OnUnavailable::Error,
            outer: None,
        };
        hangs.store(true, Ordering::SeqCst);
        let error = block_on(zlock.acquire()).expect_err("it hangs");
        assert!(error.is_unavailable(), "{error}");
        let given = given_to_callers(&limits);
        assert!(given <= wait + EXCHANGE, "{given:?} for a wait of {wait:?}");
    }
}

#[test]
fn background_work_begins_at_once_in_a_task_without_budget() {
    let Stage { locks, .. } = stage();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let begun = runtime.block_on(async {
        let free = Arc::new(tokio::sync::Mutex::new(()));
        let nobody = &mut Context::from_waker(std::task::Waker::noop());
        while std::pin::pin!(free.lock()).poll(nobody).is_ready() {}
        let begun = Arc::new(AtomicBool::new(false));
        let has_begun = Arc::clone(&begun);
        crate::driver::background_work::begin(locks.core(), async move {
            let _free = free.lock().await;
            has_begun.store(true, Ordering::SeqCst);
        });
        begun.load(Ordering::SeqCst)
    });
    assert!(begun, "an immediate retry would not find the reservation");
}

#[test]
fn releasing_the_first_of_several_keys_stays_within_the_wait() {
    let Stage { locks, hangs, limits } = stage();
    let options = LockOptions {
        wait: Some(Duration::ZERO),
        ..LockOptions::of("f")
    };
    let taken = locks.lock("moody z").name("several").acquire().expect("it is free");
    hangs.store(true, Ordering::SeqCst);
    let items = ["moody a", "moody b", "moody z"].map(|key| ItemName::of_lock("memlock", "several", key));
    let acquire_all = || {
        let call = LockCall::begin(&locks, Caller::Thread, &options).expect("it is open");
        block_on(call.acquire_all(&items))
    };
    // First the server hangs from the first lock on. Then another caller holds the last lock.
    let error = acquire_all().expect_err("it hangs");
    assert!(error.is_unavailable());
    let given = given_to_callers(&limits);
    assert!(given <= EXCHANGE, "{given:?}");
    hangs.store(false, Ordering::SeqCst);
    let error = acquire_all().expect_err("the last one is held");
    assert!(error.is_busy(), "{error}");
    for key in ["moody a", "moody b"] {
        let free = locks.lock(key).name("several").try_acquire();
        assert!(free.is_ok(), "a lock of several was kept although the last was held");
    }
    drop(taken);
}

#[test]
fn the_locks_of_a_call_are_released_within_the_limit_of_one_exchange() {
    let Stage { locks, hangs, limits } = stage();
    let options = LockOptions::of("f");
    let items = ["moody a", "moody b", "moody c", "moody d"].map(|key| ItemName::of_lock("memlock", "several", key));
    let call = LockCall::begin(&locks, Caller::Thread, &options).expect("it is open");
    let held = block_on(call.acquire_all(&items)).expect("they are free");
    hangs.store(true, Ordering::SeqCst);
    drop(held);
    let given = given_to_callers(&limits);
    assert!(given <= EXCHANGE, "{given:?}");
    hangs.store(false, Ordering::SeqCst);
    assert!(
        locks.flush(Duration::from_secs(30)),
        "the background releases the others"
    );
    let call = LockCall::begin(&locks, Caller::Thread, &options).expect("it is open");
    drop(block_on(call.acquire_all(&items)).expect("they are free"));
}

#[test]
fn a_release_during_a_renewal_that_hangs_stays_within_the_limit_of_one_exchange() {
    let Stage { locks, hangs, limits } = stage();
    let guard = locks.lock("moody").acquire().expect("it is free");
    let held = Arc::clone(&guard.locks()[0]);
    hangs.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        scope.spawn(|| block_on(held.renew(Caller::Thread, crate::driver::limits::ExchangeLimit::each(EXCHANGE))));
        wait_until("the renewal to be under way", || held.is_exchanging());
        limits.lock().expect("no panic").clear();
        let began = locks.core().now();
        drop(guard);
        let took = locks.core().now().since(began);
        let given = given_to_callers(&limits);
        assert!(given <= EXCHANGE, "{given:?}");
        assert!(took >= given, "it waited for the renewal");
    });
    hangs.store(false, Ordering::SeqCst);
    assert!(locks.flush(Duration::from_secs(30)));
}

#[test]
fn a_re_entry_fails_if_the_lease_ends_during_its_renewal() {
    let Stage { locks, hangs, .. } = stage();
    let guard = locks.lock("moody").timeout(EXCHANGE).acquire().expect("it is free");
    let held = &guard.locks()[0];
    wait_until("half of the lease to be over", || held.remaining() < EXCHANGE / 2);
    hangs.store(true, Ordering::SeqCst);
    // The renewal takes as long as the whole lease, and then fails.
    let entered =
        block_on(held.keep_at_least_half(Caller::Thread, crate::driver::limits::ExchangeLimit::each(EXCHANGE)));
    assert!(entered.is_err_and(|error| error.is_lost()));
}

#[test]
fn a_server_that_hangs_delays_no_renewal_on_another() {
    let clock = Arc::new(Clock::standing());
    // It hangs for an hour, so a renewal that waits behind it is too late.
    let Stage { locks, hangs, limits } = stage_on(&clock, Duration::from_secs(3600));
    let kept = locks.lock("sound").timeout(LEASE).renew().acquire();
    let kept = kept.expect("it is free");
    let acquire = |key| block_on(locks.lock(("moody", key)).acquire_async()).expect("it is free");
    let hanging: Vec<_> = (0..30).map(acquire).collect();
    hangs.store(true, Ordering::SeqCst);
    drop(hanging);
    wait_until("all releases to hang", || limits.lock().expect("no panic").len() == 30);
    clock.advance(LEASE / 2);
    wait_until("the renewal", || kept.remaining() > LEASE * 3 / 4);
}

#[test]
fn a_panic_in_the_background_ends_only_its_task() {
    /// Panics at the first renewal.
    #[derive(Debug)]
    struct Panics(Memory, AtomicBool);

    impl Store for Panics {
        fn exchange(
            &self,
            server: usize,
            item: &ItemName,
            batch: &[Request],
            only_on: Option<Instance>,
            limit: Duration,
        ) -> Exchanged {
            let renews = matches!(batch, [_, Request::Replace { .. }]);
            assert!(!renews || self.1.swap(true, Ordering::SeqCst), "in the background");
            self.0.exchange(server, item, batch, only_on, limit)
        }

        fn server_name(&self, _: usize) -> &'static str {
            "panics"
        }

        fn route(&self, _: &ItemName) -> usize {
            0
        }

        fn servers(&self) -> usize {
            1
        }
    }

    let store = Panics(Memory::new(), AtomicBool::new(false));
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::new(Arc::new(store), EXCHANGE, None).expect("random numbers"));
    let lease = Duration::from_millis(300);
    let first = locks.lock(1).timeout(lease).renew().acquire().expect("it is free");
    wait_until("the first lease to run out, for its renewal panicked", || {
        !first.is_valid()
    });
    // Long enough for a busy machine to renew it in time.
    let second = locks.lock(2).timeout(10 * lease).renew().acquire();
    let second = second.expect("it is free");
    let mut renewals = 0;
    let mut left = second.remaining();
    wait_until("renewals of another lease", || {
        let now = second.remaining();
        renewals += u32::from(now > left);
        left = now;
        renewals >= 3
    });
}

/// [`Memory`] that cannot be reached while it is `down`, and counts the exchanges that did not reach it.
#[derive(Debug)]
struct Fickle {
    memory: Memory,
    down: Arc<AtomicBool>,
    missed: Arc<AtomicUsize>,
    batches: Arc<Mutex<Vec<Vec<Request>>>>,
}

impl Store for Fickle {
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        self.batches.lock().expect("no panic").push(batch.to_vec());
        if !self.down.load(Ordering::SeqCst) {
            return self.memory.exchange(server, item, batch, only_on, limit);
        }
        self.missed.fetch_add(1, Ordering::SeqCst);
        not_sent("it is down")
    }

    fn server_name(&self, _: usize) -> &'static str {
        "fickle"
    }

    fn route(&self, _: &ItemName) -> usize {
        0
    }

    fn servers(&self) -> usize {
        1
    }
}

#[test]
fn a_failed_release_is_attempted_until_the_server_is_back() {
    let (down, missed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let store = Fickle {
        memory: Memory::new(),
        down: Arc::clone(&down),
        missed: Arc::clone(&missed),
        batches: Arc::default(),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::new(Arc::new(store), EXCHANGE, None).expect("random numbers"));
    let guard = locks.lock("k").acquire().expect("it is free");
    down.store(true, Ordering::SeqCst);
    drop(guard);
    // The release itself, and then at least two more attempts.
    wait_until("the release to be tried again and again", || {
        missed.load(Ordering::SeqCst) >= 3
    });
    down.store(false, Ordering::SeqCst);
    wait_until("the lock to be free", || locks.lock("k").try_acquire().is_ok());
}

#[test]
fn a_renewal_after_a_failed_one_has_a_higher_number() {
    let (down, batches) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<_>>>::default());
    let store = Fickle {
        memory: Memory::new(),
        down: Arc::clone(&down),
        missed: Arc::default(),
        batches: Arc::clone(&batches),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::new(Arc::new(store), EXCHANGE, None).expect("random numbers"));
    let guard = locks.lock("k").acquire().expect("it is free");
    for is_down in [true, true, false] {
        down.store(is_down, Ordering::SeqCst);
        assert_eq!(guard.renew().is_err(), is_down);
    }
    let numbers: Vec<u32> = {
        let batches = batches.lock().expect("no panic");
        let number = |request: &Request| match request {
            Request::Replace { record, .. } => Some(record.renewal),
            _ => None,
        };
        batches.iter().flatten().filter_map(number).collect()
    };
    assert_eq!(numbers, [1, 2, 3], "a number was written twice");
}

#[test]
fn locks_are_dropped_with_their_last_guard() {
    let Stage { locks, .. } = stage();
    let core = Arc::downgrade(locks.core());
    let guard = locks.lock("sound").acquire().expect("it is free");
    drop(locks);
    assert!(core.upgrade().is_some(), "a guard keeps them");
    drop(guard);
    assert!(core.upgrade().is_none());
}

/// Locks on a store that records its requests, and on a clock that tests move.
struct Counted {
    locks: Locks,
    clock: Arc<Clock>,
    down: Arc<AtomicBool>,
    memory: Arc<Memory>,
    batches: Arc<Mutex<Vec<Vec<Request>>>>,
}

fn counted() -> Counted {
    counted_on(Clock::standing())
}

fn counted_on(clock: Clock) -> Counted {
    #[derive(Debug)]
    struct Shared(Arc<Memory>, Fickle);

    impl Store for Shared {
        fn exchange(
            &self,
            server: usize,
            item: &ItemName,
            batch: &[Request],
            only_on: Option<Instance>,
            limit: Duration,
        ) -> Exchanged {
            if self.1.down.load(Ordering::SeqCst) {
                return self.1.exchange(server, item, batch, only_on, limit);
            }
            self.1.batches.lock().expect("no panic").push(batch.to_vec());
            self.0.exchange(server, item, batch, only_on, limit)
        }

        fn server_name(&self, _: usize) -> &'static str {
            "counted"
        }

        fn route(&self, _: &ItemName) -> usize {
            0
        }

        fn servers(&self) -> usize {
            1
        }
    }

    let clock = Arc::new(clock);
    let memory = Arc::new(Memory::on(Arc::clone(&clock)));
    let (down, batches) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
    let fickle = Fickle {
        memory: Memory::new(),
        down: Arc::clone(&down),
        missed: Arc::default(),
        batches: Arc::clone(&batches),
    };
    let store = Shared(Arc::clone(&memory), fickle);
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::on(Arc::clone(&clock), Arc::new(store), EXCHANGE));
    let stage = Counted {
        locks,
        clock,
        down,
        memory,
        batches,
    };
    // The first grant of a server creates the clock item, and is released.
    drop(stage.hold(LEASE));
    stage.sent();
    stage
}

const LEASE: Duration = Duration::from_secs(10);

impl Counted {
    fn hold(&self, timeout: Duration) -> Guard {
        self.locks
            .lock("k")
            .timeout(timeout)
            .acquire()
            .expect("it gets the lock")
    }

    /// Lets another thread wait behind the holder, calls `then`, and returns the lock that the other thread gets.
    fn next(&self, timeout: Duration, then: impl FnOnce()) -> Guard {
        let waiting = self.waiting();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| self.hold(timeout));
            wait_until("the waiter to stand in the queue", || self.waiting() > waiting);
            then();
            waiter.join().expect("no panic")
        })
    }

    fn waiting(&self) -> usize {
        self.locks.core().queues.waiting(&Counted::item())
    }

    /// Returns the number of requests of each kind since the last time.
    fn sent(&self) -> [usize; 3] {
        let batches = std::mem::take(&mut *self.batches.lock().expect("no panic"));
        let count = |is: fn(&&Request) -> bool| batches.iter().flatten().filter(is).count();
        [
            count(|request| matches!(request, Request::Add { .. })),
            count(|request| matches!(request, Request::Delete { .. })),
            count(|request| matches!(request, Request::Read)),
        ]
    }

    fn item() -> ItemName {
        ItemName::of_lock("memlock", "lock", "k")
    }
}

#[test]
fn readings_of_one_instances_clock_do_not_count_for_another_instance() {
    let at = |seconds| Now::at(Duration::from_secs(seconds));
    let instance = |pid| Instance { start: 1, pid };
    let server = crate::driver::known_server::KnownServer::default();
    // A clock far ahead of the next one.
    server.read_clock(instance(1), 50_000, at(100), at(100));
    let best = server.read_clock(instance(2), 20_000, at(101), at(101));
    let alone = crate::driver::known_server::KnownServer::default().read_clock(instance(2), 20_000, at(101), at(101));
    assert_eq!(best, alone, "it would look as if the new clock lagged");
}
