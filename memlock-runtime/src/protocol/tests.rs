//! The machines against memcached's semantics, one reply lost or late at a time, on virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Acquire, Answered, Grant, Handed, Input, Outcome, Output, Pause, Release, Released, Renew, Renewed, Spec};
use crate::key::ItemName;
use crate::lease::{Now, ServerClock};
use crate::memory::Items;
use crate::store::{
    Batch, Call, Content, Damage, Entry, Instance, Line, Nonce, Record, Refusal, Replies, Reply, Request,
};

const START: u64 = 1_800_000_000;
const TIMEOUT: Duration = Duration::from_secs(10);

/// What happens to one exchange.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Fine,
    /// Nothing is sent.
    NotSent(Damage),
    /// It is executed, and no reply arrives.
    Executed(Damage),
    /// It is not executed (yet), and no reply arrives.
    Swallowed(Damage),
}

/// A server, a contender's clocks, and what was sent.
struct World {
    items: Items,
    /// Which lock its contenders are after.
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
        item: item(),
        label: "host/7 protocol".into(),
        timeout: TIMEOUT,
        interval,
        wait: None,
        grace: Duration::ZERO,
    }
}

fn impatient() -> Spec {
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

    fn fated(mut self, fates: &[Fate]) -> World {
        self.fates = fates.iter().rev().copied().collect();
        self
    }

    fn at(&self) -> Now {
        Now {
            instant: self.now,
            wall: self.now,
        }
    }

    fn second(&self) -> u64 {
        START + self.now.as_secs() - self.lag
    }

    fn exchange(&mut self, batch: &Batch, only_on: Option<Instance>) -> Answered {
        self.sent.push((batch.clone(), only_on));
        let sent = self.at();
        let instance = self.items.instance();
        let mut replies: Replies = SmallVec::new();
        let damage = match self.fates.pop().unwrap_or(Fate::Fine) {
            Fate::NotSent(damage) | Fate::Swallowed(damage) => Some(damage),
            _ if only_on.is_some_and(|only| only != instance) => Some(Damage::OtherInstance),
            Fate::Executed(damage) => {
                let second = self.second();
                batch
                    .iter()
                    .for_each(|request| drop(self.items.apply(second, &self.item, request)));
                Some(damage)
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
        Answered {
            instance: Some(instance),
            replies,
            damage,
            sent,
            best: self.clock.best(self.at()),
        }
    }

    fn fresh(&mut self) -> Nonce {
        self.nonces += 1;
        Nonce(self.nonces)
    }

    /// Runs a contender until it ends, or until `rests` pauses are over.
    fn run(&mut self, machine: &mut Acquire, mut input: Input, mut rests: u32) -> Option<Outcome> {
        loop {
            let fresh = self.fresh();
            match machine.step(self.at(), fresh, input) {
                Output::Exchange { batch, only_on } => input = Input::Answered(self.exchange(&batch, only_on)),
                Output::Pause(_) if rests == 0 => return None,
                Output::Pause(pause) => {
                    rests -= 1;
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

    fn granted(&mut self) -> Grant {
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
                Output::Exchange { batch, only_on } => input = Input::Answered(self.exchange(&batch, only_on)),
                Output::Pause(_) => panic!("a renewal waits for nothing"),
                Output::Done(renewed) => return renewed,
            }
        }
    }

    fn release(&mut self, mut machine: Release) -> Released {
        let mut input = Input::Start;
        loop {
            match machine.step(self.at(), input) {
                Output::Exchange { batch, only_on } => input = Input::Answered(self.exchange(&batch, only_on)),
                Output::Pause(_) => panic!("a release waits for nothing"),
                Output::Done(released) => return released,
            }
        }
    }

    fn release_grant(&mut self, grant: &Grant) -> Released {
        let machine = Release::of_grant(item(), grant, self.at());
        self.release(machine)
    }

    /// Whose the item is.
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
}

#[test]
fn a_free_lock_is_granted_in_one_exchange_that_reads_the_clock_first() {
    let mut world = World::new();
    let grant = world.granted();
    assert_eq!(world.sent.len(), 1);
    assert!(matches!(world.sent[0].0[..], [Request::ReadClock, Request::Add { .. }]));
    assert_eq!(grant.deadline.length(), TIMEOUT);
    assert_eq!(
        grant.deadline.sent().instant,
        Duration::from_secs(1000),
        "counted from before the request left"
    );
    assert_eq!(world.holder(), Some(grant.nonce));
}

#[test]
fn a_waiter_never_stores_while_it_has_last_seen_the_lock_held() {
    // A store that memcached refuses for lack of memory deletes the item under it, so a blind one may free a held lock.
    let mut world = World::new();
    world.granted();
    let mut waiter = Acquire::new(spec(), None, false);
    let before = world.stores();
    assert_eq!(world.run(&mut waiter, Input::Start, 50), None);
    assert_eq!(world.stores() - before, 1, "one blind attempt, then only reading");

    let mut cautious = Acquire::new(spec(), None, true);
    let before = world.stores();
    assert_eq!(world.run(&mut cautious, Input::Start, 50), None);
    assert_eq!(world.stores(), before, "on a server short of memory not even that");
}

/// A contender that waits in line, and can be called.
fn in_line(world: &mut World) -> Acquire {
    let me = Entry {
        process: 7,
        call: Some(Call {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            secret: 7,
        }),
    };
    let mut waiter = Acquire::new(spec(), None, false).in_line(me, None);
    assert_eq!(world.run(&mut waiter, Input::Start, 3), None);
    world.sent.clear();
    waiter
}

#[test]
fn who_is_called_adds_at_once_unless_the_server_is_short_of_memory() {
    let mut world = World::new();
    let first = world.granted();
    let mut waiter = in_line(&mut world);
    assert_eq!(world.release_grant(&first), Released::Released);
    assert_eq!(waiter.called(world.at(), false), Duration::ZERO);
    let granted = world.run(&mut waiter, Input::Woke, 0);
    assert!(matches!(granted, Some(Outcome::Granted(_))), "{granted:?}");
    let [_, (batch, _)] = &world.sent[..] else {
        panic!("{:?}", world.sent)
    };
    assert!(
        matches!(batch[..], [Request::ReadClock, Request::Add { .. }, Request::ReadLine]),
        "with the line, so that the release can leave it at once: {batch:?}"
    );

    let mut world = World::new();
    world.granted();
    let mut cautious = in_line(&mut world);
    let before = world.stores();
    assert_eq!(cautious.called(world.at(), true), Duration::ZERO);
    assert_eq!(world.run(&mut cautious, Input::Woke, 0), None);
    assert_eq!(world.stores(), before, "a store that is refused would free the lock");

    // He who calls knows the line better than one who read it when he joined.
    let mut world = World::new();
    let first = world.granted();
    let store = Request::StoreLine {
        line: Line(vec![Entry { process: 6, call: None }]),
        ttl: 300,
        cas: None,
    };
    world.items.apply(world.second(), &item(), &store);
    let mut behind_another = in_line(&mut world);
    assert_eq!(world.release_grant(&first), Released::Released);
    behind_another.called(world.at(), true);
    let granted = world.run(&mut behind_another, Input::Woke, 0);
    assert!(matches!(granted, Some(Outcome::Granted(_))), "{granted:?}");
}

#[test]
fn who_is_called_in_vain_stores_once_and_then_only_looks() {
    let mut world = World::new();
    world.granted();
    let mut waiter = in_line(&mut world);
    let before = world.stores();
    for _ in 0..10 {
        waiter.called(world.at(), false);
        assert_eq!(world.run(&mut waiter, Input::Woke, 0), None);
    }
    assert_eq!(world.stores() - before, 1);
}

#[test]
fn a_waiter_that_found_no_clock_asks_for_it_again() {
    let mut world = World::new();
    world.granted();
    world.sent.clear();
    let mut waiter = Acquire::new(spec(), None, false);
    // As if it had come before the clock was made.
    let fresh = world.fresh();
    assert!(matches!(
        waiter.step(world.at(), fresh, Input::Start),
        Output::Exchange { .. }
    ));
    let answered = Answered {
        instance: Some(world.items.instance()),
        replies: [Reply::Missing, Reply::NotStored].into_iter().collect(),
        damage: None,
        sent: world.at(),
        best: None,
    };
    assert_eq!(world.run(&mut waiter, Input::Answered(answered), 3), None);
    let asks = |(batch, _): &&(Batch, Option<Instance>)| matches!(batch[0], Request::ReadClock);
    assert_eq!(world.sent.iter().filter(asks).count(), 1, "until it has read it");
    assert!(asks(&&world.sent[0]));
}

#[test]
fn a_waiter_gets_the_lock_once_it_is_released_with_a_higher_token() {
    let mut world = World::new();
    let first = world.granted();
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 3), None);
    assert_eq!(world.release_grant(&first), Released::Released);
    let Some(Outcome::Granted(second)) = world.run(&mut waiter, Input::Woke, 3) else {
        panic!("it is free")
    };
    assert!(second.token > first.token);
}

#[test]
fn a_dead_holders_lock_is_taken_over_after_its_lease_and_not_before() {
    let mut world = World::new();
    let dead = world.granted();
    let mut waiter = Acquire::new(spec(), None, false);
    let Some(Outcome::Granted(grant)) = world.run(&mut waiter, Input::Start, 100_000) else {
        panic!("it never ends")
    };
    let granted_after = world.now - Duration::from_secs(1000);
    assert!(
        granted_after >= TIMEOUT,
        "taken over while its holder believed, after {granted_after:?}"
    );
    assert!(
        granted_after < TIMEOUT + Duration::from_millis(100),
        "taken over late, after {granted_after:?}"
    );
    let (batch, only_on) = world.sent.last().expect("an exchange");
    assert!(matches!(batch[..], [Request::ReadClock, Request::Replace { .. }]) && only_on.is_some());
    assert!(grant.token > dead.token && dead.deadline.has_passed(world.at()));
    assert_eq!(
        world.release_grant(&dead),
        Released::Gone,
        "it deletes nothing of its successor's"
    );
    assert_eq!(world.holder(), Some(grant.nonce));
}

#[test]
fn a_watch_counts_from_the_receipt_of_the_first_look() {
    // The look is on its way for two seconds, and the lock is granted meanwhile.
    let mut world = World::new();
    let mut waiter = Acquire::new(spec(), None, true);
    let (sent, fresh) = (world.at(), world.fresh());
    let Output::Exchange { batch, only_on } = waiter.step(sent, fresh, Input::Start) else {
        panic!("it looks first")
    };
    world.now += Duration::from_secs(2);
    let holder = world.granted();
    let seen = Answered {
        sent,
        ..world.exchange(&batch, only_on)
    };
    let taken = world.run(&mut waiter, Input::Answered(seen), 100_000);
    assert!(matches!(taken, Some(Outcome::Granted(_))), "{taken:?}");
    assert!(
        holder.deadline.has_passed(world.at()),
        "taken over while its holder believed"
    );
}

#[test]
fn a_renewed_lease_is_not_taken_over() {
    let mut world = World::new();
    let mut grant = world.granted();
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 3), None);
    for _ in 0..20 {
        let Renewed::Renewed(renewed) = world.renew(&grant) else {
            panic!("it is held")
        };
        grant = renewed;
        let until = world.now + TIMEOUT / 3;
        while world.now < until {
            assert_eq!(
                world.run(&mut waiter, Input::Woke, 1),
                None,
                "taken over in spite of renewals"
            );
        }
    }
}

