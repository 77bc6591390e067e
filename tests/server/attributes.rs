//! Annotated functions over a real server: what the attributes add to `Locks`.

use std::thread;
use std::time::Duration;

use memlock::{Error, Lease, Locks};
use memlock_testkit::{unused_port, wait_until};

use crate::actor::Actor;
use crate::stage::{MARGIN, PATIENCE, Stage, hold, ms, timed, tried};
use crate::warnings::Warnings;

#[memlock::lock(key, locks = locks, name = "accounts", timeout = 20)]
fn token(locks: &Locks, key: &str) -> Result<u64, Error> {
    Ok(memlock::current().expect("it runs under a lock").token().get())
}

#[memlock::lock(key, locks = locks, name = "lock", wait = 0)]
fn tries(locks: &Locks, key: &str) -> Result<(), Error> {
    Ok(())
}

#[memlock::lock("k", locks = locks, name = "lock")]
fn reports(locks: &Locks) -> Result<bool, Error> {
    Ok(memlock::current().is_some())
}

#[memlock::lock("k", locks = locks, name = "lock")]
fn cannot_report(locks: &Locks) -> bool {
    memlock::current().is_some()
}

#[memlock::lock("k", locks = locks, name = "lock", on_unavailable = unlocked)]
fn prefers_to_run(locks: &Locks) -> Result<bool, Error> {
    Ok(memlock::current().is_some())
}

#[memlock::lock("k", locks = locks, name = "lock", on_unavailable = panic)]
fn insists(locks: &Locks) -> bool {
    memlock::current().is_some()
}

#[memlock::lock("k", locks = locks, name = "lock", wait = 0.1, otherwise = false)]
fn gives_up(locks: &Locks) -> bool {
    memlock::current().is_some()
}

#[test]
fn an_annotated_function_locks_on_the_server_and_releases() {
    let stage = Stage::set();
    let (locks, others) = (stage.locks(), stage.locks());
    let guard = hold(others.lock("7").name("accounts"));
    thread::scope(|scope| {
        let reads = stage.number("get_hits");
        let waiting = scope.spawn(|| token(&locks, "7"));
        wait_until("the function to have seen the lock", PATIENCE, || {
            stage.number("get_hits") >= reads + 2
        });
        assert!(!waiting.is_finished());
        let earlier = guard.token().get();
        guard.release();
        assert!(waiting.join().expect("no panic").expect("it is free") > earlier);
    });
    assert!(others.lock("7").name("accounts").wait(MARGIN).acquire().is_ok());
}

#[memlock::lock(key, locks = locks, name = "lock")]
fn keeps(locks: &Locks, key: &str) -> Result<Lease, Error> {
    Ok(memlock::current().expect("it runs under a lock"))
}

#[memlock::lock(key, locks = locks, name = "lock")]
async fn keeps_async(locks: &Locks, key: &str) -> Result<Lease, Error> {
    Ok(memlock::current().expect("it runs under a lock"))
}

#[test]
fn a_kept_lease_is_over_also_while_another_process_holds_the_lock() {
    let stage = Stage::set();
    let (locks, mut other) = (stage.locks(), Actor::on(&stage));
    let leases = [
        keeps(&locks, "k").expect("it is free"),
        smol::block_on(keeps_async(&locks, "k")).expect("it is free"),
        hold(locks.lock("k")).lease(),
    ];
    other.acquires("k", PATIENCE);
    for lease in leases {
        let error = lease.check().expect_err("it is over");
        assert!(error.is_lost() && error.to_string().contains("released"), "{error}");
        assert!(!lease.is_valid() && lease.remaining().is_zero());
        assert!(lease.renew().is_err_and(|error| error.is_lost()));
    }
    assert_eq!(other.believes(), (true, "ok".to_owned()));
}

#[test]
fn a_function_that_tries_once_reports_the_other_process() {
    let stage = Stage::set();
    let mut holder = Actor::on(&stage);
    holder.acquires("k", PATIENCE);
    let locks = stage.locks();
    let error = tried(|| tries(&locks, "k")).expect_err("it is held");
    assert!(
        error.is_busy() && error.to_string().contains(&holder.pid().to_string()),
        "{error}"
    );
    assert!(!gives_up(&locks), "what `otherwise` says");
    holder.releases();
    tried(|| tries(&locks, "k")).expect("it is free");
    // It has a tenth of a second, and the machine may stand still for that long.
    wait_until("the lock to be free", PATIENCE, || gives_up(&locks));
}

/// The two ways in which a server fails: it refuses, or it hangs.
#[test]
fn without_a_server_functions_report_or_run_unlocked_with_a_warning() {
    let stage = Stage::set();
    stage.pause();
    let closed = format!("127.0.0.1:{}", unused_port());
    for address in [closed, stage.address()] {
        let limit = ms(100);
        let locks = Locks::builder()
            .servers(&*address)
            .exchange_timeout(limit)
            .build()
            .expect("nothing is wrong with it");
        let (warnings, limit) = (Warnings::new(), 2 * limit + MARGIN);

        let (result, took) = timed(|| warnings.of(|| reports(&locks)));
        let error = result.expect_err("there is no server");
        assert!(
            error.is_unavailable() && error.to_string().contains(&address),
            "{error}"
        );
        assert!(took < limit, "{took:?}");
        assert_eq!((warnings.count(), locks.counts().soft_runs), (0, 0));

        let (has_lock, took) = timed(|| warnings.of(|| cannot_report(&locks)));
        assert!(!has_lock && took < limit, "{took:?}");
        assert_eq!((warnings.count(), locks.counts().soft_runs), (1, 1));

        let has_lock = warnings.of(|| prefers_to_run(&locks)).expect("it runs all the same");
        assert!(!has_lock);
        assert_eq!((warnings.count(), locks.counts().soft_runs), (2, 2));

        assert!(!gives_up(&locks), "what `otherwise` says");
        let panic = thread::scope(|scope| scope.spawn(|| insists(&locks)).join().expect_err("it insists"));
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains(&address), "{message}");
        assert_eq!(locks.counts().soft_runs, 2);
    }
}

