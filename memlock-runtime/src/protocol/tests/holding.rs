//! Tests of a held lock: its token, its renewals, its release.

use super::*;

#[test]
fn tokens_rise_across_release_expiry_take_over_flush_and_restart() {
    let mut world = World::new();
    let mut last = world.acquire_grant();
    let mut next = |world: &mut World, what: &str| {
        let grant = world.acquire_grant();
        assert!(grant.token > last.token, "not after a {what}");
        last = grant;
    };
    let grant = world.acquire_second_grant();
    assert!(world.holder().is_some() && grant.renewals == 0);
    world.now += TIMEOUT * 3;
    next(&mut world, "expiry");
    world.items.flush();
    next(&mut world, "flush");
    world.restart();
    next(&mut world, "restart");
    next(&mut world, "take-over");
}

#[test]
fn a_renewal_extends_the_deadline_and_keeps_the_token() {
    let mut world = World::new();
    let grant = world.acquire_grant();
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
fn the_lease_in_the_item_covers_every_holder_that_takes_the_lock_over() {
    let mut world = World::new();
    let mut grant = world.acquire_grant();
    let written = |world: &World| match &world.sent.last().expect("it was sent").0[1] {
        Request::Add { record, ttl, .. } | Request::Replace { record, ttl, .. } => (record.lease, *ttl),
        other => panic!("{other:?}"),
    };
    let (lease, ttl) = written(&world);
    assert_eq!(lease, TIMEOUT + Duration::from_millis(50));
    // The lock is handed over until the slice is over. No deadline is beyond the lease in the item.
    let mut hand_overs = 0;
    while grant.may_be_handed_over(TIMEOUT, world.at()) {
        let token = grant.token;
        let Handed::Over(next) = grant.hand_over(TIMEOUT, world.at()) else {
            panic!("it was just handed over")
        };
        assert!(next.token > token);
        assert_eq!(next.deadline.remaining(world.at()), TIMEOUT);
        assert!(next.deadline.ends() <= Duration::from_secs(1000) + lease);
        grant = next;
        hand_overs += 1;
        world.now += Duration::from_millis(4);
    }
    assert_eq!(hand_overs, 13, "in 50 ms");
    // A holder with a shorter timeout renews for its own timeout, and does not shorten the lease in the item.
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
    let Output::Done(Renewed::Renewed(grant)) = machine.step(world.at(), Input::Exchanged(answered)) else {
        panic!("it is held")
    };
    assert_eq!(written(&world), (lease, ttl));
    assert!(grant.deadline.remaining(world.at()) <= short.timeout);
    assert!(grant.end.remaining(world.at()) > TIMEOUT);
    // A waiter of another process takes the lock over from the last holder, once the whole lease is over.
    let mut waiter = Acquire::new(spec(), None, false);
    assert_eq!(world.run(&mut waiter, Input::Start, 1), None);
    assert!(waiter.watch().expect("it is held").left(world.at()) > TIMEOUT);
    assert_eq!(world.release_grant(&grant), Released::Released);
}

#[test]
fn a_renewal_number_is_never_written_twice() {
    let mut world = World::new();
    let mut grant = world.acquire_grant();
    world.fates = vec![
        Fate::Executed(Unanswered::Late),
        Fate::Swallowed(Unanswered::Late),
        Fate::NotSent(Unanswered::NotSent),
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
fn a_renewal_neither_creates_an_item_nor_changes_that_of_another_grant() {
    let mut world = World::new();
    let grant = world.acquire_grant();
    world.items.flush();
    assert_eq!(world.renew(&grant), Renewed::Lost);
    assert_eq!(world.holder(), None);
    let stranger = world.acquire_grant();
    assert_eq!(world.renew(&grant), Renewed::Lost);
    assert_eq!(world.holder(), Some(stranger.nonce));
}

#[test]
fn a_refused_renewal_is_a_loss_if_the_item_is_gone() {
    let mut world = World::new();
    let grant = world.acquire_grant();
    world.items.set_out_of_memory(true);
    assert_eq!(world.renew(&grant), Renewed::Lost, "the refused store deleted the item");
}

#[test]
fn a_lease_past_its_deadline_is_not_renewed() {
    let mut world = World::new();
    let grant = world.acquire_grant();
    world.now += TIMEOUT;
    let before = world.sent.len();
    assert_eq!(world.renew(&grant), Renewed::RanOut);
    assert_eq!(world.sent.len(), before, "nothing was sent");
}

#[test]
fn an_item_that_the_server_renumbered_is_not_lost() {
    let mut world = World::new();
    let grant = world.acquire_grant();
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
    let grant = world.acquire_grant();
    world.restart();
    let stranger = world.acquire_grant();
    assert_eq!(stranger.cas, grant.cas, "both instances must give the same CAS");
    assert_eq!(world.renew(&grant), Renewed::Lost);
    assert_eq!(world.release_grant(&grant), Released::Gone);
    assert_eq!(world.holder(), Some(stranger.nonce));
}

#[test]
fn a_release_after_the_deadline_reads_the_item_first() {
    let mut world = World::new();
    let grant = world.acquire_grant();
    world.now += TIMEOUT;
    let before = world.sent.len();
    assert_eq!(world.release_grant(&grant), Released::Released);
    assert!(matches!(world.sent[before].0[..], [Request::Read]));
}

#[test]
fn a_release_without_a_reply_fails_and_can_be_tried_again() {
    for fate in [
        Fate::Executed(Unanswered::Cut),
        Fate::Swallowed(Unanswered::Late),
        Fate::NotSent(Unanswered::NotSent),
    ] {
        let mut world = World::new();
        let grant = world.acquire_grant();
        world.fates = vec![fate];
        assert!(matches!(world.release_grant(&grant), Released::Failed(_)));
        assert_ne!(
            world.release(Release::of_nonce(item(), grant.nonce)),
            Released::Failed(Unanswered::NotSent)
        );
        assert_eq!(world.holder(), None);
    }
}