#[test]
fn waiting_ends_with_busy_and_says_who_holds_the_lock() {
    let mut world = World::new();
    world.granted();
    let (outcome, _) = world.acquire(impatient());
    assert_eq!(
        outcome,
        Outcome::Busy {
            holder: Some("host/7 protocol".into())
        }
    );
    assert_eq!(
        world.sent.len() - 1,
        2,
        "one attempt, and one look for the holder's name"
    );
    let before = world.now;
    let (outcome, _) = world.acquire(Spec {
        wait: Some(Duration::from_secs(1)),
        ..spec()
    });
    assert!(matches!(outcome, Outcome::Busy { .. }));
    let waited = world.now - before;
    assert!(
        waited >= Duration::from_secs(1) && waited < Duration::from_millis(1010),
        "waited {waited:?}"
    );
}

#[test]
fn pauses_grow_with_the_wait_up_to_the_interval() {
    let mut world = World::new();
    world.granted();
    let mut waiter = Acquire::new(spec(), None, false);
    let mut longest = Vec::new();
    let mut input = Input::Start;
    while longest.len() < 60 {
        let fresh = world.fresh();
        match waiter.step(world.at(), fresh, input) {
            Output::Exchange { batch, only_on } => input = Input::Answered(world.exchange(&batch, only_on)),
            Output::Pause(Pause { from, to }) => {
                assert_eq!(from, to / 2, "drawn from the upper half");
                longest.push(to);
                world.now += to;
                input = Input::Woke;
            }
            Output::Done(outcome) => panic!("{outcome:?}"),
        }
    }
    assert!(longest.is_sorted());
    assert!(longest[0] < Duration::from_millis(1) && longest.last() == Some(&Duration::from_millis(50)));
}

