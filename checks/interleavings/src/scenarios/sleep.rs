//! Waiters that fall asleep just as they have to be woken.

use std::time::Duration;

use super::{hangs, join_all, steps_in};
use crate::caller::{Holder, behind, head, join};
use crate::protocol::Watch;
use crate::world::{TIMEOUT, World};

/// The first waiter has been told that its turn is near, stays awake for it, gives that up, and falls asleep, just as
/// the turn comes.
pub fn a_turn_given_to_a_waiter_that_falls_asleep_wakes_it() {
    let world = World::new();
    let holder = head(&world).hold();
    let first = behind(&world);
    // The hold was short, so the waiter that comes right behind the new holder stays awake.
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

/// The same, but the waiter is woken early by a caller that joins behind it.
pub fn a_waiter_that_is_woken_early_and_gets_its_turn_meanwhile_is_served() {
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

/// The first waiter looks, finds no lease, and goes to sleep, while a lease is granted to a holder that hangs.
pub fn a_lease_granted_to_a_holder_that_hangs_wakes_the_first_waiter() {
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

/// The same, while the first waiter leaves: then the second has to step in, which was not told of the lease.
pub fn a_waiter_that_becomes_the_first_sees_the_lease() {
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

/// A lease is made shorter while the first waiter goes to sleep until its end.
pub fn a_lease_that_is_made_shorter_wakes_the_first_waiter() {
    check_changed_lease(|holder| shorten(holder, TIMEOUT / 2));
}

/// The same, but the first waiter wakes up at the end that the lease had before it was renewed.
pub fn a_lease_that_is_renewed_and_made_shorter_wakes_the_first_waiter() {
    check_changed_lease(|holder| {
        let now = holder.head.caller.world.time.now();
        let watch = Watch::of_own(&holder.grant, now);
        holder.head.turn.leased(TIMEOUT / 4, watch);
        holder.head.turn.leased(TIMEOUT, watch);
        holder.head.caller.world.time.move_to(TIMEOUT / 4);
        shorten(holder, TIMEOUT / 2);
    });
}

/// A holder changes its lease, and hangs; the first waiter steps in.
fn check_changed_lease(change: fn(&Holder)) {
    let world = World::new();
    let holder = head(&world).hold();
    let first = behind(&world);
    let threads = [
        world.spawn(move |_| {
            change(&holder);
            holder.hang(TIMEOUT * 2);
            holder.done();
        }),
        world.spawn(move |world| steps_in(world, first)),
    ];
    join_all(threads);
    world.ends();
}

/// Shortens the lease of `holder` to `until`, and moves time there.
fn shorten(holder: &Holder, until: Duration) {
    let world = &holder.head.caller.world;
    let now = world.time.now();
    let shorter = holder.grant.clone().reserve(until.saturating_sub(now.instant), now);
    holder.believes(shorter.deadline);
    let watch = Watch::of_own(&shorter, now);
    holder.head.turn.leased(shorter.deadline.ends(), watch);
    world.time.move_to(until);
}
