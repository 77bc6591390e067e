//! The ends of a call, to the millisecond: on a clock that stands, and that only exchanges move, whatever the machine does.
//!
//! The promise: a call ends within `wait` + `exchange_timeout` + 50 ms, in every fault. And a server that answers in time is not
//! called unavailable, however short the wait.

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

/// What a call may take beyond its `wait` and `exchange_timeout`.
const MARGIN: Duration = ms(50);

const TIMEOUT: Duration = Duration::from_secs(30);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ill {
    Well,
    /// It answers after so long.
    Slow(Duration),
    Hangs,
    Refuses,
    /// It has just started, and needs 20 ms to say so.
    Young,
}

/// A server in memory that is ill, and moves the clock by what its callers wait for it.
#[derive(Debug)]
struct Server {
    memory: Memory,
    clock: Arc<Clock>,
    /// After so many more exchanges.
    well_for: AtomicUsize,
    ill: Mutex<Ill>,
}

impl Server {
    fn falls_ill(&self, ill: Ill, after: usize) {
        self.well_for.store(after, Ordering::SeqCst);
        *self.ill.lock().expect("no panic") = ill;
    }

    fn answers(&self, item: &ItemName, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Exchanged {
        // What is cleaned up in the background keeps no caller waiting.
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
        let ill = if is_well {
            Ill::Well
        } else {
            *self.ill.lock().expect("no panic")
        };
        if limit.is_zero() && !matches!(ill, Ill::Well | Ill::Refuses) {
            return not_sent("there is no time for it");
        }
        match ill {
            Ill::Well => self.memory.exchange(0, item, batch, only_on, limit),
            Ill::Slow(delay) => {
                passes(delay.min(limit));
                let answer = self.memory.exchange(0, item, batch, only_on, limit);
                if delay <= limit { answer } else { hung() }
            }
            Ill::Hangs => {
                passes(limit);
                hung()
            }
            Ill::Refuses => not_sent("it refuses"),
            Ill::Young => {
                passes(limit.min(ms(20)));
                failed(Unanswered::TooYoung, "it is young")
            }
        }
    }
}

/// The same server for one process.
#[derive(Debug, Clone)]
struct Way(Arc<Server>);

impl Store for Way {
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

/// An exchange that takes its time once somebody waits for it.
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
        ill: Mutex::new(Ill::Well),
    });
    let process = || {
        let locks = Builder::new().servers("memory:").build().expect("a server list");
        locks.on(Core::on(Arc::clone(&clock), Box::new(Way(Arc::clone(&server))), LIMIT))
    };
    let (locks, other) = (process(), process());
    // The first grant of a server makes the clock item, and is given back.
    drop(other.lock("first").acquire().expect("it is free"));
    World {
        locks,
        other,
        server,
        clock,
    }
}

impl World {
    /// How long it takes on the clock.
    fn timed<T>(&self, what: impl FnOnce() -> T) -> (T, Duration) {
        let began = self.clock.now();
        let came = what();
        (came, self.clock.now().since(began))
    }

    fn holds(locks: &Locks, key: &str) -> Guard {
        let request = locks.lock(key).name(NAME).timeout(TIMEOUT);
        request.acquire().expect("it is free")
    }

    /// `key` is reserved for the retry of `owner`.
    fn reserves(&self, key: &str, caller: Caller) {
        let guard = World::holds(&self.locks, key);
        let held = HeldSet::of(guard.locks().iter().map(Arc::clone), caller);
        block_on(held.reserve(&self.locks.retry(TIMEOUT / 3)));
        drop(guard);
        wait_until("the server to be told", || self.locks.core().background_work.is_done());
    }
}

impl Drop for World {
    /// What is cleaned up in the background comes to its end.
    fn drop(&mut self) {
        self.server.falls_ill(Ill::Well, 0);
        self.clock.advance(Duration::from_secs(3600));
    }
}

const NAME: &str = "ends";

/// What is called for, and how things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
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

const ALL: [What; 11] = [
    What::Free,
    What::HeldByAnother,
    What::ThreeFree,
    What::ThreeTheLastHeld,
    What::EnteredAgain,
    What::ThreeEnteredAgain,
    What::ZlockFree,
    What::ZlockHeld,
    What::ZlockReserved,
    What::FourZlocksReserved,
    What::FourZlocksTheLastHeld,
];

impl What {
    fn kind(self) -> LockKind {
        match self {
            What::Free | What::HeldByAnother | What::ThreeFree | What::ThreeTheLastHeld => LockKind::Lock,
            What::EnteredAgain | What::ThreeEnteredAgain => LockKind::Rlock,
            _ => LockKind::Zlock,
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            What::ThreeFree | What::ThreeTheLastHeld | What::ThreeEnteredAgain => &["a", "b", "c"],
            What::FourZlocksReserved | What::FourZlocksTheLastHeld => &["a", "b", "c", "d"],
            _ => &["a"],
        }
    }