#[test]
fn an_add_without_a_reply_is_never_a_grant_and_its_item_is_cleared_away() {
    for damage in [Damage::Cut, Damage::Late] {
        let mut world = World::new().fated(&[Fate::Executed(damage)]);
        let (outcome, machine) = world.acquire(spec());
        let Outcome::Granted(grant) = outcome else {
            panic!("{outcome:?}")
        };
        assert_ne!(
            grant.nonce,
            Nonce(1),
            "the attempt without a reply was counted as success"
        );
        assert!(machine.outstanding().is_empty(), "seen and deleted, it is settled");
        assert_eq!(world.holder(), Some(grant.nonce));
    }
}

#[test]
fn an_add_without_a_reply_is_never_forgotten() {
    for damage in [Damage::Cut, Damage::Late] {
        // It was not executed when the contender looked. It may be, later.
        let mut world = World::new().fated(&[Fate::Swallowed(damage)]);
        let (outcome, machine) = world.acquire(spec());
        let Outcome::Granted(grant) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(
            machine.outstanding(),
            [Nonce(1)],
            "somebody must go on listening for it"
        );
        assert_ne!(
            grant.nonce,
            Nonce(1),
            "whoever cleans up after the lost attempt would delete the lock"
        );
        let mut world = World::new().fated(&[Fate::Executed(damage), Fate::Swallowed(damage)]);
        let (outcome, machine) = world.acquire(spec());
        assert_eq!(outcome, Outcome::Unreachable(damage));
        assert_eq!(machine.outstanding(), [Nonce(1)]);
    }
}

