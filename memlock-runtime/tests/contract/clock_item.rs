//! The item that tells the server's second. Every script checks that the second is right and never goes back.

use memlock_runtime::__internals::{CLOCK_ITEM_EXPIRY, CLOCK_ITEM_LIFE, Instance, Items, Reply, Request};

scripts! {
    it_is_missing_until_it_is_created_and_created_once: [
        READ_CLOCK.says(Missing),
        CREATE_CLOCK.says(Stored("clock")),
        READ_CLOCK.says(Clock),
        CREATE_CLOCK.says(NotStored),
        READ_CLOCK.says(Clock),
    ];

    it_can_be_read_in_the_batch_that_creates_it: [
        together([
            READ_CLOCK.says(Missing),
            CREATE_CLOCK.says(Stored("clock")),
            READ_CLOCK.says(Clock),
            CREATE_CLOCK.says(NotStored),
        ]),
    ];

    lost_alone_it_takes_no_lock_with_it: [
        CREATE_CLOCK.says(Stored("clock")),
        add("k", 1).says(Stored("first")),
        event(LoseClock),
        READ_CLOCK.says(Missing),
        read("k").says(There(1, "first")),
        add("k", 2).says(NotStored),
        CREATE_CLOCK.says(Stored("another clock")),
        READ_CLOCK.says(Clock),
        delete("k", "first").says(Deleted),
    ];

    no_lock_has_its_name: [
        CREATE_CLOCK.says(Stored("clock")),
        add("clock", 1).says(Stored("a")),
        add("", 1).says(Stored("b")),
        add(":clock", 1).says(Stored("c")),
        READ_CLOCK.says(Clock),
        CREATE_CLOCK.says(NotStored),
    ];

    it_moves_on_with_the_time: [
        CREATE_CLOCK.says(Stored("clock")),
        READ_CLOCK.says(Clock),
        add("timer", 1).living(3).says(Stored("timer")),
        // Its life is compared with the clock item: it does not expire before the clock has moved on by three seconds.
        expiry("timer"),
        READ_CLOCK.says(Clock),
    ];
}

/// No real process runs until that date. `facts.rs` shows that a real item of this life has such a clock.
#[test]
fn after_its_last_day_another_one_is_created_and_moves_on_with_the_time() {
    let last = CLOCK_ITEM_EXPIRY - 1;
    let mut items = Items::new(Instance {
        start: CLOCK_ITEM_EXPIRY - 100,
        pid: 1,
    });
    let item = crate::run::item("k");
    let mut ask = |second, request| items.apply(second, &item, &request);
    let date = CLOCK_ITEM_EXPIRY - CLOCK_ITEM_LIFE - 1;
    assert!(matches!(ask(date, Request::CreateClock), Reply::Stored(_)));
    assert_eq!(ask(last, Request::ReadClock), Reply::Clock(last));
    for created in [CLOCK_ITEM_EXPIRY, CLOCK_ITEM_EXPIRY + CLOCK_ITEM_LIFE, 3_900_000_000] {
        assert_eq!(ask(created, Request::ReadClock), Reply::Missing);
        assert!(matches!(ask(created, Request::CreateClock), Reply::Stored(_)));
        for age in [0, 1, 77, CLOCK_ITEM_LIFE - 1] {
            let shown = Reply::Clock(CLOCK_ITEM_EXPIRY - CLOCK_ITEM_LIFE + age);
            assert_eq!(ask(created + age, Request::ReadClock), shown);
        }
    }
}
