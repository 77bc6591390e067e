//! How long an item lives. Its whole life is watched and held to the law of expiry; here are the occasions on which an
//! item might live on.

scripts! {
    an_item_that_has_expired_was_never_there: [
        CREATE_CLOCK.says(Stored("clock")),
        READ_CLOCK.says(Clock),
        add("k", 1).living(3).says(Stored("first")),
        READ_CLOCK.says(Clock),
        expiry("k"),
        replace("k", 1, "first").says(Missing),
        delete("k", "first").says(Missing),
        read("k").says(Missing),
        add("k", 2).says(Stored("second")),
        read("k").says(There(2, "second")),
        delete("k", "first").says(Exists),
    ];

    nothing_but_a_replace_that_succeeds_prolongs_a_life: [
        CREATE_CLOCK.says(Stored("clock")),
        READ_CLOCK.says(Clock),
        add("k", 1).living(4).says(Stored("first")),
        READ_CLOCK.says(Clock),
        add("k", 2).says(NotStored),
        replace("k", 2, NO_ITEMS).says(Exists),
        delete("k", NO_ITEMS).says(Exists),
        add("timer", 1).living(2).says(Stored("timer")),
        // Read all the time, and it dies.
        expiry("timer"),
        add("k", 2).says(NotStored),
        replace("k", 2, NO_ITEMS).says(Exists),
        read("k").says(There(1, "first")),
        expiry("k"),
    ];

    a_replace_counts_the_ttl_anew_from_itself: [
        CREATE_CLOCK.says(Stored("clock")),
        add("longer", 1).living(2).says(Stored("a")),
        add("shorter", 1).says(Stored("b")),
        add("timer", 1).living(3).says(Stored("timer")),
        replace("longer", 1, "a").says(Stored("c")),
        READ_CLOCK.says(Clock),
        replace("shorter", 1, "b").living(2).says(Stored("d")),
        READ_CLOCK.says(Clock),
        expiry("shorter"),
        expiry("timer"),
        read("longer").says(There(1, "c")),
        read("shorter").says(Missing),
        delete("longer", "c").says(Deleted),
    ];

    an_expired_item_takes_nothing_with_it: [
        CREATE_CLOCK.says(Stored("clock")),
        add("k", 1).living(2).says(Stored("first")),
        add("other", 1).says(Stored("other")),
        event(StoreForeign("foreign".into())),
        expiry("k"),
        read("other").says(There(1, "other")),
        read("foreign").says(Foreign("foreign")),
        READ_CLOCK.says(Clock),
        CREATE_CLOCK.says(NotStored),
        // Nor does expiring take a CAS.
        add("k", 2).says(Stored("second")),
    ];

    the_longest_lives_are_no_dates: [
        // The longest lease, with what is put on it; over 30 days it would be a date in 1970, and gone at once.
        add("k", 1).living(29 * 86_400 + 5_012).says(Stored("first")),
        read("k").says(There(1, "first")),
        add("k", 2).says(NotStored),
        replace("k", 1, "first").living(30 * 86_400).says(Stored("second")),
        read("k").says(There(1, "second")),
        delete("k", "second").says(Deleted),
    ];
}
