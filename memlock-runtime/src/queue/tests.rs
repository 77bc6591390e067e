//! The queue's steps, one after the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::numbers::SHARDS;
use super::of_key::SHORT_HOLD;
use super::shard::{MAX_REMEMBERED, Shard};
use super::*;
use crate::error::Error;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{Grant, Handed, Member, Nonce, Pending, WaitList, WaitListView, Watch};

const TIMEOUT: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Queues in which only a lease ends a turn.
fn queues() -> Arc<Queues> {
    Queues::new(Arc::default(), Duration::MAX)
}

fn item() -> ItemName {
    ItemName::of_lock("memlock", "queue", "x")
}

fn head(queues: &Arc<Queues>) -> Turn {
    match queues.join(&item(), TIMEOUT, Now::default(), false, || Waker::noop().clone()) {
        Joined::Head(turn) => turn,
        Joined::Behind(_) => panic!("somebody is there"),
    }
}

fn behind(queues: &Arc<Queues>) -> (Place, Arc<Count>) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    match queues.join(&item(), TIMEOUT, Now::default(), false, || {
        Waker::from(Arc::clone(&count))
    }) {
        Joined::Head(_) => panic!("nobody is there"),
        Joined::Behind(place) => (place, count),
    }
}

fn has_turn(place: Place, now: Duration, why: &str) -> Turn {
    match place.progress(Now::at(now)) {
        PlaceProgress::Turn(turn) => turn,
        other => panic!("{other:?}: {why}"),
    }
}

fn waits(place: Place, now: Duration, why: &str) -> Place {
    match place.progress(Now::at(now)) {
        PlaceProgress::Place(place) => place,
        other => panic!("{other:?}: {why}"),
    }
}

#[test]
fn a_head_that_fails_for_all_dismisses_every_waiter() {
    let queues = queues();
    let turn = head(&queues);
    let (first, first_woken) = behind(&queues);
    let (second, second_woken) = behind(&queues);
    turn.set_trouble(Some(Error::config("in trouble")));
    assert!(first.outlook().trouble.is_some());
    turn.set_trouble(None);
    assert!(first.outlook().trouble.is_none());
    assert!(!first.is_notified());
    turn.fail_for_all(&Error::config("no server"));
    assert!(first.is_notified());
    for place in [first, second] {
        assert!(matches!(place.progress(Now::default()), PlaceProgress::Dismissed(error) if error.is_config()));
    }
    assert_eq!(
        (
            first_woken.0.load(Ordering::SeqCst),
            second_woken.0.load(Ordering::SeqCst)
        ),
        (2, 1),
        "the first asked for its outlook, and was woken when the trouble was over"
    );
    drop(head(&queues));
}

#[test]
fn a_waiter_that_waits_only_for_the_servers_answer_is_woken_once_by_it_and_no_other_is() {
    for answer in 0..3 {
        let queues = queues();
        let turn = head(&queues);
        let (curious, woken) = behind(&queues);
        let (patient, never_woken) = behind(&queues);
        // Both announce a sleep that ends before any lease, so that no lease wakes them.
        for place in [&curious, &patient] {
            place.announce_sleep(Duration::ZERO);
        }
        assert!(curious.outlook().is_open && !curious.is_notified());
        match answer {
            0 => turn.leased(TIMEOUT, Watch::of_own(&grant(TIMEOUT), Now::default())),
            1 => turn.pause(Duration::ZERO, Now::default()),
            _ => turn.set_trouble(Some(Error::config("in trouble"))),
        }
        assert!(curious.is_notified(), "a sleep that is about to begin ends at once");
        let counts = [&woken, &never_woken].map(|count| count.0.load(Ordering::SeqCst));
        assert_eq!(counts, [1, 0]);
        let outlook = curious.outlook();
        assert_eq!(outlook.is_open, answer == 2, "the head got no answer, and asks again");
        assert_eq!(outlook.trouble.is_some(), answer == 2);
        assert!(!curious.is_notified(), "it has looked");
    }
}

