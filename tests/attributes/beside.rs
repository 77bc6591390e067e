//! Other attributes beside memlock's on synchronous functions. (Attributes of tests are in `bodies`.)

use memlock::{Error, lock, rlock};

use crate::stage::{LOCKS, held, key};

#[tracing::instrument]
#[lock("{id}", locks = &LOCKS)]
fn instrumented_above(id: u8, text: &str) -> Result<&str, Error> {
    assert_eq!(key(), "7");
    if text.is_empty() {
        return Ok("nothing");
    }
    Ok(text)
}

#[lock("{id}", locks = &LOCKS)]
#[tracing::instrument(skip(text), ret, err)]
fn instrumented_below(id: u8, text: &str) -> Result<&str, Error> {
    assert_eq!(key(), "7");
    if text.is_empty() {
        return Ok("nothing");
    }
    Ok(text)
}

#[test]
fn instrument_above_and_below() {
    for function in [instrumented_above, instrumented_below] {
        assert_eq!(function(7, "").expect("locked"), "nothing");
        assert_eq!(function(7, "a").expect("locked"), "a");
    }
}

#[rlock("k", name = "recursion", locks = &LOCKS)]
fn factorial(n: u64) -> Result<u64, Error> {
    assert_eq!(held(), ["recursion:k"]);
    Ok(if n == 0 { 1 } else { n * factorial(n - 1)? })
}

#[rlock(n, name = "recursion", locks = &LOCKS)]
fn recursion_without_a_report(n: u64) -> usize {
    if n == 0 {
        return held().len();
    }
    recursion_without_a_report(n - 1)
}

#[test]
fn recursion() {
    assert_eq!(factorial(5).expect("locked"), 120);
    assert_eq!(recursion_without_a_report(5), 1);
}
