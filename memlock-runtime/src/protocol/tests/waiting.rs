//! Tests of acquiring a free lock, and of waiting for a held one: in the wait list, with wake-ups, and until a dead
//! holder's lease is over.

use super::*;

#[test]
fn a_free_lock_is_granted_in_one_exchange_that_reads_the_clock_first() {
    let mut world = World::new();
    let grant = world.acquire_grant();
    assert_eq!(world.sent.len(), 1);
    assert!(matches!(
        world.sent[0].0[..],
        [Request::ReadClock, Request::Add { .. }, Request::RaiseCounter]
    ));
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
    // memcached deletes the item under a store that it refuses for lack of memory. So a blind store may free a held
    // lock.
    let mut world = World::new();
    world.acquire_grant();
    let mut waiter = Acquire::new(spec(), None, false);
    let before = world.stores();
    assert_eq!(world.run(&mut waiter, Input::Start, 50), None);
    assert_eq!(world.stores() - before, 1, "one blind attempt, then only reading");

    let mut cautious = Acquire::new(spec(), None, true);
    let before = world.stores();
    assert_eq!(world.run(&mut cautious, Input::Start, 50), None);
    assert_eq!(
        world.stores(),
        before,
        "on a server short of memory it does not store even once"
    );
}

/// Returns a contender that waits in the wait list, and can be woken.
fn waiter_in_list(world: &mut World) -> Acquire {
    let wake = WakeTarget {
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
        secret: crate::text::secret::Secret::new(7),
    };
    let me = Member::new(7, Some(wake));
    let mut waiter = Acquire::new(spec(), None, false).with_wait_list(me, None);
    assert_eq!(world.run(&mut waiter, Input::Start, 3), None);
    world.sent.clear();
    waiter
}

#[test]
fn a_woken_waiter_adds_at_once_unless_the_server_is_short_of_memory() {
    let mut world = World::new();
    let first = world.acquire_grant();
    let mut waiter = waiter_in_list(&mut world);
    assert_eq!(world.release_grant(&first), Released::Released);
    assert_eq!(waiter.record_wake(world.at(), false), Duration::ZERO);
    let granted = world.run(&mut waiter, Input::Woke, 0);
    assert!(matches!(granted, Some(Outcome::Granted(_))), "{granted:?}");
    let [_, (batch, _)] = &world.sent[..] else {
        panic!("{:?}", world.sent)
    };
    assert!(
        matches!(
            batch[..],
            [
                Request::ReadClock,
                Request::Add { .. },
                Request::RaiseCounter,
                Request::ReadWaitList
            ]
        ),
        "the list is read, too, so that the release can leave it at once: {batch:?}"
    );

    let mut world = World::new();
    world.acquire_grant();
    let mut cautious = waiter_in_list(&mut world);
    let before = world.stores();
    assert_eq!(cautious.record_wake(world.at(), true), Duration::ZERO);
    assert_eq!(world.run(&mut cautious, Input::Woke, 0), None);
    assert_eq!(world.stores(), before, "a store that is refused would free the lock");

    // The sender of a wake-up knows the list better than a waiter that last read it when it joined.
    let mut world = World::new();
    let first = world.acquire_grant();
    let store = Request::StoreWaitList {
        line: WaitList(vec![Member::new(6, None)]),
        ttl: 300,
        cas: None,
    };
    world.items.apply(world.second(), &item(), &store);
    let mut behind_another = waiter_in_list(&mut world);
    assert_eq!(world.release_grant(&first), Released::Released);
    behind_another.record_wake(world.at(), true);
    let granted = world.run(&mut behind_another, Input::Woke, 0);
    assert!(matches!(granted, Some(Outcome::Granted(_))), "{granted:?}");
}

#[test]
fn a_waiter_woken_in_vain_stores_once_and_then_only_looks() {
    let mut world = World::new();
    world.acquire_grant();
    let mut waiter = waiter_in_list(&mut world);
    let before = world.stores();
    for _ in 0..10 {
        waiter.record_wake(world.at(), false);
        assert_eq!(world.run(&mut waiter, Input::Woke, 0), None);
    }
    assert_eq!(world.stores() - before, 1);
}