#[test]
fn those_that_stay_keep_their_order_when_a_crowd_leaves_from_everywhere() {
    const CROWD: usize = 1000;
    // Every one of so many stays.
    for stay in [2, 3, 7, 100] {
        let queues = queues();
        let mut turn = head(&queues);
        let places: Vec<Place> = (0..CROWD).map(|_| behind(&queues).0).collect();
        let (staying, leaving): (Vec<_>, Vec<_>) = places.into_iter().enumerate().partition(|(n, _)| n % stay == 1);
        // The last, the first, the last but one, the second, and so on.
        let mut leaving: VecDeque<Place> = leaving.into_iter().map(|(_, place)| place).collect();
        while let Some(place) = leaving.pop_back() {
            drop(place);
            drop(leaving.pop_front());
            assert_eq!(queues.waiting(&item()), staying.len() + leaving.len());
        }
        for (n, place) in staying {
            drop(turn);
            turn = has_turn(place, Duration::ZERO, &format!("{n} is the next of those that stay"));
        }
        assert_eq!(queues.waiting(&item()), 0);
    }
}

#[test]
fn turns_are_given_in_the_order_of_arrival_and_wake_only_their_taker() {
    let queues = queues();
    let turn = head(&queues);
    let (first, first_woken) = behind(&queues);
    let (second, second_woken) = behind(&queues);
    let first = waits(first, Duration::ZERO, "the head still has it");
    drop(turn);
    let second = waits(second, Duration::ZERO, "first come, first served");
    let turn = has_turn(first, Duration::ZERO, "the head has left");
    assert_eq!(
        (
            first_woken.0.load(Ordering::SeqCst),
            second_woken.0.load(Ordering::SeqCst)
        ),
        (1, 0)
    );
    drop(turn);
    drop(has_turn(second, Duration::ZERO, "the first has left"));
    drop(head(&queues));
}

#[test]
fn a_waiter_that_leaves_takes_no_turn_with_it() {
    let queues = queues();
    let turn = head(&queues);
    let (first, _) = behind(&queues);
    let (second, _) = behind(&queues);
    let (third, _) = behind(&queues);
    drop(first);
    drop(turn);
    drop(second); // It had been given the turn, and had not looked since.
    drop(has_turn(third, Duration::ZERO, "the turn was passed on"));
    drop(head(&queues));
}

#[test]
fn the_watch_stays_with_the_queue() {
    use crate::protocol::lease::Now;
    use crate::protocol::{Nonce, Record};

    let lease = Duration::from_secs(1);
    let record = Record {
        nonce: Nonce(1),
        lease,
        renewal: 0,
        label: "".into(),
        full_name: None,
    };
    let queues = queues();
    let mut turn = head(&queues);
    let (next, _) = behind(&queues);
    let watch = Watch::observe(None, &record, Now::default());
    turn.watch = Some(watch);
    drop(turn);
    let next = has_turn(next, Duration::ZERO, "the head has left");
    assert_eq!(next.watch, Some(watch));
    drop(next);
    assert_eq!(
        head(&queues).watch,
        Some(watch),
        "a caller that comes back goes on watching"
    );
    let mut held = head(&queues);
    held.watch = None;
    drop(held);
    assert_eq!(
        head(&queues).watch,
        None,
        "a lock that was acquired is not watched any more"
    );
}

#[test]
fn watches_of_queues_that_are_gone_are_kept_within_bounds() {
    let queues = queues();
    let watch = Watch::observe(
        None,
        &crate::protocol::Record {
            nonce: crate::protocol::Nonce(1),
            lease: Duration::from_secs(1),
            renewal: 0,
            label: "".into(),
            full_name: None,
        },
        crate::protocol::lease::Now::default(),
    );
    for key in 0..20_000 {
        let item = ItemName::of_lock("memlock", "queue", &key.to_string());
        match queues.join(&item, TIMEOUT, Now::default(), false, || unreachable!()) {
            Joined::Head(mut turn) => turn.watch = Some(watch),
            Joined::Behind(_) => panic!("another key's"),
        }
    }
    let kept = |shard: &Mutex<Shard>| shard.lock().expect("no panic").remembered.len();
    let kept: usize = queues.shards.iter().map(kept).sum();
    assert!(kept > 0 && kept <= SHARDS * MAX_REMEMBERED, "{kept}");
}

