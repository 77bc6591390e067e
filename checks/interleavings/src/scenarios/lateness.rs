//! Callers that are stopped for longer than their lease.

use std::time::Duration;

use super::join_all;
use crate::caller::{behind, head};
use crate::protocol::Watch;
use crate::world::{TIMEOUT, World};

/// Longer than a waiter leaves it to those ahead of it to step in.
const GRACE: Duration = Duration::from_millis(100);

/// A lease ends just as its holder is done with it: the grant is handed over, or the first waiter steps in.
pub fn a_hand_over_races_the_first_waiter_that_steps_in() {
    let world = World::new();
    let holder = head(&world).hold();
    let (first, second) = (behind(&world), behind(&world));
    let threads = [
        world.spawn(move |_| holder.done()),
        world.spawn(move |_| first.turn().hold().done()),
        world.spawn(move |_| second.turn().hold().done()),
        world.spawn(move |world| world.time.move_to(TIMEOUT)),
    ];
    join_all(threads);
    world.ends_out_of_order();
}

/// A grant that was handed over lies in the queue until its taker comes. If the taker comes too late, the next waiter
/// has stepped in and taken the grant, and the taker is the first waiter again, or the head, if all others have left
/// meanwhile.
pub fn a_taker_that_comes_too_late_is_the_first_again() {
    let world = World::new();
    let holder = head(&world).hold();
    let (absent, second, third) = (behind(&world), behind(&world), behind(&world));
    holder.done();
    let threads = [
        world.spawn(move |world| {
            world.time.move_to(TIMEOUT);
            absent.turn().hold().done();
        }),
        world.spawn(move |_| second.turn().hold().done()),
        world.spawn(move |_| third.turn().hold().done()),
    ];
    join_all(threads);
    world.ends_out_of_order();
}

/// The same, while the taker that was passed over leaves.
pub fn a_taker_that_comes_too_late_and_leaves_takes_nothing_with_it() {
    let world = World::new();
    let holder = head(&world).hold();
    let (absent, second, third) = (behind(&world), behind(&world), behind(&world));
    holder.done();
    let threads = [
        world.spawn(move |world| {
            world.time.move_to(TIMEOUT);
            if let Ok(Ok(head)) = absent.look() {
                head.leave();
            }
        }),
        world.spawn(move |_| second.turn().hold().done()),
        world.spawn(move |_| third.turn().hold().done()),
    ];
    join_all(threads);
    world.ends_out_of_order();
}

/// A waiter steps in for a taker that does not come, takes the grant, and hangs, too: the next waiter steps in for it.
pub fn a_waiter_that_steps_in_and_hangs_is_replaced() {
    let world = World::new();
    let holder = head(&world).hold_for(TIMEOUT * 4);
    let (absent, second, third) = (behind(&world), behind(&world), behind(&world));
    holder.done();
    // It sees that the lease that was handed over ends sooner.
    let second = second.waits_on();
    world.time.move_to(TIMEOUT + GRACE);
    // The third could step in now as well.
    let hanging = second.turn().hold();
    let threads = [
        world.spawn(move |world| {
            world.time.move_to(TIMEOUT * 2 + GRACE * 2);
            hanging.hang(TIMEOUT * 5);
            hanging.done();
        }),
        world.spawn(move |world| {
            let stepped_in = third.turn();
            world.time.move_to(TIMEOUT * 5);
            stepped_in.hold().done();
        }),
    ];
    join_all(threads);
    drop(absent);
    world.ends_out_of_order();
}

/// A taker that was passed over comes when all others have left: it inherits what they have seen.
pub fn a_taker_that_comes_too_late_inherits_the_watch() {
    let world = World::new();
    let holder = head(&world).hold();
    let watch = Watch::of_own(&holder.grant, world.time.now());
    let (absent, second) = (behind(&world), behind(&world));
    holder.done();
    world.time.move_to(TIMEOUT + GRACE);
    let stepped_in = second.turn().hold();
    let threads = [
        world.spawn(move |_| stepped_in.sees(watch)),
        world.spawn(move |_| {
            let head = absent.turn();
            assert_eq!(head.turn.watch, Some(watch), "what was seen is forgotten");
            head.leave();
        }),
    ];
    join_all(threads);
    world.ends_out_of_order();
}
