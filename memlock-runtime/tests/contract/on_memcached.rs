//! A server that is a memcached process, asked through memlock's own store.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use memlock_runtime::__internals::{
    Instance, ItemName, Memcached, Reply, Request, ServerAddress as Address, Store as _,
};
use memlock_testkit as testkit;

use crate::run::{self, Past, Server, Tolerance, item};
use crate::script::{Event, Step};
use crate::wire::{self, Wire};

/// The time limit of one exchange: long, since the machine may be busy with other tests.
const LIMIT: Duration = Duration::from_secs(10);

/// Scripts that can share a server play on this one, one after the other. It is emptied before each.
static SHARED: LazyLock<Mutex<testkit::Memcached>> = LazyLock::new(|| Mutex::new(testkit::Memcached::start()));

pub(crate) fn play(script: &[Step]) {
    let has = |wanted: fn(&Event) -> bool| {
        script
            .iter()
            .any(|step| matches!(step, Step::Event(event) if wanted(event)))
    };
    if has(|event| *event == Event::Fill) {
        play_alone(script, wire::SMALL);
    } else if has(|event| matches!(event, Event::Restart | Event::Expiry(_))) {
        play_alone(script, &[]);
    } else {
        on_shared(|server| run::play(script, server, Past::Emptied));
    }
}

fn play_alone(script: &[Step], arguments: &[&str]) {
    let process = testkit::Memcached::start_with(arguments);
    run::play(script, &mut Real::on(&process), Past::None);
}

/// Plays on the shared server, emptied.
pub(crate) fn on_shared(play: impl FnOnce(&mut Real<'_>)) {
    // A script that failed leaves only items behind.
    let process = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    process.flush_all();
    play(&mut Real::on(&process));
}

pub(crate) struct Real<'a> {
    process: &'a testkit::Memcached,
    store: Memcached,
    began: Instant,
    fills: usize,
}

impl<'a> Real<'a> {
    fn on(process: &'a testkit::Memcached) -> Real<'a> {
        Real {
            process,
            store: store(process),
            began: now(),
            fills: 0,
        }
    }

    fn wire(&self) -> Wire {
        Wire::to(self.process)
    }
}

fn store(process: &testkit::Memcached) -> Memcached {
    let address = Address::parse(&process.address()).expect("an entry of a server list");
    Memcached::new(vec![address], "memlock")
}

#[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
fn now() -> Instant {
    Instant::now()
}

impl Server for Real<'_> {
    fn exchange(&mut self, item: &ItemName, batch: &[Request]) -> (Instance, Vec<Reply>) {
        let answer = self.store.exchange(0, item, batch, None, LIMIT);
        assert!(answer.unanswered.is_none(), "{batch:?} was answered {answer:?}");
        (
            answer.instance.expect("an answer has a sender"),
            answer.replies.into_vec(),
        )
    }

    fn suffer(&mut self, event: &Event) {
        match event {
            Event::Flush => self.process.flush_all(),
            Event::Restart => {
                self.process.restart();
                // Its idle connections are dead.
                self.store = store(self.process);
            }
            Event::Fill => {
                self.wire().fill(self.fills);
                self.fills += 1;
            }
            Event::Free => self.wire().free(),
            Event::LoseClock => assert_eq!(self.wire().ask("md memlock:clock\r\n"), "HD"),
            Event::Evict(key) => {
                let command = format!("md {}\r\n", item(key).as_str());
                assert_eq!(self.wire().ask(&command), "HD");
            }
            Event::Renumber(key) => {
                let (mut wire, item) = (self.wire(), item(key));
                let header = wire.ask(&format!("mg {} v\r\n", item.as_str()));
                let value = wire.line();
                assert_eq!(header, format!("VA {}", value.len()));
                let command = format!("ms {} {} T60\r\n{value}\r\n", item.as_str(), value.len());
                assert_eq!(wire.ask(&command), "HD");
            }
            Event::StoreForeign(key) => {
                let command = format!("ms {} 3 T60\r\nabc\r\n", item(key).as_str());
                assert_eq!(self.wire().ask(&command), "HD");
            }
            Event::Expiry(_) => panic!("{event:?} is watched, not suffered"),
        }
    }

    fn now(&self) -> Duration {
        now() - self.began
    }

    #[allow(clippy::disallowed_methods, reason = "real servers have the clock on the wall")]
    fn wall(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs()
    }

    #[allow(clippy::disallowed_methods, reason = "an expiry gives no other sign")]
    fn wait(&mut self) {
        std::thread::sleep(Duration::from_millis(10));
    }

    fn first_cas(&self) -> u64 {
        wire::first_cas(self.process)
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance {
            // The clock has whole seconds and may be a second old, and ticks may be late.
            early: Duration::from_millis(2150),
            late: Duration::from_secs(1),
            // The process may lose a second to rounding when it records its start, and ticks may be skipped.
            clock_seconds: 3,
        }
    }
}