#[test]
fn a_turn_ends_with_the_lease_that_was_granted_in_it() {
    let lease = Duration::from_secs(1);
    let record = crate::protocol::Record {
        nonce: crate::protocol::Nonce(1),
        lease,
        renewal: 0,
        label: "".into(),
        full_name: None,
    };
    let watch = Watch::observe(None, &record, crate::protocol::lease::Now::default());
    let queues = queues();
    let hanging = head(&queues);
    let (first, _) = behind(&queues);
    let (second, _) = behind(&queues);
    let first = waits(first, lease * 9, "nothing is leased yet");
    hanging.leased(lease, watch);
    let second = waits(second, lease, "the first has a moment to step in");
    let first = waits(first, lease / 2, "the lease is not over");
    let first = has_turn(first, lease, "the lease is over");
    assert_eq!(
        first.watch,
        Some(watch),
        "it has the watch of the holder that it takes over from"
    );
    let before = hanging.number;
    drop(hanging); // It wakes up, and has no turn to pass on any more.
    assert!(first.number > before, "nor has it in a later queue of the same key");
    let second = waits(second, Duration::ZERO, "the first has it");
    drop(first);
    drop(has_turn(second, Duration::ZERO, "the first has left"));
    drop(head(&queues));
}

const PATIENCE: Duration = Duration::from_millis(100);

#[test]
fn a_turn_without_a_lease_ends_if_its_caller_does_not_move() {
    let queues = Queues::new(Arc::default(), PATIENCE);
    let head = head(&queues);
    let (first, _) = behind(&queues);
    assert_eq!(first.until_next_look(Now::default()), PATIENCE);
    let first = waits(first, PATIENCE - NANO, "the head has time to move");
    assert!(head.go_on(Now::at(PATIENCE / 2)));
    let first = waits(first, PATIENCE, "the head has moved");
    head.pause(PATIENCE * 3, Now::at(PATIENCE));
    let first = waits(
        first,
        PATIENCE * 5 - NANO,
        "a pause, and the time for the next exchange",
    );
    let second = has_turn(first, PATIENCE * 5, "the head has not moved");
    assert!(!second.is_stalled(), "the server had answered the head");
    assert!(!head.go_on(Now::at(PATIENCE * 5)), "it has lost its turn");
    drop(head);
    let (first, _) = behind(&queues);
    let third = has_turn(first, PATIENCE * 6, "the second head has not moved");
    assert!(third.is_stalled(), "no caller has heard from the server");
    third.pause(Duration::ZERO, Now::at(PATIENCE * 6));
    assert!(!third.is_stalled());
    drop((second, third));
    drop(self::head(&queues));
}

#[test]
fn a_turn_that_is_given_with_or_without_a_grant_waits_for_its_caller_no_longer_than_others() {
    let clock = Arc::new(crate::system::clock::Clock::standing());
    let now = clock.now();
    let queues = Queues::new(Arc::clone(&clock), PATIENCE);
    for with_grant in [false, true] {
        let turn = head(&queues);
        let (absent, _) = behind(&queues);
        let (second, woken) = behind(&queues);
        second.announce_sleep(Duration::ZERO);
        if with_grant {
            assert!(turn.hand_over(&grant(TIMEOUT * 2), Now::default()).is_none());
        } else {
            drop(turn);
        }
        let given = if with_grant { Duration::ZERO } else { now.instant };
        let second = waits(second, given + PATIENCE - NANO, "the first may come yet");
        let mut stepped_in = has_turn(second, given + PATIENCE, "the first has not come");
        assert_eq!(stepped_in.take_handed().is_some(), with_grant);
        assert_eq!(
            woken.0.load(Ordering::SeqCst),
            0,
            "each waiter looks for that by itself"
        );
        drop(absent);
    }
}

