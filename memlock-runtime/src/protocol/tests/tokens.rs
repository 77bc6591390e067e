//! Fencing tokens, and attempts that get none.

use super::*;
use crate::protocol::messages::Cas;

fn start_contender(world: &mut World) -> (Acquire, Batch) {
    let mut contender = Acquire::new(spec(), None, false);
    let fresh = world.draw_nonce();
    let Output::Exchange { batch, .. } = contender.step(world.at(), fresh, Input::Start) else {
        panic!("it adds")
    };
    (contender, batch)
}

/// The outcome of an exchange with these `replies`.
fn answered(world: &World, replies: impl IntoIterator<Item = Reply>, unanswered: Option<Unanswered>) -> Input {
    Input::Exchanged(Exchanged {
        instance: Some(world.items.instance()),
        replies: replies.into_iter().collect(),
        unanswered,
        sent: world.at(),
        best: None,
        ..Exchanged::default()
    })
}

#[test]
fn tokens_rise_although_an_items_cas_is_drawn_before_its_data_arrives() {
    let mut world = World::new();
    let (mut slow, batch) = start_contender(&mut world);
    // The server has parsed the line of its add, and waits for the data. Meanwhile another contender is granted the
    // lock and releases it.
    let drawn = world.items.draw();
    let quick = world.acquire_grant();
    assert_eq!(world.release_grant(&quick), Released::Released);
    let second = world.second();
    let replies: Vec<Reply> = batch
        .iter()
        .map(|request| world.items.apply_drawn(second, &item(), request, Some(drawn)))
        .collect();
    let input = answered(&world, replies, None);
    let Some(Outcome::Granted(grant)) = world.run(&mut slow, input, 0) else {
        panic!("it was stored")
    };
    assert!(grant.cas < quick.cas, "the slow add must have drawn its CAS first");
    assert!(grant.token > quick.token);
}

#[test]
fn a_take_over_has_a_higher_token_although_its_cas_is_drawn_early() {
    let mut world = World::new();
    let mut dead = world.acquire_grant();
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 1), None);
    world.now += TIMEOUT * 11 / 10;
    let fresh = world.draw_nonce();
    let look = waiter.step(world.at(), fresh, Input::Woke);
    let Output::Exchange { batch, only_on } = look else {
        panic!("{look:?}")
    };
    let seen = world.exchange(&batch, only_on);
    let fresh = world.draw_nonce();
    let Output::Exchange { batch, .. } = waiter.step(world.at(), fresh, Input::Exchanged(seen)) else {
        panic!("it takes over")
    };
    assert!(matches!(
        batch[..],
        [Request::ReadClock, Request::Replace { .. }, Request::RaiseCounter]
    ));
    let drawn = world.items.draw();
    // Another key's grant on the same server.
    let other = ItemName::of_lock("memlock", "protocol", "y");
    world.items.apply(world.second(), &other, &Request::RaiseCounter);
    let second = world.second();
    let replies: Vec<Reply> = batch
        .iter()
        .map(|request| world.items.apply_drawn(second, &item(), request, Some(drawn)))
        .collect();
    let input = answered(&world, replies, None);
    let Some(Outcome::Granted(taken)) = world.run(&mut waiter, input, 0) else {
        panic!("it was stored")
    };
    dead.token = dead.token.next().expect("the token of a hand-over");
    assert!(taken.token > dead.token);
    assert!(
        matches!(world.sent.last(), Some((batch, _)) if batch[..] == [Request::Read]),
        "verified"
    );
}

#[test]
fn an_item_lost_before_the_counter_is_raised_gives_no_grant() {
    let mut world = World::new();
    let (mut slow, batch) = start_contender(&mut world);
    let second = world.second();
    let mut replies: Vec<Reply> = batch[..2]
        .iter()
        .map(|request| world.items.apply(second, &item(), request))
        .collect();
    // The item is lost between the two commands, and another contender is granted the lock.
    world.items.evict(&item());
    let other = world.acquire_grant();
    replies.push(world.items.apply(second, &item(), &batch[2]));
    let input = answered(&world, replies, None);
    assert_eq!(
        world.run(&mut slow, input, 0),
        None,
        "its item was stored first, and it would have the higher token"
    );
    assert_eq!(world.holder(), Some(other.nonce));
    assert!(slow.outstanding().is_empty(), "it was seen to be gone");
    assert_eq!(world.release_grant(&other), Released::Released);
    let later = world.run(&mut slow, Input::Woke, 5);
    assert!(
        matches!(&later, Some(Outcome::Granted(grant)) if grant.token > other.token),
        "{later:?}"
    );
}