#[test]
fn a_waiter_that_found_no_clock_item_reads_it_again() {
    let mut world = World::new();
    world.acquire_grant();
    world.sent.clear();
    let mut waiter = Acquire::new(spec(), None, false);
    // The reply of a server whose clock item was not created yet.
    let fresh = world.draw_nonce();
    assert!(matches!(
        waiter.step(world.at(), fresh, Input::Start),
        Output::Exchange { .. }
    ));
    let answered = Exchanged {
        instance: Some(world.items.instance()),
        replies: [Reply::Missing, Reply::NotStored].into_iter().collect(),
        unanswered: None,
        sent: world.at(),
        best: None,
        ..Exchanged::default()
    };
    assert_eq!(world.run(&mut waiter, Input::Exchanged(answered), 3), None);
    let asks = |(batch, _): &&(Batch, Option<Instance>)| matches!(batch[0], Request::ReadClock);
    assert_eq!(world.sent.iter().filter(asks).count(), 1, "until it has read it");
    assert!(asks(&&world.sent[0]));
}

#[test]
fn a_waiter_gets_a_released_lock_with_a_higher_token() {
    let mut world = World::new();
    let first = world.acquire_grant();
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
    let dead = world.acquire_grant();
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
    let takes_over = matches!(
        batch[..],
        [Request::ReadClock, Request::Replace { .. }, Request::RaiseCounter]
    );
    assert!(takes_over && only_on.is_some());
    assert!(grant.token > dead.token && dead.deadline.has_passed(world.at()));
    assert_eq!(
        world.release_grant(&dead),
        Released::Gone,
        "it does not delete the item of the next holder"
    );
    assert_eq!(world.holder(), Some(grant.nonce));
}

#[test]
fn a_timer_that_wakes_a_watcher_too_early_lets_it_pause_again_and_not_spin() {
    let mut world = World::new();
    world.acquire_grant();
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 0), None);
    let left = waiter.watch().expect("it is held").left(world.at());
    world.now += left - Duration::from_micros(1001);
    let fresh = world.draw_nonce();
    let Output::Exchange { batch, only_on } = waiter.step(world.at(), fresh, Input::Woke) else {
        panic!("it looks")
    };
    let seen = world.exchange(&batch, only_on);
    let Output::Pause(pause) = waiter.step(world.at(), fresh, Input::Exchanged(seen)) else {
        panic!("the watch is not over")
    };
    assert!(
        pause.to >= Duration::from_micros(100),
        "{pause:?}, for the last microsecond"
    );
}

#[test]
fn a_watch_counts_from_the_receipt_of_the_first_reading() {
    // The first reading takes two seconds, and the lock is granted meanwhile.
    let mut world = World::new();
    let mut waiter = Acquire::new(spec(), None, true);
    let (sent, fresh) = (world.at(), world.draw_nonce());
    let Output::Exchange { batch, only_on } = waiter.step(sent, fresh, Input::Start) else {
        panic!("it looks first")
    };
    world.now += Duration::from_secs(2);
    let holder = world.acquire_grant();
    let seen = Exchanged {
        sent,
        ..world.exchange(&batch, only_on)
    };
    let taken = world.run(&mut waiter, Input::Exchanged(seen), 100_000);
    assert!(matches!(taken, Some(Outcome::Granted(_))), "{taken:?}");
    assert!(
        holder.deadline.has_passed(world.at()),
        "taken over while its holder believed"
    );
}

#[test]
fn a_renewed_lease_is_not_taken_over() {
    let mut world = World::new();
    let mut grant = world.acquire_grant();
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
fn a_contender_whose_wait_is_over_ends_as_busy_and_names_the_holder() {
    let mut world = World::new();
    world.acquire_grant();
    let (outcome, _) = world.acquire(spec_without_wait());
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
    world.acquire_grant();
    let mut waiter = Acquire::new(spec(), None, false);
    let mut longest = Vec::new();
    let mut input = Input::Start;
    while longest.len() < 60 {
        let fresh = world.draw_nonce();
        match waiter.step(world.at(), fresh, input) {
            Output::Exchange { batch, only_on } => input = Input::Exchanged(world.exchange(&batch, only_on)),
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