    /// Calls it while the server is `ill`, `after` so many exchanges, by a thread or by a task.
    fn call(self, world: &World, wait: Duration, ill: (Ill, usize), is_task: bool) -> (Result<(), Error>, Duration) {
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
        let _held = held.map(|key| World::holds(&world.other, key));
        if let What::ZlockReserved | What::FourZlocksReserved = self {
            let caller = if is_task { Caller::Task } else { Caller::Thread };
            self.keys().iter().for_each(|key| world.reserves(key, caller));
        }
        let _outer = (self.kind() == LockKind::Rlock).then(|| {
            let outer = call().enter(Reporting::Yes).expect("it is free");
            world.clock.advance(TIMEOUT * 2 / 3);
            outer
        });
        world.server.falls_ill(ill.0, ill.1);
        world.timed(|| {
            let is_well_again = || world.server.falls_ill(Ill::Well, 0);
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
            What::HeldByAnother | What::ThreeTheLastHeld | What::ZlockHeld | What::FourZlocksTheLastHeld
        )
    }
}

#[test]
fn a_call_ends_with_its_wait_and_one_exchange_in_every_fault() {
    const ILL: [Ill; 7] = [
        Ill::Hangs,
        Ill::Slow(ms(18)),
        Ill::Slow(ms(200)),
        Ill::Slow(ms(299)),
        Ill::Slow(ms(301)),
        Ill::Refuses,
        Ill::Young,
    ];
    for what in ALL {
        for ill in ILL {
            // One that hangs does so at any of a call's exchanges. One that is young is really waited for between two looks.
            let (after, waits) = match ill {
                Ill::Hangs => (6, &[0, 20, 1000][..]),
                Ill::Young => (1, &[0, 20][..]),
                _ => (2, &[0, 20, 400][..]),
            };
            for after in 0..after {
                for wait in waits.iter().copied().map(ms) {
                    for is_task in [false, true] {
                        let (result, took) = what.call(&world(), wait, (ill, after), is_task);
                        let result = result.map_err(|error| error.to_string());
                        let case = format!("{what:?}, {ill:?} after {after}, task: {is_task}: {result:?}");
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
                for what in [What::Free, What::ZlockFree, What::ZlockReserved, What::EnteredAgain] {
                    let (result, _) = what.call(&world(), wait, (Ill::Slow(delay), 0), is_task);
                    assert!(result.is_ok(), "{what:?}, {delay:?}, task: {is_task}: {result:?}");
                }
                let (result, _) = What::HeldByAnother.call(&world(), wait, (Ill::Slow(delay), 0), is_task);
                assert!(
                    result.as_ref().is_err_and(Error::is_busy),
                    "{delay:?}, task: {is_task}: {result:?}: it said that another holds it"
                );
            }
        }
    }
}

#[test]
fn a_server_that_hangs_is_unavailable_and_no_lock_busy_because_of_it() {
    for is_task in [false, true] {
        // The last look, right at the end of the wait, has as much time as any. What the looks before it said is no excuse.
        for after in 0..6 {
            for wait in [0, 20].map(ms) {
                let (result, _) = What::HeldByAnother.call(&world(), wait, (Ill::Hangs, after), is_task);
                let is_told = wait.is_zero() && after >= 2;
                assert_eq!(
                    result.as_ref().is_err_and(Error::is_unavailable),
                    !is_told,
                    "after {after}, task: {is_task}: {result:?}"
                );
            }
        }
    }
}

/// A server whose answer waits until the test says so, or until the clock has been moved to its limit.
#[derive(Debug)]
struct Gated {
    memory: Memory,
    clock: Arc<Clock>,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    is_shut: AtomicBool,
    /// How many stand before it.
    standing: AtomicUsize,
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
            return not_sent("what is cleaned up is not of interest");
        }
        self.gate.standing.fetch_add(1, Ordering::SeqCst);
        wait_until("the gate to open, or the limit to be over", || !is_shut() || is_over());
        self.gate.standing.fetch_sub(1, Ordering::SeqCst);
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

/// One process, and a gate before its server.
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
    let locks = locks.on(Core::on(Arc::clone(&clock), Box::new(store), limit));
    drop(locks.lock("k").acquire().expect("it is free"));
    BeforeGate { locks, clock, gate }
}

impl BeforeGate {
    fn shut(&self, is_shut: bool) {
        self.gate.is_shut.store(is_shut, Ordering::SeqCst);
    }

    fn tries(&self, is_task: bool) -> Result<(), Error> {
        if is_task {
            block_on(self.locks.lock("k").try_acquire_async()).map(drop)
        } else {
            self.locks.lock("k").try_acquire().map(drop)
        }
    }

    /// Callers that wait for the answer that the head has not got.
    fn waits_for_curious(&self, callers: usize) {
        let item = ItemName::of_lock("memlock", "lock", "k");
        wait_until("the head to ask", || self.gate.standing.load(Ordering::SeqCst) == 1);
        wait_until("the others to stand behind it", || {
            self.locks.core().queues.curious(&item) == callers
        });
    }
}

/// It is woken by the answer, of which `queue/tests.rs` says more: an exchange may take an hour here.
#[test]
fn who_tries_once_behind_one_that_is_asking_is_told_busy_when_that_one_is_granted_the_lock() {
    for is_task in [false, true] {
        let stage = before_gate(Duration::from_secs(3600));
        stage.shut(true);
        thread::scope(|scope| {
            let head = scope.spawn(|| stage.locks.lock("k").acquire());
            wait_until("the head to ask", || stage.gate.standing.load(Ordering::SeqCst) == 1);
            let others: Vec<_> = (0..3).map(|_| scope.spawn(|| stage.tries(is_task))).collect();
            stage.waits_for_curious(3);
            stage.shut(false);
            let granted = head.join().expect("no panic").expect("it is free");
            for other in others {
                let error = other.join().expect("no panic").expect_err("the head has it");
                assert!(error.is_busy(), "{error}");
            }
            drop(granted);
        });
    }
}

/// The others have the same end as the head, and not its answer.
#[test]
fn who_tries_once_behind_one_that_asks_a_hung_server_is_told_unavailable() {
    for is_task in [false, true] {
        for wait in [Some(Duration::ZERO), None] {
            let stage = before_gate(LIMIT);
            stage.shut(true);
            let began = stage.clock.now();
            thread::scope(|scope| {
                let head = scope.spawn(|| {
                    let request = stage.locks.lock("k");
                    match wait {
                        Some(wait) => request.wait(wait).acquire(),
                        None => request.acquire(),
                    }
                });
                wait_until("the head to ask", || stage.gate.standing.load(Ordering::SeqCst) == 1);
                let others: Vec<_> = (0..3).map(|_| scope.spawn(|| stage.tries(is_task))).collect();
                stage.waits_for_curious(3);
                // Their time is over, as the head's is, at the same moment.
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
            stage.shut(false);
        }
    }
}

/// The head is a future that nobody polls: that says nothing of the server.
#[test]
fn who_tries_once_behind_one_that_does_not_move_is_told_busy_at_the_end() {
    let stage = before_gate(LIMIT);
    let item = ItemName::of_lock("memlock", "lock", "k");
    let waker = || std::task::Waker::noop().clone();
    // It has its turn, and does nothing with it.
    let _turn = stage.locks.core().queues.join(&item, LEASE, false, waker);
    thread::scope(|scope| {
        let other = scope.spawn(|| stage.tries(false));
        wait_until("it to stand in line", || stage.locks.core().queues.curious(&item) == 1);
        wait_until("its time to be over", || {
            stage.clock.advance(ms(1));
            other.is_finished()
        });
        let error = other.join().expect("no panic").expect_err("it is not its turn");
        assert!(error.is_busy(), "{error}");
    });
}

/// The server answers each of them, and each in time. Those whose turn did not come in time learn what it said to the others.
#[test]
fn who_tries_once_behind_many_that_are_told_busy_is_told_busy() {
    let world = world();
    let _held = World::holds(&world.other, "k");
    world.server.falls_ill(Ill::Slow(ms(18)), 0);
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
fn who_tries_once_behind_one_that_waits_for_a_young_server_is_told_that() {
    let world = world();
    world.server.falls_ill(Ill::Young, 0);
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
        world.server.falls_ill(Ill::Well, 0);
        waiter.join().expect("no panic").expect("the server is old enough now");
    });
}

/// A renewal in the background hangs for as long as it likes.
#[test]
fn who_needs_a_lock_about_which_an_exchange_hangs_gets_an_answer_at_the_end_of_its_own_call() {
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
        Box::new(Hangs(Memory::on(Arc::clone(&clock)))),
        ms(30),
    );
    let locks = locks.on(core);
    let limit = {
        let clock = Arc::clone(&clock);
        move || CallLimits::new(clock.now(), Some(Duration::ZERO), ms(30)).asking
    };
    let held = ["re-entry", "claim", "release"].map(|key| {
        let guard = locks.lock(key).timeout(TIMEOUT).acquire().expect("it is free");
        let hold = Arc::clone(&guard.locks()[0]);
        let mut renewal = Box::pin(async move { hold.renew(Caller::Task, ExchangeLimit::each(ms(30))).await });
        let nobody = &mut Context::from_waker(std::task::Waker::noop());
        assert!(renewal.as_mut().poll(nobody).is_pending());
        let hold = Arc::clone(&guard.locks()[0]);
        wait_until("the renewal to be under way", || hold.is_exchanging());
        (guard, hold, renewal)
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
        // Their drops would wait for it.
        std::mem::forget(held);
    });
    wait_until("all to have their answers", || calls.is_finished());
    calls.join().expect("no panic");
}
