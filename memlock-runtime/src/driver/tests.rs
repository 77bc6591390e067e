//! The drivers against stores that misbehave in ways that a real server shows only by chance.

mod abandoned;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use super::Core;
use crate::background::Timer;
use crate::clock::Clock;
use crate::config::Builder;
use crate::guard::Guard;
use crate::in_process::Memory;
use crate::key::ItemName;
use crate::lease::Now;
use crate::locks::Locks;
use crate::store::{Answer, Batch, Damage, Exchange, Fault, Instance, Over, Pending, Replies, Request, Store};

/// Whether it was the agent's, and the limit, of each exchange that hung.
type Limits = Arc<Mutex<Vec<(bool, Duration)>>>;

/// How much time the exchanges of callers were given together.
fn given_to_callers(limits: &Limits) -> Duration {
    let limits = limits.lock().expect("no panic");
    limits
        .iter()
        .filter(|(is_agent, _)| !is_agent)
        .map(|(_, limit)| *limit)
        .sum()
}

const EXCHANGE: Duration = Duration::from_millis(120);

/// Two servers. The first is [`Memory`]. The second takes all the time that an exchange has, and answers nothing, while
/// it `hangs`; else it is `Memory`, too.
#[derive(Debug)]
struct Moody {
    sound: Memory,
    other: Memory,
    hangs: Arc<AtomicBool>,
    limits: Limits,
}

impl Store for Moody {
    #[allow(clippy::disallowed_methods, reason = "it plays a server that takes its time")]
    fn exchange(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Answer {
        if self.server_index(item) == 0 {
            return self.sound.exchange(item, batch, only_on, limit);
        }
        if !self.hangs.load(Ordering::SeqCst) {
            return self.other.exchange(item, batch, only_on, limit);
        }
        if limit.is_zero() {
            return not_sent("there is no time for it");
        }
        self.limits.lock().expect("no panic").push((false, limit));
        thread::sleep(limit);
        hung()
    }

    fn begin(&self, item: &ItemName, batch: Batch, only_on: Option<Instance>, limit: Duration) -> Box<dyn Exchange> {
        if self.server_index(item) == 0 || !self.hangs.load(Ordering::SeqCst) || limit.is_zero() {
            return Box::new(Over::new(self.exchange(item, &batch, only_on, limit)));
        }
        let is_agent = thread::current().name() == Some("memlock");
        self.limits.lock().expect("no panic").push((is_agent, limit));
        Box::new(Hanging(Timer::after(limit)))
    }

    fn server_of(&self, _: &ItemName) -> &'static str {
        "moody"
    }

    fn server_index(&self, item: &ItemName) -> usize {
        usize::from(item.as_str().contains("moody"))
    }

    fn servers(&self) -> usize {
        2
    }
}

fn hung() -> Answer {
    Answer {
        pending: Some(Box::new(Never)),
        ..failed(Damage::Late, "it hangs")
    }
}

fn not_sent(why: &str) -> Answer {
    failed(Damage::NotSent, why)
}

fn failed(damage: Damage, why: &str) -> Answer {
    let fault = Fault {
        damage,
        source: Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(why)),
    };
    Answer {
        instance: None,
        replies: Replies::new(),
        fault: Some(fault),
        pending: None,
    }
}

/// An exchange that takes all the time that it has, on nobody's thread.
#[derive(Debug)]
struct Hanging(Timer);

impl Exchange for Hanging {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0).poll(context).map(|()| hung())
    }

    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
        Some(Box::new(Never))
    }
}

/// An exchange that never comes to an end. Hearing so takes no time here.
#[derive(Debug)]
struct Never;

impl Pending for Never {
    fn wait(self: Box<Self>, _: Duration) -> Result<Answer, Box<dyn Pending>> {
        Err(self)
    }
}

struct Stage {
    locks: Locks,
    hangs: Arc<AtomicBool>,
    limits: Limits,
}

