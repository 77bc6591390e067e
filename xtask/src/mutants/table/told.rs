//! What people and programs are told: of leases that are over, of errors that nobody else hears of, and of what others wrote.

use super::suites::{attributes, unit};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "released-lease-is-well",
        breaks: "S9",
        fault: "a lease that was released, and kept, says that nothing is wrong with it",
        edits: &[Edit {
            file: "hold/mod.rs",
            from: "Status::Held if !self.is_given_up() => None,",
            to: "Status::Held | Status::Released => None,",
        }],
        suites: &[attributes("kept_leases")],
    },
    Mutant {
        name: "lease-lives-on-behind-a-renewal",
        breaks: "S9",
        fault: "a lease whose holder is done lasts until a renewal that is under way lets its release begin",
        edits: &[Edit {
            file: "hold/mod.rs",
            from: "self.is_given_up.store(true, Ordering::Release);",
            to: "self.is_given_up.store(false, Ordering::Release);",
        }],
        suites: &[unit("hold::")],
    },
    Mutant {
        name: "loss-is-forgotten",
        breaks: "S9",
        fault: "a lease that was lost says, once it is released, that it was released",
        edits: &[Edit {
            file: "hold/mod.rs",
            from: "Status::Held | Status::Released => state.lost,",
            to: "Status::Held | Status::Released => None,",
        }],
        suites: &[attributes("kept_leases")],
    },
    Mutant {
        name: "otherwise-swallows",
        breaks: "S10",
        fault: "an unavailable server in whose place `otherwise` answers leaves no line in the log",
        edits: &[Edit {
            file: "attribute/otherwise.rs",
            from: "if !error.is_busy() {",
            to: "if error.is_lost() {",
        }],
        suites: &[attributes("otherwise")],
    },
    Mutant {
        name: "text-is-turned-around",
        breaks: "S10",
        fault: "characters that turn the direction of a text around, or have no ink, are shown as they are",
        edits: &[Edit {
            file: "text/shown.rs",
            from: "if is_harmless(character) {",
            to: "if !character.is_control() {",
        }],
        suites: &[unit("shown::")],
    },
    Mutant {
        name: "first-at-ends-the-password",
        breaks: "S10",
        fault: "what stands behind the first `@` of an entry is shown, and may be a part of a password",
        edits: &[Edit {
            file: "store/memcached/address.rs",
            from: "let behind = entry.rsplit(['@', '＠', '﹫']).next().unwrap_or_default();",
            to: "let behind = entry.split_once(['@', '＠', '﹫']).map_or(entry, |(_, behind)| behind);",
        }],
        suites: &[unit("locks::builder::")],
    },
    Mutant {
        name: "comma-ends-the-password",
        breaks: "S10",
        fault: "an entry of the list is shown although a later one has credentials, so it may be a part of a password with a comma",
        edits: &[Edit {
            file: "store/memcached/list.rs",
            from: "\
        if let Some(host) = host_after_credentials(list) {
            return Err(credentials_error(host));
        }
",
            to: "",
        }],
        suites: &[unit("locks::builder::")],
    },
];
