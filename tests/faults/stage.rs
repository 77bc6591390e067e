//! The beginning of every test, and the promises that it checks for every caller.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};
use std::{panic, thread};

use memlock::{Error, Guard, Lease, Locks, Token};
use memlock_testkit::Memcached;

use crate::proxy::Proxy;
use crate::wire::{Item, Kind, Probe};

/// Long enough for anything on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The time that a busy machine may add to a promised one.
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

/// For how long a lock that no caller got may stay held. The promise is a tenth of it, on an idle machine.
pub(crate) const ORPHANED: Duration = Duration::from_secs(1);

/// The limit of exchanges that end at once in every fault: nothing waits for it, and a busy machine does not reach it.
pub(crate) const QUICK: Duration = ms(2000);

/// The shortest limit of an exchange here. An attempt that does not wait has no more time than this.
const SHORTEST_LIMIT: Duration = ms(80);

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Tests that measure time share the processors with each other, but not with one that uses them up.
static MACHINE: RwLock<()> = RwLock::new(());

pub(crate) fn part_of_the_machine() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn whole_machine() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// A server, a proxy and a direct way to it, and one lock.
pub(crate) struct Stage {
    pub(crate) key: &'static str,
    /// The lock's name on the server.
    pub(crate) item: String,
    pub(crate) proxy: Proxy,
    /// Locks on the direct way.
    pub(crate) direct: Locks,
    _server: Arc<Memcached>,
    exchange: Duration,
    probe: RefCell<Probe>,
    last: Cell<Option<Token>>,
    callers: Cell<u32>,
    _share: RwLockReadGuard<'static, ()>,
}

/// A caller through the proxy, with a label of its own in items.
pub(crate) struct Caller {
    pub(crate) locks: Locks,
    pub(crate) label: String,
}

impl Stage {
    /// On the server that tests share. Each test has keys of its own.
    pub(crate) fn set(key: &'static str, exchange: Duration) -> Stage {
        Stage::on(Memcached::shared(), key, exchange)
    }

    pub(crate) fn on(server: Arc<Memcached>, key: &'static str, exchange: Duration) -> Stage {
        listen_for_panics();
        let share = part_of_the_machine();
        let direct = Locks::builder()
            .servers(server.address())
            .build()
            .expect("a good address");
        let first = direct.lock(key).acquire().expect("it is free");
        let (item, token) = first.tokens().next().expect("one lock");
        drop(first);
        Stage {
            key,
            item,
            proxy: Proxy::before(&server.address()),
            direct,
            probe: RefCell::new(Probe::of(&server.address())),
            _server: server,
            exchange,
            last: Cell::new(Some(token)),
            callers: Cell::new(0),
            _share: share,
        }
    }

    /// A caller that has never connected.
    pub(crate) fn caller(&self) -> Caller {
        let number = self.callers.get();
        self.callers.set(number + 1);
        // Of one length, so that the bytes of an exchange stay as many.
        let label = format!("caller-{number:06}");
        let locks = Locks::builder()
            .servers(self.proxy.address())
            .exchange_timeout(self.exchange)
            .holder_label(&*label)
            .build()
            .expect("a good address");
        Caller { locks, label }
    }

    /// The item under the lock's name.
    pub(crate) fn kept(&self) -> Option<Item> {
        self.probe.borrow_mut().item(&self.item)
    }

    /// The server's answer to one meta command.
    pub(crate) fn ask(&self, command: &str) -> String {
        self.probe.borrow_mut().ask(command)
    }

    /// How many reads of this lock …
    pub(crate) fn reads(&self) -> u64 {
        self.proxy.answered(&[Kind::Look, Kind::Acquire])
    }

    /// … attempts to store it …
    pub(crate) fn sets(&self) -> u64 {
        self.proxy.answered(&[Kind::Acquire])
    }

    /// … and deletes the server has answered through the proxy.
    pub(crate) fn deletes(&self) -> u64 {
        self.proxy.answered(&[Kind::Delete])
    }

    /// Two exchanges, and what a busy machine adds.
    pub(crate) fn limit(&self) -> Duration {
        2 * self.exchange + MARGIN
    }

    /// A caller that has a guard has the lock: the item is its own, and was not stored after the token was made.
    #[track_caller]
    pub(crate) fn assert_proved(&self, caller: &Caller, guard: &Lease) {
        let kept = self.kept().expect("granted, and not on the server");
        assert!(kept.value.contains(&caller.label), "another's: {kept:?}");
        assert!(kept.cas <= cas_of(guard.token()), "granted without proof: {kept:?}");
        assert!(guard.is_valid());
        self.assert_rises(guard);
    }

    #[track_caller]
    pub(crate) fn assert_rises(&self, guard: &Lease) {
        let token = Some(guard.token());
        assert!(self.last.get() < token, "a token that does not rise");
        self.last.set(token);
    }