fn stage() -> Stage {
    let (hangs, limits) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let store = Moody {
        sound: Memory::new(),
        other: Memory::new(),
        hangs: Arc::clone(&hangs),
        limits: Arc::clone(&limits),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::new(Box::new(store), EXCHANGE, None));
    Stage { locks, hangs, limits }
}

#[allow(clippy::disallowed_methods, reason = "waiting for a condition, with a deadline")]
pub(super) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn all_exchanges_of_a_call_share_its_wait() {
    // Not measured by the clock on the wall, which a busy machine stretches, but by the time that was given out.
    for wait in [0, 20, 50, 100, 1000].map(Duration::from_millis) {
        let Stage { locks, hangs, limits } = stage();
        hangs.store(true, Ordering::SeqCst);
        let error = locks.lock("moody").wait(wait).acquire().expect_err("it hangs");
        assert!(error.is_unavailable(), "{error}");
        let given = given_to_callers(&limits);
        assert!(
            given <= wait + Duration::from_millis(50),
            "{given:?} for a wait of {wait:?}"
        );
        assert!(given <= 2 * EXCHANGE, "{given:?}: one exchange, and one more");
    }
}

#[test]
fn both_tries_of_a_zlock_share_its_wait() {
    let items = [ItemName::of_lock("memlock", "zlock", "moody")];
    for wait in [0, 20, 50, 100, 1000].map(Duration::from_millis) {
        let Stage { locks, hangs, limits } = stage();
        let order = crate::acquiring::Order {
            function: "f",
            timeout: Duration::from_secs(30),
            interval: Duration::from_millis(50),
            wait: Some(wait),
            grace: super::waiting::WAIT_GRACE,
            renew: None,
        };
        let zlock = crate::zlock::Zlock {
            locks: &locks,
            order: &order,
            items: &items,
            reserve: Duration::from_secs(1),
            policy: crate::OnUnavailable::Error,
            outer: None,
            scope: None,
        };
        hangs.store(true, Ordering::SeqCst);
        let error = crate::zlock::acquire(&zlock).expect_err("it hangs");
        assert!(error.is_unavailable(), "{error}");
        let given = given_to_callers(&limits);
        assert!(
            given <= wait + Duration::from_millis(50),
            "{given:?} for a wait of {wait:?}"
        );
    }
}

#[test]
fn what_is_begun_here_is_begun_in_a_task_that_has_used_up_its_turn() {
    let Stage { locks, .. } = stage();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let begun = runtime.block_on(async {
        let free = Arc::new(tokio::sync::Mutex::new(()));
        let nobody = &mut Context::from_waker(std::task::Waker::noop());
        while std::pin::pin!(free.lock()).poll(nobody).is_ready() {}
        let begun = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&begun);
        super::agent::begin(locks.core(), async move {
            let _free = free.lock().await;
            tells.store(true, Ordering::SeqCst);
        });
        begun.load(Ordering::SeqCst)
    });
    assert!(
        begun,
        "a reservation that is made so would not be found by a retry that comes at once"
    );
}

#[test]
fn giving_back_the_first_of_several_keys_takes_no_longer_than_the_wait_either() {
    let Stage { locks, hangs, limits } = stage();
    let order = crate::acquiring::Order {
        function: "f",
        timeout: Duration::from_secs(30),
        interval: Duration::from_millis(50),
        wait: Some(Duration::ZERO),
        grace: super::waiting::WAIT_GRACE,
        renew: None,
    };
    let taken = locks.lock("moody z").name("several").acquire().expect("it is free");
    hangs.store(true, Ordering::SeqCst);
    let items = ["moody a", "moody b", "moody z"].map(|key| ItemName::of_lock("memlock", "several", key));
    // The first hangs at once; what would have been acquired before it is nothing. Then with the last held.
    let error = locks.acquire_all(&items, &order).expect_err("it hangs");
    assert!(error.is_unavailable());
    let given = given_to_callers(&limits);
    assert!(given <= Duration::from_millis(50), "{given:?}");
    hangs.store(false, Ordering::SeqCst);
    let error = locks.acquire_all(&items, &order).expect_err("the last one is held");
    assert!(error.is_busy(), "{error}");
    for key in ["moody a", "moody b"] {
        let free = locks.lock(key).name("several").try_acquire();
        assert!(
            free.is_ok(),
            "a lock of several was kept although not all were to be had"
        );
    }
    drop(taken);
}