#[test]
fn a_grant_beside_another_store_stands_only_after_a_read_of_its_item() {
    for fate in [
        Fate::Fine,
        Fate::Swallowed(Unanswered::Late),
        Fate::Swallowed(Unanswered::Cut),
    ] {
        let mut world = World::new();
        let (mut contender, batch) = start_contender(&mut world);
        let other = ItemName::of_lock("memlock", "protocol", "y");
        let second = world.second();
        let mut replies: Vec<Reply> = batch[..2]
            .iter()
            .map(|request| world.items.apply(second, &item(), request))
            .collect();
        world.items.apply(second, &other, &Request::RaiseCounter);
        replies.push(world.items.apply(second, &item(), &batch[2]));
        let input = answered(&world, replies, None);
        world.fates = vec![fate];
        let outcome = world.run(&mut contender, input, 0);
        let Some(Outcome::Granted(grant)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(world.sent[0].0[..], [Request::Read]);
        assert_eq!(world.holder(), Some(grant.nonce));
        assert!(contender.outstanding().is_empty());
        let is_first = grant.nonce == Nonce(1);
        assert_eq!(
            is_first,
            matches!(fate, Fate::Fine),
            "a grant without that read does not count"
        );
    }
}

#[test]
fn a_lock_without_a_token_is_given_back_and_the_refusal_is_reported() {
    let words = || Refusal("CLIENT_ERROR cannot increment or decrement non-numeric value".into());
    for fate in [Fate::Fine, Fate::Swallowed(Unanswered::Late)] {
        let mut world = World::new();
        let (mut contender, batch) = start_contender(&mut world);
        let second = world.second();
        let mut replies: Vec<Reply> = batch[..2]
            .iter()
            .map(|request| world.items.apply(second, &item(), request))
            .collect();
        replies.push(Reply::Refused(words()));
        let input = answered(&world, replies, None);
        world.fates = vec![fate];
        assert_eq!(world.run(&mut contender, input, 0), Some(Outcome::NoToken(words())));
        assert!(matches!(world.sent[..], [(ref batch, Some(_))] if matches!(batch[..], [Request::Delete { .. }])));
        // A grant that could not be given back is not forgotten.
        let left: Vec<Nonce> = world.holder().into_iter().collect();
        assert_eq!(contender.outstanding(), left);
        assert_eq!(left.is_empty(), matches!(fate, Fate::Fine));
    }
}

#[test]
fn a_lock_without_the_counters_reply_is_no_grant_and_is_cleared_away() {
    for unanswered in [
        Some(Unanswered::Cut),
        Some(Unanswered::Late),
        Some(Unanswered::NotSent),
        None,
    ] {
        let mut world = World::new();
        let (mut contender, batch) = start_contender(&mut world);
        let second = world.second();
        let mut replies: Vec<Reply> = batch
            .iter()
            .map(|request| world.items.apply(second, &item(), request))
            .collect();
        replies.truncate(2);
        let input = answered(&world, replies, unanswered);
        let outcome = world.run(&mut contender, input, 0);
        let Some(Outcome::Granted(grant)) = outcome else {
            panic!("{unanswered:?}: {outcome:?}")
        };
        assert_ne!(
            grant.nonce,
            Nonce(1),
            "{unanswered:?}: a grant without a token of its own"
        );
        assert_eq!(world.holder(), Some(grant.nonce));
        assert!(contender.outstanding().is_empty(), "seen and deleted, it is settled");
    }
}

#[test]
fn a_counter_not_above_the_items_cas_is_not_trusted() {
    let cas = |number| Cas::new(number).expect("not zero");
    for raised in [1, 6, 7] {
        let mut world = World::new();
        let (mut contender, _) = start_contender(&mut world);
        let second = Reply::Clock(world.second());
        let input = answered(
            &world,
            [second, Reply::Stored(cas(7)), Reply::Raised(cas(raised))],
            None,
        );
        assert_eq!(world.run(&mut contender, input, 0), Some(Outcome::Untrustworthy));
        assert_eq!(contender.outstanding(), [Nonce(1)]);
    }
}
