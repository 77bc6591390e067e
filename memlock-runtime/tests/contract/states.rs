//! Every request in every state: no item, the contender's own item, another contender's item, a foreign item.

scripts! {
    where_nothing_is_only_an_add_stores: [
        read("k").says(Missing),
        delete("k", NO_ITEMS).says(Missing),
        replace("k", 1, NO_ITEMS).says(Missing),
        // Neither of them has created anything.
        read("k").says(Missing),
        add("k", 1).says(Stored("first")),
        read("k").says(There(1, "first")),
    ];

    an_add_never_replaces_and_changes_nothing: [
        add("k", 1).says(Stored("first")),
        add("k", 2).says(NotStored),
        // Not even by the same contender with the same record.
        add("k", 1).says(NotStored),
        read("k").says(There(1, "first")),
        delete("k", "first").says(Deleted),
        add("k", 2).says(Stored("second")),
        read("k").says(There(2, "second")),
    ];

    a_replace_needs_the_cas_of_now: [
        add("k", 1).says(Stored("first")),
        replace("k", 2, NO_ITEMS).says(Exists),
        read("k").says(There(1, "first")),
        replace("k", 3, "first").says(Stored("second")),
        read("k").says(There(3, "second")),
        replace("k", 4, "first").says(Exists),
        read("k").says(There(3, "second")),
        replace("k", 3, "second").says(Stored("third")),
        read("k").says(There(3, "third")),
    ];

    a_delete_needs_the_cas_of_now: [
        add("k", 1).says(Stored("first")),
        replace("k", 1, "first").says(Stored("second")),
        delete("k", "first").says(Exists),
        delete("k", NO_ITEMS).says(Exists),
        read("k").says(There(1, "second")),
        delete("k", "second").says(Deleted),
        delete("k", "second").says(Missing),
        replace("k", 1, "second").says(Missing),
        read("k").says(Missing),
    ];

    a_cas_from_before_a_delete_fits_nothing_later: [
        add("k", 1).says(Stored("first")),
        delete("k", "first").says(Deleted),
        add("k", 2).says(Stored("second")),
        delete("k", "first").says(Exists),
        replace("k", 1, "first").says(Exists),
        read("k").says(There(2, "second")),
    ];

    keys_do_not_touch_each_other: [
        add("a", 1).says(Stored("a")),
        add("b", 2).says(Stored("b")),
        delete("a", "b").says(Exists),
        replace("b", 1, "a").says(Exists),
        delete("c", "a").says(Missing),
        replace("c", 1, "a").says(Missing),
        delete("a", "a").says(Deleted),
        read("a").says(Missing),
        read("b").says(There(2, "b")),
    ];

    a_batch_is_executed_in_its_order: [
        add("b", 9).says(Stored("b")),
        together([
            read("a").says(Missing),
            add("a", 1).says(Stored("a")),
            add("a", 2).says(NotStored),
            read("a").says(There(1, "a")),
            delete("a", NO_ITEMS).says(Exists),
            delete("b", "b").says(Deleted),
            read("b").says(Missing),
            add("b", 3).says(Stored("another b")),
            replace("b", 4, "b").says(Exists),
            CREATE_CLOCK.says(Stored("clock")),
            READ_CLOCK.says(Clock),
        ]),
        read("b").says(There(3, "another b")),
    ];

    what_is_not_memlocks_is_foreign_and_blocks_like_a_lock: [
        event(StoreForeign("k".into())),
        read("k").says(Foreign("foreign")),
        add("k", 1).says(NotStored),
        replace("k", 1, NO_ITEMS).says(Exists),
        delete("k", NO_ITEMS).says(Exists),
        delete("k", "foreign").says(Deleted),
        add("k", 1).says(Stored("first")),
    ];

    a_foreign_store_over_a_lock_takes_its_place: [
        add("k", 1).says(Stored("first")),
        event(StoreForeign("k".into())),
        delete("k", "first").says(Exists),
        replace("k", 1, "first").says(Exists),
        read("k").says(Foreign("foreign")),
        replace("k", 1, "foreign").says(Stored("second")),
        read("k").says(There(1, "second")),
    ];
}
