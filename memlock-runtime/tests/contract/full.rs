//! A server without memory that may not evict (`-m 2 -M`). Its dangerous behaviour: a store that it refuses deletes the
//! item that the store must not touch. The server in memory stays full then, but the real one has room for one item, so
//! each script fills it up again after a refusal.

scripts! {
    a_refused_add_deletes_the_lock_of_its_holder: [
        add("k", 1).says(Stored("holder")),
        event(Fill),
        read("k").says(There(1, "holder")),
        add("k", 2).says(Refused),
        read("k").says(Missing),
        event(Fill),
        delete("k", "holder").says(Missing),
        replace("k", 1, "holder").says(Refused),
    ];

    a_refused_replace_deletes_whatever_cas_it_names: [
        add("mine", 1).says(Stored("mine")),
        add("anothers", 2).says(Stored("anothers")),
        event(Fill),
        replace("mine", 1, "mine").says(Refused),
        read("mine").says(Missing),
        event(Fill),
        replace("anothers", 1, NO_ITEMS).says(Refused),
        read("anothers").says(Missing),
    ];

    where_nothing_is_a_store_is_refused_and_nothing_else_happens: [
        add("other", 1).says(Stored("other")),
        event(Fill),
        together([
            read("k").says(Missing),
            add("k", 1).says(Refused),
            replace("k", 1, NO_ITEMS).says(Refused),
            read("k").says(Missing),
            delete("k", NO_ITEMS).says(Missing),
            read("other").says(There(1, "other")),
        ]),
    ];

    reading_and_deleting_need_no_memory: [
        CREATE_CLOCK.says(Stored("clock")),
        add("k", 1).says(Stored("first")),
        event(Fill),
        READ_CLOCK.says(Clock),
        read("k").says(There(1, "first")),
        delete("k", NO_ITEMS).says(Exists),
        delete("k", "first").says(Deleted),
        read("k").says(Missing),
    ];

    a_counter_that_is_there_is_raised_without_memory: [
        RAISE_COUNTER.says(Raised),
        event(Fill),
        RAISE_COUNTER.says(Raised),
        RAISE_COUNTER.says(Raised),
    ];

    a_counter_that_is_missing_is_refused: [
        event(Fill),
        RAISE_COUNTER.says(Refused),
        event(Free),
        RAISE_COUNTER.says(Raised),
    ];

    a_refused_clock_item_is_lost: [
        CREATE_CLOCK.says(Stored("clock")),
        event(Fill),
        READ_CLOCK.says(Clock),
        CREATE_CLOCK.says(Refused),
        READ_CLOCK.says(Missing),
        event(Fill),
        CREATE_CLOCK.says(Refused),
        READ_CLOCK.says(Missing),
    ];

    with_memory_again_stores_are_taken_again: [
        add("k", 1).says(Stored("first")),
        event(Fill),
        add("k", 2).says(Refused),
        event(Free),
        add("k", 2).says(Stored("second")),
        CREATE_CLOCK.says(Stored("clock")),
        replace("k", 3, "second").says(Stored("third")),
        read("k").says(There(3, "third")),
    ];
}
