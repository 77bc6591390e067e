//! A second process, which acquires and releases locks as the test tells it.

use std::ffi::OsStr;
use std::panic;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memlock::{Error, Guard, Locks};
use memlock_testkit::{Parent, Peer};

use crate::log::Log;
use crate::stage::{PATIENCE, Stage, ms, tried};

/// A process with locks of its own, made from its environment, and one guard at most.
pub(crate) struct Actor {
    peer: Peer,
}

impl Actor {
    pub(crate) fn on(stage: &Stage) -> Actor {
        let (actor, greeting) = Actor::in_environment(&[("MEMLOCK_SERVERS", &stage.address())]);
        assert_eq!(greeting, "ready");
        actor
    }

    /// An actor with these variables, and what it says first: `ready`, or why it is not.
    pub(crate) fn in_environment(variables: &[(&str, &str)]) -> (Actor, String) {
        let mut peer = Peer::of("actor").test("actor::plays");
        for (name, value) in variables {
            peer = peer.env(name, value);
        }
        let peer = peer.start();
        let greeting = peer.expect_line(PATIENCE);
        (Actor { peer }, greeting)
    }

    fn told(&mut self, order: &str) -> String {
        self.peer.send(order);
        self.peer.expect_line(PATIENCE)
    }

    /// Acquires a lock that is free, or will be, and returns its token.
    #[track_caller]
    pub(crate) fn acquires(&mut self, key: &str, timeout: Duration) -> u64 {
        self.granted(&format!("acquire {key} {}", timeout.as_millis()))
    }

    /// Begins to acquire a lock, without waiting for it. The only call allowed after that is
    /// [`has_acquired`](Self::has_acquired).
    pub(crate) fn begins_to_acquire(&mut self, key: &str, timeout: Duration) {
        self.peer.send(&format!("acquire {key} {}", timeout.as_millis()));
    }

    /// Waits until it has the lock that it has begun to acquire, and returns its token.
    #[track_caller]
    pub(crate) fn has_acquired(&mut self) -> u64 {
        granted(&self.peer.expect_line(PATIENCE))
    }

    /// The same, and keeps the lease alive.
    #[track_caller]
    pub(crate) fn acquires_renewed(&mut self, key: &str, timeout: Duration) -> u64 {
        self.granted(&format!("renew {key} {}", timeout.as_millis()))
    }

    #[track_caller]
    fn granted(&mut self, order: &str) -> u64 {
        granted(&self.told(order))
    }

    /// Tries without waiting: `granted TOKEN`, or the error.
    pub(crate) fn tries(&mut self, key: &str) -> String {
        self.told(&format!("try {key}"))
    }

    /// Whether it still believes in its lease, and what a check of it says.
    pub(crate) fn believes(&mut self) -> (bool, String) {
        let answer = self.told("believe");
        let (is_valid, check) = answer.split_once(' ').expect("two words");
        (is_valid == "true", check.to_owned())
    }

    pub(crate) fn releases(&mut self) {
        assert_eq!(self.told("release"), "released");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.peer.pid()
    }

    pub(crate) fn pause(&self) {
        self.peer.pause();
    }

    pub(crate) fn resume(&self) {
        self.peer.resume();
    }

    pub(crate) fn kill(&mut self) {
        self.peer.kill();
    }
}

#[track_caller]
fn granted(answer: &str) -> u64 {
    match answer.split_once(' ') {
        Some(("granted", token)) => token.parse().expect("a token"),
        _ => panic!("not granted: {answer}"),
    }
}

/// Locks by the process-wide locks, in functions that can report an error, and in functions that cannot.
#[memlock::lock("k")]
fn reports() -> Result<(), Error> {
    Ok(())
}

#[memlock::lock("k")]
async fn reports_async() -> Result<(), Error> {
    Ok(())
}

#[memlock::lock("k", otherwise = false)]
fn answers() -> bool {
    true
}

#[memlock::lock("k")]
fn cannot_say() {}

#[memlock::lock("k")]
async fn cannot_say_async() {}

