//! Waiters that leave just as they are given something.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::join_all;
use crate::caller::{Gone, Head, behind, head};
use crate::world::World;

/// The first waiter leaves, with or without having looked, while the lock is handed over to it. Another waits behind
/// it.
pub fn a_turn_given_to_a_waiter_that_leaves_goes_to_the_next() {
    let world = World::new();
    let holder = head(&world).hold();
    let (first, second) = (behind(&world), behind(&world));
    let threads = [
        world.spawn(move |_| holder.done()),
        world.spawn(move |_| drop(first)),
        world.spawn(move |_| second.turn().hold().done()),
    ];
    join_all(threads);
    assert_eq!(world.ledger().orphans(), 0, "somebody was left to take it");
    world.ends();
}

/// The time of the first waiter ends while the lock is handed over to it.
pub fn a_waiter_whose_time_is_over_takes_its_turn_or_passes_it_on() {
    let world = World::new();
    let holder = head(&world).hold();
    let (first, second) = (behind(&world), behind(&world));
    let patience = Duration::from_millis(1);
    let threads = [
        world.spawn(move |_| holder.done()),
        world.spawn(move |world| world.time.move_to(patience)),
        world.spawn(move |_| match first.wait(patience) {
            Ok(head) => head.hold().done(),
            Err(gone) => assert!(matches!(gone, Gone::GaveUp), "{gone:?}"),
        }),
        world.spawn(move |_| second.turn().hold().done()),
    ];
    join_all(threads);
    world.ends();
}

/// All waiters leave while the lock is handed over: one without having looked, one that has its turn and is stopped.
pub fn a_grant_without_a_taker_is_released_once() {
    let world = World::new();
    let holder = head(&world).hold();
    let (first, second) = (behind(&world), behind(&world));
    let threads = [
        world.spawn(move |_| holder.done()),
        world.spawn(move |_| drop(first)),
        world.spawn(move |_| {
            if let Ok(Ok(head)) = second.look() {
                head.leave();
            }
        }),
    ];
    join_all(threads);
    assert!(world.ledger().orphans() <= 1);
    world.ends();
}

/// A waiter in the middle of the line leaves while those before it go on.
pub fn a_line_closes_behind_a_waiter_that_leaves() {
    let world = World::new();
    let holder = head(&world).hold();
    let (first, second, third) = (behind(&world), behind(&world), behind(&world));
    let threads = [
        world.spawn(move |_| {
            holder.done();
            third.turn().hold().done();
        }),
        world.spawn(move |_| first.turn().hold().done()),
        world.spawn(move |_| drop(second)),
    ];
    join_all(threads);
    world.ends();
}

/// The head panics before it is granted the lock, and so does a later taker of the turn.
pub fn a_turn_whose_owner_panics_is_passed_on() {
    let world = World::new();
    let asks = head(&world);
    let (first, second, third) = (behind(&world), behind(&world), behind(&world));
    let threads = [
        world.spawn(move |_| panics(asks)),
        world.spawn(move |_| first.turn().hold().done()),
        world.spawn(move |_| panics(second.turn())),
        world.spawn(move |_| third.turn().hold().done()),
    ];
    join_all(threads);
    world.ends();
}

/// Unwinds its thread through `head`, and goes on without it.
fn panics(head: Head) {
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        head.caller.turn_ends();
        let _turn = head.turn;
        resume_unwind(Box::new("as a panic does, without its message"));
    }));
    assert!(unwound.is_err());
}