#[test]
fn waiters_that_do_not_move_are_passed_over_together_and_stand_first_when_they_come_back() {
    let queues = Queues::new(Arc::default(), PATIENCE);
    let turn = head(&queues);
    let places: Vec<(Place, Arc<Count>)> = (0..10).map(|_| behind(&queues)).collect();
    let (mut kept, woken): (Vec<Place>, Vec<_>) = places.into_iter().unzip();
    let (mut looks, next) = (kept.pop().expect("the last"), behind(&queues).0);
    for place in kept.iter().chain([&looks, &next]) {
        let wakes_at = place.until_next_look(Now::default());
        place.announce_sleep(wakes_at);
    }
    let mut now = PATIENCE;
    while now < looks.until_next_look(Now::default()) {
        looks = waits(looks, now, "those ahead have their time first");
        looks.announce_sleep(now + looks.until_next_look(Now::at(now)));
        now += PATIENCE / 10;
    }
    let stepped_in = has_turn(looks, now, "nobody else moves");
    assert_eq!(queues.waiting(&item()), 1, "the others have left the line");
    let woken = woken.iter().map(|count| count.0.load(Ordering::SeqCst)).sum::<usize>();
    assert_eq!(woken, kept.len(), "they are told");
    drop(turn);
    let mut kept: Vec<Place> = kept
        .into_iter()
        .map(|place| waits(place, now, "it is another's turn"))
        .collect();
    assert_eq!(queues.waiting(&item()), kept.len() + 1);
    drop(stepped_in);
    let last = kept.pop().expect("the last that came back");
    drop(has_turn(last, now, "it stands before all others"));
    drop(kept);
    drop(has_turn(next, now, "the others have left"));
}

#[test]
fn a_waiter_that_sleeps_as_announced_is_not_passed_over() {
    let queues = Queues::new(Arc::default(), PATIENCE);
    let _turn = head(&queues);
    let (first, _) = behind(&queues);
    let (second, _) = behind(&queues);
    first.announce_sleep(TIMEOUT);
    let stepped_in = has_turn(second, PATIENCE * 2, "the first sleeps");
    let first = waits(first, PATIENCE * 2, "it is another's turn");
    drop(stepped_in);
    drop(has_turn(first, PATIENCE * 2, "it has kept its place"));
}

#[test]
fn a_lease_that_is_granted_between_a_look_and_the_sleep_after_it_wakes_the_first_waiter() {
    let queues = queues();
    let turn = head(&queues);
    let (first, woken) = behind(&queues);
    first.announce_sleep(TIMEOUT / 4);
    let first = waits(first, TIMEOUT / 4, "the head still has it");
    assert_eq!(
        first.until_next_look(Now::default()),
        Duration::MAX,
        "it knows of no lease"
    );
    turn.leased(TIMEOUT, Watch::of_own(&grant(TIMEOUT), Now::at(TIMEOUT / 4)));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "it would sleep, and never step in");
    let first = waits(first, TIMEOUT / 2, "the lease is not over");
    first.announce_sleep(TIMEOUT);
    assert_eq!(first.until_next_look(Now::at(TIMEOUT / 2)), TIMEOUT / 2);
    turn.leased(TIMEOUT, Watch::of_own(&grant(TIMEOUT), Now::at(TIMEOUT / 2)));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "it wakes up then by itself");
}

#[test]
fn a_waiter_that_becomes_the_first_is_woken_for_a_lease_that_it_has_not_seen() {
    let queues = queues();
    let turn = head(&queues);
    let (first, _) = behind(&queues);
    let (second, woken) = behind(&queues);
    let (third, _) = behind(&queues);
    second.announce_sleep(TIMEOUT * 9);
    turn.leased(TIMEOUT, Watch::of_own(&grant(TIMEOUT), Now::default()));
    drop(third);
    assert_eq!(woken.0.load(Ordering::SeqCst), 0, "it is not the first");
    drop(first);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "it would sleep, and never step in");
    let second = waits(second, TIMEOUT / 2, "the lease is not over");
    assert_eq!(
        second.until_next_look(Now::at(TIMEOUT / 2)),
        TIMEOUT / 2,
        "it leaves nothing to others"
    );
    drop(has_turn(second, TIMEOUT, "the lease is over"));
}

/// A grant for `lease`, which may be handed over until its end.
fn grant(lease: Duration) -> Grant {
    use crate::protocol::lease::{Deadline, ttl_of};
    use crate::protocol::token::Token;
    use crate::protocol::{Cas, Instance, Nonce};

    let instance = Instance {
        start: 1_800_000_000,
        pid: 1,
    };
    let end = Deadline::of_grant(Now::default(), lease, ttl_of(lease), None, None);
    Grant {
        nonce: Nonce(1),
        instance,
        cas: Cas::MIN,
        deadline: end.of_holder(Now::default(), TIMEOUT),
        end,
        lease,
        ttl: ttl_of(lease),
        slice_ends: lease,
        token: Token::of_grant(instance, Cas::MIN, 0).expect("sound numbers"),
        renewals: 0,
    }
}

