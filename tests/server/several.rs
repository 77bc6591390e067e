//! Keys spread over several servers.

use std::collections::BTreeSet;

use memlock::{Error, Locks};
use memlock_testkit::ITEMS_THAT_STAY;

use crate::actor::Actor;
use crate::stage::{Stage, hold};

const KEYS: u32 = 40;

#[test]
fn a_server_that_is_down_makes_only_its_own_keys_unavailable() {
    let first = Stage::set();
    let stages = [Stage::beside(&first), Stage::beside(&first), first];
    let list = stages.each_ref().map(|stage| stage.address()).join(",");
    let locks = Locks::builder()
        .servers(list)
        .build()
        .expect("nothing is wrong with it");
    let guards: Vec<_> = (0..KEYS).map(|key| hold(locks.lock(key))).collect();
    for stage in &stages {
        assert!(
            stage.number("curr_items") > ITEMS_THAT_STAY,
            "no key went to {}",
            stage.address()
        );
    }
    let fallen = stages[1].number("curr_items") - ITEMS_THAT_STAY;
    drop(guards);
    stages[1].kill();
    let mut failed = 0;
    for key in 0..KEYS {
        match locks.lock(key).acquire() {
            Ok(guard) => guard.release(),
            Err(Error::Unavailable { server, .. }) => {
                assert_eq!(server, stages[1].address());
                failed += 1;
            }
            Err(error) => panic!("another error: {error}"),
        }
    }
    assert_eq!(failed, fallen, "exactly the keys that it kept");
}

#[test]
fn processes_agree_on_the_server_of_a_key_whatever_the_order_of_the_list() {
    let first = Stage::set();
    let stages = [Stage::beside(&first), first];
    let [one, two] = stages.each_ref().map(|stage| stage.address());
    let locks = Locks::builder()
        .servers(format!("{one}, {two}"))
        .build()
        .expect("nothing is wrong with it");
    let (mut other, greeting) = Actor::in_environment(&[("MEMLOCK_SERVERS", &format!("{two},{one}"))]);
    assert_eq!(greeting, "ready");
    let guards: Vec<_> = (0..KEYS).map(|key| hold(locks.lock(key))).collect();
    let answers: BTreeSet<String> = (0..KEYS)
        .map(|key| other.tries(&key.to_string()))
        .map(|answer| answer.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(answers, BTreeSet::from(["busy:".to_owned()]));
    drop(guards);
    assert!(other.tries("0").starts_with("granted "));
}
