//! A place in the line of processes, which is kept for a while for who comes back.

use memlock_runtime::__internals::WaitList;

use super::join_all;
use crate::caller::join;
use crate::protocol::Member;
use crate::protocol::WaitListView;
use crate::protocol::lease::Now;
use crate::world::{TIMEOUT, World};

/// Two come and go, and leave a place behind that is kept, while somebody minds it who finds it overdue: it is given up
/// once, or kept and minded.
pub fn a_place_that_is_kept_is_always_minded() {
    let world = World::new();
    let threads = [
        world.spawn(|world| {
            let mut head = join(world).turn();
            head.turn.standing.get_or_insert_with(kept);
            head.leave();
        }),
        world.spawn(|world| join(world).turn().leave()),
        world.spawn(|world| {
            world.is_minded();
            let overdue = world.queues.overdue(&World::item(), later());
            if overdue.expect("it is overdue").is_some() {
                world.gives_up_place();
            }
        }),
    ];
    join_all(threads);
    let is_kept = world.ends().is_some();
    assert_eq!(
        world.times_left() + usize::from(is_kept),
        1,
        "it is given up once, or kept"
    );
    assert!(!is_kept || world.times_minded() == 2, "it is kept, and nobody minds it");
}

/// Right after the lock was released, this process stands behind another.
fn kept() -> Box<WaitListView> {
    let entry = |process| Member { process, wake: None };
    let line = WaitList(vec![entry(2), entry(1)]);
    Box::new(WaitListView::with_line(entry(1), line).place_kept(Now::default()))
}

fn later() -> Now {
    Now {
        instant: TIMEOUT,
        wall: TIMEOUT,
    }
}