#[test]
fn who_enters_again_is_told_when_the_lease_ended_during_its_renewal() {
    let Stage { locks, hangs, .. } = stage();
    let guard = locks.lock("moody").timeout(EXCHANGE).acquire().expect("it is free");
    let hold = &guard.holds()[0];
    wait_until("half of the lease to be over", || hold.remaining() < EXCHANGE / 2);
    hangs.store(true, Ordering::SeqCst);
    // It takes as long as the whole lease, and then fails.
    let entered = hold.keep_at_least_half(EXCHANGE);
    assert!(entered.is_err_and(|error| error.is_lost()));
}

#[test]
fn a_server_that_hangs_holds_up_no_renewal_on_another() {
    let Stage { locks, hangs, limits } = stage();
    let kept = locks
        .lock("sound")
        .timeout(Duration::from_millis(600))
        .renew()
        .acquire()
        .expect("it is free");
    let hanging: Vec<_> = (0..30)
        .map(|key| locks.lock(("moody", key)).acquire().expect("it is free"))
        .collect();
    hangs.store(true, Ordering::SeqCst);
    thread::spawn(move || drop(hanging));
    // Cleaning up after thirty failed releases takes 120 ms each time; the lease that is kept alive would have ended.
    wait_until("the clean-up to be in full swing", || {
        limits.lock().expect("no panic").len() > 12
    });
    assert!(kept.is_valid(), "its renewal waited behind another server's troubles");
}

#[test]
fn a_panic_in_the_background_ends_one_task_and_no_more() {
    /// Panics at the first renewal.
    #[derive(Debug)]
    struct Panics(Memory, AtomicBool);

    impl Store for Panics {
        fn exchange(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Answer {
            let renews = matches!(batch, [_, Request::Replace { .. }]);
            assert!(!renews || self.1.swap(true, Ordering::SeqCst), "in the background");
            self.0.exchange(item, batch, only_on, limit)
        }

        fn server_of(&self, _: &ItemName) -> &'static str {
            "panics"
        }

        fn server_index(&self, _: &ItemName) -> usize {
            0
        }

        fn servers(&self) -> usize {
            1
        }
    }

    let store = Panics(Memory::new(), AtomicBool::new(false));
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::new(Box::new(store), EXCHANGE, None));
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

/// [`Memory`] that cannot be reached while it is `down`, and counts what did not reach it.
#[derive(Debug)]
struct Fickle {
    memory: Memory,
    down: Arc<AtomicBool>,
    missed: Arc<AtomicUsize>,
    batches: Arc<Mutex<Vec<Vec<Request>>>>,
}

impl Store for Fickle {
    fn exchange(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Answer {
        self.batches.lock().expect("no panic").push(batch.to_vec());
        if !self.down.load(Ordering::SeqCst) {
            return self.memory.exchange(item, batch, only_on, limit);
        }
        self.missed.fetch_add(1, Ordering::SeqCst);
        not_sent("it is down")
    }

    fn server_of(&self, _: &ItemName) -> &'static str {
        "fickle"
    }

    fn server_index(&self, _: &ItemName) -> usize {
        0
    }

    fn servers(&self) -> usize {
        1
    }
}

