//! `#[serial]` above and below ours, in a crate to which memlock is `locking`, of the edition between those that
//! `tests/attributes` is compiled as.
#![deny(warnings, clippy::all, clippy::pedantic)]

use std::sync::LazyLock;

use locking::{Locks, lock, rlock, zlock};
use serial_test::serial;

static LOCKS: LazyLock<Locks> = LazyLock::new(|| Locks::builder().servers("memory:").build().expect("good settings"));

/// The keys that the innermost body holds.
fn held() -> Vec<String> {
    let Some(lease) = locking::current() else {
        return Vec::new();
    };
    lease
        .tokens()
        .map(|(name, _)| name.rsplit(':').next().expect("a key").to_owned())
        .collect()
}

#[test]
#[serial]
#[lock("k", locks = &LOCKS, crate = locking)]
fn serial_above() {
    assert_eq!(held(), ["k"]);
}

#[lock("k", locks = &LOCKS, crate = locking)]
#[test]
#[serial]
fn serial_below() -> Result<(), locking::Error> {
    assert_eq!(held(), ["k"]);
    Ok(())
}

struct Shelf {
    name: String,
}

impl Shelf {
    #[rlock("{self.name}", locks = &LOCKS, crate = locking)]
    async fn renamed(&mut self, name: &str) -> &str {
        assert_eq!(held(), [self.name.as_str()]);
        self.name.push_str(name);
        &self.name
    }

    // A closure captures `self.name` alone in this edition and later, and all of `self` before.
    #[zlock("{self.name}", locks = &LOCKS, crate = ::locking)]
    fn name(&mut self) -> Result<&mut String, locking::Error> {
        assert_eq!(held(), [self.name.as_str()]);
        Ok(&mut self.name)
    }
}

#[tokio::test]
#[serial]
async fn under_another_name() {
    let mut shelf = Shelf { name: "a".to_owned() };
    assert_eq!(shelf.renamed("b").await, "ab");
    shelf.name().expect("locked").push('c');
    assert_eq!(shelf.name, "abc");
}
