//! Random requests, in batches, to both at once: the same replies, but for the numbers of CAS. Which numbers are left out
//! differs between versions of memcached; which CAS is whose, and which is higher, does not. Seeded, so that every run
//! can be had again: `MEMLOCK_SEED=… cargo test -p memlock-runtime --features server-tests --test contract differential`.
//! Nothing expires here.

use std::collections::BTreeMap;
use std::ops::Bound;

use fastrand::Rng;
use memlock_runtime::__internals::{Cas, Member, Reply, Request, WaitList};

use crate::on_memcached::{Real, on_shared};
use crate::on_memory::Virtual;
use crate::run::{Server as _, item, record};
use crate::script::Event;

/// Few, so that requests meet.
const KEYS: [&str; 3] = ["a", "b", "c"];

const SEEDS: u64 = 40;
const BATCHES: usize = 150;

#[test]
fn random_requests_are_answered_alike() {
    let seeds = match std::env::var("MEMLOCK_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("MEMLOCK_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    let mut met = Met::default();
    for seed in seeds.clone() {
        on_shared(|real| differ(seed, real, &mut met));
    }
    // That the requests meet at all: a comparison of misses would show nothing.
    if seeds.end - seeds.start == SEEDS {
        assert!(met.least() > 100, "some replies are too rare: {met:?}");
    }
}

/// How many of each reply there were.
#[derive(Debug, Default)]
struct Met {
    clock: u32,
    stored: u32,
    not_stored: u32,
    exists: u32,
    missing: u32,
    deleted: u32,
    item: u32,
    line: u32,
    raised: u32,
}

impl Met {
    fn count(&mut self, reply: &Reply) {
        *match reply {
            Reply::Clock(_) => &mut self.clock,
            Reply::Stored(_) => &mut self.stored,
            Reply::NotStored => &mut self.not_stored,
            Reply::Raised(_) => &mut self.raised,
            Reply::Exists => &mut self.exists,
            Reply::Missing => &mut self.missing,
            Reply::Deleted => &mut self.deleted,
            Reply::Item { .. } => &mut self.item,
            Reply::WaitList { .. } => &mut self.line,
            Reply::Refused(refusal) => panic!("{refusal}"),
        } += 1;
    }

    fn least(&self) -> u32 {
        let all = [
            self.stored,
            self.not_stored,
            self.exists,
            self.missing,
            self.deleted,
            self.item,
            self.line,
            self.raised,
        ];
        all.into_iter().fold(self.clock, u32::min)
    }
}

/// One CAS, as both sides number it.
#[derive(Debug, Clone, Copy)]
struct Pair {
    ideal: Cas,
    real: Cas,
}

/// Every CAS that replies have shown: the real one by the ideal one.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<Cas, Cas>);

impl Numbers {
    /// One CAS is one CAS on both sides, and those before and after it are so on both sides.
    fn learn(&mut self, ideal: Cas, real: Cas, place: &str) {
        let known = *self.0.entry(ideal).or_insert(real);
        assert_eq!(known, real, "{place}\n    it was another CAS");
        let before = self.0.range(..ideal).next_back();
        let after = self.0.range((Bound::Excluded(ideal), Bound::Unbounded)).next();
        assert!(
            before.is_none_or(|(_, before)| *before < real) && after.is_none_or(|(_, after)| real < *after),
            "{place}\n    the CAS is not between {before:?} and {after:?}"
        );
    }
}

fn differ(seed: u64, real: &mut Real<'_>, met: &mut Met) {
    let mut dice = Rng::with_seed(seed);
    let mut ideal = Virtual::new();
    let mut known: Vec<Pair> = Vec::new();
    let mut numbers = Numbers::default();
    for number in 0..BATCHES {
        if let Some(event) = event(&mut dice) {
            let both_have_it = match &event {
                Event::LoseClock => matches!(
                    ideal.exchange(&item(KEYS[0]), &[Request::ReadClock]).1[0],
                    Reply::Clock(_)
                ),
                Event::Evict(key) | Event::Renumber(key) => {
                    matches!(ideal.exchange(&item(key), &[Request::Read]).1[0], Reply::Item { .. })
                }
                _ => true,
            };
            if both_have_it {
                ideal.suffer(&event);
                real.suffer(&event);
            }
        }
        let key = KEYS[dice.usize(..KEYS.len())];
        let item = &item(key);
        let batch: Vec<(Request, Request)> = (0..dice.usize(1..=4))
            .map(|_| requests(&mut dice, key, &known))
            .collect();
        let (for_ideal, for_real): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let ((_, said_ideal), (_, said_real)) = (ideal.exchange(item, &for_ideal), real.exchange(item, &for_real));
        for ((request, ideal), real) in for_ideal.iter().zip(&said_ideal).zip(&said_real) {
            let place = format!("seed {seed}, batch {number}, {request:?}: memory {ideal:?}, memcached {real:?}");
            met.count(ideal);
            let pair = match (ideal, real) {
                // Their seconds are different worlds'.
                (Reply::Clock(_), Reply::Clock(_)) => None,
                (Reply::Stored(ideal), Reply::Stored(real)) | (Reply::Raised(ideal), Reply::Raised(real)) => {
                    Some((*ideal, *real))
                }
                (
                    Reply::Item {
                        content: one,
                        cas: ideal,
                    },
                    Reply::Item {
                        content: other,
                        cas: real,
                    },
                ) => {
                    assert_eq!(one, other, "{place}");
                    Some((*ideal, *real))
                }
                (Reply::WaitList { line: one, cas: ideal }, Reply::WaitList { line: other, cas: real }) => {
                    assert_eq!(one, other, "{place}");
                    Some((*ideal, *real))
                }
                (ideal, real) => {
                    assert_eq!(ideal, real, "{place}");
                    None
                }
            };
            if let Some((ideal, real)) = pair {
                numbers.learn(ideal, real, &place);
                known.push(Pair { ideal, real });
            }
        }
    }
}

fn event(dice: &mut Rng) -> Option<Event> {
    let key = KEYS[dice.usize(..KEYS.len())].to_owned();
    Some(match dice.u32(..100) {
        0 => Event::Flush,
        1..4 => Event::LoseClock,
        4..8 => Event::Evict(key),
        8..12 => Event::Renumber(key),
        12..15 => Event::StoreForeign(key),
        _ => return None,
    })
}

/// The same request about the lock on `key` for both.
fn requests(dice: &mut Rng, key: &str, known: &[Pair]) -> (Request, Request) {
    let record = record(key, dice.u32(..9));
    let line = WaitList(
        (0..dice.u64(1..9))
            .map(|process| Member { process, wake: None })
            .collect(),
    );
    // Mostly one of the last few, which have a chance to fit.
    let nobodys = Pair {
        ideal: Cas::MAX,
        real: Cas::MAX,
    };
    let recent = known.len().saturating_sub(if dice.bool() { 4 } else { 40 });
    let cas = match known.len() {
        0 => nobodys,
        all => known[dice.usize(recent..all)],
    };
    let kind = dice.u32(..100);
    let request = |cas: Cas| match kind {
        0..8 => Request::ReadClock,
        8..12 => Request::CreateClock,
        12..14 => Request::RaiseCounter,
        14..40 => Request::Add {
            record: record.clone(),
            ttl: 600,
        },
        40..62 => Request::Replace {
            record: record.clone(),
            ttl: 600,
            cas,
        },
        62..82 => Request::Delete { cas },
        82..90 => Request::Read,
        90..92 => Request::StoreLine {
            line: line.clone(),
            ttl: 600,
            cas: None,
        },
        92..95 => Request::StoreLine {
            line: line.clone(),
            ttl: 600,
            cas: Some(cas),
        },
        95..97 => Request::DeleteLine { cas },
        _ => Request::ReadLine,
    };
    (request(cas.ideal), request(cas.real))
}
