//! Long names, and any text. Each key becomes the item's name and the record's label and, if it is too long for a name,
//! the record's full name as well.

use crate::script::{Say, Step, add, delete, read, replace, together};

/// Names for the CAS of each of several keys.
const NAMES: [&str; 40] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20",
    "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "35", "36", "37", "38", "39",
];

/// Locks all keys at once, so that two keys that shared an item would collide.
fn all_apart(keys: &[String]) -> Vec<Step> {
    let named: Vec<(&String, &'static str, u32)> = keys
        .iter()
        .zip(NAMES)
        .zip(0..)
        .map(|((key, cas), who)| (key, cas, who))
        .collect();
    assert_eq!(named.len(), keys.len(), "more keys than names of CAS");
    let adds = named
        .iter()
        .map(|(key, cas, who)| add(*key, *who).says(Say::Stored(cas)));
    let others = named
        .iter()
        .map(|(key, _, who)| add(*key, who + 1).says(Say::NotStored));
    let reads = || {
        named
            .iter()
            .map(|(key, cas, who)| read(*key).says(Say::There(*who, cas)))
    };
    let deletes = named.iter().map(|(key, cas, _)| {
        together([
            delete(*key, cas).says(Say::Deleted),
            read(*key).says(Say::Missing),
            replace(*key, 0, cas).says(Say::Missing),
        ])
    });
    adds.chain(reads())
        .chain(others)
        .chain(reads())
        .chain(deletes)
        .collect()
}

fn texts(texts: &[&str]) -> Vec<Step> {
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    all_apart(&texts)
}

scripts! {
    keys_of_every_length_are_different_keys: all_apart(
        &[0, 1, 2, 100, 119, 120, 121, 150, 180, 181, 182, 183, 184, 199, 200, 201, 232, 248, 249, 250, 251, 252, 986, 987, 988, 20_000, 60_000]
            .map(|length| "k".repeat(length)),
    );

    long_keys_that_differ_only_at_their_end_are_different: all_apart(
        &["a", "b", "", " ", "é"].map(|end| "long/".repeat(60) + end),
    );

    no_text_becomes_a_second_command: texts(&[
        "x\r\nflush_all\r\n",
        "x\r\nflush_all\r",
        "x\nflush_all\n",
        "x T5 O9",
        "x 0 60 2\r\nhi\r\nset y 0 60 2",
        "\r\n",
        "\r",
        "\n",
        " ",
        "  ",
        "\t",
        "\0",
        "\u{7f}",
        "b",
        "c0 O1",
        "quit\r\n",
    ]);

    text_that_escapes_look_like_is_not_what_they_stand_for: texts(&[
        "%", "%%", "%25", "%2525", "%0A", "\n", "%20", " ", "+", "-", "--", "%2D", "~", ":", "::", "\\", "\\:", "a:b", "a\\:b",
    ]);

    text_of_every_script_is_kept: texts(&[
        "grüße", "gru\u{308}ße", "日本語", "🔒", "\u{85}", "\u{2028}", "\u{feff}", "\u{fffd}", "\u{10ffff}", "İ", "i\u{307}",
    ]);

    long_text_that_is_no_ascii_is_cut_between_characters: all_apart(
        &["é", "日", "🔒", "\u{7f}", "\n", " ", "%"].map(|text| text.repeat(400)),
    );
}