#[memlock::lock("busy", locks = locks, name = "lock")]
fn deposits(locks: &Locks) -> u64 {
    locks.counts().acquired
}

/// A soft function runs unlocked if the server cannot be asked, not if it answers that another process holds the lock.
#[test]
fn a_soft_function_waits_for_a_lock_that_is_held() {
    let stage = Stage::set();
    let (locks, others) = (stage.locks(), stage.locks());
    let guard = hold(others.lock("busy"));
    thread::scope(|scope| {
        let reads = stage.number("get_hits");
        let waiting = scope.spawn(|| deposits(&locks));
        wait_until("the function to have looked a few times", PATIENCE, || {
            stage.number("get_hits") >= reads + 10
        });
        assert!(!waiting.is_finished());
        guard.release();
        assert_eq!(waiting.join().expect("no panic"), 1);
    });
    assert_eq!(locks.counts().soft_runs, 0);
}

#[memlock::rlock(key, locks = locks, name = "tree")]
fn walk(locks: &Locks, key: &str, depth: u32) -> Result<u64, Error> {
    let token = memlock::current().expect("it runs under a lock").token().get();
    if depth == 0 {
        return Ok(token);
    }
    let inner = walk(locks, key, depth - 1)?;
    assert_eq!(inner, token, "a re-entry has the token of the outer grant");
    Ok(inner)
}

#[memlock::rlock("root", locks = locks, name = "tree")]
fn takes_again(locks: &Locks) -> Result<(), Error> {
    plain(locks)
}

#[memlock::lock("root", locks = locks, name = "tree")]
fn plain(locks: &Locks) -> Result<(), Error> {
    Ok(())
}

#[test]
fn entering_again_costs_no_round_trip_and_a_plain_lock_inside_is_an_error_at_once() {
    let stage = Stage::set();
    let locks = stage.locks();
    walk(&locks, "root", 0).expect("it is free");
    let commands = |depth| {
        let before = stage.commands();
        walk(&locks, "root", depth).expect("it is free");
        stage.commands() - before
    };
    assert_eq!(commands(0), commands(20));
    let (result, took) = timed(|| takes_again(&locks));
    let error = result.expect_err("it would wait for itself");
    assert!(error.is_reentered(), "{error}");
    assert!(took < MARGIN, "{took:?}");
    walk(&locks, "root", 1).expect("it was released");
}

#[memlock::lock(keys = [from, to], locks = locks, name = "pairs")]
fn transfer(locks: &Locks, from: u32, to: u32) -> Result<(), Error> {
    thread::yield_now();
    Ok(())
}

/// Taken in the order of the call, the locks of two callers would wait for each other within a few calls.
#[test]
fn two_keys_in_any_order_do_not_deadlock_two_processes() {
    const CALLS: u32 = 100;
    let stage = Stage::set();
    let (one, other) = (stage.locks(), stage.locks());
    let (ended, took) = timed(|| {
        thread::scope(|scope| {
            let forwards = scope.spawn(|| (0..CALLS).try_for_each(|_| transfer(&one, 1, 2)));
            let backwards = scope.spawn(|| (0..CALLS).try_for_each(|_| transfer(&other, 2, 1)));
            (forwards.join().expect("no panic"), backwards.join().expect("no panic"))
        })
    });
    ended.0.expect("no error");
    ended.1.expect("no error");
    println!("{} transfers took {took:.1?}", 2 * CALLS);
    // The default timeout: a deadlock would last as long.
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert_eq!(stage.items_of_locks(), 0, "a lock is left");
}

#[memlock::lock("env")]
fn process_wide() -> Result<u64, Error> {
    Ok(memlock::current().expect("it runs under a lock").token().get())
}

/// The first use makes the process-wide locks from the environment. Every call reports a mistake there.
#[test]
fn without_init_the_environment_says_where_the_process_wide_locks_are() {
    const NAME: &str = "attributes::without_init_the_environment_says_where_the_process_wide_locks_are";
    if let Some(parent) = memlock_testkit::Parent::of_role("annotated") {
        for _ in 0..2 {
            parent.say(&process_wide().map_or_else(|error| error.to_string(), |_| "locked".to_owned()));
        }
        return;
    }
    let stage = Stage::set();
    let said = |servers: &str| {
        let peer = memlock_testkit::Peer::of("annotated")
            .test(NAME)
            .env("MEMLOCK_SERVERS", servers)
            .start();
        [peer.expect_line(PATIENCE), peer.expect_line(PATIENCE)]
    };
    assert_eq!(said(&stage.address()), ["locked", "locked"]);
    assert_eq!(stage.items_of_locks(), 0);
    for mistake in said("localhost:x") {
        assert!(
            mistake.contains("MEMLOCK_SERVERS") && mistake.contains("localhost:x"),
            "{mistake}"
        );
    }
}
#[memlock::lock("short", locks = locks, timeout = 0.1, on_lost = error)]
fn outlasts(locks: &Locks) -> Result<(), Error> {
    let lease = memlock::current().expect("it runs under a lock");
    wait_until("the lease to end", PATIENCE, || !lease.is_valid());
    Ok(())
}

#[test]
fn a_body_that_outlasted_its_lease_is_an_error_where_that_is_asked_for() {
    let stage = Stage::set();
    let locks = stage.locks();
    assert!(outlasts(&locks).expect_err("its lease ended").is_lost());
    assert_eq!(locks.counts().lost, 1);
}
