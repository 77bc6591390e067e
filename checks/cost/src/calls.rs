//! The cost of an uncontended call of a locked function on `memory:`: memlock's own work, without a server to wait for.
#![allow(
    clippy::unnecessary_wraps,
    reason = "they return what functions return that can report"
)]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use memlock::{Error, Locks};
use rustix::time::{ClockId, clock_gettime};

use crate::measure::medians;

/// How often a function is called in a turn, which takes some hundredths of a second.
const CALLS: u32 = 20_000;

static LOCKS: LazyLock<Locks> = LazyLock::new(|| {
    let locks = Locks::builder().servers("memory:").build();
    locks.unwrap_or_else(|error| panic!("{error}"))
});

#[inline(never)]
fn bare(id: u64) -> Result<u64, Error> {
    Ok(black_box(id) + 1)
}

#[memlock::lock(name = "whole", locks = &LOCKS)]
#[inline(never)]
fn whole(id: u64) -> Result<u64, Error> {
    Ok(black_box(id) + 1)
}

#[memlock::lock(id, locks = &LOCKS)]
#[inline(never)]
fn by_number(id: u64) -> Result<u64, Error> {
    Ok(black_box(id) + 1)
}

#[memlock::lock("account/{id}", locks = &LOCKS)]
#[inline(never)]
fn by_text(id: u64) -> Result<u64, Error> {
    Ok(black_box(id) + 1)
}

#[memlock::rlock("account", name = "again", locks = &LOCKS)]
fn outer(calls: u32) -> Result<f64, Error> {
    Ok(nanoseconds(calls, again))
}

#[memlock::rlock("account", name = "again", locks = &LOCKS)]
#[inline(never)]
fn again(id: u64) -> Result<u64, Error> {
    Ok(black_box(id) + 1)
}

#[memlock::lock(id, locks = &LOCKS)]
async fn by_number_async(id: u64) -> Result<u64, Error> {
    Ok(black_box(id) + 1)
}

/// The minimum for a lock with a lease: the clocks are read when it is acquired, and when it is released.
#[inline(never)]
fn clocks(id: u64) -> Result<u64, Error> {
    for _ in 0..2 {
        black_box([ClockId::Boottime, ClockId::Monotonic, ClockId::MonotonicRaw].map(clock_gettime));
    }
    Ok(black_box(id) + 1)
}

/// A function, and how many nanoseconds longer than the bare one a call of it takes.
pub(crate) fn added(rounds: usize) -> Vec<(&'static str, f64)> {
    let names = [
        "`name`, no key",
        "`id`, a number",
        "`\"account/{id}\"`",
        "`id`, in an `async fn`",
        "`rlock`, entered again",
        "beside these: the three clocks, read twice",
    ];
    let [bare, others @ ..]: [f64; 7] = medians(rounds, |contestant| match contestant {
        0 => nanoseconds(CALLS, bare),
        1 => nanoseconds(CALLS, whole),
        2 => nanoseconds(CALLS, by_number),
        3 => nanoseconds(CALLS, by_text),
        4 => nanoseconds(CALLS, |id| at_once(by_number_async(id))),
        5 => outer(CALLS).unwrap_or(f64::NAN),
        _ => nanoseconds(CALLS, clocks),
    });
    names.into_iter().zip(others.map(|took| took - bare)).collect()
}

/// How long a call takes.
fn nanoseconds(calls: u32, call: impl Fn(u64) -> Result<u64, Error>) -> f64 {
    let began = Instant::now();
    for id in 0..u64::from(calls) {
        // A few accounts, as in a program at work.
        if let Err(error) = black_box(call(id % 8)) {
            panic!("{error}");
        }
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

/// The output of a future that never waits: in memory each answer is there at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[cfg(test)]
mod tests {
    use super::added;

    #[test]
    fn every_function_can_be_called() {
        assert!(added(1).iter().all(|(_, added)| added.is_finite()));
    }
}
