//! An error that `otherwise` replaces is logged, unless the lock was busy, which `otherwise` is for.

use memlock::{Error, lock, rlock, zlock};

use crate::log::Log;
use crate::stage::{LOCKS, UNREACHABLE, block_on};

#[lock("k", locks = &UNREACHABLE, otherwise = 7)]
fn locked_value() -> u8 {
    1
}

#[rlock("k", locks = &UNREACHABLE, otherwise = |error| error.to_string().len())]
fn rlocked_closure() -> usize {
    1
}

#[zlock("k", locks = &UNREACHABLE, on_unavailable = error, otherwise = Err(std::fmt::Error))]
fn zlocked_value() -> Result<u8, std::fmt::Error> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE, on_lost = error, otherwise = 7)]
fn checked_value() -> u8 {
    1
}

#[lock("k", locks = &UNREACHABLE, otherwise = 7)]
async fn locked_value_async() -> u8 {
    1
}

#[rlock("k", locks = &UNREACHABLE, otherwise = |error| error.to_string().len())]
async fn rlocked_closure_async() -> usize {
    1
}

#[zlock("k", locks = &UNREACHABLE, on_unavailable = error, otherwise = Err(std::fmt::Error))]
async fn zlocked_value_async() -> Result<u8, std::fmt::Error> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE, on_lost = error, otherwise = 7)]
async fn checked_value_async() -> u8 {
    1
}

#[lock("k", locks = &UNREACHABLE)]
fn reports() -> Result<u8, Error> {
    Ok(1)
}

#[test]
fn an_unavailable_server_is_logged_with_the_function_and_the_error() {
    let calls: [(&str, fn()); 8] = [
        ("locked_value", || assert_eq!(locked_value(), 7)),
        ("rlocked_closure", || assert!(rlocked_closure() > 7)),
        ("zlocked_value", || assert!(zlocked_value().is_err())),
        ("checked_value", || assert_eq!(checked_value(), 7)),
        ("locked_value_async", || assert_eq!(block_on(locked_value_async()), 7)),
        ("rlocked_closure_async", || {
            assert!(block_on(rlocked_closure_async()) > 7);
        }),
        ("zlocked_value_async", || {
            assert!(block_on(zlocked_value_async()).is_err());
        }),
        ("checked_value_async", || assert_eq!(block_on(checked_value_async()), 7)),
    ];
    for (name, call) in calls {
        let ((), lines) = Log::of(call);
        let [line] = lines.as_slice() else {
            panic!("not one line for {}: {:?}", name, lines);
        };
        let function = format!("{}::{name}", module_path!());
        for part in ["WARN", &function, "unavailable", "otherwise"] {
            assert!(line.contains(part), "{} does not say {}", line, part);
        }
    }
    let (error, lines) = Log::of(reports);
    assert!(error.is_err_and(|error| error.is_unavailable()));
    assert!(
        lines.is_empty(),
        "a caller that gets the error needs no line: {:?}",
        lines
    );
}

#[lock("busy", name = "otherwise", locks = &LOCKS, wait = 0, otherwise = 7)]
fn busy_value() -> u8 {
    1
}

#[lock("busy", name = "otherwise", locks = &LOCKS, wait = 0, otherwise = |_| 7)]
async fn busy_closure() -> u8 {
    1
}

#[test]
fn a_busy_lock_is_not_logged() {
    let _held = LOCKS.lock("busy").name("otherwise").acquire().expect("it is free");
    let (values, lines) = Log::of(|| (busy_value(), block_on(busy_closure())));
    assert_eq!(values, (7, 7));
    assert!(lines.is_empty(), "{:?}", lines);
}

#[lock("own", name = "otherwise", locks = &LOCKS)]
fn outer() -> u8 {
    inner()
}

#[lock("own", name = "otherwise", locks = &LOCKS, otherwise = 7)]
fn inner() -> u8 {
    1
}

#[test]
fn a_mistake_of_the_program_is_logged() {
    let (value, lines) = Log::of(outer);
    assert_eq!(value, 7);
    assert!(
        matches!(lines.as_slice(), [line] if line.contains("already holds lock")),
        "{:?}",
        lines
    );
}
