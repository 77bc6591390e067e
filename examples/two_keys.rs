//! Two locks at once: `keys = [a, b]` takes all of them or none, in the order of their names. So two callers that name
//! them in opposite orders do not wait for each other. `cargo run --example two_keys`

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use memlock::Locks;

/// An account, in a store where reading and writing are two steps.
struct Account {
    id: u32,
    balance: AtomicI64,
}

#[memlock::lock(keys = ["account/{from.id}", "account/{to.id}"])]
fn transfer(from: &Account, to: &Account, amount: i64) -> Result<(), memlock::Error> {
    let (left, gained) = (
        from.balance.load(Ordering::SeqCst) - amount,
        to.balance.load(Ordering::SeqCst) + amount,
    );
    thread::yield_now();
    from.balance.store(left, Ordering::SeqCst);
    to.balance.store(gained, Ordering::SeqCst);
    Ok(())
}

fn main() -> Result<(), memlock::Error> {
    if std::env::var_os("MEMLOCK_SERVERS").is_none() {
        memlock::init(Locks::builder().servers("memory:").build()?)?;
    }
    let (ada, bob) = (
        Account {
            id: 1,
            balance: 500.into(),
        },
        Account {
            id: 2,
            balance: 500.into(),
        },
    );
    thread::scope(|scope| {
        let there = scope.spawn(|| (0..200).try_for_each(|_| transfer(&ada, &bob, 3)));
        let back = scope.spawn(|| (0..200).try_for_each(|_| transfer(&bob, &ada, 1)));
        there.join().expect("no panic")?;
        back.join().expect("no panic")
    })?;
    let (ada, bob) = (ada.balance.into_inner(), bob.balance.into_inner());
    println!("ada has {ada}, bob has {bob}, together {}", ada + bob);
    assert_eq!((ada, bob), (100, 900), "money was created or destroyed");
    Ok(())
}
