//! Tests of reservations, which are kept for a retry and claimed by it.

use super::*;

#[test]
fn a_reservation_lasts_exactly_as_long_as_its_item_says() {
    const RESERVE: Duration = Duration::from_secs(1);
    let reserving = || Spec {
        timeout: RESERVE,
        ..spec()
    };
    for fate in [
        Fate::Fine,
        Fate::Executed(Unanswered::Late),
        Fate::Swallowed(Unanswered::Late),
    ] {
        let mut world = World::new();
        let grant = world.acquire_grant();
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
                assert_eq!(grant.lease, RESERVE, "the waiters of this process watch by it");
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
            "it counts from before the request is sent, and a reply extends nothing"
        );
        let is_written = !matches!(fate, Fate::Swallowed(_));
        let Some(record) = world.record() else {
            panic!("it is still there")
        };
        assert_eq!((record.nonce, record.renewal), (reserved.nonce, u32::from(is_written)));
        assert_eq!(record.lease, if is_written { RESERVE } else { spec().lease() });

        // Nobody claims the reservation. The other process takes the lock over when the reservation is over, and not
        // before.
        assert_eq!(
            world.run(&mut waiter, Input::Woke, 1),
            None,
            "the waiter looks at the item as it is now"
        );
        let wait = if is_written { RESERVE } else { spec().lease() };
        world.now = asked.instant + wait;
        assert_eq!(
            world.run(&mut waiter, Input::Woke, 0),
            None,
            "a holder may still believe in the lease"
        );
        world.now += wait / 4;
        let taken = world.run(&mut waiter, Input::Woke, 0);
        assert!(matches!(taken, Some(Outcome::Granted(_))), "{taken:?}");
        assert!(reserved.deadline.has_passed(world.at()));
    }
}

#[test]
fn a_reservation_is_not_handed_over_even_within_the_slice() {
    let mut world = World::new();
    let (grant, short) = (world.acquire_grant(), Duration::from_millis(1));
    assert!(grant.may_be_handed_over(short, world.at()));
    let reserved = grant.reserve(Duration::from_secs(1), world.at());
    assert!(!reserved.may_be_handed_over(short, world.at()));
}

#[test]
fn a_claimed_reservation_has_a_whole_timeout_and_a_higher_token() {
    let mut world = World::new();
    let grant = world.acquire_grant();
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

    // The reply arrived when less than half of the timeout was left.
    let mut late = claimed;
    late.instant += TIMEOUT / 2 + Duration::from_millis(1);
    assert_eq!(renewed.claim(TIMEOUT, late), None);

    // A renewal after the deadline fails, although the item is still there.
    let reserved = claim.reserve(Duration::from_secs(1), world.at());
    world.now += Duration::from_secs(1);
    assert_eq!(world.renew(&reserved), Renewed::RanOut);
}

#[test]
fn a_claim_with_a_short_timeout_does_not_shorten_the_ttl() {
    let mut world = World::new();
    let grant = world.acquire_grant();
    // The server stands still while the body runs. Then it goes on with a clock that lags by that time.
    let body = Duration::from_secs(9);
    world.now += body;
    world.lag = body.as_secs();
    let length = Duration::from_millis(900);
    let of = |timeout| Spec { timeout, ..spec() };
    let reserved = grant.reserve(length, world.at());
    let Renewed::Renewed(reserved) = world.run_renew(&mut Renew::shorten(of(length), reserved)) else {
        panic!("it was there");
    };
    // The retry asks for a short timeout. A TTL for just that timeout would be over as soon as the clock is right
    // again.
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
