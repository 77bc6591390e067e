//! Names on the wire, replies that are no replies, routes, and what people are told.

use super::Mutant;
use super::suites::{attributes, unit};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "line-break-stays-in-a-name",
        breaks: "S6",
        decision: "An item's name has no spaces and no line breaks, so no key becomes a second command.",
        file: "key/item_name.rs",
        from: "byte.is_ascii_graphic() && byte != b'%'",
        to: "byte != b'%'",
        suites: &[unit("key::item_name::")],
    },
    Mutant {
        name: "reply-line-without-end",
        breaks: "S7",
        decision: "A reply line has a greatest length, beyond which nothing is read or kept.",
        file: "store/memcached/codec/progress.rs",
        from: "return if unread.len() < LONGEST_LINE {",
        to: "return if true {",
        suites: &[unit("codec::progress::")],
    },
    Mutant {
        name: "route-by-another-hash",
        breaks: "S8",
        decision: "The hash that routes a key to its server never changes.",
        file: "store/memcached/router.rs",
        from: "let mut hasher = SipHasher24::new_with_keys(KEYS.0, KEYS.1);",
        to: "let mut hasher = SipHasher24::new_with_keys(KEYS.1, KEYS.0);",
        suites: &[unit("memcached::router::")],
    },
    Mutant {
        name: "released-lease-is-well",
        breaks: "S9",
        decision: "A lease that is kept after its holder is done reports that it is over.",
        file: "hold/mod.rs",
        from: "Status::Held if !self.is_given_up() => Ok(()),",
        to: "Status::Held | Status::Released => Ok(()),",
        suites: &[attributes("kept_leases")],
    },
    Mutant {
        name: "password-shown",
        breaks: "S10",
        decision: "Nothing that may be a part of a password is shown: it ends with the last `@`, not with the first.",
        file: "store/memcached/address.rs",
        from: "let behind = entry.rsplit(['@', '＠', '﹫']).next().unwrap_or_default();",
        to: "let behind = entry.split_once(['@', '＠', '﹫']).map_or(entry, |(_, behind)| behind);",
        suites: &[unit("locks::builder::")],
    },
];