fn handed(turn: &mut Turn) -> Grant {
    match turn.take_handed() {
        Some(Handed::Over(grant)) => grant,
        other => panic!("{other:?}"),
    }
}

/// Records which grants it has to release, how often it has to leave a line, and how often it has to look after a kept
/// place.
#[derive(Debug, Default)]
struct Background {
    settled: Mutex<Vec<Nonce>>,
    left: AtomicUsize,
    minded: AtomicUsize,
}

impl Cleanup for Background {
    fn settle(self: Arc<Self>, _: &ItemName, nonce: Nonce, _: Duration, _: Option<Box<dyn Pending>>) {
        self.settled.lock().expect("no panic").push(nonce);
    }

    fn leave_line(self: Arc<Self>, _: &ItemName, _: Box<WaitListView>) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }

    fn expire_kept_place(self: Arc<Self>, _: &ItemName) {
        self.minded.fetch_add(1, Ordering::SeqCst);
    }
}

impl Background {
    fn of(queues: &Queues) -> Arc<Background> {
        let background = Arc::<Background>::default();
        let cleanup: Weak<Background> = Arc::downgrade(&background);
        queues.set_cleanup(cleanup);
        background
    }

    fn settled(&self) -> usize {
        self.settled.lock().expect("no panic").len()
    }
}

#[test]
fn a_hand_over_gives_the_first_waiter_a_higher_token_and_a_deadline_of_its_own() {
    let queues = queues();
    let background = Background::of(&queues);
    let turn = head(&queues);
    let (first, first_woken) = behind(&queues);
    let (second, second_woken) = behind(&queues);
    let original = grant(TIMEOUT * 9 / 8);
    let now = Now::at(TIMEOUT / 16);
    assert!(turn.hand_over(&original, now).is_none());
    assert!(first.is_notified());
    assert_eq!(first_woken.0.load(Ordering::SeqCst), 1);
    let mut turn = has_turn(first, now.instant, "it was handed over");
    let second = waits(second, now.instant, "it is not its turn");
    let taken = handed(&mut turn);
    assert!(taken.token > original.token);
    assert_eq!(taken.deadline.remaining(now), TIMEOUT, "its whole timeout, from now");
    assert_eq!((taken.nonce, taken.end), (original.nonce, original.end));

    // It hangs. The waiter behind it steps in when the lease is over, and is handed nothing.
    let own_end = taken.deadline.ends();
    assert!(
        second_woken.0.load(Ordering::SeqCst) >= 1,
        "the next must know when to step in"
    );
    let second = waits(second, own_end - Duration::from_nanos(1), "the lease is not over");
    let mut stepped_in = has_turn(second, own_end, "the lease is over");
    assert!(stepped_in.take_handed().is_none(), "two holders");
    let (third, _) = behind(&queues);
    let turn = turn.hand_over(&taken, now).expect("it is not its turn any more");
    drop(turn);
    assert!(!third.is_notified());
    drop(stepped_in);
    drop(has_turn(third, own_end, "the second has left"));
    assert_eq!(background.settled(), 0);
    drop(head(&queues));
}

#[test]
fn a_grant_is_not_handed_over_beyond_what_it_covers() {
    let queues = queues();
    let turn = head(&queues);
    let lone = grant(TIMEOUT * 9 / 8);
    let turn = turn.hand_over(&lone, Now::at(Duration::ZERO)).expect("nobody waits");
    let (first, _) = behind(&queues);
    let late = Now::at(TIMEOUT / 8 + Duration::from_nanos(1));
    let turn = turn
        .hand_over(&lone, late)
        .expect("too little is left for the next one's timeout");
    let over = Grant {
        slice_ends: Duration::from_millis(1),
        ..lone.clone()
    };
    let turn = turn
        .hand_over(&over, Now::at(Duration::from_millis(1)))
        .expect("the slice is over");
    let mut token = lone.token;
    while let Some(next) = token.next() {
        token = next;
    }
    let last = Grant { token, ..lone };
    let turn = turn
        .hand_over(&last, Now::at(Duration::ZERO))
        .expect("there is no higher token");
    assert!(!first.is_notified());
    drop(turn);
    let mut turn = has_turn(first, Duration::ZERO, "the head has left");
    assert!(turn.take_handed().is_none());
}

