//! A test of leaving the wait list.

use super::*;
use crate::protocol::{Leave, WaitListView};

/// Where processes wake each other, the list changes all the time.
#[test]
fn leaving_succeeds_however_often_others_change_the_list_first() {
    let mut world = World::new();
    let [me, other] = [5, 6].map(|process| Member::new(process, None));
    let store_list = |world: &mut World, members: Vec<Member>| {
        let cas = match world.items.apply(world.second(), &item(), &Request::ReadWaitList) {
            Reply::WaitList { cas, .. } => Some(cas),
            _ => None,
        };
        let (line, ttl) = (WaitList(members), 300);
        world
            .items
            .apply(world.second(), &item(), &Request::StoreWaitList { line, ttl, cas });
    };
    store_list(&mut world, vec![me]);
    let mut machine = Leave::new(Box::new(WaitListView::with_list(me, WaitList(vec![me]))));
    let (mut input, mut changes) = (Input::Start, 12);
    while let Output::Exchange { batch, only_on } = machine.step(world.at(), input) {
        if batch.iter().any(Request::writes) && changes > 0 {
            changes -= 1;
            store_list(&mut world, vec![other, me]);
        }
        input = Input::Exchanged(world.exchange(&batch, only_on));
    }
    let left = world.items.apply(world.second(), &item(), &Request::ReadWaitList);
    assert!(
        matches!(&left, Reply::WaitList { line, .. } if line.0 == [other]),
        "{left:?}"
    );
    assert_eq!(changes, 0);
}
