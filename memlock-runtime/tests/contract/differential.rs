//! Random requests, in batches, to both servers: they must give the same replies, except for the CAS numbers. Versions
//! of memcached differ in which numbers they leave out, but not in which item has which CAS, and which CAS is higher.
//! The requests are seeded, so that every run can be repeated:
//! `MEMLOCK_SEED=… cargo test -p memlock-runtime --features server-tests --test contract differential`. Nothing expires
//! here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use fastrand::Rng;
use memlock_runtime::__internals::{Cas, Member, Reply, Request, WaitList};

use crate::on_memcached::{Real, on_shared};
use crate::on_memory::Virtual;
use crate::run::{Server as _, item, record};
use crate::script::Event;

/// Few keys, so that requests meet.
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
    let mut counts = Counts::default();
    for seed in seeds.clone() {
        on_shared(|real| differ(seed, real, &mut counts));
    }
    // The requests must meet: a comparison of misses would show nothing.
    if seeds.end - seeds.start == SEEDS {
        assert!(counts.least() > 100, "some replies are too rare: {counts:?}");
    }
}

/// How often each reply occurred.
#[derive(Debug, Default)]
struct Counts {
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

impl Counts {
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

/// One CAS: its number on either side.
#[derive(Debug, Clone, Copy)]
struct Pair {
    ideal: Cas,
    real: Cas,
}

/// Every CAS that replies have shown: the real number by the ideal number.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<Cas, Cas>);

impl Numbers {
    /// Records a CAS. It must be the same CAS on both sides, in the same place in the order of all.
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

fn differ(seed: u64, real: &mut Real<'_>, counts: &mut Counts) {
    let mut rng = Rng::with_seed(seed);
    let mut ideal = Virtual::new();
    let mut known: Vec<Pair> = Vec::new();
    let mut numbers = Numbers::default();
    for number in 0..BATCHES {
        if let Some(event) = event(&mut rng) {
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
        let key = KEYS[rng.usize(..KEYS.len())];
        let item = &item(key);
        let batch: Vec<(Request, Request)> = (0..rng.usize(1..=4)).map(|_| requests(&mut rng, key, &known)).collect();
        let (for_ideal, for_real): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let ((_, said_ideal), (_, said_real)) = (ideal.exchange(item, &for_ideal), real.exchange(item, &for_real));
        for ((request, ideal), real) in for_ideal.iter().zip(&said_ideal).zip(&said_real) {
            let place = format!("seed {seed}, batch {number}, {request:?}: memory {ideal:?}, memcached {real:?}");
            counts.count(ideal);
            let pair = match (ideal, real) {
                // The two servers have different clocks.
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

fn event(rng: &mut Rng) -> Option<Event> {
    let key = KEYS[rng.usize(..KEYS.len())].to_owned();
    Some(match rng.u32(..100) {
        0 => Event::Flush,
        1..4 => Event::LoseClock,
        4..8 => Event::Evict(key),
        8..12 => Event::Renumber(key),
        12..15 => Event::StoreForeign(key),
        _ => return None,
    })
}

/// A random request about the lock on `key`, once for each side.
fn requests(rng: &mut Rng, key: &str, known: &[Pair]) -> (Request, Request) {
    let record = record(key, rng.u32(..9));
    let line = WaitList(
        (0..rng.u64(1..9))
            .map(|process| Member {
                interval: Duration::from_millis(50 * process),
                is_passed: process % 3 == 0,
                ..Member::new(process, None)
            })
            .collect(),
    );
    // Mostly one of the last few, which may fit.
    let nobodys = Pair {
        ideal: Cas::MAX,
        real: Cas::MAX,
    };
    let recent = known.len().saturating_sub(if rng.bool() { 4 } else { 40 });
    let cas = match known.len() {
        0 => nobodys,
        all => known[rng.usize(recent..all)],
    };
    let kind = rng.u32(..100);
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
        90..92 => Request::StoreWaitList {
            line: line.clone(),
            ttl: 600,
            cas: None,
        },
        92..95 => Request::StoreWaitList {
            line: line.clone(),
            ttl: 600,
            cas: Some(cas),
        },
        95..97 => Request::DeleteWaitList { cas },
        _ => Request::ReadWaitList,
    };
    (request(cas.ideal), request(cas.real))
}
