//! Tests of acquiring under faults: lost replies, a slow, full, young or restarted server, unreadable items.

use super::*;

#[test]
fn an_add_without_a_reply_is_never_a_grant_and_its_item_is_cleared_away() {
    for unanswered in [Unanswered::Cut, Unanswered::Late] {
        let mut world = World::new().with_fates(&[Fate::Executed(unanswered)]);
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
fn an_add_without_a_reply_and_without_an_item_stays_outstanding() {
    for unanswered in [Unanswered::Cut, Unanswered::Late] {
        // The add was not executed before the contender looked. It may still be executed later.
        let mut world = World::new().with_fates(&[Fate::Swallowed(unanswered)]);
        let (outcome, machine) = world.acquire(spec());
        let Outcome::Granted(grant) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(machine.outstanding(), [Nonce(1)], "its outcome is still unknown");
        assert_ne!(
            grant.nonce,
            Nonce(1),
            "cleaning up after the lost attempt would delete the lock"
        );
        let mut world = World::new().with_fates(&[Fate::Executed(unanswered), Fate::Swallowed(unanswered)]);
        let (outcome, machine) = world.acquire(spec());
        assert_eq!(outcome, Outcome::Unreachable(unanswered));
        assert_eq!(machine.outstanding(), [Nonce(1)]);
    }
}

#[test]
fn a_take_over_without_a_reply_is_never_a_grant() {
    let mut world = World::new();
    world.acquire_grant();
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

/// A driver that has no time to ask again needs this: if the lock was held, the server is not the reason why its caller
/// does not have the lock.
#[test]
fn is_held_keeps_the_last_reply_when_later_exchanges_fail() {
    let mut world = World::new();
    world.acquire_grant();
    let wait = Some(Duration::from_secs(1));
    let mut machine = Acquire::new(Spec { wait, ..spec() }, None, false);
    assert!(!machine.is_held(), "no reply has said so");
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
    // In reverse order.
    world.fates = vec![
        Fate::NotSent(Unanswered::NotSent),
        Fate::NotSent(Unanswered::NotSent),
        Fate::Fine,
    ];
    assert_eq!(world.run(&mut machine, Input::Woke, 2), unanswered);
    assert!(!machine.is_held(), "it was free at the last look");
}

#[test]
fn a_contender_asks_an_unreachable_server_twice_and_gives_up() {
    let mut world = World::new().with_fates(&[Fate::NotSent(Unanswered::NotSent), Fate::NotSent(Unanswered::NotSent)]);
    let (outcome, machine) = world.acquire(spec());
    assert_eq!(outcome, Outcome::Unreachable(Unanswered::NotSent));
    assert_eq!(world.sent.len(), 2);
    assert!(
        machine.outstanding().is_empty(),
        "a request that was not sent leaves no item behind"
    );
    let mut world = World::new().with_fates(&[Fate::NotSent(Unanswered::NotSent)]);
    assert!(
        matches!(world.acquire(spec()).0, Outcome::Granted(_)),
        "the second attempt reached it"
    );
}

#[test]
fn a_server_too_young_is_waited_for_like_a_held_lock() {
    let young = Fate::NotSent(Unanswered::TooYoung);
    let mut world = World::new().with_fates(&[young; 20]);
    assert!(matches!(world.acquire(spec()).0, Outcome::Granted(_)));
    assert!(world.now >= Duration::from_secs(1001), "it paused between its attempts");
    let mut world = World::new().with_fates(&[young]);
    assert_eq!(
        world.acquire(spec_without_wait()).0,
        Outcome::Unreachable(Unanswered::TooYoung)
    );
}

#[test]
fn a_grant_with_too_little_of_its_lease_left_is_given_back() {
    // The server stood still for 19 s of its clock's time, so its items expire that much too early.
    let mut world = World::new();
    world.acquire_grant();
    world.lag = 19;
    world.item = ItemName::of_lock("memlock", "protocol", "y");
    let other = Spec {
        item: world.item.clone(),
        ..spec_without_wait()
    };
    let before = world.sent.len();
    let (outcome, _) = world.acquire(other.clone());
    assert!(is_behind_by(&outcome, 19), "{outcome:?}");
    let sent = &world.sent[before..];
    assert_eq!(sent.len(), 6, "three attempts, each given back: {sent:?}");
    assert!(matches!(sent[1].0[..], [Request::Delete { .. }]));
    world.lag = 0;
    assert!(
        matches!(world.acquire(other).0, Outcome::Granted(_)),
        "nothing was left behind"
    );
}

/// Whether it says that the server's clock is behind by about so many seconds.
fn is_behind_by(outcome: &Outcome, seconds: u64) -> bool {
    let range = Duration::from_secs(seconds - 2)..Duration::from_secs(seconds + 1);
    matches!(outcome, Outcome::ClockBehind(lag) if range.contains(lag))
}

#[test]
fn a_server_that_lost_time_grants_the_lock_again_once_its_clock_has_ticked() {
    for lag in [19, 3600] {
        let mut world = World::new();
        let grant = world.acquire_grant();
        world.release_grant(&grant);
        // Its machine was paused, and its clock goes on from where it stood.
        world.now += Duration::from_secs(lag);
        world.lag = lag;
        let resumed = world.now;
        let granted = world.acquire_grant();
        assert_eq!(granted.deadline.length(), TIMEOUT);
        let took = world.now - resumed;
        assert!(took < Duration::from_millis(1200), "{took:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_in_time_is_slow_and_not_behind() {
    let mut world = World::new();
    let (mut waiter, mut input) = (Acquire::new(spec(), None, false), Input::Start);
    let outcome = loop {
        let fresh = world.draw_nonce();
        match waiter.step(world.at(), fresh, input) {
            Output::Exchange { batch, only_on } => {
                input = Input::Exchanged(world.exchange(&batch, only_on));
                world.now += TIMEOUT * 2 / 3;
            }
            Output::Pause(pause) => panic!("{pause:?} would not help"),
            Output::Done(outcome) => break outcome,
        }
    };
    assert_eq!(outcome, Outcome::TooSlow);
}

#[test]
fn a_grant_that_could_not_be_given_back_stays_outstanding() {
    // The server's clock lags, so that each of three grants arrives with too little left. One of them is not given
    // back.
    let lagging = || {
        let mut world = World::new();
        let grant = world.acquire_grant();
        assert_eq!(world.release_grant(&grant), Released::Released);
        world.lag = 19;
        (world, Acquire::new(spec_without_wait(), None, false))
    };
    let lost = Fate::Swallowed(Unanswered::Late);

    let (world, mut contender) = lagging();
    let mut world = world.with_fates(&[Fate::Fine, lost]);
    let outcome = world.run(&mut contender, Input::Start, 0);
    assert!(
        outcome.is_some_and(|outcome| is_behind_by(&outcome, 19)),
        "it was blocked by its own item"
    );
    assert_eq!((contender.outstanding(), world.holder()), (&[][..], None));

    let (world, mut contender) = lagging();
    let mut world = world.with_fates(&[Fate::Fine, Fate::Fine, Fate::Fine, Fate::Fine, Fate::Fine, lost]);
    let outcome = world.run(&mut contender, Input::Start, 0);
    assert!(outcome.is_some_and(|outcome| is_behind_by(&outcome, 19)));
    let left = world.holder().expect("the last of them is still there");
    assert_eq!(contender.outstanding(), [left], "its item must still be deleted");
}

#[test]
fn a_grant_without_a_clock_item_is_given_back_once_the_item_is_created() {
    // The clock item is lost while the server's clock lags by more than the TTL's reserve: only a reading shows it.
    let mut world = World::new();
    world.acquire_second_grant();
    world.items.lose_clock();
    world.lag = 19;
    let other = Spec {
        item: ItemName::of_lock("memlock", "protocol", "y"),
        ..spec_without_wait()
    };
    world.item = other.item.clone();
    let (outcome, _) = world.acquire(other);
    assert!(is_behind_by(&outcome, 19), "granted by a clock that lags: {outcome:?}");

    let mut world = World::new();
    world.items.lose_clock();
    world.acquire_grant();
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
fn a_clock_item_that_is_lost_repeatedly_does_not_prevent_a_grant() {
    let mut world = World::new();
    let mut machine = Acquire::new(spec(), None, false);
    let mut input = Input::Start;
    let outcome = loop {
        let fresh = world.draw_nonce();
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
        let fresh = world.draw_nonce();
        match waiter.step(world.at(), fresh, input) {
            Output::Exchange { batch, only_on } => {
                exchanges += 1;
                assert!(exchanges < 20, "it never pauses");
                let stores = matches!(batch[..], [_, Request::Add { .. }, ..]);
                if stores {
                    world.acquire_grant();
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
fn an_unreadable_item_is_never_taken_over_or_deleted() {
    let mut world = World::new();
    world.items.store_foreign(world.second(), &item(), 20);
    let (outcome, _) = world.acquire(spec());
    assert!(matches!(outcome, Outcome::Granted(_)));
    assert!(world.now >= Duration::from_secs(1019), "only its expiry ended it");
    let is_change = |request: &Request| matches!(request, Request::Replace { .. } | Request::Delete { .. });
    assert!(!world.sent.iter().flat_map(|(batch, _)| batch).any(is_change));
}

#[test]
fn a_take_over_goes_only_to_the_instance_that_gave_its_cas() {
    let mut world = World::new();
    world.acquire_grant();
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 1), None);
    world.now += TIMEOUT * 11 / 10;
    let fresh = world.draw_nonce();
    let look = waiter.step(world.at(), fresh, Input::Woke);
    let Output::Exchange { batch, only_on } = look else {
        panic!("{look:?}")
    };
    let seen = world.exchange(&batch, only_on);
    // Between its look and its take-over the server is restarted, and another contender is granted the lock under the
    // same CAS.
    world.restart();
    let stranger = world.acquire_grant();
    let fresh = world.draw_nonce();
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
    // First a grant without a clock item, which is given back; then an attempt without a reply, whose item is deleted.
    for fate in [Fate::Fine, Fate::Executed(Unanswered::Cut)] {
        let mut world = World::new().with_fates(&[fate]);
        world.items.lose_clock();
        let mut contender = Acquire::new(spec(), None, false);
        let mut input = Input::Start;
        let (batch, only_on) = loop {
            let fresh = world.draw_nonce();
            match contender.step(world.at(), fresh, input) {
                Output::Exchange { batch, only_on } if matches!(batch[..], [Request::Delete { .. }]) => {
                    break (batch, only_on);
                }
                Output::Exchange { batch, only_on } => input = Input::Exchanged(world.exchange(&batch, only_on)),
                other => panic!("{other:?}"),
            }
        };
        // Before the delete arrives the server is restarted, and another contender is granted the lock under the same
        // CAS.
        world.restart();
        let stranger = world.acquire_grant();
        assert!(
            matches!(batch[..], [Request::Delete { cas, .. }] if cas == stranger.cas),
            "the two grants must have the same CAS"
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
