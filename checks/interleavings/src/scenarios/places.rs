//! A place in the line of processes that is kept for a while, for callers that come back.

use memlock_runtime::__internals::WaitList;

use super::join_all;
use crate::caller::join;
use crate::protocol::Member;
use crate::protocol::WaitListView;
use crate::protocol::lease::Now;
use crate::world::{TIMEOUT, World};

/// Two callers come and go, and leave a kept place behind, while the background looks after it and finds it overdue:
/// the place is given up once, or it is kept, and the background is told to look after it again.
pub fn a_kept_place_always_expires() {
    let world = World::new();
    let threads = [
        world.spawn(|world| {
            let mut head = join(world).turn();
            head.turn.wait_list.get_or_insert_with(kept);
            head.leave();
        }),
        world.spawn(|world| join(world).turn().leave()),
        world.spawn(|world| {
            world.wait_until_minded();
            let overdue = world.queues.take_overdue_place(&World::item(), later());
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
    assert!(
        !is_kept || world.times_minded() == 2,
        "it is kept, and the background does not look after it"
    );
}

/// A view right after the release, with this process behind another.
fn kept() -> Box<WaitListView> {
    let entry = |process| Member::new(process, None);
    let line = WaitList(vec![entry(2), entry(1)]);
    Box::new(WaitListView::with_list(entry(1), line).with_kept_place(Now::default()))
}

fn later() -> Now {
    Now::at(TIMEOUT)
}
