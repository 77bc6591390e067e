//! Tests of the machines against memcached's semantics, on virtual time, with single replies lost or late.

mod cycles;
mod faults;
mod holding;
mod leaving;
mod reserving;
mod tokens;
mod waiting;

use std::net::SocketAddr;
use std::time::Duration;

use smallvec::SmallVec;

use super::grant::{Grant, Handed};
use super::lease::Now;
use super::machine::{Exchanged, Input, Output, Pause};
use super::members::{Member, WaitList, WakeTarget};
use super::messages::{Batch, Content, Instance, Nonce, Record, Refusal, Replies, Reply, Request, Unanswered};
use super::server_clock::ServerClock;
use super::spec::Spec;
use super::{Acquire, Outcome, Release, Released, Renew, Renewed};
use crate::key::ItemName;
use crate::store::memory::items::Items;

const START: u64 = 1_800_000_000;
const TIMEOUT: Duration = Duration::from_secs(10);

/// The fate of one exchange.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Fine,
    /// Nothing is sent.
    NotSent(Unanswered),
    /// It is executed, and no reply arrives.
    Executed(Unanswered),
    /// It is not executed (yet), and no reply arrives.
    Swallowed(Unanswered),
}

/// A server, a contender's clocks, and the batches that were sent.
struct World {
    items: Items,
    /// The lock that the contenders ask for.
    item: ItemName,
    now: Duration,
    lag: u64,
    clock: ServerClock,
    fates: Vec<Fate>,
    sent: Vec<(Batch, Option<Instance>)>,
    nonces: u128,
}

fn item() -> ItemName {
    ItemName::of_lock("memlock", "protocol", "x")
}

fn spec() -> Spec {
    let interval = Duration::from_millis(50);
    Spec {
        server: 0,
        item: item(),
        label: "host/7 protocol".into(),
        timeout: TIMEOUT,
        interval,
        wait: None,
    }
}

fn spec_without_wait() -> Spec {
    Spec {
        wait: Some(Duration::ZERO),
        ..spec()
    }
}

impl World {
    fn new() -> World {
        let mut items = Items::new(Instance { start: START, pid: 1 });
        items.apply(START, &item(), &Request::CreateClock);
        World {
            items,
            item: item(),
            now: Duration::from_secs(1000),
            lag: 0,
            clock: ServerClock::default(),
            fates: Vec::new(),
            sent: Vec::new(),
            nonces: 0,
        }
    }

    fn with_fates(mut self, fates: &[Fate]) -> World {
        self.fates = fates.iter().rev().copied().collect();
        self
    }

    fn at(&self) -> Now {
        Now::at(self.now)
    }

    fn second(&self) -> u64 {
        START + self.now.as_secs() - self.lag
    }

    fn exchange(&mut self, batch: &Batch, only_on: Option<Instance>) -> Exchanged {
        self.sent.push((batch.clone(), only_on));
        let sent = self.at();
        let instance = self.items.instance();
        let mut replies: Replies = SmallVec::new();
        let unanswered = match self.fates.pop().unwrap_or(Fate::Fine) {
            Fate::NotSent(unanswered) | Fate::Swallowed(unanswered) => Some(unanswered),
            _ if only_on.is_some_and(|only| only != instance) => Some(Unanswered::OtherInstance),
            Fate::Executed(unanswered) => {
                let second = self.second();
                batch
                    .iter()
                    .for_each(|request| drop(self.items.apply(second, &self.item, request)));
                Some(unanswered)
            }
            Fate::Fine => {
                let second = self.second();
                replies = batch
                    .iter()
                    .map(|request| self.items.apply(second, &self.item, request))
                    .collect();
                None
            }
        };
        self.now += Duration::from_millis(1);
        if let Some(Reply::Clock(second)) = replies.first() {
            self.clock.observe(*second, sent, self.at());
        }
        Exchanged {
            instance: Some(instance),
            replies,
            unanswered,
            sent,
            best: self.clock.best(self.at()),
            ..Exchanged::default()
        }
    }

    fn draw_nonce(&mut self) -> Nonce {
        self.nonces += 1;
        Nonce(self.nonces)
    }

    /// Runs a contender until it ends, or until it pauses after `pauses` pauses. Returns `None` in the second case.
    fn run(&mut self, machine: &mut Acquire, mut input: Input, mut pauses: u32) -> Option<Outcome> {
        loop {
            let fresh = self.draw_nonce();
            match machine.step(self.at(), fresh, input) {
                Output::Exchange { batch, only_on } => input = Input::Exchanged(self.exchange(&batch, only_on)),
                Output::Pause(_) if pauses == 0 => return None,
                Output::Pause(pause) => {
                    pauses -= 1;
                    self.now += pause.to.max(Duration::from_micros(1));
                    input = Input::Woke;
                }
                Output::Done(outcome) => return Some(outcome),
            }
        }
    }

    fn acquire(&mut self, spec: Spec) -> (Outcome, Acquire) {
        let mut machine = Acquire::new(spec, None, false);
        let outcome = self.run(&mut machine, Input::Start, 100_000).expect("it ends");
        (outcome, machine)
    }

    fn acquire_grant(&mut self) -> Grant {
        match self.acquire(spec()).0 {
            Outcome::Granted(grant) => grant,
            other => panic!("{other:?}"),
        }
    }

    fn renew(&mut self, grant: &Grant) -> Renewed {
        self.run_renew(&mut Renew::new(spec(), grant.clone()))
    }

    fn run_renew(&mut self, machine: &mut Renew) -> Renewed {
        let mut input = Input::Start;
        loop {
            match machine.step(self.at(), input) {
                Output::Exchange { batch, only_on } => input = Input::Exchanged(self.exchange(&batch, only_on)),
                Output::Pause(_) => panic!("a renewal never pauses"),
                Output::Done(renewed) => return renewed,
            }
        }
    }

    fn release(&mut self, mut machine: Release) -> Released {
        let mut input = Input::Start;
        loop {
            match machine.step(self.at(), input) {
                Output::Exchange { batch, only_on } => input = Input::Exchanged(self.exchange(&batch, only_on)),
                Output::Pause(_) => panic!("a release never pauses"),
                Output::Done(released) => return released,
            }
        }
    }

    fn release_grant(&mut self, grant: &Grant) -> Released {
        let machine = Release::of_grant(item(), grant, self.at());
        self.release(machine)
    }

    /// The nonce in the item.
    fn holder(&mut self) -> Option<Nonce> {
        self.record().map(|record| record.nonce)
    }

    fn record(&mut self) -> Option<Record> {
        match self.items.apply(self.second(), &self.item.clone(), &Request::Read) {
            Reply::Item { content, .. } => match *content {
                Content::Lock(record) => Some(record),
                Content::Foreign => None,
            },
            _ => None,
        }
    }

    fn restart(&mut self) {
        let start = self.items.instance().start + 500;
        self.items.restart(Instance { start, pid: 2 });
        self.items.apply(start, &item(), &Request::CreateClock);
    }

    fn stores(&self) -> usize {
        let is_store = |request: &&Request| matches!(request, Request::Add { .. } | Request::Replace { .. });
        self.sent.iter().flat_map(|(batch, _)| batch).filter(is_store).count()
    }

    /// Acquires the lock, releases it, and acquires it again. Returns the second grant.
    fn acquire_second_grant(&mut self) -> Grant {
        let grant = self.acquire_grant();
        assert_eq!(self.release_grant(&grant), Released::Released);
        self.acquire_grant()
    }
}
