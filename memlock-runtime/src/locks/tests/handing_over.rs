//! Handing over: one grant serves the waiters of this process one after the other, without the server.

use super::*;

#[test]
fn one_grant_serves_all_waiters_in_order() {
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
fn a_lock_is_not_handed_over_after_the_slice_of_its_grant() {
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
    assert_eq!(stage.sent(), [1, 1, 0], "the lock was handed over after the slice");
    assert!(third.token() > token);
}

#[test]
fn a_lock_goes_back_to_the_server_after_256_holders() {
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
fn each_holder_has_its_own_timeout_within_the_grant() {
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
        // The waiter has stepped in, but the server refuses it until the longest lease, that in the item, is over.
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
fn a_lease_counts_from_the_request_and_not_from_joining_the_queue() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let second = stage.next(LEASE, || {
        // After its slice, the lock goes back to the server.
        stage.clock.advance(LEASE * 3 / 4);
        drop(first);
    });
    assert!(second.remaining() > LEASE * 9 / 10, "{:?}", second.remaining());
    assert_eq!(stage.sent(), [2, 1, 0], "a grant was given back as too short");
}

#[test]
fn a_lock_whose_renewal_failed_is_not_handed_over() {
    let stage = counted();
    // A renewal without a reply.
    let first = stage.hold(LEASE);
    stage.down.store(true, Ordering::SeqCst);
    first.renew().expect_err("it is down");
    stage.down.store(false, Ordering::SeqCst);
    stage.sent();
    let second = stage.next(LEASE, || drop(first));
    assert_eq!(stage.sent(), [1, 1, 0]);
    // A lease that was found lost.
    stage.memory.evict(&Counted::item());
    second.renew().expect_err("it was evicted");
    stage.sent();
    let third = stage.next(LEASE, || drop(second));
    assert_eq!(stage.sent(), [1, 0, 0], "a lock was handed over that nobody holds");
    assert!(third.is_valid());
    third.renew().expect("it is really held");
}

#[test]
fn a_holder_that_panics_hands_the_lock_over() {
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
fn a_waiter_takes_over_from_a_hanging_thread_when_the_grant_ends() {
    let stage = counted();
    let first = stage.hold(LEASE);
    let hanging = stage.next(LEASE, || drop(first));
    let token = hanging.token();
    let next = stage.next(LEASE, || {
        stage.clock.advance(LEASE * 11 / 10);
        assert!(!hanging.is_valid());
    });
    assert!(next.token() > token);
    drop(hanging);
    next.renew().expect("the one that hung deleted the lock of another");
}

#[test]
fn one_attempt_takes_over_from_a_thread_that_hangs_past_its_lease() {
    let stage = counted();
    let hanging = stage.hold(LEASE);
    let try_once = || stage.locks.lock("k").timeout(LEASE).try_acquire();
    assert!(try_once().is_err_and(|error| error.is_busy()), "it is held");
    stage.clock.advance(LEASE * 11 / 10);
    let next = try_once().expect("nobody holds it any more");
    assert!(next.token() > hanging.token());
}

/// When a machine that stood still goes on, the whole wait is over. A store that takes no time is still asked.
#[test]
fn a_waiter_without_time_left_takes_over_after_the_lease() {
    let stage = counted();
    let stuck = stage.hold(LEASE);
    let next = thread::scope(|scope| {
        let waiter = scope.spawn(|| stage.locks.lock("k").timeout(LEASE).wait(LEASE / 10).acquire());
        wait_until("the waiter to stand in the queue", || stage.waiting() == 1);
        stage.clock.advance(LEASE * 11 / 10);
        waiter.join().expect("no panic").expect("nobody holds it any more")
    });
    assert!(next.token() > stuck.token());
}

/// The extended lease counts from the request, and so does the time to the next renewal.
#[test]
fn a_slow_renewal_does_not_delay_the_next_one() {
    let stage = counted();
    // A third of the lease is over when the reply comes.
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
    // Only the replies move the clock.
    wait_until("one renewal after another", || renewals() >= 3);
    assert!(held.is_valid());
    stage.memory.set_delay(Duration::ZERO);
}

/// Waits of many lengths, so that some end just when the lock is handed over.
#[test]
fn waiters_that_give_up_leave_the_lock_free() {
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
