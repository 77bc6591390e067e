//! While a panic unwinds, a second one would end the process. So a function that cannot report its lock's error then runs
//! without the lock, and the error is logged. Each test has a process of its own.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memlock::{Error, lock, rlock};
use memlock_testkit::{Parent, Peer};

use crate::log::Log;
use crate::stage::{LOCKS, UNREACHABLE, block_on, held};

/// Runs `test`, the test called `name`, in a process of its own.
fn in_own_process(name: &str, test: impl FnOnce()) {
    if Parent::of_role("panicking").is_some() {
        return test();
    }
    let mut peer = Peer::of("panicking").test(&format!("panicking::{}", name)).start();
    let status = peer.wait(Duration::from_secs(60));
    assert!(status.success(), "{}: {}", name, status);
}

/// Calls a closure when it is dropped.
struct AtEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Panics, calls `at_end` while that unwinds, and returns what was logged.
fn log_while_unwinding(at_end: impl FnMut()) -> Vec<String> {
    let (outcome, log) = Log::of(|| {
        catch_unwind(AssertUnwindSafe(|| {
            let _at_end = AtEnd(at_end);
            panic_any("the first");
        }))
    });
    let panic = outcome.expect_err("it panics");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the first"));
    log
}

fn assert_one_error(log: &[String], parts: &[&str]) {
    assert_eq!(log.len(), 1, "{:?}", log);
    assert!(log[0].starts_with("ERROR "), "{:?}", log);
    for part in parts {
        assert!(log[0].contains(part), "{}: {:?}", part, log);
    }
}

#[lock("k", name = "panicking", locks = &LOCKS)]
fn holder<T>(body: impl FnOnce() -> T) -> T {
    body()
}

#[lock("k", name = "panicking", locks = &LOCKS)]
fn reentered() -> usize {
    held().len()
}

#[lock("k", name = "panicking", locks = &LOCKS)]
async fn reentered_async() -> usize {
    held().len()
}

#[rlock("k", name = "panicking", locks = &LOCKS)]
fn reentered_by_another_attribute() -> usize {
    held().len()
}

#[lock("k", name = "panicking", locks = &LOCKS, timeout = *length)]
fn wrong_option(length: &i32) -> usize {
    held().len()
}

#[lock("k", name = "panicking", locks = &LOCKS, timeout = *length)]
async fn wrong_option_async(length: &i32) -> usize {
    held().len()
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = panic)]
fn unavailable() -> usize {
    held().len()
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = panic)]
async fn unavailable_async() -> usize {
    held().len()
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = panic)]
fn unavailable_result() -> Result<usize, std::fmt::Error> {
    Ok(held().len())
}

#[test]
fn a_body_runs_unlocked_while_a_panic_unwinds() {
    in_own_process("a_body_runs_unlocked_while_a_panic_unwinds", || {
        let zero = 0;
        let cases: [(&str, &str, &dyn Fn() -> usize); 8] = [
            ("::reentered", "already holds lock", &reentered),
            ("::reentered_async", "already holds lock", &|| {
                block_on(reentered_async())
            }),
            (
                "::reentered_by_another",
                "already holds lock",
                &reentered_by_another_attribute,
            ),
            ("::wrong_option", "`timeout`", &|| wrong_option(&zero)),
            ("::wrong_option_async", "`timeout`", &|| {
                block_on(wrong_option_async(&zero))
            }),
            ("::unavailable", "unavailable", &unavailable),
            ("::unavailable_async", "unavailable", &|| block_on(unavailable_async())),
            ("::unavailable_result", "unavailable", &|| {
                unavailable_result().expect("runs")
            }),
        ];
        for (function, error, call) in cases {
            let ran = AtomicUsize::new(0);
            let log = log_while_unwinding(|| {
                assert_eq!(holder(call), 0, "{function} runs without a lock");
                ran.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(ran.into_inner(), 1, "{function}");
            assert_one_error(&log, &[function, error]);
        }
    });
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = panic)]
fn reports() -> Result<usize, Error> {
    Ok(held().len())
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = panic)]
async fn reports_async() -> Result<usize, Error> {
    Ok(held().len())
}

#[test]
fn a_function_that_can_report_returns_the_error_instead_of_a_second_panic() {
    in_own_process(
        "a_function_that_can_report_returns_the_error_instead_of_a_second_panic",
        || {
            let mut errors = Vec::new();
            let log = log_while_unwinding(|| errors.extend([reports(), block_on(reports_async())]));
            assert_eq!(errors.len(), 2);
            for error in errors {
                assert!(error.expect_err("no server").is_unavailable());
            }
            assert!(log.is_empty(), "{:?}", log);
        },
    );
}

#[test]
fn a_body_runs_unlocked_in_a_panic_hook() {
    in_own_process("a_body_runs_unlocked_in_a_panic_hook", || {
        let ran = Arc::new(Mutex::new(Vec::new()));
        let in_hook = Arc::clone(&ran);
        std::panic::set_hook(Box::new(move |_| {
            in_hook.lock().expect("not poisoned").push(reentered());
        }));
        let (outcome, log) = Log::of(|| catch_unwind(|| holder(|| panic_any("the first"))));
        drop(std::panic::take_hook());
        assert!(outcome.is_err());
        assert_eq!(*ran.lock().expect("not poisoned"), [0]);
        assert_one_error(&log, &["::reentered", "already holds lock"]);
    });
}