    #[track_caller]
    pub(crate) fn assert_unavailable(&self, error: &Error) {
        match error {
            Error::Unavailable { key, server, .. } => {
                assert_eq!((key, server), (&self.item, &self.proxy.address()));
            }
            error => panic!("another error: {error}"),
        }
    }

    /// Checks the promise after every fault: another caller gets the lock, and keeps it. Returns how long it took.
    #[track_caller]
    pub(crate) fn assert_free(&self) -> Duration {
        // It waits, so that it can take over the lock of a dead holder.
        let (result, took) = timed(|| self.direct.lock(self.key).wait(ORPHANED).acquire());
        let guard = result.expect("it is free again");
        self.assert_rises(&guard);
        let kept = self.kept().expect("its lock was deleted");
        assert!(kept.cas <= cas_of(guard.token()), "its lock was overwritten: {kept:?}");
        took
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a thread of memlock's own panicked");
        }
    }
}

/// Tokens are made of the server's start, a CAS and the number of a hand-over. The server drew that CAS with the grant, and not
/// before the item's own: a store that comes later has a higher one.
fn cas_of(token: Token) -> u64 {
    (token.get() & 0xffff_ffff) >> 8
}

/// How many of memlock's own threads panicked, which no test would notice otherwise.
static PANICS: AtomicU32 = AtomicU32::new(0);

fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current()
                .name()
                .is_some_and(|name| name == "memlock" || name.starts_with("memlock-"))
            {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            usual(info);
        }));
    });
}

/// Measures for how long a busy machine keeps a runnable thread waiting, until `until` holds.
pub(crate) fn longest_stall(until: impl Fn() -> bool) -> Duration {
    let mut longest = Duration::ZERO;
    while !until() {
        let ((), took) = timed(|| thread::park_timeout(ms(5)));
        longest = longest.max(took.saturating_sub(ms(5)));
    }
    longest
}

/// How long things took, for the output.
#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Median and maximum.
    pub(crate) fn summary(&mut self) -> String {
        self.0.sort_unstable();
        let median = self.0.get(self.0.len() / 2).copied().unwrap_or_default();
        let most = self.0.last().copied().unwrap_or_default();
        format!("free again after {median:.1?}, at most {most:.1?}")
    }
}

/// Makes an attempt that hardly waits, and repeats it if the machine stood still: with so little time, the attempt may
/// then end before it has asked the server.
pub(crate) fn tried<T>(mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let started = Instant::now();
    loop {
        let (result, took) = timed(&mut attempt);
        let stood_still = took >= SHORTEST_LIMIT && result.as_ref().is_err_and(Error::is_unavailable);
        if !stood_still || started.elapsed() > PATIENCE {
            return result;
        }
    }
}

pub(crate) fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = what();
    (result, started.elapsed())
}

impl Stage {
    /// Locks and unlocks through the proxy, and checks the promises. Then the fault is over, and the lock is free.
    #[track_caller]
    pub(crate) fn lock_and_unlock(&self, by: By) -> Locked {
        let caller = self.caller();
        let request = caller.locks.lock(self.key);
        let is_granted = match by {
            By::Thread => {
                let (result, took) = timed(|| request.acquire());
                self.held_and_released(&caller, result, took, Guard::release)
            }
            By::Task => {
                let (result, took) = timed(|| block_on(request.acquire_async()));
                self.held_and_released(&caller, result, took, |guard| block_on(guard.release()))
            }
        };
        self.proxy.heal();
        Locked {
            is_granted,
            was_hit: self.proxy.has_fired(),
            free_after: self.assert_free(),
        }
    }

    #[track_caller]
    fn held_and_released<G: Deref<Target = Lease>>(
        &self,
        caller: &Caller,
        result: Result<G, Error>,
        took: Duration,
        release: impl FnOnce(G),
    ) -> bool {
        assert!(took < self.limit(), "kept for {took:?}");
        match result {
            Ok(guard) => {
                self.assert_proved(caller, &guard);
                let ((), took) = timed(|| release(guard));
                assert!(took < self.limit(), "kept by its release for {took:?}");
                true
            }
            Err(error) => {
                // For a test that asks why it was not granted.
                println!("after {took:.1?}: {error}");
                self.assert_unavailable(&error);
                false
            }
        }
    }
}

/// The kind of caller: a thread, which makes its exchanges itself, or a task, which shares a pipe with other tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Thread,
    Task,
}

impl By {
    /// The one of the two that belongs to it.
    pub(crate) fn pick<T>(self, [of_thread, of_task]: [T; 2]) -> T {
        match self {
            By::Thread => of_thread,
            By::Task => of_task,
        }
    }
}

/// The smallest executor: polls on this thread, until it is ready.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The outcome of a lock and its release.
pub(crate) struct Locked {
    pub(crate) is_granted: bool,
    /// Whether the fault happened.
    pub(crate) was_hit: bool,
    pub(crate) free_after: Duration,
}
