//! One grant for all who wait in this process: handed over from each to the next, without the server.

use super::*;

#[test]
fn one_grant_serves_all_who_wait_in_the_order_in_which_they_came() {
    let stage = counted();
    let held = stage.hold(LEASE);
    let first = held.token();
    let served = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let (stage, served) = (&stage, &served);
        for number in 1..=8 {
            scope.spawn(move || {
                let guard = stage.hold(LEASE);
                served.lock().expect("no panic").push((number, guard.token()));
            });
            wait_until("the waiter to stand in the queue", || stage.waiting() == number);
        }
        drop(held);
    });
    let served = served.into_inner().expect("no panic");
    assert_eq!(
        served.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert!(served.is_sorted_by(|one, other| one.1 < other.1) && served[0].1 > first);
    assert_eq!(
        stage.sent(),
        [1, 1, 0],
        "the server was asked for more than one of nine"
    );
    assert_eq!(
        stage.locks.counts().acquired,
        10,
        "hand-overs count, and the very first"
    );
    assert!(stage.locks.lock("k").try_acquire().is_ok());
}

#[test]
fn the_slice_ends_what_one_grant_serves() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let first_token = first.token();
    let second = stage.next(LEASE, || {
        stage.clock.advance(Duration::from_millis(49));
        drop(first);
    });
    assert_eq!(stage.sent(), [1, 0, 0], "the slice is 50 ms");
    assert!(second.token() > first_token);
    assert!(
        second.remaining() > LEASE - Duration::from_millis(40),
        "a whole timeout for each"
    );
    let token = second.token();
    let third = stage.next(LEASE, || {
        stage.clock.advance(Duration::from_millis(2));
        drop(second);
    });
    assert_eq!(stage.sent(), [1, 1, 0], "others were to have their turn");
    assert!(third.token() > token);
}

#[test]
fn after_256_holders_it_goes_back_to_the_server() {
    let stage = counted();
    let mut held = stage.hold(LEASE);
    let mut holders = 1;
    let mut most = 0;
    for _ in 0..600 {
        let token = held.token();
        let before = held;
        held = stage.next(LEASE, || drop(before));
        assert!(held.token() > token, "a token was used twice");
        let is_granted_anew = held.token().get().trailing_zeros() >= 8;
        holders = if is_granted_anew { 1 } else { holders + 1 };
        most = most.max(holders);
    }
    assert!(most <= 256, "{most}");
    let [adds, deletes, _] = stage.sent();
    assert_eq!(adds, deletes + 1);
    assert_eq!(adds, 3, "601 acquisitions");
}

#[test]
fn each_has_its_own_timeout_and_no_more_than_the_grant_covers() {
    let stage = counted();
    let short = stage.hold(LEASE / 10);
    let long = stage.next(LEASE, || drop(short));
    assert_eq!(stage.sent(), [2, 1, 0], "the first grant covers too little for it");
    let short = stage.next(LEASE / 10, || drop(long));
    assert_eq!(stage.sent(), [0, 0, 0]);
    assert!(short.remaining() <= LEASE / 10, "{:?}", short.remaining());
    let late = stage.next(LEASE / 2, || {
        stage.clock.advance(LEASE / 10);
        assert!(!short.is_valid());
        // The other has stepped in by itself, and is refused as long as the lease in the item lasts, the longest one's.
        assert_eq!(stage.sent()[1], 0);
        drop(short);
    });
    assert!(late.is_valid() && late.remaining() <= LEASE / 2);
    assert_eq!(stage.sent()[1], 1, "what ran out is not handed over");
}

#[test]
fn a_renewed_lock_is_handed_over_with_its_renewals() {
    let stage = counted();
    let first = stage.hold(LEASE);
    first.renew().expect("it is held");
    let second = stage.next(LEASE / 10, || drop(first));
    assert_eq!(stage.sent(), [1, 0, 0]);
    second.renew().expect("it is held");
    assert!(second.remaining() <= LEASE / 10);
    let replaced: Vec<_> = stage
        .batches
        .lock()
        .expect("no panic")
        .iter()
        .flatten()
        .filter_map(|request| match request {
            Request::Replace { record, ttl, .. } => Some((record.renewal, record.lease >= LEASE, *ttl >= 18)),
            _ => None,
        })
        .collect();
    assert_eq!(replaced, [(2, true, true)], "the lease in the item must not shrink");
    let third = stage.next(LEASE / 10, || drop(second));
    assert_eq!(stage.sent(), [0, 0, 0]);
    drop(third);
    assert_eq!(stage.sent(), [0, 1, 0], "its CAS is that of the last renewal");
    assert!(stage.locks.lock("k").try_acquire().is_ok());
}