#[test]
fn a_take_over_without_a_reply_is_never_a_grant() {
    let mut world = World::new();
    world.granted();
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 1), None);
    world.now += TIMEOUT * 11 / 10; // The lease is over, the TTL is not.
    world.fates = vec![Fate::Executed(Damage::Late), Fate::Fine];
    let taken = world.run(&mut waiter, Input::Woke, 3);
    let Some(Outcome::Granted(grant)) = taken else {
        panic!("{taken:?}")
    };
    assert_eq!(world.holder(), Some(grant.nonce));
    assert!(waiter.outstanding().is_empty());
}

#[test]
fn a_last_look_that_has_no_time_left_says_nothing_of_the_server() {
    let after = |pause: Duration| {
        let mut world = World::new();
        world.granted();
        let wait = Some(Duration::from_secs(1));
        let mut machine = Acquire::new(Spec { wait, ..spec() }, None, false);
        assert_eq!(
            world.run(&mut machine, Input::Start, 0),
            None,
            "it has seen who holds the lock"
        );
        world.now += pause;
        world.fates = vec![Fate::NotSent(Damage::NotSent); 2];
        world.run(&mut machine, Input::Woke, 0)
    };
    let holder = Some("host/7 protocol".into());
    assert_eq!(after(Duration::from_secs(1)), Some(Outcome::Busy { holder }));
    let in_time = after(Duration::from_millis(10));
    assert_eq!(in_time, Some(Outcome::Unreachable(Damage::NotSent)));
}

#[test]
fn an_unreachable_server_is_asked_once_more_and_then_given_up() {
    let mut world = World::new().fated(&[Fate::NotSent(Damage::NotSent), Fate::NotSent(Damage::NotSent)]);
    let (outcome, machine) = world.acquire(spec());
    assert_eq!(outcome, Outcome::Unreachable(Damage::NotSent));
    assert_eq!(world.sent.len(), 2);
    assert!(
        machine.outstanding().is_empty(),
        "what was not sent leaves nothing behind"
    );
    let mut world = World::new().fated(&[Fate::NotSent(Damage::NotSent)]);
    assert!(
        matches!(world.acquire(spec()).0, Outcome::Granted(_)),
        "the second attempt reached it"
    );
}

#[test]
fn a_server_too_young_is_waited_for_like_a_held_lock() {
    let young = Fate::NotSent(Damage::TooYoung);
    let mut world = World::new().fated(&[young; 20]);
    assert!(matches!(world.acquire(spec()).0, Outcome::Granted(_)));
    assert!(world.now >= Duration::from_secs(1001), "it paused between its attempts");
    let mut world = World::new().fated(&[young]);
    assert_eq!(world.acquire(impatient()).0, Outcome::Unreachable(Damage::TooYoung));
}

#[test]
fn a_grant_that_comes_with_too_little_left_is_given_back() {
    // The server stood still for 19 s of its clock's time: its items expire that much too early.
    let mut world = World::new();
    world.granted();
    world.lag = 19;
    world.item = ItemName::of_lock("memlock", "protocol", "y");
    let other = Spec {
        item: world.item.clone(),
        ..spec()
    };
    let before = world.sent.len();
    let (outcome, _) = world.acquire(other.clone());
    assert_eq!(outcome, Outcome::TooSlow);
    let sent = &world.sent[before..];
    assert_eq!(sent.len(), 6, "three attempts, each given back: {sent:?}");
    assert!(matches!(sent[1].0[..], [Request::Delete { .. }]));
    world.lag = 0;
    assert!(
        matches!(world.acquire(other).0, Outcome::Granted(_)),
        "nothing was left behind"
    );
}

#[test]
fn a_grant_that_could_not_be_given_back_is_not_forgotten() {
    // The server's clock lags, so that each of three grants comes with too little left. One of them is not given back.
    let lagging = || {
        let mut world = World::new();
        let grant = world.granted();
        assert_eq!(world.release_grant(&grant), Released::Released);
        world.lag = 19;
        (world, Acquire::new(spec(), None, false))
    };
    let lost = Fate::Swallowed(Damage::Late);

    let (world, mut contender) = lagging();
    let mut world = world.fated(&[Fate::Fine, lost]);
    let outcome = world.run(&mut contender, Input::Start, 0);
    assert_eq!(outcome, Some(Outcome::TooSlow), "it waits for its own leftover");
    assert_eq!((contender.outstanding(), world.holder()), (&[][..], None));

    let (world, mut contender) = lagging();
    let mut world = world.fated(&[Fate::Fine, Fate::Fine, Fate::Fine, Fate::Fine, Fate::Fine, lost]);
    assert_eq!(world.run(&mut contender, Input::Start, 0), Some(Outcome::TooSlow));
    let left = world.holder().expect("the last of them is still there");
    assert_eq!(contender.outstanding(), [left], "somebody must clear it away");
}

