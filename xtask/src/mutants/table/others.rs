//! What stands beside all that: the ends of bodies and processes, names, clocks and calls.

use super::suites::{DRIVER, attributes, unit, zlock};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "taken-after-the-shutdown",
        breaks: "Z2",
        fault: "a transaction takes its locks between two attempts although they were shut down",
        edits: &[Edit {
            file: "transaction/mod.rs",
            from: "\
            lock.core.check_open()?;
",
            to: "",
        }],
        suites: &[zlock("transactions::nothing_is_taken")],
    },
    Mutant {
        name: "kept-call-tree-keeps-the-lock",
        breaks: "L3",
        fault: "a body whose call tree is kept beyond its end does not release its lock",
        edits: &[Edit {
            file: "call_tree/mod.rs",
            from: "None => frame.lease().cloned(),",
            to: "None => None,",
        }],
        suites: &[attributes("whatever_its_body_has_kept")],
    },
    Mutant {
        name: "kept-lease-keeps-the-lock",
        breaks: "L3",
        fault: "a lease that is kept beyond its body keeps the lock from being released",
        edits: &[Edit {
            file: "hold/guard.rs",
            from: "None => hold.release(),",
            to: "None => {}",
        }],
        suites: &[attributes("whatever_its_body_has_kept")],
    },
    Mutant {
        name: "line-break-stays-in-a-name",
        breaks: "S6",
        fault: "a key with a line break in it gives an item whose name has one",
        edits: &[Edit {
            file: "key/item_name.rs",
            from: "byte.is_ascii_graphic() && byte != b'%'",
            to: "byte != b'%'",
        }],
        suites: &[unit("key::item_name::")],
    },
    Mutant {
        name: "another-instances-clock",
        breaks: "S5",
        fault: "readings of a server's clock count for the instance that replaced it",
        edits: &[Edit {
            file: "driver/known_server.rs",
            from: "if known.instance != Some(instance) {",
            to: "if known.instance.is_none() {",
        }],
        suites: &[DRIVER],
    },
    Mutant {
        name: "anyone-may-call",
        breaks: "L6",
        fault: "a datagram without the secret wakes whoever waits for the lock that it names",
        edits: &[Edit {
            file: "driver/wake/mod.rs",
            from: "if u64::from_str_radix(secret, 16) != Ok(*self.target.secret.expose()) {",
            to: "if u64::from_str_radix(secret, 16).is_err() {",
        }],
        suites: &[unit("driver::wake::")],
    },
];