#[test]
fn a_release_that_found_no_server_is_tried_until_there_is_one() {
    let (down, missed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let store = Fickle {
        memory: Memory::new(),
        down: Arc::clone(&down),
        missed: Arc::clone(&missed),
        batches: Arc::default(),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::new(Box::new(store), EXCHANGE, None));
    let guard = locks.lock("k").acquire().expect("it is free");
    down.store(true, Ordering::SeqCst);
    drop(guard);
    // The release itself, and then attempts to make up for it: one that fails is not the last.
    wait_until("the release to be tried again and again", || {
        missed.load(Ordering::SeqCst) >= 3
    });
    down.store(false, Ordering::SeqCst);
    wait_until("the lock to be free", || locks.lock("k").try_acquire().is_ok());
}

#[test]
fn a_renewal_after_one_that_failed_has_a_higher_number() {
    let (down, batches) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<_>>>::default());
    let store = Fickle {
        memory: Memory::new(),
        down: Arc::clone(&down),
        missed: Arc::default(),
        batches: Arc::clone(&batches),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::new(Box::new(store), EXCHANGE, None));
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
fn locks_are_gone_soon_after_their_last_user() {
    let Stage { locks, .. } = stage();
    let core = Arc::downgrade(locks.core());
    let guard = locks.lock("sound").acquire().expect("it is free");
    drop(locks);
    assert!(core.upgrade().is_some(), "a guard keeps them");
    drop(guard);
    assert!(core.upgrade().is_none());
}

/// Locks on a store that counts its requests, on a clock that can be moved.
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
        fn exchange(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Answer {
            if self.1.down.load(Ordering::SeqCst) {
                return self.1.exchange(item, batch, only_on, limit);
            }
            self.1.batches.lock().expect("no panic").push(batch.to_vec());
            self.0.exchange(item, batch, only_on, limit)
        }

        fn server_of(&self, _: &ItemName) -> &'static str {
            "counted"
        }

        fn server_index(&self, _: &ItemName) -> usize {
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
    let locks = locks.on(Core::on(Arc::clone(&clock), Box::new(store), EXCHANGE));
    let stage = Counted {
        locks,
        clock,
        down,
        memory,
        batches,
    };
    // The first grant of a server makes the clock item, and is given back.
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
            .expect("it is to be had")
    }

    /// Another thread comes to wait behind whoever holds it, and `then` happens; what it holds in the end.
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

    /// How many requests of a kind were sent since the last time.
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
fn one_grant_serves_all_who_wait_in_the_order_in_which_they_came() {
    let stage = counted();
    let held = stage.hold(LEASE);
    let first = held.token();
    let served = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let (stage, served) = (&stage, &served);
        for number in 1..=8 {
            scope.spawn(move || {
                let guard = stage.hold(LEASE);
                served.lock().expect("no panic").push((number, guard.token()));
            });
            wait_until("the waiter to stand in the queue", || stage.waiting() == number);
        }
        drop(held);
    });
    let served = served.into_inner().expect("no panic");
    assert_eq!(
        served.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert!(served.is_sorted_by(|one, other| one.1 < other.1) && served[0].1 > first);
    assert_eq!(
        stage.sent(),
        [1, 1, 0],
        "the server was asked for more than one of nine"
    );
    assert_eq!(
        stage.locks.counts().acquired,
        10,
        "hand-overs count, and the very first"
    );
    assert!(stage.locks.lock("k").try_acquire().is_ok());
}

#[test]
fn the_slice_ends_what_one_grant_serves() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let first_token = first.token();
    let second = stage.next(LEASE, || {
        stage.clock.advance(Duration::from_millis(49));
        drop(first);
    });
    assert_eq!(stage.sent(), [1, 0, 0], "the slice is 50 ms");
    assert!(second.token() > first_token);
    assert!(
        second.remaining() > LEASE - Duration::from_millis(40),
        "a whole timeout for each"
    );
    let token = second.token();
    let third = stage.next(LEASE, || {
        stage.clock.advance(Duration::from_millis(2));
        drop(second);
    });
    assert_eq!(stage.sent(), [1, 1, 0], "others were to have their turn");
    assert!(third.token() > token);
}

#[test]
fn after_256_holders_it_goes_back_to_the_server() {
    let stage = counted();
    let mut held = stage.hold(LEASE);
    let mut holders = 1;
    let mut most = 0;
    for _ in 0..600 {
        let token = held.token();
        let before = held;
        held = stage.next(LEASE, || drop(before));
        assert!(held.token() > token, "a token was used twice");
        let is_granted_anew = held.token().get().trailing_zeros() >= 8;
        holders = if is_granted_anew { 1 } else { holders + 1 };
        most = most.max(holders);
    }
    assert!(most <= 256, "{most}");
    let [adds, deletes, _] = stage.sent();
    assert_eq!(adds, deletes + 1);
    assert_eq!(adds, 3, "601 acquisitions");
}

