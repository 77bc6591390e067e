//! What every test begins with: a server, locks on it, and a share of the machine.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use memlock::{Builder, Error, Guard, LockRequest, Locks};
use memlock_testkit::Memcached;

/// Long enough for anything on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The time that a busy machine may add to a promised one. Tests on virtual time check it to the millisecond
/// (`locks/tests/ends.rs` in the runtime).
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A server of the test's own, and its share of the machine.
pub(crate) struct Stage {
    server: Memcached,
    /// `None` beside another stage of the same test.
    _share: Option<Share>,
}

/// Tests that measure time share the processors with each other, but not with one that uses them up.
pub(crate) enum Share {
    Part { _share: RwLockReadGuard<'static, ()> },
    Whole { _share: RwLockWriteGuard<'static, ()> },
}

static MACHINE: RwLock<()> = RwLock::new(());

impl Share {
    pub(crate) fn part() -> Share {
        Share::Part {
            _share: MACHINE.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(crate) fn whole() -> Share {
        Share::Whole {
            _share: MACHINE.write().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// Servers that become old enough for memlock, which takes two seconds, while other tests run. Each serves one test. The
/// rest die with this process.
static RESERVE: Mutex<VecDeque<Memcached>> = Mutex::new(VecDeque::new());

/// As many as tests need while a new one becomes old enough.
const RESERVED: usize = 6;

fn server_of_ones_own() -> Memcached {
    let mut reserve = RESERVE.lock().unwrap_or_else(PoisonError::into_inner);
    while reserve.len() <= RESERVED {
        reserve.push_back(Memcached::start_young());
    }
    let server = reserve.pop_front().expect("it was just filled");
    drop(reserve);
    server.wait_until_usable();
    server
}

impl Stage {
    pub(crate) fn set() -> Stage {
        Stage {
            _share: Some(Share::part()),
            server: server_of_ones_own(),
        }
    }

    /// One more server for the same test.
    pub(crate) fn beside(_first: &Stage) -> Stage {
        Stage {
            _share: None,
            server: server_of_ones_own(),
        }
    }

    /// A server with more arguments.
    pub(crate) fn with(arguments: &[&str]) -> Stage {
        Stage {
            _share: Some(Share::part()),
            server: Memcached::start_with(arguments),
        }
    }

    /// For a test that keeps all processors busy.
    pub(crate) fn on_a_machine_of_its_own() -> Stage {
        Stage {
            _share: Some(Share::whole()),
            server: server_of_ones_own(),
        }
    }

    pub(crate) fn builder(&self) -> Builder {
        Locks::builder().servers(self.address())
    }

    /// New locks on the server, which share nothing with others of this process.
    pub(crate) fn locks(&self) -> Locks {
        self.builder().build().expect("nothing is wrong with it")
    }

    /// The server's answer to one command, in its own words.
    pub(crate) fn ask(&self, command: &str) -> String {
        let mut connection = TcpStream::connect(self.address()).expect("the server runs");
        connection.set_read_timeout(Some(PATIENCE)).expect("a socket");
        connection
            .write_all(format!("{command}\r\n").as_bytes())
            .expect("the server listens");
        let mut line = String::new();
        BufReader::new(connection)
            .read_line(&mut line)
            .expect("the server answers");
        line.trim_end().to_owned()
    }

    /// The value that the server answers with; empty where there is none.
    pub(crate) fn ask_for_value(&self, command: &str) -> String {
        let mut connection = TcpStream::connect(self.address()).expect("the server runs");
        connection.set_read_timeout(Some(PATIENCE)).expect("a socket");
        connection
            .write_all(format!("{command}\r\n").as_bytes())
            .expect("the server listens");
        let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
        let is_there = lines.next().is_some_and(|line| line.starts_with("VA "));
        is_there.then(|| lines.next()).flatten().unwrap_or_default()
    }

    /// Whether the lock's item is on the server.
    pub(crate) fn keeps(&self, guard: &Guard) -> bool {
        guard.tokens().all(|(item, _)| self.has_item(&item))
    }

    /// Whether an item of this name is on the server.
    pub(crate) fn has_item(&self, item: &str) -> bool {
        // Asked for its CAS, since old versions refuse a read that asks for nothing.
        self.ask(&format!("mg {item} c")).starts_with("HD c")
    }

    /// How many items there are besides the clock and the counter of tokens, of which a server has one each for all locks.
    pub(crate) fn items_of_locks(&self) -> u64 {
        let shared = ["memlock:clock", "memlock:tokens"].map(|item| u64::from(self.has_item(item)));
        self.number("curr_items").saturating_sub(shared.iter().sum())
    }

    /// Another process finds the lock held.
    #[track_caller]
    pub(crate) fn assert_held(&self, key: &str) {
        let locks = self.locks();
        let error = tried(|| locks.lock(key).wait(ms(500)).acquire()).expect_err("it is held");
        assert!(error.is_busy(), "{error}");
    }

    /// How many reads and stores it has been asked for.
    pub(crate) fn commands(&self) -> u64 {
        self.number("cmd_get") + self.number("cmd_set")
    }

    /// One number of the server's statistics.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.stat(name).expect("the server answers")
    }
}

impl Deref for Stage {
    type Target = Memcached;

    fn deref(&self) -> &Memcached {
        &self.server
    }
}

/// Acquires a lock that is free, or will be.
#[track_caller]
pub(crate) fn hold(request: LockRequest<'_>) -> Guard {
    request.acquire().expect("it is free, or will be")
}

/// The default limit of an exchange. An attempt that does not wait has no more time than this.
const EXCHANGE_TIMEOUT: Duration = ms(300);

/// Makes an attempt that hardly waits, and repeats it if the machine stood still: with so little time, the attempt may
/// then end before it has asked the server.
pub(crate) fn tried<T>(mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let started = Instant::now();
    loop {
        let (result, took) = timed(&mut attempt);
        let stood_still = took >= EXCHANGE_TIMEOUT && result.as_ref().is_err_and(Error::is_unavailable);
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
