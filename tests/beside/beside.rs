//! `#[serial]`, `#[rstest]` and `#[cached]` above and below memlock's attributes. The crate knows memlock as `locking`,
//! and has edition 2021, between those of `tests/attributes`.
#![deny(warnings, clippy::all, clippy::pedantic)]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use cached::macros::cached;
use locking::{Locks, lock, rlock, zlock};
use rstest::{fixture, rstest};
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

#[fixture]
fn shelf() -> Shelf {
    Shelf {
        name: "shelf-".to_owned(),
    }
}

#[lock("{key}/{number}", locks = &LOCKS, crate = locking)]
#[rstest]
#[case("k", 1)]
#[case("l", 2)]
fn rstest_below(mut shelf: Shelf, #[case] key: &str, #[case] number: u8) {
    assert_eq!(held(), [format!("{key}/{number}")]);
    // Cases run side by side, and a case that has to wait for a zlock gets a conflict.
    shelf.name.push_str(key);
    shelf.name().expect("a lock of its own").push('!');
    assert_eq!(shelf.name, format!("shelf-{key}!"));
}

#[lock("{number}", locks = &LOCKS, crate = locking)]
#[rstest]
#[case(3)]
#[tokio::test]
async fn rstest_below_in_a_task(#[case] number: u8) -> Result<(), locking::Error> {
    assert_eq!(held(), [number.to_string()]);
    Ok(())
}

/// Attributes below it are applied to the cases, which have no arguments.
#[rstest]
#[case("k")]
#[case("l")]
#[lock("all cases", locks = &LOCKS, crate = locking)]
fn rstest_above(#[case] key: &str) {
    assert_eq!((key.len(), held()), (1, vec!["all%20cases".to_owned()]));
}

static COMPUTED: AtomicU32 = AtomicU32::new(0);

/// A call that finds its value in the cache takes no lock.
#[cached]
#[lock("{number}", locks = &LOCKS, crate = locking)]
fn cached_above(number: u32) -> (u32, Vec<String>) {
    (number + COMPUTED.fetch_add(1, Ordering::Relaxed), held())
}

/// No call looks into the cache without the lock.
#[lock("{number}", locks = &LOCKS, crate = locking)]
#[cached]
fn cached_below(number: u32) -> (u32, Vec<String>) {
    (number + COMPUTED.fetch_add(1, Ordering::Relaxed), held())
}

#[test]
fn cached_above_and_below() {
    for cached in [cached_above, cached_below] {
        let first = cached(7);
        assert_eq!(first.1, ["7"]);
        assert_eq!(cached(7), first, "it was computed again");
        assert_ne!(cached(8), first);
    }
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
