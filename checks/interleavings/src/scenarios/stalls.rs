//! Callers that have a turn, and do not move.

use std::time::Duration;

use super::join_all;
use crate::caller::{behind, head};
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(1);

/// Longer than the second and the third in line leave it to those ahead to step in.
const AFTER_ALL: Duration = Duration::from_secs(2);

/// A head does not ask, and the first in line does not look: the one behind it steps in. The head then finds its turn
/// gone, and the first is the first again.
pub fn a_head_that_does_not_move_is_replaced_by_whoever_moves() {
    let world = World::with_patience(PATIENCE);
    let stalled = head(&world);
    let (absent, second) = (behind(&world), behind(&world));
    absent.announces();
    let threads = [
        world.spawn(|world| world.time.move_to(AFTER_ALL)),
        world.spawn(move |_| second.turn().hold().done()),
        world.spawn(move |world| {
            world.time.pass(AFTER_ALL);
            stalled.leave();
        }),
        world.spawn(move |world| {
            world.time.pass(AFTER_ALL);
            absent.turn().hold().done();
        }),
    ];
    join_all(threads);
    world.ends_out_of_order();
}

/// Two waiters step in for a turn that is over, one after the other, while a third was given that turn and leaves.
pub fn a_turn_that_is_not_taken_up_is_used_by_others_and_left_by_its_owner() {
    let world = World::with_patience(PATIENCE);
    let holder = head(&world).hold();
    let (absent, second, third) = (behind(&world), behind(&world), behind(&world));
    holder.done();
    let threads = [
        world.spawn(|world| world.time.move_to(AFTER_ALL)),
        world.spawn(move |_| second.turn().hold().done()),
        world.spawn(move |_| third.turn().hold().done()),
        world.spawn(move |_| drop(absent)),
    ];
    join_all(threads);
    world.ends_out_of_order();
}