#[test]
fn a_grant_that_its_taker_collects_too_late_is_spent() {
    let queues = queues();
    let turn = head(&queues);
    let (first, _) = behind(&queues);
    let original = grant(TIMEOUT * 9 / 8);
    assert!(turn.hand_over(&original, Now::at(Duration::ZERO)).is_none());
    let mut turn = has_turn(first, TIMEOUT, "it was handed over");
    assert_eq!(turn.take_handed(), Some(Handed::Spent(original)));
}

#[test]
fn a_waiter_that_leaves_passes_its_grant_on_to_the_next() {
    let queues = queues();
    let background = Background::of(&queues);
    let turn = head(&queues);
    let (first, _) = behind(&queues);
    let (second, second_woken) = behind(&queues);
    let (third, _) = behind(&queues);
    let original = grant(TIMEOUT * 2);
    assert!(turn.hand_over(&original, Now::at(Duration::ZERO)).is_none());
    let before = second_woken.0.load(Ordering::SeqCst);
    drop(first); // It had not looked since.
    assert_eq!(second_woken.0.load(Ordering::SeqCst), before + 1);
    // The second takes its turn, and is stopped before it holds the lock.
    drop(has_turn(second, Duration::ZERO, "the first has left"));
    let mut turn = has_turn(third, Duration::ZERO, "the second has left");
    assert!(handed(&mut turn).token > original.token);
    assert_eq!(background.settled(), 0);
}

#[test]
fn a_grant_without_a_taker_is_released() {
    for has_looked in [false, true] {
        let queues = queues();
        let background = Background::of(&queues);
        let turn = head(&queues);
        let (only, _) = behind(&queues);
        assert!(turn.hand_over(&grant(TIMEOUT * 2), Now::at(Duration::ZERO)).is_none());
        if has_looked {
            drop(has_turn(only, Duration::ZERO, "it was handed over"));
        } else {
            drop(only);
        }
        assert_eq!(background.settled(), 1, "nobody holds it, and nobody releases it");
        drop(head(&queues));
    }
}

#[test]
fn a_taker_that_does_not_come_is_passed_over_and_becomes_the_first_again() {
    let queues = queues();
    let background = Background::of(&queues);
    let turn = head(&queues);
    let (absent, _) = behind(&queues);
    let (second, _) = behind(&queues);
    let (third, _) = behind(&queues);
    let original = grant(TIMEOUT * 3);
    assert!(turn.hand_over(&original, Now::at(Duration::ZERO)).is_none());
    let second = waits(second, TIMEOUT / 2, "it may come yet");
    let mut stepped_in = has_turn(second, TIMEOUT, "it has not come");
    let taken = handed(&mut stepped_in);
    assert!(taken.token > original.token);
    let absent = waits(absent, TIMEOUT, "it is another's turn now");
    let until_step_in = taken.deadline.ends() - TIMEOUT;
    assert_eq!(
        absent.until_next_look(Now::at(TIMEOUT)),
        until_step_in,
        "it steps in, if that one hangs"
    );
    assert!(stepped_in.hand_over(&taken, Now::at(TIMEOUT)).is_none());
    let third = waits(third, TIMEOUT, "the one that was passed over goes first");
    let mut turn = has_turn(absent, TIMEOUT, "it is its turn again");
    assert!(handed(&mut turn).token > taken.token, "a token was used twice");
    drop(turn);
    drop(has_turn(third, TIMEOUT, "the last"));

    // The same, but all others have come and gone meanwhile.
    let turn = head(&queues);
    let (absent, _) = behind(&queues);
    let (second, _) = behind(&queues);
    assert!(turn.hand_over(&grant(TIMEOUT * 3), Now::at(Duration::ZERO)).is_none());
    let mut stepped_in = has_turn(second, TIMEOUT, "it has not come");
    let watch = Watch::of_own(&handed(&mut stepped_in), Now::at(TIMEOUT));
    stepped_in.watch = Some(watch);
    stepped_in.wait_list = Some(behind_others());
    drop(stepped_in);
    let mut turn = has_turn(absent, TIMEOUT, "nobody else is there");
    assert!(turn.take_handed().is_none());
    assert_eq!(turn.watch, Some(watch), "what the other has seen is forgotten");
    assert!(turn.wait_list.take().is_some(), "others wait");
    let (next, _) = behind(&queues);
    drop(turn);
    drop(has_turn(next, TIMEOUT, "the queue is sound"));
    assert_eq!(background.settled(), 0);
}

