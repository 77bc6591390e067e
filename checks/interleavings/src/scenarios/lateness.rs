//! Those who are stopped for longer than their lease.

use super::join_all;
use crate::caller::{behind, head};
use crate::protocol::Watch;
use crate::world::{TIMEOUT, World};

/// A lease ends while its holder is done with it: it is handed over, or the first in line steps in.
pub fn a_hand_over_races_the_first_in_line_who_steps_in() {
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

/// What was handed over lies there until its taker comes, who may come too late: the next steps in and takes it, and the one
/// that was passed over is the first again, or, where all have left meanwhile, the head.
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

/// The same, while the one that was passed over leaves.
pub fn a_taker_that_comes_too_late_and_leaves_takes_nothing_along() {
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

/// Whoever steps in for a taker that does not come takes what it was handed, and hangs, too: the next steps in for that one.
pub fn one_who_steps_in_and_hangs_is_stepped_in_for() {
    let world = World::new();
    let holder = head(&world).hold_for(TIMEOUT * 4);
    let (absent, second, third) = (behind(&world), behind(&world), behind(&world));
    holder.done();
    world.time.move_to(TIMEOUT);
    let threads = [
        world.spawn(move |world| {
            let hanging = second.turn().hold();
            world.time.move_to(TIMEOUT * 2);
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

/// One that was passed over comes when all others have left: it knows what they have seen.
pub fn what_was_seen_is_known_to_one_that_comes_too_late() {
    let world = World::new();
    let holder = head(&world).hold();
    let watch = Watch::of_own(&holder.grant, world.time.now());
    let (absent, second) = (behind(&world), behind(&world));
    holder.done();
    world.time.move_to(TIMEOUT);
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