#[test]
fn a_lease_counts_from_the_request_however_long_its_holder_stood_in_line() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let second = stage.next(LEASE, || {
        // The slice is over: it goes back to the server.
        stage.clock.advance(LEASE * 3 / 4);
        drop(first);
    });
    assert!(second.remaining() > LEASE * 9 / 10, "{:?}", second.remaining());
    assert_eq!(stage.sent(), [2, 1, 0], "a grant was given back as too short");
}

#[test]
fn what_is_doubtful_goes_back_to_the_server() {
    let stage = counted();
    // A renewal without a reply.
    let first = stage.hold(LEASE);
    stage.down.store(true, Ordering::SeqCst);
    first.renew().expect_err("it is down");
    stage.down.store(false, Ordering::SeqCst);
    stage.sent();
    let second = stage.next(LEASE, || drop(first));
    assert_eq!(stage.sent(), [1, 1, 0]);
    // A lease that is known to be lost.
    stage.memory.evict(&Counted::item());
    second.renew().expect_err("it was evicted");
    stage.sent();
    let third = stage.next(LEASE, || drop(second));
    assert_eq!(stage.sent(), [1, 0, 0], "a lock was handed over that nobody holds");
    assert!(third.is_valid());
    third.renew().expect("it is really held");
}

#[test]
fn a_holder_that_panics_hands_over_as_any_other() {
    let stage = counted();
    let next = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _held = stage.hold(LEASE);
            wait_until("the waiter to stand in the queue", || stage.waiting() == 1);
            panic!("in the body");
        });
        wait_until("the lock to be held", || stage.locks.counts().acquired == 2);
        let next = stage.hold(LEASE);
        assert!(holder.join().is_err());
        next
    });
    assert!(next.is_valid());
    assert_eq!(stage.sent(), [1, 0, 0]);
}

#[test]
fn a_thread_that_hangs_after_a_hand_over_is_taken_over_from_when_the_grant_ends() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let hanging = stage.next(LEASE, || drop(first));
    let token = hanging.token();
    let heir = stage.next(LEASE, || {
        stage.clock.advance(LEASE * 11 / 10);
        assert!(!hanging.is_valid());
    });
    assert!(heir.token() > token);
    drop(hanging);
    heir.renew().expect("the one that hung deleted the lock of another");
}

#[test]
fn who_tries_once_steps_in_for_a_thread_that_hangs_past_its_lease() {
    let stage = counted();
    let hanging = stage.hold(LEASE);
    let try_once = || stage.locks.lock("k").timeout(LEASE).try_acquire();
    assert!(try_once().is_err_and(|error| error.is_busy()), "it is held");
    stage.clock.advance(LEASE * 11 / 10);
    let heir = try_once().expect("nobody holds it any more");
    assert!(heir.token() > hanging.token());
}

/// On a machine that stood still all the wait is over when it goes on. A store that takes no time is asked all the same.
#[test]
fn who_has_no_time_left_steps_in_where_asking_takes_none() {
    let stage = counted();
    let stuck = stage.hold(LEASE);
    let heir = thread::scope(|scope| {
        let waiter = scope.spawn(|| stage.locks.lock("k").timeout(LEASE).wait(LEASE / 10).acquire());
        wait_until("the waiter to stand in the queue", || stage.waiting() == 1);
        stage.clock.advance(LEASE * 11 / 10);
        waiter.join().expect("no panic").expect("nobody holds it any more")
    });
    assert!(heir.token() > stuck.token());
}

/// The lease that it extends counts from the request, and so does the time to the next one.
#[test]
fn a_renewal_that_was_held_up_does_not_put_off_the_next_one() {
    let stage = counted();
    // A third of it is over when the reply comes.
    let lease = EXCHANGE * 3;
    let held = stage.locks.lock("k").timeout(lease).renew().acquire();
    let held = held.expect("it is free");
    stage.memory.set_delay(EXCHANGE);
    stage.clock.advance(lease / 3);
    let renewals = || {
        let batches = stage.batches.lock().expect("no panic");
        let renews = |request: &&Request| matches!(request, Request::Replace { .. });
        batches.iter().flatten().filter(renews).count()
    };
    // The clock stands but for the replies.
    wait_until("one renewal after another", || renewals() >= 3);
    assert!(held.is_valid());
    stage.memory.set_delay(Duration::ZERO);
}

/// At each moment: some find their wait over just when they are handed the lock.
#[test]
fn waiters_that_give_up_take_no_lock_with_them() {
    let stage = counted_on(Clock::default());
    let inside = AtomicUsize::new(0);
    let had = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..8_u64 {
            let (stage, inside, had) = (&stage, &inside, &had);
            scope.spawn(move || {
                for turn in 0..400 {
                    let wait = Duration::from_micros((turn * 7 + number * 13) % 200);
                    let Ok(_guard) = stage.locks.lock("k").wait(wait).acquire() else {
                        continue;
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                    had.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(had.into_inner() > 0);
    assert_eq!(stage.waiting(), 0);
    wait_until("the lock to be free", || stage.locks.lock("k").try_acquire().is_ok());
}