#[test]
fn no_grant_stands_on_a_clock_that_could_not_be_read_if_it_can_be_made() {
    // The clock item is lost while the server's clock lags by more than the TTL's reserve: only a reading shows it.
    let mut world = World::new();
    world.granted_after_release();
    world.items.lose_clock();
    world.lag = 19;
    let other = Spec {
        item: ItemName::of_lock("memlock", "protocol", "y"),
        ..spec()
    };
    assert_eq!(
        world.acquire(other).0,
        Outcome::TooSlow,
        "granted by a clock that stood still"
    );

    let mut world = World::new();
    world.items.lose_clock();
    world.granted();
    assert!(matches!(world.sent[1].0[..], [Request::CreateClock]));
    assert!(
        matches!(world.sent[2].0[..], [Request::Delete { .. }]),
        "given back, and asked for again"
    );
    assert!(matches!(world.sent[3].0[..], [Request::ReadClock, Request::Add { .. }]));
    assert_eq!(world.sent.len(), 4);
}

#[test]
fn a_clock_that_is_lost_again_and_again_costs_no_grant() {
    let mut world = World::new();
    let mut machine = Acquire::new(spec(), None, false);
    let mut input = Input::Start;
    let outcome = loop {
        let fresh = world.fresh();
        match machine.step(world.at(), fresh, input) {
            Output::Exchange { batch, only_on } => {
                world.items.lose_clock();
                input = Input::Answered(world.exchange(&batch, only_on));
            }
            Output::Pause(_) => panic!("the lock is free"),
            Output::Done(outcome) => break outcome,
        }
    };
    assert!(matches!(outcome, Outcome::Granted(_)));
}

#[test]
fn losing_one_race_after_another_is_no_reason_to_run_faster() {
    // Whenever the waiter looks, the lock is free; whenever it stores, another was quicker.
    let mut world = World::new();
    let mut waiter = Acquire::new(spec(), None, false);
    let mut input = Input::Start;
    let mut exchanges = 0;
    loop {
        let fresh = world.fresh();
        match waiter.step(world.at(), fresh, input) {
            Output::Exchange { batch, only_on } => {
                exchanges += 1;
                assert!(exchanges < 20, "it never rests");
                let stores = matches!(batch[..], [_, Request::Add { .. }]);
                if stores {
                    world.granted();
                } else if let Some(nonce) = world.holder() {
                    world.release(Release::of_nonce(item(), nonce));
                }
                input = Input::Answered(world.exchange(&batch, only_on));
            }
            Output::Pause(_) => break,
            Output::Done(outcome) => panic!("{outcome:?}"),
        }
    }
}

#[test]
fn a_refused_store_ends_with_the_servers_words() {
    let mut world = World::new();
    world.items.set_out_of_memory(true);
    let (outcome, _) = world.acquire(spec());
    assert!(matches!(outcome, Outcome::Refused(Refusal(words)) if words.contains("out of memory")));
}

#[test]
fn something_unreadable_is_waited_out_and_never_taken_over_or_deleted() {
    let mut world = World::new();
    world.items.store_foreign(world.second(), &item(), 20);
    let (outcome, _) = world.acquire(spec());
    assert!(matches!(outcome, Outcome::Granted(_)));
    assert!(world.now >= Duration::from_secs(1019), "only its expiry ended it");
    let is_change = |request: &Request| matches!(request, Request::Replace { .. } | Request::Delete { .. });
    assert!(!world.sent.iter().flat_map(|(batch, _)| batch).any(is_change));
}

#[test]
fn a_take_over_is_meant_only_for_the_instance_whose_cas_it_uses() {
    let mut world = World::new();
    world.granted();
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 1), None);
    world.now += TIMEOUT * 11 / 10;
    let fresh = world.fresh();
    let look = waiter.step(world.at(), fresh, Input::Woke);
    let Output::Exchange { batch, only_on } = look else {
        panic!("{look:?}")
    };
    let seen = world.exchange(&batch, only_on);
    // Between its look and its take-over the server is restarted, and a stranger gets the lock under the same CAS.
    world.restart();
    let stranger = world.granted();
    let fresh = world.fresh();
    let take_over = waiter.step(world.at(), fresh, Input::Answered(seen));
    assert!(matches!(&take_over, Output::Exchange { only_on: Some(instance), .. } if instance.pid == 1));
    let Output::Exchange { batch, only_on } = take_over else {
        panic!("checked above")
    };
    let answered = world.exchange(&batch, only_on);
    assert_eq!(world.run(&mut waiter, Input::Answered(answered), 5), None);
    assert_eq!(world.holder(), Some(stranger.nonce));
}

