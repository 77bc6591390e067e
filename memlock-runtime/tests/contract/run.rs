//! Plays a script. Besides the replies that the script expects, it checks four laws of every server:
//!
//! * CAS is one counter for all items. A later store or raise has the higher number. Only requests to store something
//!   may skip a number: from memcached 1.6.27 on, those that fail take one as well.
//! * The server's second never goes back, and is close to the wall clock.
//! * An item exists until the server's second reaches that of its store plus the TTL, and not longer.
//! * One process is one instance; another process is another, with a later start.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use memlock_runtime::__internals::{Cas, Content, Instance, ItemName, Nonce, Record, Reply, Request};

use crate::script::{Ask, Event, NO_ITEMS, Say, Step};

/// A server on which scripts are played.
pub(crate) trait Server {
    /// Sends one batch. Returns the instance that answered, and all replies.
    fn exchange(&mut self, item: &ItemName, batch: &[Request]) -> (Instance, Vec<Reply>);

    /// Makes any event happen, except [`Event::Expiry`].
    fn suffer(&mut self, event: &Event);

    /// How long it has existed, by its own clock.
    fn now(&self) -> Duration;

    /// Its wall clock, in Unix seconds.
    fn wall(&self) -> u64;

    /// Lets a little time pass.
    fn wait(&mut self);

    /// The CAS of the first store on a new instance.
    fn first_cas(&self) -> u64;

    /// By how much its items may live shorter or longer than their TTL, and its clock may be off.
    fn tolerance(&self) -> Tolerance;
}

/// How far a real server may differ from the ideal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) early: Duration,
    pub(crate) late: Duration,
    pub(crate) clock_seconds: u64,
}

/// The item of a script's key.
pub(crate) fn item(key: &str) -> ItemName {
    ItemName::of_lock("memlock", "contract", key)
}

/// The record that contender `who` writes for `key`. The label contains the key, so that text that is difficult in a
/// name is tried in a label, too.
pub(crate) fn record(key: &str, who: u32) -> Record {
    Record {
        nonce: Nonce(u128::MAX / u128::from(who + 1)),
        lease: Duration::from_micros(200_001) * (who + 1),
        renewal: who,
        label: format!("{who} {key}").into(),
        full_name: item(key).full().cloned(),
    }
}

/// The history of a server before a script is played on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// None: it is a new instance.
    None,
    /// It may have served other scripts, which have left nothing but the CAS counter.
    #[cfg_attr(
        not(feature = "server-tests"),
        expect(dead_code, reason = "only a real server is shared")
    )]
    Emptied,
}

/// Plays `script` on `server`.
pub(crate) fn play(script: &[Step], server: &mut dyn Server, past: Past) {
    let before_first = server.first_cas() - 1;
    let mut run = Run {
        server,
        cas: HashMap::from([(NO_ITEMS, Cas::MAX)]),
        last_cas: match past {
            Past::None => before_first..=before_first,
            Past::Emptied => 0..=u64::MAX,
        },
        lives: HashMap::new(),
        clock: None,
        instance: None,
    };
    for (number, step) in script.iter().enumerate() {
        let place = format!("step {number}, {step:?}");
        match step {
            Step::Exchange(lines) => run.exchange(lines, &place),
            Step::Event(Event::Expiry(key)) => run.watch_expiry(key, &place),
            Step::Event(event) => run.suffer(event),
        }
    }
}

struct Run<'a> {
    server: &'a mut dyn Server,
    cas: HashMap<&'static str, Cas>,
    /// The range in which the server's CAS counter is.
    last_cas: RangeInclusive<u64>,
    lives: HashMap<ItemName, Life>,
    /// The latest reading of the server's second.
    clock: Option<u64>,
    instance: Option<Instance>,
}

/// What is known about when an item was stored.
#[derive(Debug, Clone, Copy)]
struct Life {
    ttl: u32,
    asked: Duration,
    answered: Duration,
    /// The server's second before and after.
    second_before: Option<u64>,
    second_after: Option<u64>,
}

