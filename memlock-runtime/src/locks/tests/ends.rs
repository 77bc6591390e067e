//! The two ends of a call, to the millisecond: on a clock that only exchanges move, so that a busy machine does not
//! matter.
//!
//! The promise: a call ends within `wait` + `exchange_timeout` + 50 ms, in every fault. And a server that answers in
//! time is never unavailable, however short the wait is.

use super::*;
use crate::attribute::enter::FunctionCall;
use crate::call_tree::lock_kind::LockKind;
use crate::driver::caller::Caller;
use crate::driver::limits::{CallLimits, ExchangeLimit};
use crate::error::{Error, OnUnavailable};
use crate::hold::held_set::HeldSet;
use crate::hold::options::LockOptions;
use crate::key::{IntoKey, Key};
use crate::locks::policy::Reporting;

const LIMIT: Duration = ms(300);

/// How much longer a call may take than its `wait` and `exchange_timeout` together.
const MARGIN: Duration = ms(50);

const TIMEOUT: Duration = Duration::from_secs(30);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A server's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It answers after this long.
    Slow(Duration),
    Hangs,
    Refuses,
    /// It has just started, and takes 20 ms to answer so.
    Young,
}

/// A server in memory with a fault. It moves the clock by the time that its callers wait for it.
#[derive(Debug)]
struct Server {
    memory: Memory,
    clock: Arc<Clock>,
    /// The fault begins after this many more exchanges.
    well_for: AtomicUsize,
    fault: Mutex<Fault>,
}

impl Server {
    fn fail_with(&self, fault: Fault, after: usize) {
        self.well_for.store(after, Ordering::SeqCst);
        *self.fault.lock().expect("no panic") = fault;
    }

    fn answers(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Exchanged {
        // No caller waits for cleaning up in the background.
        let is_renewal = batch.iter().any(|request| matches!(request, Request::Replace { .. }));
        let is_waited_for = thread::current().name() != Some("memlock") || is_renewal;
        let passes = |time| {
            if is_waited_for {
                self.clock.advance(time);
            }
        };
        let one_less = |left: usize| left.checked_sub(1);
        let is_well = is_waited_for
            && self
                .well_for
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok();
        let fault = if is_well {
            Fault::None
        } else {
            *self.fault.lock().expect("no panic")
        };
        if limit.is_zero() && !matches!(fault, Fault::None | Fault::Refuses) {
            return not_sent("there is no time for it");
        }
        match fault {
            Fault::None => self.memory.exchange(0, item, batch, only_on, limit),
            Fault::Slow(delay) => {
                passes(delay.min(limit));
                let answer = self.memory.exchange(0, item, batch, only_on, limit);
                if delay <= limit { answer } else { hung() }
            }
            Fault::Hangs => {
                passes(limit);
                hung()
            }
            Fault::Refuses => not_sent("it refuses"),
            Fault::Young => {
                passes(limit.min(ms(20)));
                failed(Unanswered::TooYoung, "it is young")
            }
        }
    }
}

/// The same server, as the store of one process.
#[derive(Debug, Clone)]
struct ProcessStore(Arc<Server>);

impl Store for ProcessStore {
    fn exchange(
        &self,
        _: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        self.0.answers(item, batch, only_on, limit)
    }

    fn begin(
        &self,
        _: usize,
        item: &ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Box<dyn Exchange> {
        Box::new(Begun {
            server: Arc::clone(&self.0),
            item: item.clone(),
            batch,
            only_on,
            limit,
            is_waited_for: false,
        })
    }

    fn server_name(&self, _: usize) -> &'static str {
        "ill"
    }

    fn route(&self, _: &ItemName) -> usize {
        0
    }

    fn servers(&self) -> usize {
        1
    }
}

/// An exchange that takes time once a caller waits for it.
#[derive(Debug)]
struct Begun {
    server: Arc<Server>,
    item: ItemName,
    batch: Batch,
    only_on: Option<Instance>,
    limit: Duration,
    is_waited_for: bool,
}

impl Exchange for Begun {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Exchanged> {
        if !std::mem::replace(&mut self.is_waited_for, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.server.answers(&self.item, &self.batch, self.only_on, self.limit))
    }

    fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
        None
    }
}

/// Two processes on one server, and their clock.
struct World {
    locks: Locks,
    other: Locks,
    server: Arc<Server>,
    clock: Arc<Clock>,
}

