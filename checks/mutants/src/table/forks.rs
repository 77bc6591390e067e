//! Processes that fork.

use super::Mutant;
use super::suites::forks;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "forked-children-draw-the-same-nonces",
        breaks: "F S3",
        decision: "Nonces come from the operating system, not from the hash seeds that forked children share.",
        file: "system/random.rs",
        from: "Ok(Identity::of(system_random()?))",
        to: "Ok(Identity::of(process_random()))",
        suites: &[forks("share_no_nonce")],
    },
    Mutant {
        name: "child-uses-its-parents-locks",
        breaks: "F S1",
        decision: "A forked child cannot use the locks of its parent.",
        file: "system/random.rs",
        from: "!self.home.is_current()",
        to: "self.home != self.home",
        suites: &[forks("a_child_can_use_nothing")],
    },
    Mutant {
        name: "child-releases-its-parents-lock",
        breaks: "F S3",
        decision: "A guard that a forked child drops releases nothing.",
        file: "hold/release.rs",
        from: "if self.core.is_inherited() {",
        to: "if false {",
        suites: &[forks("a_child_can_use_nothing")],
    },
];
