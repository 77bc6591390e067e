//! A head that fails on behalf of all.

use memlock_runtime::Locks;

use super::join_all;
use crate::caller::{FOR_EVER, Gone, behind, head, join};
use crate::error::Error;
use crate::world::World;

/// Two callers wait, one of which leaves, and another joins, while the head fails for all: each is dismissed, or stands
/// in a queue of its own.
pub fn all_waiters_are_dismissed_or_join_a_new_queue() {
    let world = World::new();
    let failing = head(&world);
    let (first, second) = (behind(&world), behind(&world));
    let threads = [
        world.spawn(move |_| failing.fails(&no_server())),
        world.spawn(move |_| match first.wait(FOR_EVER) {
            Err(Gone::Dismissed) => {}
            _ => panic!("it was not told"),
        }),
        world.spawn(move |_| drop(second)),
        world.spawn(move |world| match join(world).wait() {
            Ok(head) => head.hold().done(),
            Err(gone) => assert!(matches!(gone, Gone::Dismissed)),
        }),
    ];
    join_all(threads);
    world.ends();
}

fn no_server() -> Error {
    Locks::builder().servers("").build().expect_err("there is no server")
}
