//! What an async function does when its lock is not available: the same as any other.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use memlock::{Error, Locks, TestServer, lock, rlock};

use crate::stage::{LOCKS, UNREACHABLE, block_on, held, pause};

#[derive(Debug)]
struct OwnError(String);

impl From<Error> for OwnError {
    fn from(error: Error) -> OwnError {
        OwnError(error.to_string())
    }
}

type Alias<T> = Result<T, OwnError>;

#[lock("k", locks = &UNREACHABLE)]
async fn hard() -> Result<u8, Error> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
async fn alias() -> Alias<u8> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
async fn generic<E: From<Error>>() -> Result<u8, E> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
async fn hidden_success() -> Result<impl Iterator<Item = u8>, OwnError> {
    Ok(vec![1].into_iter())
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = error)]
async fn hard_by_choice() -> Result<u8, String> {
    Ok(1)
}

#[test]
fn results_report_an_unavailable_server() {
    assert!(block_on(hard()).expect_err("no server").is_unavailable());
    assert!(block_on(alias()).expect_err("no server").0.contains("unavailable"));
    assert!(block_on(generic::<OwnError>()).is_err());
    assert!(block_on(hidden_success()).is_err());
    assert!(block_on(hard_by_choice()).is_err());
}

#[lock("k", locks = &UNREACHABLE)]
async fn soft() -> Option<usize> {
    pause().await;
    Some(held().len())
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = unlocked)]
async fn soft_by_choice() -> Result<usize, std::fmt::Error> {
    Ok(held().len())
}

#[lock("k", locks = &UNREACHABLE)]
async fn soft_and_hidden() -> impl Copy + Into<u64> {
    7_u8
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = panic)]
async fn panics() -> u8 {
    1
}

#[test]
fn functions_that_cannot_report_run_unlocked_or_panic() {
    assert_eq!(block_on(soft()), Some(0));
    assert_eq!(block_on(soft_by_choice()), Ok(0));
    assert_eq!(block_on(soft_and_hidden()).into(), 7);
    assert!(std::panic::catch_unwind(|| block_on(panics())).is_err());
}

#[lock("k", name = "async-reentered", locks = &LOCKS)]
async fn enters_twice(times: u8) -> Result<u8, Error> {
    if times == 0 {
        return Ok(0);
    }
    Box::pin(enters_twice(times - 1)).await
}

#[lock("k", name = "async-reentered", locks = &LOCKS)]
async fn enters_twice_and_cannot_say() {
    enters_twice(0).await.expect_err("reentered");
    Box::pin(enters_twice_and_cannot_say()).await;
}

#[lock("k", locks = &LOCKS, timeout = seconds)]
async fn mistaken_timeout(seconds: i32) -> Option<i32> {
    Some(seconds)
}

#[test]
fn mistakes_in_the_program_are_reported_or_panic() {
    assert!(block_on(enters_twice(1)).expect_err("its own holder").is_reentered());
    assert!(std::panic::catch_unwind(|| block_on(enters_twice_and_cannot_say())).is_err());
    assert_eq!(block_on(mistaken_timeout(5)), Some(5));
    let panic = std::panic::catch_unwind(|| block_on(mistaken_timeout(-1))).expect_err("a mistake");
    assert!(panic.downcast_ref::<String>().expect("a text").contains("`timeout`"));
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Done(usize),
    Later(String),
}

#[lock(id, name = "async-busy", locks = &LOCKS, wait = 0, otherwise = |error| Outcome::Later(format!("{id} {}", error.is_busy())))]
async fn or_closure(id: String) -> Outcome {
    pause().await;
    Outcome::Done(id.len() + held().len())
}

#[lock(*id, name = "async-busy", locks = &LOCKS, wait = 0, otherwise = other.await)]
async fn or_value(id: &str, other: impl Future<Output = u8>) -> u8 {
    pause().await;
    let _ = (id, other);
    1
}

#[lock("k", name = "async-busy", locks = &LOCKS, wait = 0)]
async fn or_error() -> Result<u8, OwnError> {
    Ok(1)
}

#[test]
fn otherwise_replaces_the_error_of_a_busy_lock() {
    assert_eq!(block_on(or_closure("k".into())), Outcome::Done(2));
    assert_eq!(block_on(or_value("k", async { 7 })), 1);
    let _held = LOCKS.lock("k").name("async-busy").acquire().expect("free");
    assert_eq!(block_on(or_closure("k".into())), Outcome::Later("k true".into()));
    assert_eq!(block_on(or_value("k", async { 7 })), 7);
    assert!(block_on(or_error()).is_err());
}

/// Locks of this test alone, since it moves their clock.
static TIMED: LazyLock<(Locks, TestServer)> = LazyLock::new(Locks::in_memory);

/// Outlasts any lease of a minute.
fn outlast() {
    TIMED.1.advance(Duration::from_secs(2 * 60));
}

#[lock(id, locks = &TIMED.0, timeout = 60, on_lost = error)]
async fn reports_loss(id: u64, outlast: bool, text: &mut String) -> Result<&mut String, Error> {
    let _ = id;
    if outlast {
        self::outlast();
    }
    pause().await;
    if text.is_empty() {
        return Ok(text);
    }
    let _: u8 = match text.parse() {
        Ok(number) => number,
        Err(_) => hard().await?,
    };
    Ok(text)
}

#[rlock(id, locks = &TIMED.0, timeout = 60, on_lost = error, otherwise = |error| Err(error.to_string()))]
async fn replaces_loss(id: u64, outlast: bool) -> Result<String, String> {
    if outlast {
        self::outlast();
    }
    pause().await;
    if id == 0 {
        Err("its own error".to_owned())
    } else {
        Ok(String::new())
    }
}

#[lock(id, locks = &TIMED.0, timeout = 60, on_lost = error, otherwise = 0)]
async fn replaces_loss_of_any_type(id: u64) -> u64 {
    self::outlast();
    id
}

#[test]
fn a_success_under_a_lost_lease_is_an_error_where_asked_for() {
    let (mut empty, mut text) = (String::new(), "x".to_owned());
    assert!(block_on(reports_loss(1, false, &mut empty)).is_ok());
    assert!(block_on(reports_loss(2, true, &mut empty)).expect_err("lost").is_lost());
    assert!(
        block_on(reports_loss(3, true, &mut text))
            .expect_err("its own")
            .is_unavailable()
    );
    assert_eq!(block_on(replaces_loss(4, false)), Ok(String::new()));
    assert!(
        block_on(replaces_loss(4, true))
            .expect_err("lost")
            .contains("has ended")
    );
    assert_eq!(block_on(replaces_loss(0, true)), Err("its own error".to_owned()));
    assert_eq!(block_on(replaces_loss_of_any_type(5)), 0);
}