fn world() -> World {
    let clock = Arc::new(Clock::standing());
    let server = Arc::new(Server {
        memory: Memory::on(Arc::clone(&clock)),
        clock: Arc::clone(&clock),
        well_for: AtomicUsize::new(0),
        fault: Mutex::new(Fault::None),
    });
    let process = || {
        let locks = Builder::new().servers("memory:").build().expect("a server list");
        locks.on(Core::on(
            Arc::clone(&clock),
            Arc::new(ProcessStore(Arc::clone(&server))),
            LIMIT,
        ))
    };
    let (locks, other) = (process(), process());
    // The first grant of a server creates the clock item, and is released.
    drop(other.lock("first").acquire().expect("it is free"));
    World {
        locks,
        other,
        server,
        clock,
    }
}

impl World {
    /// Runs `what`, and returns how long it took on the clock.
    fn timed<T>(&self, what: impl FnOnce() -> T) -> (T, Duration) {
        let began = self.clock.now();
        let output = what();
        (output, self.clock.now().since(began))
    }

    fn hold(locks: &Locks, key: &str) -> Guard {
        let request = locks.lock(key).name(NAME).timeout(TIMEOUT);
        request.acquire().expect("it is free")
    }

    /// Reserves `key` for a retry of `caller`.
    fn reserve(&self, key: &str, caller: Caller) {
        let guard = World::hold(&self.locks, key);
        let held = HeldSet::of(guard.locks().iter().map(Arc::clone), caller);
        block_on(held.reserve(&self.locks.retry(TIMEOUT / 3)));
        drop(guard);
        wait_until("the server to be told", || self.locks.core().background_work.is_done());
    }
}

impl Drop for World {
    /// Lets the cleaning up in the background come to its end.
    fn drop(&mut self) {
        self.server.fail_with(Fault::None, 0);
        self.clock.advance(Duration::from_secs(3600));
    }
}

const NAME: &str = "ends";

/// A call, and the state of its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Free,
    HeldByAnother,
    ThreeFree,
    ThreeTheLastHeld,
    EnteredAgain,
    ThreeEnteredAgain,
    ZlockFree,
    ZlockHeld,
    ZlockReserved,
    FourZlocksReserved,
    FourZlocksTheLastHeld,
}

const ALL: [Case; 11] = [
    Case::Free,
    Case::HeldByAnother,
    Case::ThreeFree,
    Case::ThreeTheLastHeld,
    Case::EnteredAgain,
    Case::ThreeEnteredAgain,
    Case::ZlockFree,
    Case::ZlockHeld,
    Case::ZlockReserved,
    Case::FourZlocksReserved,
    Case::FourZlocksTheLastHeld,
];

impl Case {
    fn kind(self) -> LockKind {
        match self {
            Case::Free | Case::HeldByAnother | Case::ThreeFree | Case::ThreeTheLastHeld => LockKind::Lock,
            Case::EnteredAgain | Case::ThreeEnteredAgain => LockKind::Rlock,
            _ => LockKind::Zlock,
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Case::ThreeFree | Case::ThreeTheLastHeld | Case::ThreeEnteredAgain => &["a", "b", "c"],
            Case::FourZlocksReserved | Case::FourZlocksTheLastHeld => &["a", "b", "c", "d"],
            _ => &["a"],
        }
    }

    /// Makes the call from a thread or a task. The server has the `fault` from the given number of exchanges on.
    fn call(
        self,
        world: &World,
        wait: Duration,
        fault: (Fault, usize),
        is_task: bool,
    ) -> (Result<(), Error>, Duration) {
        let options = LockOptions {
            timeout: Some(TIMEOUT),
            interval: Some(ms(1)),
            wait: Some(wait),
            on_unavailable: Some(OnUnavailable::Error),
            ..LockOptions::of("f")
        };
        let keys: Vec<Key> = self.keys().iter().map(IntoKey::into_key).collect();
        let call = || FunctionCall::new(Some(&world.locks), self.kind(), NAME, options, &keys).expect("locks");
        let held = self.keys().last().filter(|_| self.is_held());
        let _held = held.map(|key| World::hold(&world.other, key));
        if let Case::ZlockReserved | Case::FourZlocksReserved = self {
            let caller = if is_task { Caller::Task } else { Caller::Thread };
            self.keys().iter().for_each(|key| world.reserve(key, caller));
        }
        let _outer = (self.kind() == LockKind::Rlock).then(|| {
            let outer = call().enter(Reporting::Yes).expect("it is free");
            world.clock.advance(TIMEOUT * 2 / 3);
            outer
        });
        world.server.fail_with(fault.0, fault.1);
        world.timed(|| {
            let is_well_again = || world.server.fail_with(Fault::None, 0);
            if is_task {
                let held = block_on(call().enter_async(Reporting::Yes))?;
                is_well_again();
                drop(held);
            } else {
                let held = call().enter(Reporting::Yes)?;
                is_well_again();
                drop(held);
            }
            Ok(())
        })
    }