impl Run<'_> {
    /// Sends the requests about one lock to the server in one batch, together with those about no lock.
    fn exchange(&mut self, lines: &[(Ask, Say)], place: &str) {
        let mut rest = lines;
        while !rest.is_empty() {
            let key = rest.iter().find_map(|(ask, _)| ask.key()).unwrap_or("");
            let length = rest
                .iter()
                .take_while(|(ask, _)| ask.key().is_none_or(|other| other == key))
                .count();
            let (batch, others) = rest.split_at(length);
            self.exchange_about(&item(key), batch, place);
            rest = others;
        }
    }

    fn exchange_about(&mut self, item: &ItemName, lines: &[(Ask, Say)], place: &str) {
        let batch: Vec<Request> = lines.iter().map(|(ask, _)| self.request(ask)).collect();
        let asked = self.server.now();
        let replies = self.ask(item, &batch, place);
        let answered = self.server.now();
        for ((request, (ask, say)), reply) in batch.iter().zip(lines).zip(&replies) {
            let place = &format!("{place}\n    at \"{ask:?}\", which was answered {reply:?}");
            if may_take_a_cas(request) {
                self.last_cas = *self.last_cas.start()..=self.last_cas.end().saturating_add(1);
            }
            self.hold_to(ask, *say, reply, place);
            if let (Request::Add { ttl, .. } | Request::Replace { ttl, .. }, Reply::Stored(_)) = (request, reply) {
                let life = Life {
                    ttl: *ttl,
                    asked,
                    answered,
                    second_before: self.clock,
                    second_after: None,
                };
                self.lives.insert(item.clone(), life);
            }
        }
    }

    /// Makes one exchange, and checks the law of instances.
    fn ask(&mut self, item: &ItemName, batch: &[Request], place: &str) -> Vec<Reply> {
        let (instance, replies) = self.server.exchange(item, batch);
        assert_eq!(replies.len(), batch.len(), "{place}");
        let known = *self.instance.get_or_insert(instance);
        assert_eq!(instance, known, "{place}: one process is one instance");
        replies
    }

    fn hold_to(&mut self, ask: &Ask, say: Say, reply: &Reply, place: &str) {
        let known = |name: &str| {
            *self
                .cas
                .get(name)
                .unwrap_or_else(|| panic!("{place}\n    no CAS {name:?}"))
        };
        match (say, reply) {
            (Say::NotStored, Reply::NotStored)
            | (Say::Exists, Reply::Exists)
            | (Say::Missing, Reply::Missing)
            | (Say::Deleted, Reply::Deleted) => {}
            (Say::Raised, Reply::Raised(cas)) => self.next_cas(*cas, place),
            (Say::Clock, Reply::Clock(second)) => self.observe(*second, place),
            (Say::Stored(name), Reply::Stored(cas)) => {
                self.next_cas(*cas, place);
                self.name_cas(name, *cas, place);
            }
            (Say::There(who, name), Reply::Item { content, cas }) => {
                assert_eq!(*cas, known(name), "{place}");
                assert_eq!(**content, Content::Lock(record(key_of(ask), who)), "{place}");
            }
            (Say::Renumbered(who, name), Reply::Item { content, cas }) => {
                assert_eq!(**content, Content::Lock(record(key_of(ask), who)), "{place}");
                self.name_cas(name, *cas, place);
            }
            (Say::Foreign(name), Reply::Item { content, cas }) => {
                assert_eq!(**content, Content::Foreign, "{place}");
                self.name_cas(name, *cas, place);
            }
            (Say::Refused, Reply::Refused(refusal)) => {
                let words = refusal.0.to_lowercase();
                assert!(words.contains("server_error out of memory"), "{place}");
            }
            _ => panic!("{place}\n    but {say:?} was expected"),
        }
    }

    /// Gives a new CAS its name. No two CAS have the same name.
    fn name_cas(&mut self, name: &'static str, cas: Cas, place: &str) {
        let before = self.cas.insert(name, cas);
        assert_eq!(before, None, "{place}\n    the script gives two CAS the name {name:?}");
    }

    /// Checks the law of CAS.
    fn next_cas(&mut self, cas: Cas, place: &str) {
        let counter = &self.last_cas;
        assert!(
            counter.start() < &cas.get() && counter.contains(&cas.get()),
            "{place}\n    the CAS is neither higher than all before it nor left out: the counter was in {counter:?}"
        );
        self.last_cas = cas.get()..=cas.get();
    }

    /// Checks the law of the server's clock.
    fn observe(&mut self, second: u64, place: &str) {
        let tolerated = self.server.tolerance().clock_seconds;
        let wall = self.server.wall();
        assert!(
            second.abs_diff(wall) <= tolerated,
            "{place}\n    by the wall it is {wall}"
        );
        assert!(
            self.clock.is_none_or(|before| before <= second),
            "{place}\n    the clock went back from {:?}",
            self.clock
        );
        self.clock = Some(second);
        for life in self.lives.values_mut() {
            life.second_after.get_or_insert(second);
        }
    }

    /// Watches the item of `key` until it expires, and checks the law of expiry, by the client's clock and by the
    /// server's.
    fn watch_expiry(&mut self, key: &str, place: &str) {
        let item = item(key);
        let tolerance = self.server.tolerance();
        loop {
            let life = *self.lives.get(&item).expect("the script has stored it");
            let ttl = Duration::from_secs(life.ttl.into());
            let asked = self.server.now();
            let batch = [Request::ReadClock, Request::Read, Request::ReadClock];
            let replies = self.ask(&item, &batch, place);
            let answered = self.server.now();
            let [before, there, after] = &replies[..] else {
                panic!("{place}: {replies:?}")
            };
            match there {
                Reply::Item { .. } => {
                    assert!(
                        asked < life.answered + ttl + tolerance.late,
                        "{place}\n    it is still there after {:?}",
                        asked - life.answered
                    );
                    if let (Reply::Clock(second), Some(stored_by)) = (before, life.second_after) {
                        assert!(
                            *second < stored_by + u64::from(life.ttl),
                            "{place}\n    stored by second {stored_by}, it is still there in {second}"
                        );
                    }
                }
                Reply::Missing => {
                    assert!(
                        answered + tolerance.early >= life.asked + ttl,
                        "{place}\n    it is gone after {:?}",
                        answered - life.asked
                    );
                    if let (Reply::Clock(second), Some(not_before)) = (after, life.second_before) {
                        assert!(
                            *second >= not_before + u64::from(life.ttl),
                            "{place}\n    stored no sooner than in second {not_before}, it is gone in {second}"
                        );
                    }
                    return;
                }
                other => panic!("{place}: {other:?}"),
            }
            for reading in [before, after] {
                if let Reply::Clock(second) = reading {
                    self.observe(*second, place);
                }
            }
            self.server.wait();
        }
    }

    fn suffer(&mut self, event: &Event) {
        let (least, most) = (*self.last_cas.start(), *self.last_cas.end());
        self.server.suffer(event);
        self.last_cas = match event {
            Event::Restart => {
                let old = self.instance.take();
                let (new, _) = self.server.exchange(&item(""), &[Request::ReadClock]);
                assert!(
                    old.is_none_or(|old| old.start < new.start && old.pid != new.pid),
                    "{old:?} was restarted and is {new:?}"
                );
                self.clock = None;
                let before_first = self.server.first_cas() - 1;
                before_first..=before_first
            }
            // Before memcached 1.6.25 a flush takes one number.
            Event::Flush => least..=most.saturating_add(1),
            // Filling the server takes any number of them.
            Event::Fill => least..=u64::MAX,
            Event::Renumber(_) | Event::StoreForeign(_) => least.saturating_add(1)..=most.saturating_add(1),
            Event::Expiry(_) | Event::Free | Event::LoseClock | Event::Evict(_) => least..=most,
        };
    }

    fn request(&self, ask: &Ask) -> Request {
        let cas = |name: &str| *self.cas.get(name).unwrap_or_else(|| panic!("{ask:?}: no such CAS"));
        match ask {
            Ask::ReadClock => Request::ReadClock,
            Ask::CreateClock => Request::CreateClock,
            Ask::RaiseCounter => Request::RaiseCounter,
            Ask::Add { key, who, ttl } => Request::Add {
                record: record(key, *who),
                ttl: *ttl,
            },
            Ask::Replace {
                key,
                who,
                ttl,
                cas: name,
            } => Request::Replace {
                record: record(key, *who),
                ttl: *ttl,
                cas: cas(name),
            },
            Ask::Delete { cas: name, .. } => Request::Delete { cas: cas(name) },
            Ask::Read { .. } => Request::Read,
        }
    }
}

/// Whether `request` may advance the server's CAS counter, even if it fails. On some versions all do, except reads and
/// deletes.
fn may_take_a_cas(request: &Request) -> bool {
    !matches!(
        request,
        Request::ReadClock
            | Request::Read
            | Request::ReadWaitList
            | Request::Delete { .. }
            | Request::DeleteWaitList { .. }
    )
}

fn key_of(ask: &Ask) -> &str {
    ask.key().expect("a clock is no item")
}

/// Makes each script a module with one test for each server: `NAME::on_memory`, `NAME::on_memcached`.
macro_rules! scripts {
    ($($(#[$about:meta])* $name:ident: $steps:expr;)*) => {$(
        $(#[$about])*
        mod $name {
            #[allow(unused_imports, reason = "no script needs all words")]
            use crate::script::{Event::*, Say::*, *};
            #[allow(unused_imports, reason = "some scripts have helpers")]
            use super::*;

            fn script() -> Vec<Step> {
                Vec::from($steps)
            }

            #[test]
            fn on_memory() {
                crate::on_memory::play(&script());
            }

            #[cfg(feature = "server-tests")]
            #[test]
            fn on_memcached() {
                crate::on_memcached::play(&script());
            }
        }
    )*};
}
