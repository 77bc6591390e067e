//! How often a call of an annotated function allocates, which is the part of its cost that can be counted exactly.

use allocation_counter::measure;
use memlock::Locks;
use std::sync::LazyLock;

static LOCKS: LazyLock<Locks> = LazyLock::new(|| Locks::builder().servers("memory:").build().expect("it is in memory"));

/// A body's frame: the locks it runs under, and the frame of its caller.
const FRAME: u64 = 1;

/// The held lock, which its leases may outlive.
const LOCK: u64 = 1;

/// How often `call` allocates, when it has been called before. It counts this thread's allocations only, and takes the
/// least of several calls, since a holder that was delayed reads the wait list when it is done.
fn allocations(call: impl Fn()) -> u64 {
    // The first calls make the locks, the thread's own variables, and room in tables that keep it.
    call();
    call();
    let each = (0..20).map(|_| {
        let counted = measure(&call);
        assert_eq!(counted.count_current, 0, "no allocation stays");
        counted.count_total
    });
    each.min().unwrap_or_default()
}

#[memlock::lock(name = "allocations::whole", locks = &LOCKS)]
fn whole() {}

#[memlock::lock("fixed", locks = &LOCKS)]
fn fixed() {}

#[memlock::lock(id, locks = &LOCKS)]
fn by_number(id: u64) {
    let _ = id;
}

#[memlock::lock("account/{id}", locks = &LOCKS)]
fn by_text(id: u64) -> Result<u64, memlock::Error> {
    Ok(id)
}

#[memlock::lock((tenant, id), locks = &LOCKS)]
fn by_tuple(tenant: &str, id: u64) {
    let _ = (tenant, id);
}

#[test]
fn a_call_allocates_its_lock_and_its_frame_whatever_its_key() {
    assert_eq!(allocations(whole), LOCK + FRAME);
    assert_eq!(allocations(fixed), LOCK + FRAME);
    assert_eq!(allocations(|| by_number(7)), LOCK + FRAME);
    assert_eq!(allocations(|| drop(by_text(7))), LOCK + FRAME);
    assert_eq!(allocations(|| by_tuple("tenant", 7)), LOCK + FRAME);
}

#[memlock::rlock("outer", name = "allocations::nested", locks = &LOCKS)]
fn outer(depth: u64) {
    (0..depth).for_each(|_| inner());
}

#[memlock::rlock("outer", name = "allocations::nested", locks = &LOCKS)]
fn inner() {}

#[test]
fn entering_again_allocates_a_frame() {
    assert_eq!(allocations(|| outer(0)), LOCK + FRAME);
    assert_eq!(allocations(|| outer(10)), LOCK + 11 * FRAME);
}