/// Prints what a process reports if its environment is wrong when it first locks: each error, panic and line of the
/// log.
fn first_use() -> Vec<String> {
    let panicked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&panicked);
    panic::set_hook(Box::new(move |panic| {
        told.lock().expect("not poisoned").push(panic.to_string());
    }));
    let both = |error: Error| [error.to_string(), format!("{error:?} {error:#?}")];
    let (mut said, lines) = Log::of(|| {
        assert!(!answers());
        let errors = [reports(), smol::block_on(reports_async()), Locks::from_env().map(drop)];
        let errors: Vec<String> = errors.into_iter().filter_map(Result::err).flat_map(both).collect();
        for panics in [cannot_say as fn(), || smol::block_on(cannot_say_async())] {
            panic::catch_unwind(panics).expect_err("it cannot say");
        }
        errors
    });
    drop(panic::take_hook());
    assert_eq!((said.len(), lines.len()), (6, 1), "{said:?} {lines:?}");
    said.extend(lines);
    let panicked = panicked.lock().expect("not poisoned");
    assert_eq!(panicked.len(), 2, "{panicked:?}");
    said.extend(panicked.iter().cloned());
    said
}

#[test]
#[ignore = "a role in other tests, which start it as a process of its own"]
fn uses_locks_for_the_first_time() {
    let Some(parent) = Parent::of_role("first use") else {
        return;
    };
    let said = first_use();
    for text in said {
        parent.say(&text.replace('\n', " "));
    }
    parent.say("that is all");
}

/// All that a process with these variables reports when it first locks.
pub(crate) fn first_use_with(variables: &[(&str, impl AsRef<OsStr>)]) -> Vec<String> {
    let mut peer = Peer::of("first use").test("actor::uses_locks_for_the_first_time");
    for (name, value) in variables {
        peer = peer.env(name, value);
    }
    let peer = peer.start();
    let said = std::iter::repeat_with(|| peer.expect_line(PATIENCE));
    said.take_while(|line| line != "that is all").collect()
}

#[test]
#[ignore = "a role in other tests, which start it as a process of its own"]
fn plays() {
    let Some(parent) = Parent::of_role("actor") else { return };
    let locks = match Locks::from_env() {
        Ok(locks) => locks,
        Err(error) => return parent.say(&in_words(Err(error))),
    };
    parent.say("ready");
    let mut guard: Option<Guard> = None;
    loop {
        let order = parent.hear(PATIENCE);
        let words: Vec<&str> = order.split(' ').collect();
        let answer = match *words.as_slice() {
            ["acquire", key, timeout] => {
                let held = locks.lock(key).timeout(milliseconds(timeout)).acquire();
                in_words(held.map(|held| guard.insert(held)))
            }
            ["renew", key, timeout] => {
                let held = locks.lock(key).timeout(milliseconds(timeout)).renew().acquire();
                in_words(held.map(|held| guard.insert(held)))
            }
            ["try", key] => {
                let held = tried(|| locks.lock(key).try_acquire());
                in_words(held.map(|held| guard.insert(held)))
            }
            ["believe"] => {
                let guard = guard.as_ref().expect("a lock");
                let check = guard
                    .check()
                    .map_or_else(|error| in_words(Err(error)), |()| "ok".to_owned());
                format!("{} {check}", guard.is_valid())
            }
            ["release"] => {
                guard.take().expect("a lock").release();
                "released".to_owned()
            }
            _ => panic!("told to {order}"),
        };
        parent.say(&answer);
    }
}

fn milliseconds(text: &str) -> Duration {
    ms(text.parse().expect("a number"))
}

fn in_words(result: Result<&mut Guard, Error>) -> String {
    match result {
        Ok(guard) => format!("granted {}", guard.token()),
        Err(error) => {
            let kind = match &error {
                Error::Busy { .. } => "busy",
                Error::Unavailable { .. } => "unavailable",
                Error::Lost { .. } => "lost",
                Error::Config { .. } => "config",
                _ => "other",
            };
            format!("{kind}: {error}")
        }
    }
}
