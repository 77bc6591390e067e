//! The crates on trial: crates with tests in the published package, and with few dependencies of these tests.

/// A published crate, and the settings for its trial.
pub(crate) struct Crate {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Of the package, as crates.io knows it.
    pub(crate) checksum: &'static str,
    /// Features that are switched on for its tests.
    pub(crate) features: &'static [&'static str],
    /// Dependencies that its tests do without: they serve its benches, or tests of a feature that is off.
    pub(crate) without: &'static [&'static str],
    /// Files and folders that are left out: tests of a compiler's messages.
    pub(crate) left_out: &'static [&'static str],
    /// Only the functions of its tests: a procedural macro runs in the compiler.
    pub(crate) tests_only: bool,
    /// Tests that cannot wait for a server, and why: they are compared in memory.
    pub(crate) in_memory_only: &'static [(&'static str, &'static str)],
    /// Functions that stay as they are, and why.
    pub(crate) skipped: &'static [(&'static str, &'static str)],
}

const PLAIN: Crate = Crate {
    name: "",
    version: "",
    checksum: "",
    features: &[],
    without: &[],
    left_out: &[],
    tests_only: false,
    in_memory_only: &[],
    skipped: &[],
};

pub(crate) const CRATES: &[Crate] = &[
    // Pointers with tags, and an allocator's own functions: unsafe.
    Crate {
        name: "semver",
        version: "1.0.28",
        checksum: "8a7852d02fc848982e0c167ef163aaff9cd91dc640ba85e263cb1ce46fae51cd",
        ..PLAIN
    },
    // Methods written by macros, in no_std.
    Crate {
        name: "itoa",
        version: "1.0.18",
        checksum: "8f42a60cbdf9a97f5d2305f08a87dc4e09308d1276d28c869c684d7777685682",
        ..PLAIN
    },
    // Closures as arguments, tests written by a macro.
    Crate {
        name: "heck",
        version: "0.5.0",
        checksum: "2304e00983f87ffb38b55b444b5e3b60a884b5d30c0fca7d82fe33449bbe55ea",
        ..PLAIN
    },
    // Unsafe collections, with tests that count drops.
    Crate {
        name: "smallvec",
        version: "1.16.5",
        checksum: "149309498a5f7334b12ddae0cad8aba81ce785fe91755068867e017cf98fee46",
        without: &["bincode1"],
        ..PLAIN
    },
    // Generics, iterators, property tests.
    Crate {
        name: "indexmap",
        version: "2.14.2",
        checksum: "cc4e190f5d26ca7051642629da2c52fc03bde85a03197c99408dcd291734c855",
        ..PLAIN
    },
    // no_std, `Cow`s that borrow from arguments.
    Crate {
        name: "percent-encoding",
        version: "2.3.2",
        checksum: "9b4f627cb1b25917193a259e49bdad08f671f8d9708acfd5fe0a8c1455d87220",
        ..PLAIN
    },
    // One `impl` after the other, by macros, for a type like `Result`.
    Crate {
        name: "either",
        version: "1.19.0",
        checksum: "0e9c71c2167ca323c882b99918929403426e2373ea17242ff5653e0d5e1058be",
        without: &["serde_json"],
        ..PLAIN
    },
    // no_std, unsafe, const generics.
    Crate {
        name: "arrayvec",
        version: "0.7.8",
        checksum: "d3fb67a6e08acf24fdeccbac2cb6ac4305825bd1f117462e0e6f2f193345ad56",
        without: &["bencher", "serde_test"],
        ..PLAIN
    },
    // A crate that is one macro.
    Crate {
        name: "bitflags",
        version: "2.13.2",
        checksum: "3ded4057c258ba199e2d26386d3af3780957ecaee6c4ef4041c6b4b8b97c0b06",
        without: &[
            "arbitrary",
            "bytemuck",
            "serde_json",
            "serde_lib",
            "serde_test",
            "trybuild",
            "zerocopy",
        ],
        ..PLAIN
    },
    // Traits for every number, by macros.
    Crate {
        name: "num-traits",
        version: "0.2.19",
        checksum: "071dfc062690e90b734c0b2273ce72ad0ffa95f0c74596bc250dcfd960262841",
        ..PLAIN
    },
    // `no_std`, iterators in both directions.
    Crate {
        name: "slab",
        version: "0.4.12",
        checksum: "0c790de23124f9ab44544d7ac05d60440adc586479ce501c1d6d7da3cd8c9cf5",
        ..PLAIN
    },
    // Async: mutexes, with waiters that other threads wake.
    Crate {
        name: "async-lock",
        version: "3.5.0",
        checksum: "0876700b0d007ad25d5508865a4259c3af9af6d296bf663a0d586d0bc3369f6f",
        ..PLAIN
    },
    // Async: wakers, intrusive lists.
    Crate {
        name: "event-listener",
        version: "5.4.2",
        checksum: "5a23add41df1562121a9393cb065eab5146a1242410f23a644851e90cfd669d2",
        without: &["criterion", "critical-section"],
        ..PLAIN
    },
    // Async: channels between threads.
    Crate {
        name: "async-channel",
        version: "2.5.0",
        checksum: "924ed96dd52d1b75e9c1a3e6275715fd320f5f9439fb5a4a11fa51f4221158d2",
        ..PLAIN
    },
    // Async: bodies of requests, under tokio.
    Crate {
        name: "http-body-util",
        version: "0.1.5",
        checksum: "23169fe34a5fbcdd3f3862e78fb9b6fccd5f02a6dc6f732547005d45631ce71c",
        ..PLAIN
    },
    // Async: every kind of signature that an async method can have, under another attribute.
    Crate {
        name: "async-trait",
        version: "0.1.92",
        checksum: "82f6aeea286b8eb4dd3431a1be1b59d290ace00f5bfd8e2a159bc2a05e2c1667",
        without: &["trybuild"],
        left_out: &["compiletest.rs", "ui"],
        tests_only: true,
        in_memory_only: &[(
            "drop_order::test_drop_order",
            "its executor panics when a future has to wait",
        )],
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_is_there_once_and_pinned() {
        let mut names: Vec<&str> = CRATES.iter().map(|on_trial| on_trial.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CRATES.len());
        assert!(CRATES.iter().all(|on_trial| on_trial.checksum.len() == 64));
    }
}
