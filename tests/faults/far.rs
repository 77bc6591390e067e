//! A server that is far away: it works, and every answer takes some time.

use std::time::Duration;

use memlock::{Error, Guard, Lease};

use crate::proxy::{Deed, Fault, Then};
use crate::stage::{By, Caller, MARGIN, Stage, block_on, ms, timed};
use crate::wire::Kind;

/// The time of each answer: within a continent, and so long that three answers exceed the default limit.
const DELAYS: [Duration; 2] = [ms(18), ms(200)];

fn tries(by: By, caller: &Caller, key: &'static str, look: impl FnOnce(&Lease)) -> Result<(), Error> {
    match by {
        By::Thread => caller.locks.lock(key).try_acquire().map(|guard: Guard| look(&guard)),
        By::Task => block_on(async {
            let guard = caller.locks.lock(key).try_acquire_async().await?;
            look(&guard);
            guard.release().await;
            Ok(())
        }),
    }
}

#[test]
fn a_caller_that_does_not_want_to_wait_reaches_a_server_far_away() {
    let stage = Stage::set("far", Duration::from_secs(10));
    for delay in DELAYS {
        stage.proxy.delay(delay);
        for by in [By::Thread, By::Task] {
            // First with connecting, then on an open connection.
            let caller = stage.caller();
            for _ in 0..2 {
                let (result, took) = timed(|| tries(by, &caller, stage.key, |lease| assert!(lease.is_valid())));
                result.unwrap_or_else(|error| panic!("{by:?}, {delay:?}: {error}"));
                println!("{delay:?} away, {by:?}: granted and released after {took:.1?}");
            }
            let held = stage.direct.lock(stage.key).acquire().expect("it is free");
            for caller in [caller, stage.caller()] {
                let error = tries(by, &caller, stage.key, |_| ()).expect_err("it is held");
                assert!(error.is_busy(), "{by:?}, {delay:?}: {error}");
                assert_eq!(caller.locks.counts().unavailable, 0);
            }
            held.release();
        }
    }
}

#[test]
fn a_caller_that_does_not_want_to_wait_is_kept_for_one_exchange_by_a_silent_server() {
    const EXCHANGE: Duration = ms(150);
    let stage = Stage::set("silent", EXCHANGE);
    for on in [Kind::Handshake, Kind::Acquire, Kind::Look] {
        for by in [By::Thread, By::Task] {
            let held = (on == Kind::Look).then(|| stage.direct.lock(stage.key).acquire().expect("it is free"));
            stage.proxy.arm(Fault {
                on,
                skip: 0,
                deed: Deed::Silence { executed: false },
                then: Then::Well,
            });
            let caller = stage.caller();
            let (result, took) = timed(|| tries(by, &caller, stage.key, |_| ()));
            println!("silent at {on:?}, {by:?}: {result:?} after {took:.1?}");
            assert!(took < EXCHANGE + MARGIN, "{on:?}, {by:?}: {took:?}");
            assert!(result.is_err(), "it never answers");
            stage.proxy.open_gate();
            drop(held);
            stage.proxy.heal();
            stage.assert_free();
        }
    }
}