#[test]
fn what_a_contender_takes_back_is_meant_only_for_the_instance_that_stored_it() {
    // A grant without a clock to read, which is given back, and an attempt without a reply, which is cleared away.
    for fate in [Fate::Fine, Fate::Executed(Damage::Cut)] {
        let mut world = World::new().fated(&[fate]);
        world.items.lose_clock();
        let mut contender = Acquire::new(spec(), None, false);
        let mut input = Input::Start;
        let (batch, only_on) = loop {
            let fresh = world.fresh();
            match contender.step(world.at(), fresh, input) {
                Output::Exchange { batch, only_on } if matches!(batch[..], [Request::Delete { .. }]) => {
                    break (batch, only_on);
                }
                Output::Exchange { batch, only_on } => input = Input::Answered(world.exchange(&batch, only_on)),
                other => panic!("{other:?}"),
            }
        };
        // Before the delete arrives the server is restarted, and a stranger gets the lock under the same CAS.
        world.restart();
        let stranger = world.granted();
        assert!(
            matches!(batch[..], [Request::Delete { cas, .. }] if cas == stranger.cas),
            "the trap is set"
        );
        let answered = world.exchange(&batch, only_on);
        assert_eq!(world.run(&mut contender, Input::Answered(answered), 5), None);
        assert_eq!(world.holder(), Some(stranger.nonce));
    }
}

#[test]
fn an_item_with_another_full_name_is_another_lock_whatever_its_hash() {
    // Names too long for memcached are shortened with a hash. Here that of another lock is the same.
    let long = |key: &str| ItemName::of_lock("memlock", "protocol", &key.repeat(300));
    let spec = Spec {
        item: long("x"),
        wait: Some(TIMEOUT * 3 / 2),
        ..spec()
    };
    let mut world = World::new();
    world.item = spec.item.clone();
    let record = Record {
        full_name: long("y").full().cloned(),
        ..spec.record(Nonce(77), 0)
    };
    let others = Request::Add { record, ttl: 100 };
    world.items.apply(world.second(), &spec.item, &others);
    assert_eq!(
        world.release(Release::of_nonce(spec.item.clone(), Nonce(77))),
        Released::Gone
    );
    let (outcome, _) = world.acquire(spec);
    assert_eq!(outcome, Outcome::Busy { holder: None }, "it took over another lock");
}

#[test]
fn tokens_rise_across_release_expiry_take_over_flush_and_restart() {
    let mut world = World::new();
    let mut last = world.granted();
    let mut next = |world: &mut World, what: &str| {
        let grant = world.granted();
        assert!(grant.token > last.token, "not after a {what}");
        last = grant;
    };
    let grant = world.granted_after_release();
    assert!(world.holder().is_some() && grant.renewals == 0);
    world.now += TIMEOUT * 3;
    next(&mut world, "expiry");
    world.items.flush();
    next(&mut world, "flush");
    world.restart();
    next(&mut world, "restart");
    next(&mut world, "take-over");
}

impl World {
    /// Releases whatever is held by taking it over first, and acquires.
    fn granted_after_release(&mut self) -> Grant {
        let grant = self.granted();
        assert_eq!(self.release_grant(&grant), Released::Released);
        self.granted()
    }
}

#[test]
fn a_renewal_extends_the_deadline_and_keeps_the_token() {
    let mut world = World::new();
    let grant = world.granted();
    world.now += TIMEOUT / 2;
    let sent = world.at();
    let Renewed::Renewed(renewed) = world.renew(&grant) else {
        panic!("it is held")
    };
    assert_eq!(renewed.deadline.sent(), sent, "counted from before the request left");
    assert!(renewed.deadline.remaining(world.at()) > TIMEOUT - Duration::from_millis(10));
    assert_eq!(
        (renewed.token, renewed.nonce, renewed.renewals),
        (grant.token, grant.nonce, 1)
    );
    assert_eq!(world.release_grant(&renewed), Released::Released);
}

#[test]
fn the_lease_in_the_item_covers_whoever_it_is_handed_over_to() {
    let mut world = World::new();
    let mut grant = world.granted();
    let written = |world: &World| match &world.sent.last().expect("it was sent").0[1] {
        Request::Add { record, ttl, .. } | Request::Replace { record, ttl, .. } => (record.lease, *ttl),
        other => panic!("{other:?}"),
    };
    let (lease, ttl) = written(&world);
    assert_eq!(lease, TIMEOUT + Duration::from_millis(50));
    // From hand to hand until the slice is over. Nobody's deadline is beyond what the item tells.
    let mut hands = 0;
    while grant.may_be_handed_over(TIMEOUT, world.at()) {
        let token = grant.token;
        let Handed::Over(next) = grant.hand_over(TIMEOUT, world.at()) else {
            panic!("it was just handed over")
        };
        assert!(next.token > token);
        assert_eq!(next.deadline.remaining(world.at()), TIMEOUT);
        assert!(next.deadline.ends() <= Duration::from_secs(1000) + lease);
        grant = next;
        hands += 1;
        world.now += Duration::from_millis(4);
    }
    assert_eq!(hands, 13, "in 50 ms");
    // A holder with a shorter timeout renews for itself, and takes nothing from what the item tells.
    let short = Spec {
        timeout: TIMEOUT / 10,
        ..spec()
    };
    let Handed::Over(grant) = grant.hand_over(short.timeout, world.at()) else {
        panic!("more than enough is left")
    };
    assert_eq!(grant.deadline.remaining(world.at()), short.timeout);
    let mut machine = Renew::new(short.clone(), grant);
    let Output::Exchange { batch, only_on } = machine.step(world.at(), Input::Start) else {
        panic!("it is held")
    };
    let answered = world.exchange(&batch, only_on);
    let Output::Done(Renewed::Renewed(grant)) = machine.step(world.at(), Input::Answered(answered)) else {
        panic!("it is held")
    };
    assert_eq!(written(&world), (lease, ttl));
    assert!(grant.deadline.remaining(world.at()) <= short.timeout);
    assert!(grant.end.remaining(world.at()) > TIMEOUT);
    // A waiter of another process takes over from whoever holds it by then, once the whole lease is over.
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 1), None);
    assert!(waiter.watch().expect("it is held").left(world.at()) > TIMEOUT);
    assert_eq!(world.release_grant(&grant), Released::Released);
}

