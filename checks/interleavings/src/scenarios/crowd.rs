//! Many callers that want the lock, again and again.

use super::join_all;
use crate::caller::{join, join_as};
use crate::world::World;

/// Three threads come back at once each time, so holds are short, and the first waiter is woken early.
pub fn a_crowd_is_served_in_the_order_of_arrival() {
    let world = World::new();
    let threads = [2, 2, 1].map(|rounds| {
        world.spawn(move |world| {
            for _ in 0..rounds {
                join(world).turn().hold().done();
            }
        })
    });
    join_all(threads);
    world.ends();
}

/// Threads and tasks wait in one queue.
pub fn a_thread_and_a_task_take_turns() {
    let world = World::new();
    let threads = [true, false, true, false].map(|wakes_early| {
        world.spawn(move |world| {
            join_as(world, wakes_early).turn().hold().done();
        })
    });
    join_all(threads);
    world.ends();
}