#[test]
fn each_has_its_own_timeout_and_no_more_than_the_grant_covers() {
    let stage = counted();
    let short = stage.hold(LEASE / 10);
    let long = stage.next(LEASE, || drop(short));
    assert_eq!(stage.sent(), [2, 1, 0], "the first grant covers too little for it");
    let short = stage.next(LEASE / 10, || drop(long));
    assert_eq!(stage.sent(), [0, 0, 0]);
    assert!(short.remaining() <= LEASE / 10, "{:?}", short.remaining());
    let late = stage.next(LEASE / 2, || {
        stage.clock.advance(LEASE / 10);
        assert!(!short.is_valid());
        // The other has stepped in by itself, and is refused as long as the lease in the item lasts, the longest one's.
        assert_eq!(stage.sent()[1], 0);
        drop(short);
    });
    assert!(late.is_valid() && late.remaining() <= LEASE / 2);
    assert_eq!(stage.sent()[1], 1, "what ran out is not handed over");
}

#[test]
fn a_renewed_lock_is_handed_over_with_its_renewals() {
    let stage = counted();
    let first = stage.hold(LEASE);
    first.renew().expect("it is held");
    let second = stage.next(LEASE / 10, || drop(first));
    assert_eq!(stage.sent(), [1, 0, 0]);
    second.renew().expect("it is held");
    assert!(second.remaining() <= LEASE / 10);
    let replaced: Vec<_> = stage
        .batches
        .lock()
        .expect("no panic")
        .iter()
        .flatten()
        .filter_map(|request| match request {
            Request::Replace { record, ttl, .. } => Some((record.renewal, record.lease >= LEASE, *ttl >= 18)),
            _ => None,
        })
        .collect();
    assert_eq!(replaced, [(2, true, true)], "the lease in the item must not shrink");
    let third = stage.next(LEASE / 10, || drop(second));
    assert_eq!(stage.sent(), [0, 0, 0]);
    drop(third);
    assert_eq!(stage.sent(), [0, 1, 0], "its CAS is that of the last renewal");
    assert!(stage.locks.lock("k").try_acquire().is_ok());
}

#[test]
fn a_lease_counts_from_the_request_however_long_its_holder_stood_in_line() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let second = stage.next(LEASE, || {
        // The slice is over: it goes back to the server.
        stage.clock.advance(LEASE * 3 / 4);
        drop(first);
    });
    assert!(second.remaining() > LEASE * 9 / 10, "{:?}", second.remaining());
    assert_eq!(stage.sent(), [2, 1, 0], "a grant was given back as too short");
}

#[test]
fn what_is_doubtful_goes_back_to_the_server() {
    let stage = counted();
    // A renewal without a reply.
    let first = stage.hold(LEASE);
    stage.down.store(true, Ordering::SeqCst);
    first.renew().expect_err("it is down");
    stage.down.store(false, Ordering::SeqCst);
    stage.sent();
    let second = stage.next(LEASE, || drop(first));
    assert_eq!(stage.sent(), [1, 1, 0]);
    // A lease that is known to be lost.
    stage.memory.evict(&Counted::item());
    second.renew().expect_err("it was evicted");
    stage.sent();
    let third = stage.next(LEASE, || drop(second));
    assert_eq!(stage.sent(), [1, 0, 0], "a lock was handed over that nobody holds");
    assert!(third.is_valid());
    third.renew().expect("it is really held");
}

#[test]
fn a_holder_that_panics_hands_over_as_any_other() {
    let stage = counted();
    let next = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _held = stage.hold(LEASE);
            wait_until("the waiter to stand in the queue", || stage.waiting() == 1);
            panic!("in the body");
        });
        wait_until("the lock to be held", || stage.locks.counts().acquired == 2);
        let next = stage.hold(LEASE);
        assert!(holder.join().is_err());
        next
    });
    assert!(next.is_valid());
    assert_eq!(stage.sent(), [1, 0, 0]);
}

