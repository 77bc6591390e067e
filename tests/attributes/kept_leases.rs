//! A lease that outlives its body says that it is over.

use std::sync::LazyLock;
use std::time::Duration;

use memlock::{Error, Lease, Locks, TestServer, lock, rlock};

use crate::stage::{LOCKS, block_on, pause};

fn current() -> Lease {
    let lease = memlock::current().expect("it runs locked");
    lease.check().expect("it is held");
    lease
}

/// Checks that every method of `lease` says that it was released.
#[track_caller]
pub(crate) fn is_over(lease: &Lease) {
    assert!(!lease.is_valid());
    assert_eq!(lease.remaining(), Duration::ZERO);
    for error in [lease.check(), lease.renew(), block_on(lease.renew_async())] {
        let error = error.expect_err("it is over");
        assert!(error.is_lost() && error.to_string().contains("released"), "{}", error);
    }
}

#[lock("k", name = "kept::lock", locks = &LOCKS)]
fn locked() -> Result<Lease, Error> {
    Ok(current())
}

#[lock("k", name = "kept::lock", locks = &LOCKS)]
async fn locked_async() -> Result<Lease, Error> {
    pause().await;
    Ok(current())
}

#[lock(keys = ["a", "b"], name = "kept::several", locks = &LOCKS)]
fn several() -> Result<Lease, Error> {
    Ok(current())
}

#[lock(keys = ["a", "b"], name = "kept::several", locks = &LOCKS)]
async fn several_async() -> Result<Lease, Error> {
    Ok(current())
}

#[lock("k", name = "kept::lock", locks = &LOCKS, on_lost = error)]
fn checked() -> Result<Lease, Error> {
    Ok(current())
}

#[lock("k", name = "kept::lock", locks = &LOCKS, on_lost = error)]
async fn checked_async() -> Result<Lease, Error> {
    Ok(current())
}

#[test]
fn a_lease_is_over_when_its_body_is() {
    for body in [locked, several, checked] {
        is_over(&body().expect("it is free"));
    }
    is_over(&block_on(locked_async()).expect("it is free"));
    is_over(&block_on(several_async()).expect("it is free"));
    is_over(&block_on(checked_async()).expect("it is free"));
}

#[test]
fn a_lease_is_over_also_while_another_holds_the_lock() {
    for body in [locked, || block_on(locked_async())] {
        let lease = body().expect("it is free");
        let other = LOCKS.lock("k").name("kept::lock").acquire().expect("it was released");
        is_over(&lease);
        other.check().expect("that one is held");
    }
}

#[test]
fn a_lease_is_over_when_its_body_panics_or_is_dropped() {
    #[lock("k", name = "kept::panics", locks = &LOCKS)]
    fn panics(kept: &mut Option<Lease>) -> Result<(), Error> {
        *kept = Some(current());
        panic!("this one is meant to be");
    }

    #[lock("k", name = "kept::dropped", locks = &LOCKS)]
    async fn never_ends(kept: &mut Option<Lease>) -> Result<(), Error> {
        *kept = Some(current());
        std::future::pending().await
    }

    let mut kept = None;
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panics(&mut kept)));
    assert!(panic.is_err());
    is_over(&kept.expect("it ran"));

    let mut kept = None;
    let mut body = Box::pin(never_ends(&mut kept));
    block_on(async {
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(std::future::Future::poll(body.as_mut(), context)))
                .await;
        assert!(polled.is_pending());
    });
    drop(body);
    is_over(&kept.expect("it ran"));
}

#[rlock("k", name = "kept::rlock", locks = &LOCKS)]
fn inner() -> Result<Lease, Error> {
    Ok(current())
}

#[rlock("k", name = "kept::rlock", locks = &LOCKS, on_lost = error)]
fn outer() -> Result<Lease, Error> {
    let lease = inner()?;
    lease.check().expect("the outer body still holds the lock");
    Ok(lease)
}

#[test]
fn a_lease_of_an_inner_body_lasts_as_long_as_the_outer_one() {
    is_over(&outer().expect("it is free"));
}

/// Locks of this test alone, since it moves their clock.
static TIMED: LazyLock<(Locks, TestServer)> = LazyLock::new(Locks::in_memory);

#[lock("k", locks = &TIMED.0, timeout = 60)]
fn outlasts() -> Result<Lease, Error> {
    let lease = current();
    TIMED.1.advance(Duration::from_secs(2 * 60));
    Ok(lease)
}

#[test]
fn a_lease_that_was_lost_keeps_its_reason() {
    let lease = outlasts().expect("the loss is only warned of");
    let error = lease.check().expect_err("it is over").to_string();
    assert!(error.contains("ran out"), "{}", error);
    assert!(!lease.is_valid() && lease.renew().is_err_and(|error| error.is_lost()));
}