#[test]
fn a_renewal_number_is_never_written_twice() {
    let mut world = World::new();
    let mut grant = world.granted();
    world.fates = vec![
        Fate::Executed(Damage::Late),
        Fate::Swallowed(Damage::Late),
        Fate::NotSent(Damage::NotSent),
    ];
    for _ in 0..3 {
        let Renewed::Failed(failed, _) = world.renew(&grant) else {
            panic!("it had no reply")
        };
        assert_eq!(failed.deadline, grant.deadline, "an unanswered renewal extends nothing");
        grant = failed;
    }
    world.items.renumber(&item());
    let Renewed::Renewed(_) = world.renew(&grant) else {
        panic!("it is held")
    };
    let numbers: Vec<u32> = world
        .sent
        .iter()
        .flat_map(|(batch, _)| batch)
        .filter_map(|request| match request {
            Request::Replace { record, .. } => Some(record.renewal),
            _ => None,
        })
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(numbers.len() >= 5);
}

#[test]
fn a_renewal_never_creates_and_never_touches_anothers() {
    let mut world = World::new();
    let grant = world.granted();
    world.items.flush();
    assert_eq!(world.renew(&grant), Renewed::Lost);
    assert_eq!(world.holder(), None);
    let stranger = world.granted();
    assert_eq!(world.renew(&grant), Renewed::Lost);
    assert_eq!(world.holder(), Some(stranger.nonce));
}

#[test]
fn a_renewal_that_the_server_refuses_is_a_loss_if_the_item_is_gone() {
    let mut world = World::new();
    let grant = world.granted();
    world.items.set_out_of_memory(true);
    assert_eq!(world.renew(&grant), Renewed::Lost, "the refused store deleted the item");
}

#[test]
fn a_lease_that_has_ended_is_not_brought_back_to_life() {
    let mut world = World::new();
    let grant = world.granted();
    world.now += TIMEOUT;
    let before = world.sent.len();
    assert_eq!(world.renew(&grant), Renewed::RanOut);
    assert_eq!(world.sent.len(), before, "nothing was sent");
}

#[test]
fn another_cas_is_no_loss_the_server_may_have_renumbered_the_item() {
    let mut world = World::new();
    let grant = world.granted();
    world.items.renumber(&item());
    let Renewed::Renewed(grant) = world.renew(&grant) else {
        panic!("it is held")
    };
    world.items.renumber(&item());
    assert_eq!(world.release_grant(&grant), Released::Released);
}

#[test]
fn a_cas_from_before_a_restart_is_not_used_after_it() {
    let mut world = World::new();
    let grant = world.granted();
    world.restart();
    let stranger = world.granted();
    assert_eq!(stranger.cas, grant.cas, "the trap is set: CAS begins again");
    assert_eq!(world.renew(&grant), Renewed::Lost);
    assert_eq!(world.release_grant(&grant), Released::Gone);
    assert_eq!(world.holder(), Some(stranger.nonce));
}

#[test]
fn a_release_after_the_deadline_looks_first() {
    let mut world = World::new();
    let grant = world.granted();
    world.now += TIMEOUT;
    let before = world.sent.len();
    assert_eq!(world.release_grant(&grant), Released::Released);
    assert!(matches!(world.sent[before].0[..], [Request::Read]));
}

#[test]
fn a_release_without_a_reply_says_so_and_can_be_done_again() {
    for fate in [
        Fate::Executed(Damage::Cut),
        Fate::Swallowed(Damage::Late),
        Fate::NotSent(Damage::NotSent),
    ] {
        let mut world = World::new();
        let grant = world.granted();
        world.fates = vec![fate];
        assert!(matches!(world.release_grant(&grant), Released::Failed(_)));
        assert_ne!(
            world.release(Release::of_nonce(item(), grant.nonce)),
            Released::Failed(Damage::NotSent)
        );
        assert_eq!(world.holder(), None);
    }
}

