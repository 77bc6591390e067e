//! Those who fall asleep just as there is something to wake them for.

use std::time::Duration;

use super::{hangs, join_all, steps_in};
use crate::caller::{Holder, behind, head, join};
use crate::protocol::Watch;
use crate::world::{TIMEOUT, World};

/// The next in line has been told that its turn is near, stays awake for it, gives that up, and falls asleep, while it
/// comes.
pub fn a_turn_that_comes_to_one_who_falls_asleep_wakes_it() {
    let world = World::new();
    let holder = head(&world).hold();
    let first = behind(&world);
    // A brisk hand-over: whoever comes right behind the new holder stays awake.
    holder.done();
    let holder = first.turn().hold();
    let near = behind(&world);
    let threads = [
        world.spawn(move |_| holder.done()),
        world.spawn(move |_| near.turn().hold().done()),
    ];
    join_all(threads);
    world.ends();
}

/// The same, when it is called early by one who joins behind it.
pub fn one_who_is_called_early_and_has_its_turn_meanwhile_is_served() {
    let world = World::new();
    let holder = head(&world).hold();
    let (first, second) = (behind(&world), behind(&world));
    holder.done();
    let holder = first.turn().hold();
    let threads = [
        world.spawn(move |_| holder.done()),
        world.spawn(move |_| second.turn().hold().done()),
        world.spawn(move |world| join(world).turn().hold().done()),
    ];
    join_all(threads);
    world.ends();
}

/// The first in line looks, finds no lease, and goes to sleep, while a lease is granted whose holder hangs.
pub fn a_lease_that_is_granted_to_one_who_hangs_wakes_the_first_in_line() {
    let world = World::new();
    let asks = head(&world);
    let first = behind(&world);
    let threads = [
        world.spawn(move |world| hangs(world, asks.hold())),
        world.spawn(move |world| steps_in(world, first)),
    ];
    join_all(threads);
    world.ends();
}

/// The same, while the first in line leaves: then it is the second's to step in, which was not told of the lease.
pub fn a_lease_is_seen_by_whom_the_first_in_line_leaves_it_to() {
    let world = World::new();
    let asks = head(&world);
    let (first, second) = (behind(&world), behind(&world));
    let threads = [
        world.spawn(move |world| hangs(world, asks.hold())),
        world.spawn(move |_| drop(first)),
        world.spawn(move |world| steps_in(world, second)),
    ];
    join_all(threads);
    world.ends();
}

/// A lease is made shorter while the first in line goes to sleep until its end.
pub fn a_lease_that_is_made_shorter_wakes_the_first_in_line() {
    lease_goes(|holder| shorten(holder, TIMEOUT / 2));
}

/// The same, when the first in line wakes up at what was the end before the lease was renewed.
pub fn a_lease_that_is_renewed_and_made_shorter_wakes_the_first_in_line() {
    lease_goes(|holder| {
        let now = holder.head.caller.world.time.now();
        let watch = Watch::of_own(&holder.grant, now);
        holder.head.turn.leased(TIMEOUT / 4, watch);
        holder.head.turn.leased(TIMEOUT, watch);
        holder.head.caller.world.time.move_to(TIMEOUT / 4);
        shorten(holder, TIMEOUT / 2);
    });
}

/// A holder does this, and hangs; the first in line steps in.
fn lease_goes(what: fn(&Holder)) {
    let world = World::new();
    let holder = head(&world).hold();
    let first = behind(&world);
    let threads = [
        world.spawn(move |_| {
            what(&holder);
            holder.hang(TIMEOUT * 2);
            holder.done();
        }),
        world.spawn(move |world| steps_in(world, first)),
    ];
    join_all(threads);
    world.ends();
}

/// Its lease lasts until then and no longer, and that time comes.
fn shorten(holder: &Holder, until: Duration) {
    let world = &holder.head.caller.world;
    let now = world.time.now();
    let shorter = holder.grant.clone().reserve(until.saturating_sub(now.instant), now);
    holder.believes(shorter.deadline);
    let watch = Watch::of_own(&shorter, now);
    holder.head.turn.leased(shorter.deadline.ends(), watch);
    world.time.move_to(until);
}
