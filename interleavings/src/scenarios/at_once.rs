//! Those who are granted the lock, or give it back, in the same step in which they join the queue or leave it.

use super::{hangs, join_all, steps_in};
use crate::caller::{behind, hold, join, join_holding};
use crate::world::World;

/// Three threads come back at once each time, and take the lock in whichever way it is to be had.
pub fn those_who_hold_at_once_and_those_who_wait_exclude_each_other() {
    let world = World::new();
    let threads = [2, 2, 1].map(|rounds| {
        world.spawn(move |world| {
            for _ in 0..rounds {
                hold(world).done_at_once();
            }
        })
    });
    join_all(threads);
    world.ends();
}

/// One joins while the holder gives the lock back: it waits for it behind the holder, or finds nobody.
pub fn one_who_joins_while_the_lock_is_given_back_at_once_is_served() {
    let world = World::new();
    let holder = join_holding(&world).expect("nobody has it");
    let threads = [
        world.spawn(move |_| {
            holder.done_at_once();
        }),
        world.spawn(move |world| join(world).turn().hold().done()),
    ];
    join_all(threads);
    world.ends();
}

/// Who joins behind one that was granted the lock at once knows of its lease, and steps in when it hangs.
pub fn a_lease_that_was_granted_at_once_is_known_to_who_joins_behind() {
    let world = World::new();
    let holder = join_holding(&world).expect("nobody has it");
    let first = behind(&world);
    let threads = [
        world.spawn(move |world| hangs(world, holder)),
        world.spawn(move |world| steps_in(world, first)),
    ];
    join_all(threads);
    world.ends();
}

/// Nobody is let in at once before those who wait, or beside one whose place was taken.
pub fn nobody_holds_at_once_while_others_wait() {
    let world = World::new();
    let holder = join_holding(&world).expect("nobody has it");
    let first = behind(&world);
    let threads = [
        world.spawn(move |_| {
            assert!(!holder.done_at_once(), "somebody waits for it");
        }),
        world.spawn(move |_| first.turn().hold().done()),
        world.spawn(move |world| hold(world).done()),
    ];
    join_all(threads);
    world.ends();
}