#[test]
fn a_thread_that_hangs_after_a_hand_over_is_taken_over_from_when_the_grant_ends() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let hanging = stage.next(LEASE, || drop(first));
    let token = hanging.token();
    let heir = stage.next(LEASE, || {
        stage.clock.advance(LEASE * 11 / 10);
        assert!(!hanging.is_valid());
    });
    assert!(heir.token() > token);
    drop(hanging);
    heir.renew().expect("the one that hung deleted the lock of another");
}

#[test]
fn who_tries_once_steps_in_for_a_thread_that_hangs_past_its_lease() {
    let stage = counted();
    let hanging = stage.hold(LEASE);
    let try_once = || stage.locks.lock("k").timeout(LEASE).try_acquire();
    assert!(try_once().is_err_and(|error| error.is_busy()), "it is held");
    stage.clock.advance(LEASE * 11 / 10);
    let heir = try_once().expect("nobody holds it any more");
    assert!(heir.token() > hanging.token());
}

/// On a machine that stood still all the wait is over when it goes on. A store that takes no time is asked all the same.
#[test]
fn who_has_no_time_left_steps_in_where_asking_takes_none() {
    let stage = counted();
    let stuck = stage.hold(LEASE);
    let heir = thread::scope(|scope| {
        let waiter = scope.spawn(|| stage.locks.lock("k").timeout(LEASE).wait(LEASE / 10).acquire());
        wait_until("the waiter to stand in the queue", || stage.waiting() == 1);
        stage.clock.advance(LEASE * 11 / 10);
        waiter.join().expect("no panic").expect("nobody holds it any more")
    });
    assert!(heir.token() > stuck.token());
}

/// The lease that it extends counts from the request, and so does the time to the next one.
#[test]
fn a_renewal_that_was_held_up_does_not_put_off_the_next_one() {
    let stage = counted();
    // A third of it is over when the reply comes.
    let lease = EXCHANGE * 3;
    let held = stage.locks.lock("k").timeout(lease).renew().acquire();
    let held = held.expect("it is free");
    stage.memory.set_delay(EXCHANGE);
    stage.clock.advance(lease / 3);
    let renewals = || {
        let batches = stage.batches.lock().expect("no panic");
        let renews = |request: &&Request| matches!(request, Request::Replace { .. });
        batches.iter().flatten().filter(renews).count()
    };
    // The clock stands but for the replies.
    wait_until("one renewal after another", || renewals() >= 3);
    assert!(held.is_valid());
    stage.memory.set_delay(Duration::ZERO);
}

/// At each moment: some find their wait over just when they are handed the lock.
#[test]
fn waiters_that_give_up_take_no_lock_with_them() {
    let stage = counted_on(Clock::default());
    let inside = AtomicUsize::new(0);
    let had = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..8_u64 {
            let (stage, inside, had) = (&stage, &inside, &had);
            scope.spawn(move || {
                for turn in 0..400 {
                    let wait = Duration::from_micros((turn * 7 + number * 13) % 200);
                    let Ok(_guard) = stage.locks.lock("k").wait(wait).acquire() else {
                        continue;
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                    had.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(had.into_inner() > 0);
    assert_eq!(stage.waiting(), 0);
    wait_until("the lock to be free", || stage.locks.lock("k").try_acquire().is_ok());
}

#[test]
fn another_instances_clock_is_another_clock() {
    let at = |seconds| Now {
        instant: Duration::from_secs(seconds),
        wall: Duration::from_secs(seconds),
    };
    let instance = |pid| Instance { start: 1, pid };
    let server = super::Server::default();
    // A clock that is far ahead of the next one's.
    server.read_clock(instance(1), 50_000, at(100), at(100));
    let best = server.read_clock(instance(2), 20_000, at(101), at(101));
    let alone = super::Server::default().read_clock(instance(2), 20_000, at(101), at(101));
    assert_eq!(best, alone, "it would look as if the new clock lagged");
}