#[test]
fn a_reservation_lasts_exactly_as_long_as_it_is_written_down_for() {
    const RESERVE: Duration = Duration::from_secs(1);
    let reserving = || Spec {
        timeout: RESERVE,
        ..spec()
    };
    for fate in [Fate::Fine, Fate::Executed(Damage::Late), Fate::Swallowed(Damage::Late)] {
        let mut world = World::new();
        let grant = world.granted();
        world.now += Duration::from_secs(2);
        let asked = world.at();
        let reserved = grant.reserve(RESERVE, asked);
        assert_eq!(reserved.deadline.remaining(asked), RESERVE, "before it is sent");
        assert_eq!(reserved.end, reserved.deadline);
        assert!(!reserved.may_be_handed_over(Duration::from_millis(1), asked));

        // Another process has watched the holder all the time.
        let mut waiter = Acquire::new(spec(), None, false);
        assert_eq!(world.run(&mut waiter, Input::Start, 3), None);
        world.fates = vec![fate];
        let mut shorten = Renew::shorten(reserving(), reserved.clone());
        let reserved = match world.run_renew(&mut shorten) {
            Renewed::Renewed(grant) => {
                assert_eq!(grant.lease, RESERVE, "what this process's own waiters go by");
                grant
            }
            Renewed::Failed(grant, _) => {
                assert_eq!(grant.lease, spec().lease(), "it may not have been written");
                grant
            }
            over => panic!("{over:?}"),
        };
        assert_eq!(
            reserved.deadline.ends(),
            asked.instant + RESERVE,
            "it counts from before it is sent, and a proof adds nothing"
        );
        let is_written = !matches!(fate, Fate::Swallowed(_));
        let Some(record) = world.record() else {
            panic!("it is still there")
        };
        assert_eq!((record.nonce, record.renewal), (reserved.nonce, u32::from(is_written)));
        assert_eq!(record.lease, if is_written { RESERVE } else { spec().lease() });

        // Nobody comes for it. The other takes it over when it is over, and not before.
        assert_eq!(
            world.run(&mut waiter, Input::Woke, 1),
            None,
            "a look at what is written"
        );
        let wait = if is_written { RESERVE } else { spec().lease() };
        world.now = asked.instant + wait;
        assert_eq!(
            world.run(&mut waiter, Input::Woke, 0),
            None,
            "it may be believed in yet"
        );
        world.now += wait / 4;
        let taken = world.run(&mut waiter, Input::Woke, 0);
        assert!(matches!(taken, Some(Outcome::Granted(_))), "{taken:?}");
        assert!(reserved.deadline.has_passed(world.at()));
    }
}

#[test]
fn who_claims_a_reservation_has_a_whole_timeout_and_a_higher_token() {
    let mut world = World::new();
    let grant = world.granted();
    let reserved = grant.clone().reserve(Duration::from_secs(1), world.at());
    let short = Spec {
        timeout: Duration::from_secs(1),
        ..spec()
    };
    let Renewed::Renewed(reserved) = world.run_renew(&mut Renew::shorten(short, reserved)) else {
        panic!("it was there");
    };
    world.now += Duration::from_millis(900);
    let claimed = world.at();
    let Renewed::Renewed(renewed) = world.renew(&reserved) else {
        panic!("it was reserved");
    };
    let claim = renewed.clone().claim(TIMEOUT, world.at()).expect("it is fresh");
    assert!(claim.token > grant.token);
    assert_eq!(claim.deadline.ends(), claimed.instant + TIMEOUT);
    assert_eq!(world.record().map(|record| record.lease), Some(spec().lease()));

    // The proof was heard of when half of the lease was over: another may be let in soon.
    let mut late = claimed;
    late.instant += TIMEOUT / 2 + Duration::from_millis(1);
    assert_eq!(renewed.claim(TIMEOUT, late), None);

    // Too late is too late, although the item is there yet.
    let reserved = claim.reserve(Duration::from_secs(1), world.at());
    world.now += Duration::from_secs(1);
    assert_eq!(world.renew(&reserved), Renewed::RanOut);
}

#[test]
fn a_claim_for_less_moves_no_expiry_back() {
    let mut world = World::new();
    let grant = world.granted();
    // The server stands still while the body runs, and goes on by the clock that stood.
    let body = Duration::from_secs(9);
    world.now += body;
    world.lag = body.as_secs();
    let length = Duration::from_millis(900);
    let of = |timeout| Spec { timeout, ..spec() };
    let reserved = grant.reserve(length, world.at());
    let Renewed::Renewed(reserved) = world.run_renew(&mut Renew::shorten(of(length), reserved)) else {
        panic!("it was there");
    };
    // The retry asks for little, for which a TTL would do that is over as soon as the clock is right again.
    let little = Duration::from_millis(200);
    let Renewed::Renewed(renewed) = world.run_renew(&mut Renew::new(of(little), reserved)) else {
        panic!("it was reserved");
    };
    let claimed = renewed.claim(little, world.at()).expect("it is fresh");
    world.lag = 0;
    assert!(!claimed.deadline.has_passed(world.at()));
    assert_eq!(
        world.holder(),
        Some(claimed.nonce),
        "it is believed in, and its item has expired"
    );
}