    /// Whether another process holds the last of its keys.
    fn is_held(self) -> bool {
        matches!(
            self,
            Case::HeldByAnother | Case::ThreeTheLastHeld | Case::ZlockHeld | Case::FourZlocksTheLastHeld
        )
    }
}

#[test]
fn a_call_ends_within_wait_and_exchange_timeout_in_every_fault() {
    const FAULTS: [Fault; 7] = [
        Fault::Hangs,
        Fault::Slow(ms(18)),
        Fault::Slow(ms(200)),
        Fault::Slow(ms(299)),
        Fault::Slow(ms(301)),
        Fault::Refuses,
        Fault::Young,
    ];
    for what in ALL {
        for fault in FAULTS {
            // A server may begin to hang at any exchange of a call. Between two looks at a young server, the call
            // really waits.
            let (after, waits) = match fault {
                Fault::Hangs => (6, &[0, 20, 1000][..]),
                Fault::Young => (1, &[0, 20][..]),
                _ => (2, &[0, 20, 400][..]),
            };
            for after in 0..after {
                for wait in waits.iter().copied().map(ms) {
                    for is_task in [false, true] {
                        let (result, took) = what.call(&world(), wait, (fault, after), is_task);
                        let result = result.map_err(|error| error.to_string());
                        let case = format!("{what:?}, {fault:?} after {after}, task: {is_task}: {result:?}");
                        assert!(took <= wait + LIMIT + MARGIN, "{case}: {took:?} for a wait of {wait:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_server_that_answers_in_time_is_not_unavailable_however_short_the_wait() {
    for delay in [18, 140, 280].map(ms) {
        for is_task in [false, true] {
            for wait in [0, 20].map(ms) {
                for what in [Case::Free, Case::ZlockFree, Case::ZlockReserved, Case::EnteredAgain] {
                    let (result, _) = what.call(&world(), wait, (Fault::Slow(delay), 0), is_task);
                    assert!(result.is_ok(), "{what:?}, {delay:?}, task: {is_task}: {result:?}");
                }
                let (result, _) = Case::HeldByAnother.call(&world(), wait, (Fault::Slow(delay), 0), is_task);
                assert!(
                    result.as_ref().is_err_and(Error::is_busy),
                    "{delay:?}, task: {is_task}: {result:?}: it said that another holds it"
                );
            }
        }
    }
}

#[test]
fn a_server_that_hangs_is_unavailable_and_its_lock_is_not_busy() {
    for is_task in [false, true] {
        // The last look, at the very end of the wait, has as much time as any other. So the answers to earlier looks
        // do not count.
        for after in 0..6 {
            for wait in [0, 20].map(ms) {
                let (result, _) = Case::HeldByAnother.call(&world(), wait, (Fault::Hangs, after), is_task);
                let knows_holder = wait.is_zero() && after >= 2;
                assert_eq!(
                    result.as_ref().is_err_and(Error::is_unavailable),
                    !knows_holder,
                    "after {after}, task: {is_task}: {result:?}"
                );
            }
        }
    }
}

/// A server whose answers wait until the test opens a gate, or moves the clock to their limit.
#[derive(Debug)]
struct Gated {
    memory: Memory,
    clock: Arc<Clock>,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    is_shut: AtomicBool,
    /// The number of exchanges that wait.
    waiting: AtomicUsize,
}

impl Store for Gated {
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        if limit.is_zero() {
            return not_sent("there is no time for it");
        }
        let until = self.clock.now().instant + limit;
        let is_over = || self.clock.now().instant >= until;
        let is_shut = || self.gate.is_shut.load(Ordering::SeqCst);
        if thread::current().name() == Some("memlock") && is_shut() {
            return not_sent("cleaning up does not matter here");
        }
        self.gate.waiting.fetch_add(1, Ordering::SeqCst);
        wait_until("the gate to open, or the limit to be over", || !is_shut() || is_over());
        self.gate.waiting.fetch_sub(1, Ordering::SeqCst);
        if is_shut() {
            hung()
        } else {
            self.memory.exchange(server, item, batch, only_on, limit)
        }
    }

    fn server_name(&self, _: usize) -> &'static str {
        "gated"
    }

    fn route(&self, _: &ItemName) -> usize {
        0
    }

    fn servers(&self) -> usize {
        1
    }
}

/// One process, and a gate in front of its server.
struct BeforeGate {
    locks: Locks,
    clock: Arc<Clock>,
    gate: Arc<Gate>,
}

fn before_gate(limit: Duration) -> BeforeGate {
    let (clock, gate) = (Arc::new(Clock::standing()), Arc::<Gate>::default());
    let store = Gated {
        memory: Memory::on(Arc::clone(&clock)),
        clock: Arc::clone(&clock),
        gate: Arc::clone(&gate),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::on(Arc::clone(&clock), Arc::new(store), limit));
    drop(locks.lock("k").acquire().expect("it is free"));
    BeforeGate { locks, clock, gate }
}

impl BeforeGate {
    fn set_shut(&self, is_shut: bool) {
        self.gate.is_shut.store(is_shut, Ordering::SeqCst);
    }

    fn try_once(&self, is_task: bool) -> Result<(), Error> {
        if is_task {
            block_on(self.locks.lock("k").try_acquire_async()).map(drop)
        } else {
            self.locks.lock("k").try_acquire().map(drop)
        }
    }

    /// Waits until the head asks the server, and `callers` wait for its answer.
    fn wait_for_curious(&self, callers: usize) {
        let item = ItemName::of_lock("memlock", "lock", "k");
        wait_until("the head to ask", || self.gate.waiting.load(Ordering::SeqCst) == 1);
        wait_until("the others to stand behind it", || {
            self.locks.core().queues.curious(&item) == callers
        });
    }
}

/// An exchange may take an hour here, so the answer must wake the others. `queue/tests.rs` tests this further.
#[test]
fn one_attempt_behind_a_head_that_is_granted_the_lock_is_busy() {
    for is_task in [false, true] {
        let stage = before_gate(Duration::from_secs(3600));
        stage.set_shut(true);
        thread::scope(|scope| {
            let head = scope.spawn(|| stage.locks.lock("k").acquire());
            wait_until("the head to ask", || stage.gate.waiting.load(Ordering::SeqCst) == 1);
            let others: Vec<_> = (0..3).map(|_| scope.spawn(|| stage.try_once(is_task))).collect();
            stage.wait_for_curious(3);
            stage.set_shut(false);
            let granted = head.join().expect("no panic").expect("it is free");
            for other in others {
                let error = other.join().expect("no panic").expect_err("the head has it");
                assert!(error.is_busy(), "{error}");
            }
            drop(granted);
        });
    }
}

/// The others end at the same time as the head, which gets no answer.
#[test]
fn one_attempt_behind_a_head_whose_server_hangs_is_unavailable() {
    for is_task in [false, true] {
        for wait in [Some(Duration::ZERO), None] {
            let stage = before_gate(LIMIT);
            stage.set_shut(true);
            let began = stage.clock.now();
            thread::scope(|scope| {
                let head = scope.spawn(|| {
                    let request = stage.locks.lock("k");
                    match wait {
                        Some(wait) => request.wait(wait).acquire(),
                        None => request.acquire(),
                    }
                });
                wait_until("the head to ask", || stage.gate.waiting.load(Ordering::SeqCst) == 1);
                let others: Vec<_> = (0..3).map(|_| scope.spawn(|| stage.try_once(is_task))).collect();
                stage.wait_for_curious(3);
                // Their time is over at the same moment as the head's.
                stage.clock.advance(LIMIT);
                for other in others {
                    let error = other.join().expect("no panic").expect_err("it hangs");
                    assert!(error.is_unavailable(), "{error}");
                }
                assert_eq!(stage.clock.now().since(began), LIMIT, "within wait and one exchange");
                wait_until("the head to try again, or to give up", || {
                    stage.clock.advance(ms(1));
                    head.is_finished()
                });
                let error = head.join().expect("no panic").expect_err("it hangs");
                assert!(error.is_unavailable(), "{error}");
            });
            stage.set_shut(false);
        }
    }
}

/// The head is a future that is not polled, which says nothing about the server, and nothing about a holder.
#[test]
fn one_attempt_behind_a_head_that_does_nothing_says_so_at_its_end() {
    let stage = before_gate(LIMIT);
    let item = ItemName::of_lock("memlock", "lock", "k");
    let waker = || std::task::Waker::noop().clone();
    // It has its turn, but does nothing.
    let _turn = stage
        .locks
        .core()
        .queues
        .join(&item, LEASE, stage.clock.now(), false, waker);
    thread::scope(|scope| {
        let other = scope.spawn(|| stage.try_once(false));
        wait_until("it to stand in line", || stage.locks.core().queues.curious(&item) == 1);
        wait_until("its time to be over", || {
            stage.clock.advance(ms(1));
            other.is_finished()
        });
        let error = other.join().expect("no panic").expect_err("it is not its turn");
        assert!(error.is_unavailable(), "{error}");
        assert!(error.to_string().contains("its future is not polled"), "{error}");
    });
}

/// The server answers each caller in time. Callers whose turn does not come in time return what the server answered to
/// the others.
#[test]
fn one_attempt_behind_many_busy_ones_is_busy() {
    let world = world();
    let _held = World::hold(&world.other, "k");
    world.server.fail_with(Fault::Slow(ms(18)), 0);
    let errors = thread::scope(|scope| {
        let call = || world.locks.lock("k").name(NAME).try_acquire().expect_err("it is held");
        let callers: Vec<_> = (0..40).map(|_| scope.spawn(call)).collect();
        let errors = callers.into_iter().map(|caller| caller.join().expect("no panic"));
        errors.collect::<Vec<_>>()
    });
    for error in errors {
        assert!(error.is_busy(), "{error}");
    }
}

#[test]
fn one_attempt_behind_a_head_whose_server_is_young_is_unavailable() {
    let world = world();
    world.server.fail_with(Fault::Young, 0);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| world.locks.lock("k").name(NAME).acquire().map(drop));
        wait_until("the other to have asked", || {
            let item = ItemName::of_lock("memlock", NAME, "k");
            world.locks.core().queues.is_answered(&item)
        });
        let (result, took) = world.timed(|| world.locks.lock("k").name(NAME).try_acquire());
        let error = result.expect_err("it grants nothing");
        assert!(error.is_unavailable() && error.to_string().contains("young"), "{error}");
        assert!(took <= LIMIT + MARGIN);
        world.server.fail_with(Fault::None, 0);
        waiter.join().expect("no panic").expect("the server is old enough now");
    });
}

/// The exchange is a renewal in the background, which hangs for ever.
#[test]
fn a_call_ends_in_time_although_an_exchange_about_its_lock_hangs() {
    #[derive(Debug)]
    struct Hangs(Memory);

    impl Store for Hangs {
        fn exchange(
            &self,
            server: usize,
            item: &ItemName,
            batch: &[Request],
            only_on: Option<Instance>,
            limit: Duration,
        ) -> Exchanged {
            self.0.exchange(server, item, batch, only_on, limit)
        }

        fn begin(&self, _: usize, _: &ItemName, _: Batch, _: Option<Instance>, _: Duration) -> Box<dyn Exchange> {
            Box::new(Endless)
        }

        fn server_name(&self, _: usize) -> &'static str {
            "hangs"
        }

        fn route(&self, _: &ItemName) -> usize {
            0
        }

        fn servers(&self) -> usize {
            1
        }
    }

    #[derive(Debug)]
    struct Endless;

    impl Exchange for Endless {
        fn poll(&mut self, _: &mut Context<'_>) -> Poll<Exchanged> {
            Poll::Pending
        }

        fn abandon(self: Box<Self>) -> Option<Box<dyn Pending>> {
            None
        }
    }

    let clock = Arc::new(Clock::standing());
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let core = Core::on(
        Arc::clone(&clock),
        Arc::new(Hangs(Memory::on(Arc::clone(&clock)))),
        ms(30),
    );
    let locks = locks.on(core);
    let limit = {
        let clock = Arc::clone(&clock);
        move || CallLimits::new(clock.now(), Some(Duration::ZERO), ms(30)).asking
    };
    let held = ["re-entry", "claim", "release"].map(|key| {
        let guard = locks.lock(key).timeout(TIMEOUT).acquire().expect("it is free");
        let held = Arc::clone(&guard.locks()[0]);
        let mut renewal = Box::pin(async move { held.renew(Caller::Task, ExchangeLimit::each(ms(30))).await });
        let nobody = &mut Context::from_waker(std::task::Waker::noop());
        assert!(renewal.as_mut().poll(nobody).is_pending());
        let held = Arc::clone(&guard.locks()[0]);
        wait_until("the renewal to be under way", || held.is_exchanging());
        (guard, held, renewal)
    });
    clock.advance(TIMEOUT * 2 / 3);
    let calls = thread::spawn(move || {
        let [(_, again, _), (_, claim, _), (_, release, _)] = &held;
        for caller in [Caller::Thread, Caller::Task] {
            let again = again.keep_at_least_half(caller, limit());
            assert!(block_on(again).is_ok(), "its lease lasts");
        }
        for caller in [Caller::Thread, Caller::Task] {
            assert!(block_on(claim.claim(caller, claim.spec(), limit())).is_none());
            block_on(release.release(caller, limit()));
        }
        // Dropping them would wait for the renewals.
        std::mem::forget(held);
    });
    wait_until("all to have their answers", || calls.is_finished());
    calls.join().expect("no panic");
}
