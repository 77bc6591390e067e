//! Acquiring where something is wrong: no reply, a slow, full, young or restarted server, items of others.

use super::*;

#[test]
fn an_add_without_a_reply_is_never_a_grant_and_its_item_is_cleared_away() {
    for unanswered in [Unanswered::Cut, Unanswered::Late] {
        let mut world = World::new().fated(&[Fate::Executed(unanswered)]);
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
    for unanswered in [Unanswered::Cut, Unanswered::Late] {
        // It was not executed when the contender looked. It may be, later.
        let mut world = World::new().fated(&[Fate::Swallowed(unanswered)]);
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
            "cleaning up after the lost attempt would delete the lock"
        );
        let mut world = World::new().fated(&[Fate::Executed(unanswered), Fate::Swallowed(unanswered)]);
        let (outcome, machine) = world.acquire(spec());
        assert_eq!(outcome, Outcome::Unreachable(unanswered));
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
    world.fates = vec![Fate::Executed(Unanswered::Late), Fate::Fine];
    let taken = world.run(&mut waiter, Input::Woke, 3);
    let Some(Outcome::Granted(grant)) = taken else {
        panic!("{taken:?}")
    };
    assert_eq!(world.holder(), Some(grant.nonce));
    assert!(waiter.outstanding().is_empty());
}

/// A driver that has no time to ask again needs this: then it was not the server that kept its caller from the lock.
#[test]
fn a_contender_that_gets_no_answer_remembers_whether_the_last_one_said_held() {
    let mut world = World::new();
    world.granted();
    let wait = Some(Duration::from_secs(1));
    let mut machine = Acquire::new(Spec { wait, ..spec() }, None, false);
    assert!(!machine.is_held(), "nobody has said so");
    assert_eq!(world.run(&mut machine, Input::Start, 0), None);
    world.now += Duration::from_secs(1);
    world.fates = vec![Fate::NotSent(Unanswered::NotSent); 2];
    let unanswered = Some(Outcome::Unreachable(Unanswered::NotSent));
    assert_eq!(world.run(&mut machine, Input::Woke, 0), unanswered);
    assert!(machine.is_held());
    assert_eq!(machine.holder(), Some(&"host/7 protocol".into()));

    let mut machine = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut machine, Input::Start, 0), None);
    world.items.flush();
    // The last first.
    world.fates = vec![
        Fate::NotSent(Unanswered::NotSent),
        Fate::NotSent(Unanswered::NotSent),
        Fate::Fine,
    ];
    assert_eq!(world.run(&mut machine, Input::Woke, 2), unanswered);
    assert!(!machine.is_held(), "it was free at the last look");
}

#[test]
fn an_unreachable_server_is_asked_once_more_and_then_given_up() {
    let mut world = World::new().fated(&[Fate::NotSent(Unanswered::NotSent), Fate::NotSent(Unanswered::NotSent)]);
    let (outcome, machine) = world.acquire(spec());
    assert_eq!(outcome, Outcome::Unreachable(Unanswered::NotSent));
    assert_eq!(world.sent.len(), 2);
    assert!(
        machine.outstanding().is_empty(),
        "what was not sent leaves nothing behind"
    );
    let mut world = World::new().fated(&[Fate::NotSent(Unanswered::NotSent)]);
    assert!(
        matches!(world.acquire(spec()).0, Outcome::Granted(_)),
        "the second attempt reached it"
    );
}

#[test]
fn a_server_too_young_is_waited_for_like_a_held_lock() {
    let young = Fate::NotSent(Unanswered::TooYoung);
    let mut world = World::new().fated(&[young; 20]);
    assert!(matches!(world.acquire(spec()).0, Outcome::Granted(_)));
    assert!(world.now >= Duration::from_secs(1001), "it paused between its attempts");
    let mut world = World::new().fated(&[young]);
    assert_eq!(world.acquire(impatient()).0, Outcome::Unreachable(Unanswered::TooYoung));
}

#[test]
fn a_grant_that_comes_with_too_little_left_is_given_back() {
    // The server stood still for 19 s of its clock's time, so its items expire that much too early.
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
    // The server's clock lags, so that each of three grants arrives with too little left. One of them is not given
    // back.
    let lagging = || {
        let mut world = World::new();
        let grant = world.granted();
        assert_eq!(world.release_grant(&grant), Released::Released);
        world.lag = 19;
        (world, Acquire::new(spec(), None, false))
    };
    let lost = Fate::Swallowed(Unanswered::Late);

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
fn a_grant_without_a_readable_clock_is_given_back_once_the_clock_is_made() {
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
    assert!(matches!(
        world.sent[3].0[..],
        [Request::ReadClock, Request::Add { .. }, Request::RaiseCounter]
    ));
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
                input = Input::Exchanged(world.exchange(&batch, only_on));
            }
            Output::Pause(_) => panic!("the lock is free"),
            Output::Done(outcome) => break outcome,
        }
    };
    assert!(matches!(outcome, Outcome::Granted(_)));
}

#[test]
fn a_contender_that_loses_every_race_pauses() {
    // Whenever the waiter looks, the lock is free. Whenever it stores, another was faster.
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
                let stores = matches!(batch[..], [_, Request::Add { .. }, ..]);
                if stores {
                    world.granted();
                } else if let Some(nonce) = world.holder() {
                    world.release(Release::of_nonce(item(), nonce));
                }
                input = Input::Exchanged(world.exchange(&batch, only_on));
            }
            Output::Pause(_) => break,
            Output::Done(outcome) => panic!("{outcome:?}"),
        }
    }
}

#[test]
fn a_refused_store_reports_the_servers_words() {
    let mut world = World::new();
    world.items.set_out_of_memory(true);
    let (outcome, _) = world.acquire(spec());
    assert!(matches!(outcome, Outcome::Refused(Refusal(words)) if words.contains("out of memory")));
}

#[test]
fn an_unreadable_item_is_waited_out_and_never_taken_over_or_deleted() {
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
    let take_over = waiter.step(world.at(), fresh, Input::Exchanged(seen));
    assert!(matches!(&take_over, Output::Exchange { only_on: Some(instance), .. } if instance.pid == 1));
    let Output::Exchange { batch, only_on } = take_over else {
        panic!("checked above")
    };
    let answered = world.exchange(&batch, only_on);
    assert_eq!(world.run(&mut waiter, Input::Exchanged(answered), 5), None);
    assert_eq!(world.holder(), Some(stranger.nonce));
}

#[test]
fn deletes_of_a_contenders_own_items_go_only_to_the_instance_that_stored_them() {
    // A grant without a clock to read, which is given back, and an attempt without a reply, which is cleared away.
    for fate in [Fate::Fine, Fate::Executed(Unanswered::Cut)] {
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
                Output::Exchange { batch, only_on } => input = Input::Exchanged(world.exchange(&batch, only_on)),
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
        assert_eq!(world.run(&mut contender, Input::Exchanged(answered), 5), None);
        assert_eq!(world.holder(), Some(stranger.nonce));
    }
}

#[test]
fn an_item_with_another_full_name_is_another_lock_whatever_its_hash() {
    // Names too long for memcached are shortened with a hash. Here the hash of another lock is the same.
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
        ..spec.record(Nonce(77), spec.lengths())
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
