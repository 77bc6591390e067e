//! When a CAS changes. Every script checks that each store has a higher number than all stores before it. The scripts
//! here cover the cases in which a counter might behave differently.

scripts! {
    every_store_of_any_key_has_a_higher_number: [
        add("a", 1).says(Stored("1")),
        add("b", 1).says(Stored("2")),
        CREATE_CLOCK.says(Stored("3")),
        replace("a", 2, "1").says(Stored("4")),
        replace("b", 2, "2").says(Stored("5")),
        delete("a", "4").says(Deleted),
        add("a", 3).says(Stored("6")),
    ];

    a_counter_that_is_raised_has_a_higher_number_whatever_became_of_the_store_before_it: [
        RAISE_COUNTER.says(Raised),
        together([add("k", 1).says(Stored("first")), RAISE_COUNTER.says(Raised)]),
        together([add("k", 2).says(NotStored), RAISE_COUNTER.says(Raised)]),
        replace("k", 2, "first").says(Stored("second")),
        event(Flush),
        together([add("k", 3).says(Stored("third")), RAISE_COUNTER.says(Raised)]),
        event(Restart),
        together([add("k", 4).says(Stored("fourth")), RAISE_COUNTER.says(Raised)]),
        RAISE_COUNTER.says(Raised),
    ];

    a_counter_has_no_locks_name: [
        RAISE_COUNTER.says(Raised),
        add("tokens", 1).says(Stored("a")),
        add("", 1).says(Stored("b")),
        add(":tokens", 1).says(Stored("c")),
        RAISE_COUNTER.says(Raised),
    ];

    stores_in_vain_give_no_item_another_number: [
        CREATE_CLOCK.says(Stored("clock")),
        add("k", 1).says(Stored("first")),
        // Adds that fail, reads, deletes and replaces that fail, and requests about a missing item.
        add("k", 2).says(NotStored),
        CREATE_CLOCK.says(NotStored),
        read("k").says(There(1, "first")),
        read("other").says(Missing),
        READ_CLOCK.says(Clock),
        replace("k", 2, NO_ITEMS).says(Exists),
        replace("other", 2, NO_ITEMS).says(Missing),
        delete("k", NO_ITEMS).says(Exists),
        delete("other", NO_ITEMS).says(Missing),
        read("k").says(There(1, "first")),
        delete("k", "first").says(Deleted),
        add("k", 3).says(Stored("second")),
    ];

    a_read_shows_the_cas_that_the_store_was_told: [
        add("k", 1).says(Stored("first")),
        read("k").says(There(1, "first")),
        add("other", 1).says(Stored("other")),
        read("k").says(There(1, "first")),
        replace("k", 1, "first").says(Stored("second")),
        read("k").says(There(1, "second")),
    ];

    a_cas_that_changes_by_itself_leaves_the_item_as_it_is: [
        add("k", 1).says(Stored("first")),
        event(Renumber("k".into())),
        // `Exists` is no proof of loss.
        delete("k", "first").says(Exists),
        replace("k", 1, "first").says(Exists),
        add("k", 2).says(NotStored),
        read("k").says(Renumbered(1, "second")),
        replace("k", 1, "second").says(Stored("third")),
        delete("k", "third").says(Deleted),
    ];

    after_a_restart_it_begins_anew_and_an_old_one_fits_a_strangers_item: [
        add("k", 1).says(Stored("old")),
        add("other", 1).says(Stored("old, too")),
        event(Restart),
        add("k", 2).says(Stored("old again")),
        read("k").says(There(2, "old again")),
        // So a CAS is used only on its own instance.
        delete("k", "old").says(Deleted),
        add("k", 3).says(Stored("old, too, again")),
        replace("k", 1, "old, too").says(Stored("new")),
        read("k").says(There(1, "new")),
    ];
}
