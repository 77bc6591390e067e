//! How long an item lives. Its whole life is watched and checked against the law of expiry. The scripts here cover the
//! cases in which an item might live longer.

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
        // It is read all the time, and expires all the same.
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
        // An expiry takes no CAS either.
        add("k", 2).says(Stored("second")),
    ];

    the_longest_lives_are_no_dates: [
        // The TTL of the longest lease, allowances included. A TTL over 30 days would be a date in 1970, and expire at
        // once.
        add("k", 1).living(29 * 86_400 + 5_012).says(Stored("first")),
        read("k").says(There(1, "first")),
        add("k", 2).says(NotStored),
        replace("k", 1, "first").living(30 * 86_400).says(Stored("second")),
        read("k").says(There(1, "second")),
        delete("k", "second").says(Deleted),
    ];
}
