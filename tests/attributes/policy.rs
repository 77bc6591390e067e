//! What happens when the lock is not available.

use std::panic::{catch_unwind, panic_any};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use memlock::{Error, Locks, TestServer, lock, rlock};

use crate::stage::{LOCKS, UNREACHABLE, held};

#[lock("k", locks = &UNREACHABLE, on_unavailable = unlocked)]
fn soft() -> Result<usize, Error> {
    Ok(held().len())
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = panic)]
fn strict() -> u8 {
    1
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = panic)]
fn strict_result() -> Result<u8, std::fmt::Error> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = error)]
fn hard() -> Result<u8, Error> {
    Ok(1)
}

#[test]
fn on_unavailable_decides() {
    let before = UNREACHABLE.counts().soft_runs;
    assert_eq!(soft().expect("runs"), 0);
    assert!(UNREACHABLE.counts().soft_runs > before);
    assert!(message(catch_unwind(strict).map(drop)).contains("unavailable"));
    assert!(message(catch_unwind(strict_result).map(drop)).contains("unavailable"));
    assert!(hard().expect_err("no server").is_unavailable());
}

fn message(outcome: std::thread::Result<()>) -> String {
    let panic = outcome.expect_err("it panics");
    panic.downcast_ref::<String>().expect("a text").clone()
}

#[lock("k", name = "policy", locks = &LOCKS)]
fn outer<T>(inner: impl FnOnce() -> T) -> T {
    inner()
}

#[lock("k", name = "policy", locks = &LOCKS)]
fn reports() -> Result<u8, Error> {
    Ok(1)
}

#[lock("k", name = "policy", locks = &LOCKS)]
fn cannot_report() -> u8 {
    1
}

#[test]
fn a_mistake_in_the_program_is_returned_or_panics_in_the_function() {
    assert!(outer(reports).expect_err("re-entered").is_reentered());
    let place = std::sync::Arc::new(Mutex::new(None));
    let hook = std::panic::take_hook();
    let told = std::sync::Arc::clone(&place);
    let here = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        // Other tests panic meanwhile, on other threads.
        if std::thread::current().id() != here {
            return;
        }
        *told.lock().expect("not poisoned") = panic.location().map(|location| location.file().to_owned());
    }));
    let outcome = catch_unwind(|| outer(cannot_report));
    std::panic::set_hook(hook);
    assert!(message(outcome.map(drop)).contains("already holds lock"));
    let place = place.lock().expect("not poisoned").clone();
    assert_eq!(
        place.as_deref(),
        Some(file!()),
        "the panic points at the user's function"
    );
}

#[rlock("k", name = "policy again", locks = &LOCKS)]
fn again(depth: u8) -> u8 {
    assert_eq!(held().len(), 1);
    if depth == 0 { 0 } else { 1 + again(depth - 1) }
}

#[test]
fn an_rlock_may_be_entered_again() {
    assert_eq!(again(3), 3);
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Done(usize),
    Later(String),
}

#[lock("busy", name = "policy busy", locks = &LOCKS, timeout = 5)]
fn busy(inner: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(inner);
    });
}

#[lock("busy", name = "policy busy", locks = &LOCKS, wait = 0)]
fn try_now() -> Result<usize, Error> {
    Ok(held().len())
}

#[lock("busy", name = "policy busy", locks = &LOCKS, wait = "10ms", otherwise = |error| Outcome::Later(error.to_string()))]
fn or_closure() -> Outcome {
    Outcome::Done(held().len())
}

#[lock("busy", name = "policy busy", locks = &LOCKS, wait = Duration::ZERO, otherwise = fallback + 1)]
fn or_value(fallback: usize) -> usize {
    held().len() + fallback
}

#[lock("busy", name = "policy busy", locks = &LOCKS, wait = 0, otherwise = Err(std::fmt::Error))]
fn or_another_error() -> Result<usize, std::fmt::Error> {
    Ok(held().len())
}

#[lock("busy", name = "policy busy", locks = &LOCKS, wait = 0, otherwise = |error| panic_any(format!("stop: {error}")))]
fn or_panic() -> ! {
    panic!("ran")
}

#[test]
fn a_wait_that_is_over_is_reported_or_replaced() {
    busy(|| {
        assert!(try_now().expect_err("busy").is_busy());
        assert!(matches!(or_closure(), Outcome::Later(error) if error.contains("busy")));
        assert_eq!(or_value(7), 8);
        assert_eq!(or_another_error(), Err(std::fmt::Error));
        let panic = catch_unwind(|| or_panic()).expect_err("panics");
        assert!(
            panic
                .downcast_ref::<String>()
                .is_some_and(|text| text.starts_with("stop: "))
        );
    });
    assert_eq!(try_now().expect("free"), 1);
    assert_eq!(or_closure(), Outcome::Done(1));
    assert_eq!(or_value(7), 8);
    assert_eq!(or_another_error(), Ok(1));
}

#[lock("k", locks = &UNREACHABLE, otherwise = 7)]
fn unavailable_or() -> u8 {
    1
}

#[test]
fn otherwise_replaces_the_error_of_an_unavailable_server() {
    assert_eq!(unavailable_or(), 7);
}

/// Locks of this test alone, since it moves their clock.
static TIMED: LazyLock<(Locks, TestServer)> = LazyLock::new(Locks::in_memory);

/// Outlasts any lease of a minute.
fn outlast() {
    TIMED.1.advance(Duration::from_secs(2 * 60));
}

#[lock(id, locks = &TIMED.0, timeout = 60, on_lost = error)]
fn reports_loss(id: u64, outlast: bool, text: &mut String) -> Result<&mut String, Error> {
    let _ = id;
    if outlast {
        self::outlast();
    }
    if text.is_empty() {
        return Ok(text);
    }
    let _: u8 = text.parse().map_err(|_| held_error())?;
    Ok(text)
}

fn held_error() -> Error {
    hard().expect_err("no server")
}

#[lock(id, locks = &TIMED.0, timeout = 60, on_lost = error, otherwise = |error| Err(error.to_string()))]
fn replaces_loss(id: u64, outlast: bool) -> Result<String, String> {
    if outlast {
        self::outlast();
    }
    if id == 0 {
        Err("its own error".to_owned())
    } else {
        Ok(String::new())
    }
}

#[lock(id, locks = &TIMED.0, timeout = 60, on_lost = error, otherwise = 0)]
fn replaces_loss_of_any_type(id: u64) -> u64 {
    self::outlast();
    id
}

#[test]
fn a_success_under_a_lost_lease_is_an_error_where_asked_for() {
    let (mut empty, mut text) = (String::new(), "x".to_owned());
    assert!(reports_loss(1, false, &mut empty).is_ok());
    assert!(reports_loss(2, true, &mut empty).expect_err("lost").is_lost());
    assert!(reports_loss(3, true, &mut text).expect_err("its own").is_unavailable());
    assert_eq!(replaces_loss(4, false), Ok(String::new()));
    assert!(replaces_loss(4, true).expect_err("lost").contains("has ended"));
    assert_eq!(replaces_loss(0, true), Err("its own error".to_owned()));
    assert_eq!(replaces_loss_of_any_type(5), 0);
}
