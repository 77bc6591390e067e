//! Leaving the line.

use super::*;
use crate::protocol::{Leave, Standing};

/// Where processes wake each other the line changes all the time.
#[test]
fn who_leaves_the_line_does_so_however_often_others_are_quicker() {
    let mut world = World::new();
    let [me, other] = [5, 6].map(|process| Entry { process, call: None });
    let put = |world: &mut World, line: Vec<Entry>| {
        let cas = match world.items.apply(world.second(), &item(), &Request::ReadLine) {
            Reply::Line { cas, .. } => Some(cas),
            _ => None,
        };
        let (line, ttl) = (Line(line), 300);
        world
            .items
            .apply(world.second(), &item(), &Request::StoreLine { line, ttl, cas });
    };
    put(&mut world, vec![me]);
    let mut machine = Leave::new(spec().interval, Box::new(Standing::with_line(me, Line(vec![me]))));
    let (mut input, mut quicker) = (Input::Start, 12);
    while let Output::Exchange { batch, only_on } = machine.step(world.at(), input) {
        if batch.iter().any(Request::writes) && quicker > 0 {
            quicker -= 1;
            put(&mut world, vec![other, me]);
        }
        input = Input::Answered(world.exchange(&batch, only_on));
    }
    let left = world.items.apply(world.second(), &item(), &Request::ReadLine);
    assert!(
        matches!(&left, Reply::Line { line, .. } if line.0 == [other]),
        "{left:?}"
    );
    assert_eq!(quicker, 0);
}