#[test]
fn a_taker_that_leaves_after_it_was_passed_over_takes_nothing_with_it() {
    let queues = queues();
    let turn = head(&queues);
    let (absent, _) = behind(&queues);
    let (second, _) = behind(&queues);
    let (third, _) = behind(&queues);
    assert!(turn.hand_over(&grant(TIMEOUT * 3), Now::at(Duration::ZERO)).is_none());
    let mut stepped_in = has_turn(second, TIMEOUT, "it has not come");
    let taken = handed(&mut stepped_in);
    drop(absent);
    let third = waits(third, TIMEOUT, "the second has it");
    assert!(stepped_in.hand_over(&taken, Now::at(TIMEOUT)).is_none());
    handed(&mut has_turn(third, TIMEOUT, "the second is done"));
}

#[test]
fn the_watch_of_the_holder_survives_hand_overs() {
    let queues = queues();
    let turn = head(&queues);
    let original = grant(TIMEOUT * 2);
    let watch = Watch::of_own(&original, Now::default());
    turn.leased(TIMEOUT, watch);
    let (first, _) = behind(&queues);
    let (second, _) = behind(&queues);
    assert!(turn.hand_over(&original, Now::at(Duration::ZERO)).is_none());
    let mut hanging = has_turn(first, Duration::ZERO, "it was handed over");
    let taken = handed(&mut hanging);
    let second = has_turn(second, taken.deadline.ends(), "the first hangs");
    assert_eq!(
        second.watch,
        Some(watch),
        "it has the watch of the holder that it takes over from"
    );
}

#[test]
fn the_first_waiter_after_a_short_hold_is_woken_early_and_stays_awake_for_a_while() {
    let queues = queues();
    let turn = head(&queues);
    let early = || {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        match queues.join(&item(), TIMEOUT, Now::default(), true, || {
            Waker::from(Arc::clone(&count))
        }) {
            Joined::Head(_) => panic!("nobody is there"),
            Joined::Behind(place) => (place, count),
        }
    };
    let (first, _) = early();
    let (second, second_woken) = early();
    let looks = |place: &Place| {
        let looks = std::cell::Cell::new(0);
        place.stay_awake(5, || looks.set(looks.get() + 1));
        looks.get()
    };
    second.announce_sleep(Duration::ZERO);
    let original = grant(TIMEOUT * 2);
    assert!(turn.hand_over(&original, Now::at(SHORT_HOLD / 2)).is_none());
    assert_eq!(
        second_woken.0.load(Ordering::SeqCst),
        0,
        "the holder may have more to do"
    );
    assert_eq!(looks(&second), 0, "it sleeps");
    drop([early(), early()]);
    assert_eq!(
        second_woken.0.load(Ordering::SeqCst),
        1,
        "by the first caller that joins behind it"
    );
    assert_eq!((looks(&second), looks(&second)), (5, 0), "once each time");
    // It is handed the lock while it is awake, so it needs no wake-up.
    let mut turn = has_turn(first, Duration::ZERO, "it was handed over");
    let taken = handed(&mut turn);
    second.waiter.as_ref().expect("it waits").set_turn_near();
    let turn = std::cell::Cell::new(Some(turn));
    second.stay_awake(5, || {
        if let Some(turn) = turn.take() {
            assert!(turn.hand_over(&taken, Now::default()).is_none());
        }
    });
    assert!(second.is_notified());
    assert_eq!(second_woken.0.load(Ordering::SeqCst), 1, "it was awake");

    // A waiter that has stayed awake in vain is woken like any other.
    let (third, third_woken) = early();
    assert_eq!(looks(&third), 5, "it came right after a short hold");
    let mut turn = has_turn(second, Duration::ZERO, "it was handed over");
    let taken = handed(&mut turn);
    let before = third_woken.0.load(Ordering::SeqCst);
    assert!(turn.hand_over(&taken, Now::default()).is_none());
    assert!(third_woken.0.load(Ordering::SeqCst) > before);
    drop(third);
}

