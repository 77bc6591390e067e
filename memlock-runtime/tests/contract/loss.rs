//! A server that loses its items.

scripts! {
    a_flush_takes_everything_and_nothing_that_comes_after_it: [
        CREATE_CLOCK.says(Stored("clock")),
        add("a", 1).says(Stored("a")),
        add("b", 1).says(Stored("b")),
        event(StoreForeign("c".into())),
        event(Flush),
        // Within the same second.
        add("a", 2).says(Stored("another a")),
        READ_CLOCK.says(Missing),
        CREATE_CLOCK.says(Stored("another clock")),
        replace("b", 1, "b").says(Missing),
        delete("b", "b").says(Missing),
        read("b").says(Missing),
        read("c").says(Missing),
        read("a").says(There(2, "another a")),
        READ_CLOCK.says(Clock),
        delete("a", "a").says(Exists),
        delete("a", "another a").says(Deleted),
    ];

    a_flush_never_gives_a_cas_twice: [
        add("k", 1).says(Stored("1")),
        event(Flush),
        add("k", 1).says(Stored("2")),
        event(Flush),
        event(Flush),
        add("k", 1).says(Stored("3")),
        delete("k", "1").says(Exists),
        delete("k", "2").says(Exists),
    ];

    a_restart_takes_everything: [
        CREATE_CLOCK.says(Stored("clock")),
        READ_CLOCK.says(Clock),
        add("k", 1).says(Stored("first")),
        event(StoreForeign("foreign".into())),
        event(Restart),
        READ_CLOCK.says(Missing),
        read("k").says(Missing),
        read("foreign").says(Missing),
        delete("k", "first").says(Missing),
        replace("k", 1, "first").says(Missing),
        CREATE_CLOCK.says(Stored("another clock")),
        READ_CLOCK.says(Clock),
        add("k", 1).says(Stored("second")),
    ];

    an_evicted_item_was_never_there: [
        CREATE_CLOCK.says(Stored("clock")),
        add("k", 1).says(Stored("first")),
        add("other", 1).says(Stored("other")),
        event(Evict("k".into())),
        replace("k", 1, "first").says(Missing),
        delete("k", "first").says(Missing),
        read("k").says(Missing),
        READ_CLOCK.says(Clock),
        read("other").says(There(1, "other")),
        add("k", 2).says(Stored("second")),
    ];
}