#[test]
fn distinct_keys_have_distinct_queues_and_all_are_removed() {
    let queues = queues();
    let turns: Vec<Turn> = (0..100)
        .map(|key| {
            match queues.join(
                &ItemName::of_lock("memlock", "queue", &key.to_string()),
                TIMEOUT,
                Now::default(),
                false,
                || unreachable!(),
            ) {
                Joined::Head(turn) => turn,
                Joined::Behind(_) => panic!("another key's"),
            }
        })
        .collect();
    drop(turns);
    assert!(
        queues
            .shards
            .iter()
            .all(|shard| shard.lock().expect("no panic").queues.is_empty())
    );
}

fn member(process: u64) -> Member {
    Member::new(process, None)
}

/// The view of process 1, which stands in line behind process 2.
fn in_line() -> Box<WaitListView> {
    let (me, other) = (member(1), member(2));
    Box::new(WaitListView::with_list(me, WaitList(vec![other, me])))
}

/// The view of process 1 of a line in which only process 2 stands.
fn behind_others() -> Box<WaitListView> {
    let (me, other) = (member(1), member(2));
    Box::new(WaitListView::with_list(me, WaitList(vec![other])))
}

#[test]
fn a_place_in_line_passes_to_the_next_waiter_of_the_process_and_the_last_leaves_it() {
    let queues = queues();
    let background = Background::of(&queues);
    let mut turn = head(&queues);
    let (place, _) = behind(&queues);
    turn.wait_list = Some(in_line());
    drop(turn);
    assert_eq!(background.left.load(Ordering::SeqCst), 0, "somebody waits for it yet");
    let PlaceProgress::Turn(turn) = place.progress(Now::at(Duration::from_secs(1))) else {
        panic!("its turn")
    };
    assert!(turn.wait_list.as_ref().is_some_and(|wait_list| wait_list.must_leave()));
    drop(turn);
    assert_eq!(background.left.load(Ordering::SeqCst), 1);
    assert!(head(&queues).wait_list.is_none());
}

#[test]
fn a_kept_place_stays_for_a_caller_that_comes_back_and_is_left_if_none_does() {
    let queues = queues();
    let background = Background::of(&queues);
    let start = Duration::from_secs(1);
    let [soon, late] = [start + Duration::from_micros(100), start + Duration::from_millis(5)].map(Now::at);
    for _ in 0..3 {
        let mut turn = head(&queues);
        turn.wait_list = Some(Box::new(in_line().with_kept_place(Now::at(start))));
        drop(turn);
    }
    assert_eq!(background.left.load(Ordering::SeqCst), 0, "it stays");
    assert_eq!(
        background.minded.load(Ordering::SeqCst),
        1,
        "one background task looks after it"
    );
    assert!(queues.take_overdue_place(&item(), soon).is_err(), "it may come yet");
    let turn = head(&queues);
    assert!(
        turn.wait_list
            .as_ref()
            .is_some_and(|wait_list| wait_list.has_kept_place())
    );
    assert!(
        queues
            .take_overdue_place(&item(), late)
            .is_ok_and(|overdue| overdue.is_none()),
        "it came"
    );
    drop(turn);
    assert_eq!(
        background.minded.load(Ordering::SeqCst),
        2,
        "a background task looks after it again"
    );
    let overdue = queues.take_overdue_place(&item(), late).expect("it did not come back");
    assert!(overdue.is_some_and(|wait_list| wait_list.is_in_line()));
    assert!(head(&queues).wait_list.is_none());
}

#[test]
fn a_place_in_line_passes_on_with_a_hand_over() {
    let queues = queues();
    let mut turn = head(&queues);
    let (place, _) = behind(&queues);
    turn.wait_list = Some(in_line());
    let now = Now::at(Duration::from_millis(1));
    assert!(turn.hand_over(&grant(Duration::from_secs(60)), now).is_none());
    let PlaceProgress::Turn(turn) = place.progress(now) else {
        panic!("its turn")
    };
    assert!(turn.wait_list.is_some(), "its release has to leave the line");
}

#[test]
fn a_caller_that_comes_back_knows_that_other_processes_wait() {
    let queues = queues();
    let mut turn = head(&queues);
    turn.wait_list = Some(behind_others());
    drop(turn);
    assert!(head(&queues).wait_list.is_some());
}
